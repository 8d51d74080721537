// <plimsoll-upload> on pages that know nothing of Leptos: before and after it is defined, moved, removed, several,
// under a strict policy, from another origin, and inside a form.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Locator, Page } from '@playwright/test';
import { build } from 'esbuild';
import type { PlimsollUpload } from '../../public/upload-widget.js';
import { dropPaths } from '../fixtures/drop';
import { MIB } from '../fixtures/files';
import { installWasmWatch } from '../fixtures/memory';
import { NetProxy } from '../fixtures/netproxy';
import { Pages } from '../fixtures/pages';
import { png } from '../fixtures/pictures';
import { Server } from '../fixtures/server';
import { expect, test } from '../fixtures/test';

/** The widget inside of an element. */
class Tag {
  readonly form: Locator;
  readonly input: Locator;

  constructor(readonly page: Page, readonly host: Locator = page.locator('plimsoll-upload')) {
    this.form = host.locator('form[data-plimsoll]');
    this.input = host.locator('[data-pl-input]');
  }

  async alive(): Promise<void> {
    await expect(this.form).toHaveAttribute('data-hydrated', 'true');
  }

  row(name: string): Locator {
    return this.host.locator(`[data-pl-row][data-name="${name}"]`);
  }

  async state(name: string, state: string): Promise<void> {
    await expect(this.row(name)).toHaveAttribute('data-state', state);
  }
}

test('one script and one tag on a plain page, under the strictest policy', async ({ page, server, files, silence }) => {
  silence.listen(page);
  const answer = await page.goto(`${server.url}/plain.html`);
  expect(answer?.headers()['content-security-policy']).toContain("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'");
  const tag = new Tag(page);
  await tag.alive();
  const sample = await files.sample('plain é.bin', MIB + 1);
  const stored = page.evaluate(
    () => new Promise<object>((told) => document.addEventListener('plimsoll-stored', (event) => told((event as CustomEvent<{ receipt: object }>).detail.receipt), { once: true })),
  );
  await tag.input.setInputFiles(sample.path);
  await tag.state(sample.name, 'done');
  expect(await stored).toMatchObject({ name: sample.name, size: sample.size, url: expect.stringMatching(/^\/files\/[a-z2-7]+$/) as unknown });
  expect(await tag.host.evaluate((host) => getComputedStyle(host.shadowRoot?.querySelector('.pl-drop') as Element).borderTopStyle)).toBe('dashed');
});

test('the form inside the tag is a form until the widget has loaded, and hands its files over', async ({ page, net, files, silence }) => {
  silence.listen(page);
  const open = net.gate(/\.wasm/);
  await page.goto(`${net.url}/plain.html`);
  const before = page.locator('plimsoll-upload > form input');
  const samples = [await files.sample('early-1.bin', MIB), await files.sample('early-2.bin', 2 * MIB)];
  await before.setInputFiles(samples.map(({ path }) => path));
  await expect(before).toBeVisible();
  expect(net.uploads).toEqual([]);
  open();
  const tag = new Tag(page);
  await tag.alive();
  for (const { name } of samples) await tag.state(name, 'done');
  await expect(before).toBeHidden();
  expect(await before.evaluate((input: HTMLInputElement) => input.matches(':disabled')), 'it is in no form any more').toBe(true);
});

test('a form without an address is sent to its own page, whatever is the base of others; but to a server that is named', async ({ page, server, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  try {
    const form = (words: string) => `<form ${words} method="post" enctype="multipart/form-data"><input type="file" name="photo"></form>`;
    for (const [at, words] of [['/without', ''], ['/empty', 'action=""']] as const) {
      site.page(at, server.url, `<plimsoll-upload>${form(words)}</plimsoll-upload>`, '<base href="/elsewhere/">');
      await page.goto(`${site.url}${at}?album=1`);
      const tag = new Tag(page);
      await tag.alive();
      await expect(tag.form).toHaveAttribute('action', `${site.url}${at}?album=1`);
      await tag.host.evaluate((host: PlimsollUpload) => host.add([new File(['mine'], 'mine.txt')]));
      await tag.state('mine.txt', 'done');
    }
    expect(site.posted.map(({ path, fields }) => [path, fields])).toEqual([['/without', [['photo', 'mine.txt']]], ['/empty', [['photo', 'mine.txt']]]]);
    site.page('/named', server.url, `<plimsoll-upload server="${server.url}/">${form('')}</plimsoll-upload>`);
    await page.goto(`${site.url}/named`);
    const tag = new Tag(page);
    await tag.alive();
    await expect(tag.form).toHaveAttribute('action', `${server.url}/upload`);
  } finally {
    await site.stop();
  }
});

test('what the file input inside asks for holds in the tag, and the tag has the last word', async ({ page, server, silence }) => {
  silence.listen(page);
  await page.goto(`${server.url}/plain.html`);
  await new Tag(page).alive();
  const made = async (id: string, input: string, attributes = '') => {
    await page.evaluate(([id, input, attributes]) => {
      const form = document.body.appendChild(document.createElement('form'));
      form.innerHTML = `<plimsoll-upload id="${id}" name="given" ${attributes}><input type="file" name="file" ${input}></plimsoll-upload>`;
    }, [id, input, attributes]);
    const tag = new Tag(page, page.locator(`#${id}`));
    await tag.alive();
    return { tag, valid: () => tag.host.evaluate((host: PlimsollUpload) => [host.checkValidity(), host.validity.valueMissing, host.form?.checkValidity()]) };
  };
  const strict = await made('strict', 'required capture="user" accept="image/*"');
  await expect(strict.tag.input).toHaveAttribute('capture', 'user');
  await expect(strict.tag.input).toHaveAttribute('accept', 'image/*');
  await expect(strict.tag.input).not.toHaveAttribute('multiple');
  await expect(strict.tag.host.locator('[data-pl-folder]')).toHaveCount(0);
  expect(await strict.valid()).toEqual([false, true, false]);
  await strict.tag.host.evaluate((host: PlimsollUpload) => host.add([new File(['x'], 'x.png', { type: 'image/png' })]));
  await strict.tag.state('x.png', 'done');
  expect(await strict.valid()).toEqual([true, false, true]);

  const folder = await made('folder', 'webkitdirectory capture');
  await expect(folder.tag.host.locator('[data-pl-folder]')).toHaveCount(1);
  await expect(folder.tag.input, 'a folder has several files').toHaveAttribute('multiple');
  await expect(folder.tag.input, 'a camera without a word is the one that looks away').toHaveAttribute('capture', 'environment');
  expect(await folder.valid()).toEqual([true, false, true]);

  const overruled = await made('overruled', 'required webkitdirectory capture="user"', 'required="false" directory="false" capture="environment"');
  await expect(overruled.tag.input).toHaveAttribute('capture', 'environment');
  await expect(overruled.tag.host.locator('[data-pl-folder]')).toHaveCount(0);
  expect(await overruled.valid()).toEqual([true, false, true]);
});

for (const part of ['js', 'wasm', 'css'] as const) {
  test(`a part that could not be had is asked for again, and until then the form inside can be used: ${part}`, async ({ page, server, silence }) => {
    silence.listen(page);
    silence.allow(/^console\.error: (Failed to load resource|<plimsoll-upload>: )/);
    await page.clock.install();
    let asked = 0;
    let fails: 'refused' | 'cut' | undefined = 'refused';
    const pattern = { js: /\/pkg\/(plimsoll|element)[.\w-]*\.js$/, wasm: /\/pkg\/[.\w-]+\.wasm$/, css: /\/pkg\/widget[.\w-]*\.css$/ }[part];
    await page.route(pattern, (route) => {
      asked++;
      if (fails === 'refused') return route.fulfill({ status: 503, body: '' });
      return fails === 'cut' ? route.abort('connectionreset') : route.continue();
    });
    const tag = new Tag(page);
    const before = page.locator('plimsoll-upload > form input');
    const usable = async () => {
      await expect(before).toBeVisible();
      await expect(before).toBeEnabled();
      await expect(tag.form).toHaveCount(0);
    };
    /** Lets pauses go by until it was asked for so often. */
    const wait = async (times: number) => {
      while (asked < times) await page.clock.runFor(1000);
    };
    const complaints = () => silence.said.filter((line) => line.includes('<plimsoll-upload>: '));
    for (const sign of ['a pause', 'online', 'visibilitychange'] as const) {
      asked = 0;
      silence.said.length = 0;
      fails = 'refused';
      await page.goto(`${server.url}/plain.html`);
      await wait(3);
      await usable();
      // The same once more is no news; another reason is.
      await expect.poll(complaints).toHaveLength(1);
      fails = 'cut';
      await wait(5);
      await expect.poll(complaints).toHaveLength(2);
      // The next pause is one of eight seconds at the least.
      await wait(6);
      const reached = asked;
      await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 1000);
      await usable();
      fails = undefined;
      if (sign === 'a pause') await page.clock.fastForward(60_000);
      else if (sign === 'online') await page.evaluate(() => dispatchEvent(new Event('online')));
      else await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
      // As long as the clock stands still no pause can run out.
      await expect.poll(() => asked, sign).toBeGreaterThan(reached);
      await page.clock.resume();
      await tag.alive();
      await expect(before).toBeHidden();
    }
  });
}

test('a script that could be had, and then not be imported, is asked for again', async ({ page, server, silence }) => {
  silence.listen(page);
  silence.allow(/^console\.error: (Failed to load resource|<plimsoll-upload>: )/);
  silence.allow(/Loading module|error loading/i);
  let asked = 0;
  // Fetched, imported, fetched, imported, and so on.
  await page.route(/\/pkg\/(plimsoll|element)[.\w-]*\.js$/, (route) => (++asked % 2 === 0 && asked < 8 ? route.abort('connectionreset') : route.continue()));
  await page.goto(`${server.url}/plain.html`);
  await new Tag(page).alive();
  expect(asked).toBe(8);
  expect(silence.said.filter((line) => line.includes('<plimsoll-upload>: ')), 'the same, whatever it is asked for by').toHaveLength(1);
});

for (const part of ['js', 'wasm'] as const) {
  test(`what came whole and is no ${part} is not asked for over and over; and out of sight nothing is`, async ({ page, server, silence }) => {
    silence.listen(page);
    silence.allow(/^console\.error: (Failed to load resource|<plimsoll-upload>: )/);
    await page.clock.install();
    let asked = 0;
    let garbage = false;
    const pattern = { js: /\/pkg\/(plimsoll|element)[.\w-]*\.js$/, wasm: /\/pkg\/[.\w-]+\.wasm$/ }[part];
    await page.route(pattern, (route) => {
      asked++;
      const contentType = { js: 'text/javascript', wasm: 'application/wasm' }[part];
      return garbage ? route.fulfill({ contentType, body: ')' }) : route.fulfill({ status: 503, body: '' });
    });
    await page.goto(`${server.url}/plain.html`);
    /** Lets a long time go by, and tells how often it was asked for. */
    const wait = async () => {
      const before = asked;
      for (let times = 0; times < 8; times++) {
        await page.clock.runFor(31_000);
        await page.evaluate(() => fetch('/favicon.svg').then(() => undefined));
      }
      return asked - before;
    };
    expect(await wait()).toBeGreaterThan(4);
    await page.evaluate(() => Object.defineProperty(document, 'hidden', { configurable: true, value: true }));
    await wait();
    expect(await wait(), 'nobody looks').toBe(0);
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { value: false });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    expect(await wait()).toBeGreaterThan(4);
    garbage = true;
    expect(await wait()).toBeGreaterThan(0);
    expect(await wait(), 'it will be the same').toBe(0);
    await expect(page.locator('plimsoll-upload > form input')).toBeEnabled();
  });
}

test('a tag that is made by a script works as one that was written, and takes what was set before it was defined', async ({ page, server, files, silence }) => {
  silence.listen(page);
  await page.goto(`${server.url}/plain.html`);
  await new Tag(page).alive();
  await page.evaluate(() => {
    const made = Object.assign(document.createElement('plimsoll-upload'), { id: 'made', field: 'photo', multiple: false });
    document.body.append(made);
    // Parsed before it is defined, in a document without scripts of its own, and moved over afterwards.
    const parsed = new DOMParser().parseFromString('<plimsoll-upload id="parsed"></plimsoll-upload>', 'text/html').body.firstElementChild as HTMLElement;
    Object.assign(parsed, { field: 'scan', files: undefined });
    document.body.append(parsed);
  });
  const made = new Tag(page, page.locator('#made'));
  await made.alive();
  await expect(made.input).toHaveAttribute('name', 'photo');
  await expect(made.input).not.toHaveAttribute('multiple');
  await expect(made.host).toHaveAttribute('multiple', 'false');
  const parsed = new Tag(page, page.locator('#parsed'));
  await parsed.alive();
  await expect(parsed.input).toHaveAttribute('name', 'scan');
  const sample = await files.sample('made.bin', 1000);
  await made.input.setInputFiles(sample.path);
  await made.state(sample.name, 'done');
  await expect(parsed.row(sample.name)).toHaveCount(0);
});

/** React sets to undefined what is not wanted any more, and that was read as false; and `disabled="false"` disables. */
test('a property that is set to undefined is what it was before; and the attribute disables whatever it says', async ({ page, server, silence }) => {
  silence.listen(page);
  await page.goto(`${server.url}/plain.html`);
  await new Tag(page).alive();
  const seen = await page.evaluate(() => {
    const host = document.createElement('plimsoll-upload');
    const seen: unknown[] = [];
    const look = () => seen.push([host.multiple, host.directory, host.getAttribute('multiple'), host.getAttribute('directory'), host.accept, host.fields]);
    look();
    Object.assign(host, { multiple: false, directory: true, accept: 'image/*', fields: { a: 'b' } });
    look();
    Object.assign(host, { multiple: undefined, directory: undefined, accept: undefined, fields: undefined });
    look();
    Object.assign(host, { multiple: false, directory: true });
    Object.assign(host, { multiple: null, directory: null, fields: null });
    look();
    host.setAttribute('disabled', 'false');
    seen.push([host.disabled, host.matches(':disabled')]);
    host.disabled = false;
    seen.push([host.disabled, host.matches(':disabled'), host.hasAttribute('disabled')]);
    host.disabled = true;
    seen.push([host.disabled, host.matches(':disabled')]);
    return seen;
  });
  const before = [true, false, null, null, '', ''];
  expect(seen).toEqual([before, [false, true, 'false', '', 'image/*', 'a: b'], before, before, [true, true], [false, false, false], [true, true]]);
});

/** Three lists of one thing: an attribute that one of them lacks is passed over without a word, or cannot be found. */
test('every attribute is known to the widget, and has a property and a type', async ({ page, server, silence }) => {
  silence.listen(page);
  await page.goto(`${server.url}/plain.html`);
  await new Tag(page).alive();
  const { watched, properties } = await page.evaluate(() => {
    const tag = customElements.get('plimsoll-upload') as unknown as { observedAttributes: string[]; prototype: object };
    return { watched: tag.observedAttributes, properties: Object.getOwnPropertyNames(tag.prototype) };
  });
  const controls = ['name', 'required', 'aria-labelledby', 'aria-label'];
  const settings = watched.filter((name) => !controls.includes(name)).sort();
  const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');
  const [rust, types] = await Promise.all(['src/wire/attributes.rs', 'public/upload-widget.d.ts'].map((file) => readFile(path.join(root, file), 'utf8')));
  const [read] = rust!.split('#[cfg(test)]');
  const known = [...read!.matchAll(/^ {12}"([a-z-]+)"(?: if .*)? =>/gm)].map(([, name]) => name!);
  expect([...new Set(known)].sort()).toEqual(settings);
  const named = [...settings.filter((name) => name !== 'labels'), 'name', 'required', 'disabled'].map((name) => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()));
  const [, members] = /^export class PlimsollUpload [\s\S]*?\{\n([\s\S]*?)^\}/m.exec(types!)!;
  const typed = [...members!.matchAll(/^ {2}(?:set )?(\w+)(?:\?|\(\w+)?: /gm)].map(([, name]) => name!);
  const props = types!.split('export type PlimsollUploadProps')[1]!;
  for (const name of named) {
    expect(properties, name).toContain(name);
    expect(typed, name).toContain(name);
    expect(props, name).toMatch(new RegExp(`'${name}'|^  ${name}\\?:`, 'm'));
  }
  expect(props).toContain('  labels?:');
});

test('a tag that is moved goes on uploading', async ({ page, net, files, silence }) => {
  silence.listen(page);
  net.behave({ kind: 'stall', after: MIB });
  await page.goto(`${net.url}/plain.html`);
  const tag = new Tag(page);
  await tag.alive();
  const sample = await files.sample('moved.bin', 3 * MIB);
  await tag.input.setInputFiles(sample.path);
  await expect.poll(() => net.read).toBeGreaterThanOrEqual(MIB);
  await tag.host.evaluate(async (host) => {
    const section = document.body.appendChild(document.createElement('section'));
    section.append(host);
    document.body.prepend(host);
    if ('moveBefore' in section) (section as unknown as { moveBefore(node: Node, child: null): void }).moveBefore(host, null);
    // What is taken away is taken away by the end of the task after this one.
    await new Promise((later) => setTimeout(later));
    await new Promise((later) => setTimeout(later));
  });
  net.release();
  await tag.state(sample.name, 'done');
  expect(net.uploads.length, 'one request, never begun again').toBe(1);
});

test('a tag that is removed ends its uploads, and begins anew when it is back', async ({ page, net, files, silence }) => {
  silence.listen(page);
  net.behave({ kind: 'slow', rate: MIB });
  await page.goto(`${net.url}/plain.html`);
  const tag = new Tag(page);
  await tag.alive();
  const sample = await files.sample('removed.bin', 6 * MIB);
  await tag.input.setInputFiles(sample.path);
  await expect.poll(() => net.read).toBeGreaterThan(0);
  const host = await tag.host.elementHandle();
  await host?.evaluate((element) => element.remove());
  await expect.poll(() => net.uploads[0]?.abandoned).toBe(true);
  expect(await host?.evaluate((element) => (element as Element).shadowRoot?.childElementCount)).toBe(0);
  net.release();
  await host?.evaluate((element) => document.body.append(element));
  await tag.alive();
  await expect(tag.row(sample.name)).toHaveCount(0);
  await tag.input.setInputFiles(sample.path);
  await tag.state(sample.name, 'done');
});

test('on a page of another origin; several of them are each their own', async ({ page, files, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  const server = await Server.start(['--allow-origin', site.url]);
  try {
    site.page('/', server.url, '<plimsoll-upload id="a"></plimsoll-upload><plimsoll-upload id="b" protocol="tus"></plimsoll-upload>');
    await page.goto(site.url);
    const [a, b] = [new Tag(page, page.locator('#a')), new Tag(page, page.locator('#b'))];
    await Promise.all([a.alive(), b.alive()]);
    const samples = [await files.sample('for-a.bin', MIB), await files.sample('for-b.bin', MIB + 1)];
    await a.input.setInputFiles(samples[0]?.path ?? '');
    await b.input.setInputFiles(samples[1]?.path ?? '');
    await a.state('for-a.bin', 'done');
    await b.state('for-b.bin', 'done');
    await expect(a.row('for-b.bin')).toHaveCount(0);
    const finished = (await server.finished()).map(({ size }) => size);
    expect(finished.sort()).toEqual([MIB, MIB + 1]);
  } finally {
    await site.stop();
    await server.stop();
  }
});

test('an attribute that cannot be read is told, and what was in the tag stays usable until it is corrected', async ({ page, server }) => {
  const said: string[] = [];
  page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
  await page.goto(`${server.url}/plain.html`);
  await new Tag(page).alive();
  const told = await page.evaluate(async () => {
    const told: string[] = [];
    document.addEventListener('plimsoll-error', (event) => told.push((event as CustomEvent<{ message: string }>).detail.message));
    const wrong = document.createElement('plimsoll-upload');
    wrong.id = 'wrong';
    wrong.innerHTML = '<form action="upload"><input type="file" name="file"></form>';
    wrong.setAttribute('slice', '1OMB');
    wrong.setAttribute('retries', 'often');
    document.body.append(wrong);
    while (told.length < 2) await new Promise((later) => document.addEventListener('plimsoll-error', later, { once: true }));
    return told;
  });
  expect(told).toEqual(['slice="1OMB" is not a size such as 1000000, 500kB or 10MiB', 'retries="often" is not a number from 0 to 255']);
  expect(said.filter((line) => line.startsWith('error: <plimsoll-upload>: '))).toHaveLength(2);
  // Of a text that is none of ours the others know nothing: it is told, and they hold.
  await page.evaluate(() => {
    const odd = Object.assign(document.createElement('plimsoll-upload'), { id: 'odd' });
    odd.setAttribute('labels', 'undoo: Back\nclear: Sweep\ndrop-here: Here');
    document.body.append(odd);
  });
  await new Tag(page, page.locator('#odd')).alive();
  await expect(page.locator('#odd .pl-headline')).toHaveText('Here');
  expect(said.filter((line) => line.startsWith('error: <plimsoll-upload>: ')).slice(2)).toEqual([expect.stringContaining('labels="undoo" is not the key of a text') as unknown]);
  const tag = new Tag(page, page.locator('#wrong'));
  await expect(page.locator('#wrong > form input')).toBeVisible();
  await tag.host.evaluate((host) => {
    host.setAttribute('retries', '2');
    host.setAttribute('slice', '10MB');
  });
  await tag.alive();
});

test('it tells everything, once and in order, and can be told what to do', async ({ page, net, files, silence }) => {
  silence.listen(page);
  await page.goto(`${net.url}/plain.html`);
  const tag = new Tag(page);
  await tag.alive();
  await page.evaluate(() => {
    const told: string[] = [];
    Object.assign(window, { told });
    const host = document.querySelector('plimsoll-upload') as PlimsollUpload;
    for (const kind of ['added', 'rejected', 'before-upload', 'started', 'stored', 'failed', 'paused', 'resumed', 'cancelled', 'removed', 'restored', 'ended'] as const) {
      document.addEventListener(`plimsoll-${kind}`, (event) => told.push('file' in event.detail ? `${kind} ${event.detail.file.name}` : kind));
    }
    host.addEventListener('plimsoll-progress', ({ detail }) => {
      if (detail.received > detail.file.size || detail.sent > detail.file.size) told.push('more than there is');
    });
    host.autoStart = false;
  });
  await expect(tag.host).toHaveAttribute('auto-start', 'false');
  await tag.alive();
  const told = () => page.evaluate(() => (window as unknown as { told: string[] }).told.splice(0));

  await page.evaluate(() => {
    const host = document.querySelector('plimsoll-upload') as PlimsollUpload;
    host.add([new File(['one'], 'one.txt', { type: 'text/plain' }), new File(['two'], 'two.txt')]);
  });
  await tag.state('two.txt', 'queued');
  const rows = await tag.host.evaluate((host: PlimsollUpload) => host.files);
  expect(rows).toMatchObject([{ name: 'one.txt', size: 3, percent: 0 }, { name: 'two.txt' }]);
  expect((await told()).slice(0, 2)).toEqual(['added one.txt', 'added two.txt']);
  await tag.host.evaluate((host: PlimsollUpload) => host.start(host.files[1]?.id));
  await tag.state('two.txt', 'done');
  expect(await told()).toEqual(expect.arrayContaining(['before-upload two.txt', 'started two.txt', 'stored two.txt']) as unknown);
  await tag.host.evaluate((host: PlimsollUpload) => host.cancel());
  await tag.state('one.txt', 'cancelled');
  await tag.host.evaluate((host: PlimsollUpload) => host.retry(host.files[0]?.id));
  await tag.state('one.txt', 'done');
  expect(await told()).toEqual(['cancelled one.txt', 'ended', 'before-upload one.txt', 'started one.txt', 'stored one.txt', 'ended']);
  expect(await tag.host.evaluate((host: PlimsollUpload) => [host.value, host.receipts.map(({ id }) => id).join(' '), host.busy])).toEqual([
    expect.stringMatching(/^[a-z2-7]{26} [a-z2-7]{26}$/),
    expect.stringMatching(/^[a-z2-7]{26} [a-z2-7]{26}$/),
    false,
  ]);
  const value = await tag.host.evaluate((host: PlimsollUpload) => host.value);
  await tag.host.locator('[data-pl-action="remove"]').first().click();
  expect(await tag.host.evaluate((host: PlimsollUpload) => host.receipts.length)).toBe(1);
  await tag.host.locator('[data-pl-action="undo"]').click();
  expect(await told()).toEqual(['removed one.txt', 'restored one.txt']);
  expect(await tag.host.evaluate((host: PlimsollUpload) => host.value)).toBe(value);
  await tag.host.evaluate((host: PlimsollUpload) => host.clear());
  await expect(tag.host.locator('[data-pl-row]')).toHaveCount(0);
  await expect(tag.host.locator('[data-pl-action="undo"]'), 'what the page removes is removed').toBeHidden();
  expect(await told()).toEqual(['removed one.txt', 'removed two.txt']);
  expect(await tag.host.evaluate((host: PlimsollUpload) => host.value)).toBe('');

  net.behave({ kind: 'slow', rate: MIB });
  await tag.host.evaluate((host: PlimsollUpload) => {
    host.autoStart = true;
    host.protocol = 'resumable';
  });
  await expect(tag.host.locator('[data-pl-drop]')).toBeVisible();
  const sample = await files.sample('held.bin', 4 * MIB);
  await tag.input.setInputFiles(sample.path);
  await expect.poll(() => net.read).toBeGreaterThan(0);
  await tag.host.evaluate((host: PlimsollUpload) => host.pause());
  await tag.state(sample.name, 'paused');
  await tag.host.evaluate((host: PlimsollUpload) => host.resume());
  net.release();
  await tag.state(sample.name, 'done');
  const names = (await told()).map((line) => line.split(' ')[0]);
  expect(names).toEqual(['added', 'before-upload', 'started', 'paused', 'resumed', 'stored', 'ended']);
});

test('what it tells of refusals, failures and progress is heard outside of a shadow root that it stands in', async ({ page, net, files, silence }) => {
  silence.listen(page);
  silence.allowFailedRequests();
  await page.goto(`${net.url}/plain.html`);
  await new Tag(page).alive();
  await page.evaluate(() => {
    const told: { kind: string; detail: object; at: string }[] = [];
    Object.assign(window, { told });
    for (const kind of ['rejected', 'failed', 'progress', 'stored'] as const) {
      document.addEventListener(`plimsoll-${kind}`, ({ detail, target }) => told.push({ kind, detail: JSON.parse(JSON.stringify(detail)) as object, at: (target as Element).id }));
    }
    const around = Object.assign(document.createElement('div'), { id: 'around' });
    around.attachShadow({ mode: 'open' }).innerHTML = '<plimsoll-upload accept=".bin" retries="0" protocol="form"></plimsoll-upload>';
    document.body.append(around);
  });
  const tag = new Tag(page, page.locator('#around plimsoll-upload'));
  await tag.alive();
  type Told = { kind: string; detail: Record<string, unknown>; at: string };
  const told = () => page.evaluate(() => (window as unknown as { told: Told[] }).told.splice(0));

  const picture = { name: 'photo.png', path: '', size: 3, type: 'image/png' };
  await tag.host.evaluate((host: PlimsollUpload) => host.add([new File(['png'], 'photo.png', { type: 'image/png' })]));
  await tag.state('photo.png', 'rejected');
  expect(await told()).toEqual([
    { kind: 'rejected', at: 'around', detail: { file: { id: expect.any(Number) as unknown, ...picture }, error: expect.objectContaining({ code: 'type-not-accepted', retryable: false }) as unknown } },
  ]);

  const sample = await files.sample('told.bin', 3 * MIB);
  await page.route('**/upload', (route) => route.fulfill({ status: 422, contentType: 'text/plain', body: 'Only boats, please.' }), { times: 1 });
  await tag.input.setInputFiles(sample.path);
  await tag.state(sample.name, 'failed');
  const [failed, ...more] = (await told()).filter(({ kind }) => kind !== 'progress');
  expect(more).toEqual([]);
  expect(failed).toMatchObject({ kind: 'failed', at: 'around', detail: { file: { name: sample.name, size: sample.size }, error: { message: 'Only boats, please.', retryable: false } } });
  expect((failed?.detail.error as { code: string }).code).toMatch(/^[a-z-]+$/);

  net.behave({ kind: 'slow', rate: MIB });
  await tag.host.evaluate((host: PlimsollUpload) => host.clear());
  await tag.input.setInputFiles(sample.path);
  await tag.state(sample.name, 'done');
  const all = await told();
  const steps = all.filter(({ kind }) => kind === 'progress').map(({ detail }) => detail as { file: { name: string }; sent: number; received: number });
  expect(all.at(-1)?.kind, 'none after the end').toBe('stored');
  expect(steps.length).toBeGreaterThan(2);
  for (const { file, sent, received } of steps) {
    expect(file.name).toBe(sample.name);
    expect(Math.max(sent, received)).toBeLessThanOrEqual(sample.size);
  }
  const counts = steps.map(({ received }) => received);
  expect(counts).toEqual([...counts].sort((a, b) => a - b));
  expect(new Set(counts).size, 'the server counts').toBeGreaterThan(2);
});

test('one file by its number is held, goes on, is stopped and taken off, and the others are left alone', async ({ page, net, files, silence }) => {
  silence.listen(page);
  net.behave({ kind: 'stall', after: 0 });
  await page.goto(`${net.url}/plain.html`);
  const tag = new Tag(page);
  await tag.alive();
  const names = ['one.bin', 'two.bin', 'three.bin'];
  const samples = await Promise.all(names.map((name) => files.sample(name, 1000)));
  await tag.input.setInputFiles(samples.map(({ path }) => path));
  for (const name of names) await tag.state(name, 'sending');
  const act = (what: 'pause' | 'resume' | 'cancel' | 'clear', name: string) =>
    tag.host.evaluate((host: PlimsollUpload, [what, name]) => host[what as 'pause'](host.files.find((file) => file.name === name)?.id), [what, name]);
  const states = () => tag.host.evaluate((host: PlimsollUpload) => Object.fromEntries(host.files.map(({ name, state }) => [name, state])));
  const sending = { 'one.bin': 'sending', 'three.bin': 'sending' };
  await act('pause', 'two.bin');
  await expect.poll(states).toEqual({ ...sending, 'two.bin': 'paused' });
  await act('resume', 'two.bin');
  await expect.poll(states).toEqual({ ...sending, 'two.bin': 'sending' });
  await act('cancel', 'two.bin');
  await expect.poll(states).toEqual({ ...sending, 'two.bin': 'cancelled' });
  await act('clear', 'two.bin');
  await expect.poll(states).toEqual(sending);
  // Also what has not ended, where it is named.
  await act('clear', 'one.bin');
  await expect.poll(states).toEqual({ 'three.bin': 'sending' });
  // A number that there is none of is nobody's.
  await tag.host.evaluate((host: PlimsollUpload) => {
    host.pause(4711);
    host.clear(4711);
  });
  expect(await states()).toEqual({ 'three.bin': 'sending' });
  net.release();
  await tag.state('three.bin', 'done');
});

test('before a file is sent the page may rename it, add fields, take its time, and refuse', async ({ page, server, silence }) => {
  silence.listen(page);
  await page.goto(`${server.url}/plain.html`);
  const tag = new Tag(page);
  await tag.alive();
  const receipts = await tag.host.evaluate(async (host: PlimsollUpload) => {
    host.addEventListener('plimsoll-before-upload', (event) => {
      const { detail } = event;
      if (detail.file.name === 'plain refusal.txt') event.preventDefault();
      if (detail.file.name === 'refused.txt') detail.waitUntil(new Promise((later) => setTimeout(later)).then(() => detail.refuse('Not on a Sunday.')));
      if (detail.file.name === 'broken.txt') detail.waitUntil(Promise.reject(new Error('No token was to be had.')));
      if (detail.file.name === 'first.txt') {
        // Long after its row was drawn.
        detail.waitUntil(new Promise<void>((go) => addEventListener('pl-go', () => go(), { once: true })).then(() => detail.rename('second.txt')));
      }
      if (detail.file.name === 'renamed.txt') {
        detail.rename('another é.txt');
        detail.waitUntil(Promise.resolve().then(() => (detail.fields.album = 'holidays: "sun"')));
      }
    });
    const ended = new Promise((told) => host.addEventListener('plimsoll-ended', told));
    host.add(['plain refusal.txt', 'refused.txt', 'broken.txt', 'renamed.txt'].map((name) => new File([name], name)));
    await ended;
    return host.receipts;
  });
  expect(receipts).toMatchObject([{ name: 'another é.txt', size: 11, proof: 'stored' }]);
  const reason = (name: string) => tag.row(name).locator('[data-pl-reason]');
  await expect(reason('refused.txt')).toHaveText('Not on a Sunday.');
  await expect(reason('broken.txt')).toHaveText('No token was to be had.');
  await expect(reason('plain refusal.txt')).not.toBeEmpty();
  for (const name of ['plain refusal.txt', 'refused.txt', 'broken.txt']) await expect(tag.row(name)).toHaveAttribute('data-error', 'declined');

  const shown = (name: string) =>
    tag.row(name).evaluate((row) => {
      const link = row.querySelector<HTMLAnchorElement>('.pl-name');
      const named = [...row.querySelectorAll('[role=progressbar], [data-pl-action=remove], [data-pl-action=cancel]')];
      return [link?.innerText.replace('\n', ''), link?.title, link?.download, ...named.map((part) => part.getAttribute('aria-label'))];
    });
  await tag.host.evaluate((host: PlimsollUpload) => {
    const file = new File(['first'], 'first.txt');
    Object.defineProperty(file, 'webkitRelativePath', { value: 'letters/1876/first.txt' });
    const input = host.shadowRoot?.querySelector<HTMLInputElement>('[data-pl-input]');
    const list = new DataTransfer();
    list.items.add(file);
    Object.defineProperty(input, 'files', { value: list.files, configurable: true });
    input?.dispatchEvent(new Event('change', { bubbles: true }));
  });
  await tag.state('first.txt', 'creating');
  const [old, other] = ['letters/1876/first.txt', 'letters/1876/second.txt'];
  expect(await shown('first.txt')).toEqual([old, old, 'first.txt', old, `Cancel ${old}`]);
  await page.evaluate(() => dispatchEvent(new Event('pl-go')));
  await tag.state('second.txt', 'done');
  expect(await shown('second.txt')).toEqual([other, other, 'second.txt', other, `Remove ${other}`]);
});

for (const protocol of ['form', 'resumable', 'tus'] as const) {
  test(`what the page adds to a file before it is sent is told again by the server: ${protocol}`, async ({ page, server, silence }) => {
    silence.listen(page);
    await page.goto(`${server.url}/plain.html`);
    await new Tag(page).alive();
    await page.evaluate((protocol) => {
      const host = Object.assign(document.createElement('plimsoll-upload'), { id: 'telling', protocol, fields: { tour: 'spring', album: 'none' } });
      host.addEventListener('plimsoll-before-upload', ({ detail }) => {
        detail.rename('é & "1".txt');
        detail.fields.album = 'a=b, "sea" ☀';
        detail.fields['place-name'] = 'Zürich';
      });
      document.body.append(host);
    }, protocol);
    const tag = new Tag(page, page.locator('#telling'));
    await tag.alive();
    await tag.host.evaluate(async (host: PlimsollUpload) => {
      const ended = new Promise((told) => host.addEventListener('plimsoll-ended', told));
      host.add([new File(['told'], 'first.txt')]);
      await ended;
    });
    // As the server tells it to whoever asks for the list, and not as the page remembers it.
    const listed = await page.evaluate(async () => (await fetch('/api/list_uploads')).json() as Promise<{ name: string; size: number; fields: [string, string][] }[]>);
    expect(listed).toMatchObject([{ name: 'é & "1".txt', size: 4 }]);
    expect(Object.fromEntries(listed[0]!.fields)).toEqual({ tour: 'spring', album: 'a=b, "sea" ☀', 'place-name': 'Zürich' });
  });
}

for (const protocol of ['form', 'resumable', 'tus'] as const) {
  test(`a field without a value arrives without one, and one that cannot be sent is said: ${protocol}`, async ({ page, server, silence }) => {
    silence.listen(page);
    await page.goto(`${server.url}/plain.html`);
    await new Tag(page).alive();
    await page.evaluate((protocol) => {
      const host = Object.assign(document.createElement('plimsoll-upload'), { id: 'empty', protocol, fields: { tour: '', year: '1824' } });
      host.addEventListener('plimsoll-before-upload', ({ detail }) => {
        if (detail.file.name === 'odd.txt') detail.fields['name of the \u2693'] = 'Plimsoll';
      });
      document.body.append(host);
    }, protocol);
    const tag = new Tag(page, page.locator('#empty'));
    await tag.alive();
    await tag.host.evaluate(async (host: PlimsollUpload) => {
      const ended = new Promise((told) => host.addEventListener('plimsoll-ended', told));
      host.add(['even.txt', 'odd.txt'].map((name) => new File([name], name)));
      await ended;
    });
    const listed = await page.evaluate(async () => (await fetch('/api/list_uploads')).json() as Promise<{ name: string; fields: [string, string][] }[]>);
    const fields = (name: string) => Object.fromEntries(listed.find((upload) => upload.name === name)?.fields ?? []);
    expect(fields('even.txt')).toEqual({ tour: '', year: '1824' });
    if (protocol === 'form') return expect(fields('odd.txt')).toEqual({ tour: '', year: '1824', 'name of the \u2693': 'Plimsoll' });
    // In a header it has no place.
    await tag.state('odd.txt', 'failed');
    await expect(tag.row('odd.txt')).toHaveAttribute('data-error', 'malformed');
    await expect(tag.row('odd.txt').locator('[data-pl-reason]')).toHaveText(
      'The field \u201cname of the \u2693\u201d cannot be sent: its name may have only plain Latin letters, digits and signs, and no spaces or commas.',
    );
    expect(listed.map(({ name }) => name), 'and it was not sent without it').toEqual(['even.txt']);
  });
}

test.describe('inside a form', () => {
  let site: Pages;
  let server: Server;

  test.beforeAll(async () => {
    site = await Pages.start();
    server = await Server.start(['--allow-origin', site.url]);
  });

  test.afterAll(async () => {
    await site?.stop();
    await server?.stop();
  });

  test('it is a control like others: value, validity, reset, disabled', async ({ page, files, silence }) => {
    silence.listen(page);
    const net = await NetProxy.start(server.url);
    site.put('/letter', { type: 'text/html; charset=utf-8', body: '<!doctype html><title>Sent</title><link rel="icon" href="data:,"><p>Sent' });
    const control = `<plimsoll-upload name="attachment" server="${net.url}" required><input type="file" name="file" multiple></plimsoll-upload>`;
    site.page('/', server.url, `<form action="/letter" method="post" enctype="multipart/form-data"><input name="subject" value="Hello"><fieldset id="part">${control}</fieldset><button>Send</button></form>`);
    try {
      await page.goto(site.url);
      const tag = new Tag(page);
      await tag.alive();
      const look = () =>
        tag.host.evaluate((host: PlimsollUpload) => {
          const form = host.form as HTMLFormElement;
          return {
            sent: [...new FormData(form)].map(([name, value]) => `${name}=${typeof value === 'string' ? value : value.name}`),
            valid: form.checkValidity(),
            missing: host.validity.valueMissing,
            says: host.validationMessage,
          };
        });
      expect(await look()).toEqual({ sent: ['subject=Hello'], valid: false, missing: true, says: 'Choose a file.' });
      await page.locator('button', { hasText: 'Send' }).click();
      expect(new URL(page.url()).pathname, 'the browser refuses to send it').toBe('/');

      // While something is on its way.
      net.behave({ kind: 'hold', frames: 'processing' });
      const samples = [await files.sample('letter.bin', 1000), await files.sample('other.bin', 2000)];
      await tag.input.setInputFiles(samples.map(({ path }) => path));
      await tag.state('letter.bin', 'processing');
      expect(await look()).toMatchObject({ valid: false, missing: false, says: 'Some files are not stored yet. Wait for them, or remove them.' });
      await page.locator('button', { hasText: 'Send' }).click();
      expect(new URL(page.url()).pathname).toBe('/');
      net.release();
      await tag.state('letter.bin', 'done');
      await tag.state('other.bin', 'done');
      const ids = await tag.host.evaluate((host: PlimsollUpload) => host.receipts.map(({ id }) => `attachment=${id}`));
      expect(ids).toHaveLength(2);
      const letter = await tag.host.evaluate((host: PlimsollUpload) => `attachment=${host.receipts.find(({ name }) => name === 'letter.bin')?.id}`);
      expect(await look()).toEqual({ sent: ['subject=Hello', ...ids], valid: true, missing: false, says: '' });

      // What is taken off the list is not sent.
      await tag.row('other.bin').locator('[data-pl-action=remove]').click();
      await expect.poll(look).toMatchObject({ sent: ['subject=Hello', letter], valid: true });

      const fieldset = page.locator('#part');
      await fieldset.evaluate((part: HTMLFieldSetElement) => (part.disabled = true));
      await expect(tag.input).toBeDisabled();
      expect((await look()).sent, 'what is disabled is not sent').toEqual(['subject=Hello']);
      await fieldset.evaluate((part: HTMLFieldSetElement) => (part.disabled = false));
      await expect(tag.input).toBeEnabled();

      await page.locator('button', { hasText: 'Send' }).click();
      await expect(page.locator('p')).toHaveText('Sent');
      expect(site.posted.at(-1)).toMatchObject({ path: '/letter', fields: [['subject', 'Hello'], ['attachment', letter.split('=')[1]]] });

      await page.goto(site.url);
      await tag.alive();
      await tag.input.setInputFiles(samples[0]?.path ?? '');
      await tag.state('letter.bin', 'done');
      await tag.host.evaluate((host: PlimsollUpload) => host.form?.reset());
      await expect(tag.host.locator('[data-pl-row]')).toHaveCount(0);
      expect(await look()).toMatchObject({ sent: ['subject=Hello'], missing: true });

      // What a person has taken off the list does not come back into an empty form either.
      await tag.input.setInputFiles(samples[0]?.path ?? '');
      await tag.state('letter.bin', 'done');
      await tag.row('letter.bin').locator('[data-pl-action=remove]').click();
      await expect(tag.host.locator('[data-pl-action=undo]')).toBeVisible();
      await tag.host.evaluate((host: PlimsollUpload) => host.form?.reset());
      await expect(tag.host.locator('[data-pl-action=undo]')).toBeHidden();
      expect(await look()).toMatchObject({ sent: ['subject=Hello'], missing: true });
    } finally {
      await net.stop();
    }
  });

  /** A page with this tag in a form, alive, and what the form says of it. */
  async function placed(page: Page, tag: string, home = server.url) {
    site.page('/', home, `<form>${tag}</form>`);
    await page.goto(site.url);
    const made = new Tag(page);
    await made.alive();
    const look = () =>
      made.host.evaluate((host: PlimsollUpload) => {
        const form = host.form as HTMLFormElement;
        return { busy: host.busy, valid: form.checkValidity(), value: host.value, sent: new FormData(form).getAll(host.name).join(' ') };
      });
    return { tag: made, look };
  }

  const IDLE = { busy: false, valid: true, value: '', sent: '' };

  /** Of files on their way into the list, and of the end of that, nothing was heard from the second pick on. */
  test('it holds the form while files are on their way into the list, and lets it go when none has come', async ({ page, browserName, silence }) => {
    silence.listen(page);
    await page.addInitScript(() => {
      const real = createImageBitmap as (...args: unknown[]) => Promise<ImageBitmap>;
      const held: (() => void)[] = [];
      Object.assign(window, {
        plHold: false,
        plGo: () => held.splice(0).forEach((go) => go()),
        plHeld: () => held.length,
        createImageBitmap: async (...args: unknown[]) => {
          if ((window as unknown as { plHold: boolean }).plHold) await new Promise<void>((go) => held.push(go));
          return real(...args);
        },
      });
    });
    const { tag, look } = await placed(page, '<plimsoll-upload name="photo" accept="image/png" downscale="40" thumbnails="false" dotfiles="false"></plimsoll-upload>');
    const hold = (held: boolean) => page.evaluate((held) => void Object.assign(window, { plHold: held }), held);
    const shrinks = () => page.evaluate(() => (window as unknown as { plHeld(): number }).plHeld());
    const go = () => page.evaluate(() => (window as unknown as { plGo(): void }).plGo());
    await tag.input.setInputFiles(png('first.png', 100, 50));
    await tag.state('first.png', 'done');
    const { value: first } = await look();
    expect(await look()).toEqual({ busy: false, valid: true, value: first, sent: first });

    await hold(true);
    await tag.input.setInputFiles(png('second.png', 100, 50, 1));
    await expect.poll(shrinks).toBe(1);
    await expect(tag.row('second.png')).toHaveCount(0);
    expect(await look()).toEqual({ busy: true, valid: false, value: first, sent: first });
    // What the page itself adds holds it at once.
    await tag.host.evaluate((host: PlimsollUpload) => host.form?.reset());
    const added = await tag.host.evaluate((host: PlimsollUpload) => {
      host.add([new File(['no picture'], 'third.png', { type: 'image/png' })]);
      return [host.busy, host.form?.checkValidity()];
    });
    expect(added).toEqual([true, false]);
    await tag.host.evaluate((host: PlimsollUpload) => host.form?.reset());
    await hold(false);
    await go();
    await expect.poll(look, 'what was on its way does not come any more').toEqual(IDLE);
    await expect(tag.host.locator('[data-pl-row]')).toHaveCount(0);

    // In portions, and all of them refused.
    await tag.host.evaluate((host: PlimsollUpload) => host.add(Array.from({ length: 40 }, (_, at) => new File(['x'], `${at}.txt`, { type: 'text/plain' }))));
    await expect.poll(() => tag.host.evaluate((host: PlimsollUpload) => host.files.filter(({ state }) => state === 'rejected').length)).toBe(40);
    await expect.poll(look).toEqual(IDLE);
    await tag.host.evaluate((host: PlimsollUpload) => host.clear());

    if (browserName !== 'chromium') return;
    // Only its protocol drops folders.
    const folder = await mkdtemp(path.join(os.tmpdir(), 'plimsoll-dots-'));
    try {
      await mkdir(path.join(folder, 'nothing'));
      await mkdir(path.join(folder, 'dots'));
      await writeFile(path.join(folder, 'dots', '.hidden'), 'x');
      for (const name of ['nothing', 'dots']) {
        // A sign that it was busy with this very one.
        const went = tag.host.evaluate((host: PlimsollUpload) => {
          const total = host.shadowRoot?.querySelector('[data-pl-total]') as Element;
          return new Promise<void>((over) => {
            const watch = new MutationObserver(() => total.hasAttribute('data-gathering') || over(watch.disconnect()));
            watch.observe(total, { attributeFilter: ['data-gathering'] });
          });
        });
        await dropPaths(page, [path.join(folder, name)], 'plimsoll-upload [data-pl-drop]');
        await went;
        await expect.poll(look, name).toEqual(IDLE);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  /** No news told of a second try before that was under way: the form was sent without its file. */
  test('it holds the form again from the moment on in which something is tried again', async ({ page, silence }) => {
    silence.listen(page);
    const { tag, look } = await placed(page, '<plimsoll-upload name="letter"></plimsoll-upload>');
    await tag.host.evaluate((host: PlimsollUpload) => {
      host.addEventListener('plimsoll-before-upload', ({ detail }) => detail.waitUntil(new Promise(() => undefined)));
      host.add([new File(['x'], 'held.txt')]);
    });
    await expect(tag.row('held.txt')).toHaveCount(1);
    expect(await look()).toMatchObject({ busy: true, valid: false });
    await tag.host.evaluate((host: PlimsollUpload) => host.cancel());
    expect(await look()).toEqual(IDLE);
    await tag.row('held.txt').locator('[data-pl-action=retry]').click();
    await expect.poll(look).toMatchObject({ busy: true, valid: false });
    const retried = await tag.host.evaluate((host: PlimsollUpload) => {
      host.cancel();
      const before = host.form?.checkValidity();
      host.retry();
      return [before, host.form?.checkValidity()];
    });
    expect(retried).toEqual([true, false]);
  });

  /** As long as something was under way the form kept what it had last been told. */
  test('what the form would send is at any time what the tag says, and files keep their order', async ({ page, silence }) => {
    silence.listen(page);
    await page.addInitScript(() => {
      const real = ElementInternals.prototype.setFormValue as (...args: unknown[]) => void;
      Object.assign(window, { plTold: 0 });
      ElementInternals.prototype.setFormValue = function (this: ElementInternals, ...args: unknown[]) {
        (window as unknown as { plTold: number }).plTold++;
        real.apply(this, args);
      };
    });
    const { tag } = await placed(page, '<plimsoll-upload name="page" concurrency="1"></plimsoll-upload>');
    await tag.host.evaluate((host: PlimsollUpload) => {
      const wrong: string[] = [];
      Object.assign(window, { plWrong: wrong });
      for (const kind of ['added', 'started', 'stored', 'removed', 'restored', 'ended'] as const) {
        document.addEventListener(`plimsoll-${kind}`, () => {
          const sent = new FormData(host.form!).getAll(host.name).join(' ');
          if (sent !== host.value) wrong.push(`${kind}: ${sent} instead of ${host.value}`);
        });
      }
      host.addEventListener('plimsoll-before-upload', ({ detail }) => detail.file.name === 'never.txt' && detail.waitUntil(new Promise(() => undefined)));
      host.add(['1.txt', '2.txt', '3.txt', '4.txt', 'never.txt'].map((name) => new File([name], name)));
    });
    const all = ['1.txt', '2.txt', '3.txt', '4.txt'];
    /** Names of what the form would send, in their order; and that something is under way. */
    const sent = () =>
      tag.host.evaluate((host: PlimsollUpload) => {
        const names = new Map(host.receipts.map(({ id, name }) => [id, name]));
        return { names: new FormData(host.form!).getAll(host.name).map((id) => names.get(String(id))), told: host.receipts.map(({ name }) => name), busy: host.busy };
      });
    const being = (...names: string[]) => ({ names, told: names, busy: true });
    await expect.poll(sent).toEqual(being(...all));
    await tag.row('1.txt').locator('[data-pl-action=remove]').click();
    await expect.poll(sent).toEqual(being('2.txt', '3.txt', '4.txt'));
    await tag.host.locator('[data-pl-action=undo]').click();
    await expect.poll(sent).toEqual(being(...all));
    expect(await page.evaluate(() => (window as unknown as { plWrong: string[] }).plWrong)).toEqual([]);

    // Of many at once the form hears of the first, and when it is over: of each it would take minutes.
    const told = () => page.evaluate(() => (window as unknown as { plTold: number }).plTold);
    const before = await told();
    await tag.host.locator('[data-pl-action=clear]').click();
    await expect.poll(sent).toEqual(being());
    expect((await told()) - before).toBeLessThanOrEqual(2);
    await tag.host.locator('[data-pl-action=undo]').click();
    await expect.poll(sent).toEqual(being(...all));
    const cleared = await tag.host.evaluate((host: PlimsollUpload) => {
      host.name = 'other';
      const named = new FormData(host.form!).getAll('other').length;
      host.clear();
      return [named, [...new FormData(host.form!)]];
    });
    expect(cleared).toEqual([4, []]);
  });

  /** They counted for nothing: the form was sent without them. */
  test('what is added before there is a widget holds the form as well', async ({ page, files, silence }) => {
    silence.listen(page);
    for (const inside of ['', '<input type="file" name="file" multiple>']) {
      // Each from a port of its own: what was fetched once is at hand.
      const net = await NetProxy.start(server.url);
      try {
        const open = net.gate(/\.wasm/);
        site.page('/', net.url, `<form><plimsoll-upload name="letter" server="${net.url}/">${inside}</plimsoll-upload></form>`);
        await page.goto(site.url);
        await page.evaluate(() => customElements.whenDefined('plimsoll-upload').then(() => undefined));
        const host = page.locator('plimsoll-upload');
        const look = () => host.evaluate((host: PlimsollUpload) => [host.busy, host.form?.checkValidity(), host.validity.customError, host.validationMessage !== '']);
        expect(await look()).toEqual([false, true, false, false]);
        const added = await host.evaluate((host: PlimsollUpload) => {
          host.add([new File(['early'], 'early.txt')]);
          return [host.busy, host.form?.checkValidity()];
        });
        expect(added).toEqual([true, false]);
        expect(await look()).toEqual([true, false, true, true]);
        await host.evaluate((host: PlimsollUpload) => host.form?.reset());
        expect(await look()).toEqual([false, true, false, false]);

        // Until it is stored there is no moment in which the form might be sent.
        const gaps = host.evaluate(async (host: PlimsollUpload) => {
          let [gaps, over] = [0, false];
          host.addEventListener('plimsoll-stored', () => (over = true));
          host.add([new File(['late'], 'late.txt')]);
          while (!over) {
            if (!host.busy || host.form?.checkValidity()) gaps++;
            await new Promise((later) => setTimeout(later));
          }
          return gaps;
        });
        open();
        const tagged = new Tag(page);
        await tagged.alive();
        await tagged.state('late.txt', 'done');
        expect(await gaps).toBe(0);
        await expect(tagged.row('early.txt')).toHaveCount(0);
        await expect.poll(look).toEqual([false, true, false, false]);
        await tagged.input.setInputFiles((await files.sample('then.bin', 100)).path);
        await tagged.state('then.bin', 'done');
      } finally {
        await net.stop();
      }
    }
  });

  /** It was said in the language in which the tag had last been looked at. */
  test('why the form cannot be sent is said in the language around it', async ({ page, silence }) => {
    silence.listen(page);
    const { tag } = await placed(page, '<plimsoll-upload name="letter" required></plimsoll-upload>');
    const says = () => tag.host.evaluate((host: PlimsollUpload) => host.validationMessage);
    expect(await says()).toBe('Choose a file.');
    for (const [lang, text] of [['de', 'Bitte eine Datei auswählen.'], ['fr', 'Choisissez un fichier.'], ['en', 'Choose a file.']] as const) {
      await page.evaluate((lang) => (document.documentElement.lang = lang), lang);
      await expect.poll(says).toBe(text);
    }
  });

  /** A text that says nothing was none that the browser takes. */
  test('with words that are empty it is a control all the same', async ({ page, silence }) => {
    silence.listen(page);
    const { tag } = await placed(page, '<plimsoll-upload name="letter" required labels="form-requires:&#10;form-busy:"></plimsoll-upload>');
    const look = () => tag.host.evaluate((host: PlimsollUpload) => [host.validity.valueMissing, host.validity.customError, host.validationMessage]);
    expect(await look()).toEqual([true, false, 'Choose a file.']);
    await tag.host.evaluate((host: PlimsollUpload) => {
      host.addEventListener('plimsoll-before-upload', ({ detail }) => detail.waitUntil(new Promise(() => undefined)));
      host.add([new File(['x'], 'x.txt')]);
    });
    await expect.poll(look).toEqual([false, true, 'Some files are not stored yet.']);
  });

  test('where one file is wanted the form sends one: the next takes the place of the last', async ({ page, files, silence }) => {
    silence.listen(page);
    site.page('/', server.url, `<form><plimsoll-upload name="photo" multiple="false"></plimsoll-upload></form>`);
    await page.goto(site.url);
    const tag = new Tag(page);
    await tag.alive();
    for (const name of ['first.bin', 'second.bin']) {
      await tag.input.setInputFiles((await files.sample(name, 1000)).path);
      await tag.state(name, 'done');
      await expect(tag.host.locator('[data-pl-row]')).toHaveCount(1);
      const sent = await tag.host.evaluate((host: PlimsollUpload) => [host.receipts.map(({ id }) => id), new FormData(host.form!).getAll('photo')]);
      expect(sent[0]).toHaveLength(1);
      expect(sent[1]).toEqual(sent[0]);
    }
  });
});

test('what the page calls the tag is the name of its group', async ({ page, server, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  try {
    const tags = [
      '<plimsoll-upload id="own" aria-label="Photos"></plimsoll-upload>',
      '<label for="labelled">Scans</label> <label for="labelled">of the letters</label><plimsoll-upload id="labelled"></plimsoll-upload>',
      '<label>Maps <plimsoll-upload id="around"><input type="file"><button>Send</button></plimsoll-upload></label>',
      '<b id="first">Old</b><i id="second">drawings</i><plimsoll-upload id="led" aria-label="no" aria-labelledby="second nobody first"></plimsoll-upload>',
      '<plimsoll-upload id="nameless"></plimsoll-upload>',
    ];
    site.page('/', server.url, tags.join(''));
    await page.goto(site.url);
    for (const id of ['own', 'labelled', 'around', 'led', 'nameless']) await new Tag(page, page.locator(`#${id}`)).alive();
    for (const name of ['Photos', 'Scans of the letters', 'Maps', 'drawings Old']) await expect(page.getByRole('group', { name, exact: true })).toHaveCount(1);
    const frame = page.locator('#nameless fieldset');
    await expect(frame).not.toHaveAttribute('aria-label');
    await page.locator('#nameless').evaluate((host) => host.setAttribute('aria-label', 'Books'));
    await expect(page.getByRole('group', { name: 'Books', exact: true })).toHaveCount(1);
    await page.locator('#nameless').evaluate((host) => host.removeAttribute('aria-label'));
    await expect(frame).not.toHaveAttribute('aria-label');
  } finally {
    await site.stop();
  }
});

test('another server than ours is not offered what only ours can do, nor said to have told what it did not', async ({ page, server, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  try {
    site.put('/photos/', { type: 'text/plain', body: 'thank you' });
    site.page('/', server.url, '<plimsoll-upload action="/photos/" digest></plimsoll-upload>');
    await page.goto(site.url);
    const tag = new Tag(page);
    await tag.alive();
    await expect(tag.host.locator('[data-pl-digest]')).toBeHidden();
    await tag.host.evaluate((host: PlimsollUpload) => host.add([new File(['12345'], 'taken.txt')]));
    await tag.state('taken.txt', 'done');
    expect(site.posted[0]?.fields).toEqual([['file', 'taken.txt']]);
    await tag.row('taken.txt').locator('summary').click();
    await expect(tag.row('taken.txt').locator('[data-pl-source]')).toHaveText('Sent by your browser: 5 B.');
    // One that counts in our words is ours.
    await tag.host.evaluate((host: PlimsollUpload) => {
      host.clear();
      host.progress = '/api/upload_progress';
    });
    await expect(tag.host.locator('[data-pl-digest]')).toBeVisible();
    await expect(tag.host.locator('[data-pl-digest]')).toBeChecked();
  } finally {
    await site.stop();
  }
});

test('the form of a site whose server is not ours: its fields before the file, a token in a header, its own answer', async ({ page, server, files, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  try {
    site.put('/photos/', { type: 'text/plain', body: 'thank you' });
    site.page(
      '/',
      server.url,
      '<plimsoll-upload headers="X-Requested-With: plimsoll" fields="album: sea"><form action="/photos/" method="post" enctype="multipart/form-data">' +
        '<input type="hidden" name="csrfmiddlewaretoken" value="s3cret"><input type="file" name="photo" accept=".bin"><button>Send</button></form></plimsoll-upload>',
    );
    await page.goto(site.url);
    const tag = new Tag(page);
    await tag.alive();
    await tag.host.evaluate((host: PlimsollUpload) => {
      host.beforeRequest = (_file, again) => Promise.resolve({ headers: { 'X-CSRFToken': again ? 'fresh' : 's3cret' } });
      host.readAnswer = (status, text) => {
        if (status !== 200 || text !== 'thank you') throw new Error(`It said ${text}.`);
        return { url: '/photos/1' };
      };
    });
    await tag.alive();
    const sample = await files.sample('photo.bin', 5000);
    await tag.input.setInputFiles(sample.path);
    await tag.state(sample.name, 'done');
    const [posted] = site.posted;
    expect(posted?.headers).toMatchObject({ 'x-csrftoken': 's3cret', 'x-requested-with': 'plimsoll' });
    expect(posted?.fields).toEqual([['csrfmiddlewaretoken', 's3cret'], ['album', 'sea'], ['photo', 'photo.bin']]);
    expect(posted?.files[0]?.length).toBe(sample.size);
    expect(await tag.host.evaluate((host: PlimsollUpload) => [host.value, host.receipts[0]?.proof])).toEqual(['/photos/1', 'accepted']);

    site.put('/photos/', { type: 'text/plain', body: 'no' });
    await tag.host.evaluate((host: PlimsollUpload) => host.clear());
    await tag.input.setInputFiles(sample.path);
    await tag.state(sample.name, 'failed');
    await expect(tag.row(sample.name).locator('[data-pl-reason]')).toHaveText('It said no.');
  } finally {
    await site.stop();
  }
});

/** As lines they were cut at the first colon and at the end of the first line; without a name the tag did not start. */
test('hidden fields, and objects set as properties, arrive as they are; what is disabled does not', async ({ page, server, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  try {
    site.put('/photos/', { type: 'text/plain', body: 'thank you' });
    site.page(
      '/',
      server.url,
      '<plimsoll-upload fields="album: sea"><form action="/photos/" method="post" enctype="multipart/form-data">' +
        '<input type="hidden" name="form1:token" value="a: b"><input type="hidden" name="note" value=" first &#10;&#10; second "><input type="hidden" name="note" value="">' +
        '<input type="hidden" name="" value="nameless"><input type="hidden" name="off" value="x" disabled><fieldset disabled><input type="hidden" name="off" value="y"></fieldset>' +
        '<input type="file" name="photo"></form></plimsoll-upload>',
    );
    await page.goto(site.url);
    const tag = new Tag(page);
    await tag.alive();
    const hidden: [string, string][] = [['form1:token', 'a: b'], ['note', ' first \r\n\r\n second '], ['note', '']];
    const send = async (name: string) => {
      await tag.host.evaluate((host: PlimsollUpload, name) => {
        host.clear();
        host.add([new File(['x'], name)]);
      }, name);
      await tag.state(name, 'done');
      return site.posted.at(-1)!;
    };
    expect((await send('1.txt')).fields).toEqual([...hidden, ['album', 'sea'], ['photo', '1.txt']]);

    await tag.host.evaluate((host: PlimsollUpload) => {
      host.clear();
      host.fields = { 'a:b': ' c:d ', two: 'lines\nhere', none: undefined };
      host.headers = { 'X-Note': 'e: f' };
    });
    await expect(tag.host).toHaveAttribute('fields', 'a:b:  c:d \ntwo: lines\nhere');
    await tag.alive();
    // Set up anew, with what is disabled by us by now.
    const second = await send('2.txt');
    expect(second.fields).toEqual([...hidden, ['a:b', ' c:d '], ['two', 'lines\r\nhere'], ['photo', '2.txt']]);
    expect(second.headers).toMatchObject({ 'x-note': 'e: f' });

    // Another object that looks the same as lines; and lines, which are the newer word.
    for (const [file, set, fields] of [
      ['3.txt', { a: 'b: c' }, [['a', 'b: c']]],
      ['4.txt', { 'a: b': 'c' }, [['a: b', 'c']]],
      ['5.txt', 'd: e: f', [['d', 'e: f']]],
      ['6.txt', '', []],
    ] as const) {
      await tag.host.evaluate((host: PlimsollUpload, set) => {
        host.clear();
        if (typeof set === 'string') host.setAttribute('fields', set);
        else host.fields = set as Record<string, string>;
      }, set as string | Record<string, string>);
      if (set === '') await tag.host.evaluate((host) => host.removeAttribute('fields'));
      await tag.alive();
      expect((await send(file)).fields).toEqual([...hidden, ...fields, ['photo', file]]);
    }
  } finally {
    await site.stop();
  }
});

/** Where it failed the request was sent without what it was asked for. */
test('a page that cannot say what goes with a request has that try fail, with its words', async ({ page, server, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  try {
    site.put('/photos/', { type: 'text/plain', body: 'thank you' });
    site.page('/', server.url, '<plimsoll-upload action="/photos/" retries="1"></plimsoll-upload>');
    await page.goto(site.url);
    const tag = new Tag(page);
    await tag.alive();
    await tag.host.evaluate((host: PlimsollUpload) => {
      let asked = 0;
      host.beforeRequest = async ({ name }) => {
        asked += 1;
        if (name === 'never.txt') throw Object.assign(new Error('Nobody is signed in.'), { retryable: false });
        if (name === 'late.txt' || asked === 1) throw new Error('No token was to be had.');
        return { headers: { 'X-Token': 'new', 'X-None': undefined } };
      };
    });
    await tag.alive();
    const add = (name: string) => tag.host.evaluate((host: PlimsollUpload, name) => host.add([new File(['x'], name)]), name);
    const reason = (name: string) => tag.row(name).locator('[data-pl-reason]');
    await add('second.txt');
    await tag.state('second.txt', 'done');
    expect(site.posted.map(({ headers, fields }) => [headers['x-token'], headers['x-none'], fields])).toEqual([['new', undefined, [['file', 'second.txt']]]]);
    await add('late.txt');
    await tag.state('late.txt', 'failed');
    await expect(reason('late.txt')).toHaveText('No token was to be had.');
    await expect(tag.row('late.txt').locator('[data-pl-action=retry]')).toBeVisible();
    await add('never.txt');
    await tag.state('never.txt', 'failed');
    await expect(reason('never.txt')).toHaveText('Nobody is signed in.');
    expect(site.posted, 'nothing else was sent').toHaveLength(1);
  } finally {
    await site.stop();
  }
});

/** A promise was an answer that says nothing; and without a function there was only an error of our own. */
test('what reads the answers has to do so at once, and goes on reading for those that it began with', async ({ page, server, silence }) => {
  silence.listen(page);
  silence.allow(/readAnswer answered with a promise/);
  const site = await Pages.start();
  try {
    site.put('/photos/', { type: 'text/plain', body: 'thank you' });
    site.page('/', server.url, '<form><plimsoll-upload name="photo" action="/photos/"></plimsoll-upload></form>');
    await page.goto(site.url);
    const tag = new Tag(page);
    await tag.alive();
    const add = (name: string) => tag.host.evaluate((host: PlimsollUpload, name) => host.add([new File(['x'], name)]), name);
    await tag.host.evaluate((host: PlimsollUpload) => {
      host.readAnswer = (async () => ({ url: '/photos/1' })) as unknown as PlimsollUpload['readAnswer'];
    });
    await tag.alive();
    await add('1.txt');
    await tag.state('1.txt', 'failed');
    await expect(tag.row('1.txt').locator('[data-pl-reason]')).toHaveText('readAnswer answered with a promise.');
    expect(silence.said.filter((line) => line.includes('readAnswer answered with a promise'))).toHaveLength(1);

    // One is listed: what was set for it reads on.
    await tag.host.evaluate((host: PlimsollUpload) => {
      host.readAnswer = () => ({ url: '/photos/2' });
      host.clear();
    });
    await tag.alive();
    await add('2.txt');
    await tag.state('2.txt', 'done');
    await tag.host.evaluate((host: PlimsollUpload) => (host.readAnswer = undefined));
    await add('3.txt');
    await tag.state('3.txt', 'done');
    const look = () => tag.host.evaluate((host: PlimsollUpload) => [host.value, new FormData(host.form!).getAll('photo'), host.receipts.length]);
    expect(await look()).toEqual(['/photos/2 /photos/2', ['/photos/2', '/photos/2'], 2]);
    // From an empty list on it is gone. What is taken without an address is nothing that a form could send.
    await tag.host.evaluate((host: PlimsollUpload) => host.clear());
    await tag.alive();
    await add('4.txt');
    await tag.state('4.txt', 'done');
    expect(await look()).toEqual(['', [], 1]);
  } finally {
    await site.stop();
  }
});

test('in a page made with React', async ({ page, files, silence }) => {
  silence.listen(page);
  const end2end = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
  const bundle = await build({
    entryPoints: [path.join(end2end, '../public/examples/react.tsx')],
    nodePaths: [path.join(end2end, 'node_modules')],
    define: { 'process.env.NODE_ENV': '"production"' },
    jsx: 'automatic',
    bundle: true,
    format: 'iife',
    write: false,
  });
  const site = await Pages.start();
  const server = await Server.start(['--allow-origin', site.url]);
  try {
    site.put('/react.js', { type: 'text/javascript', body: bundle.outputFiles[0]?.text ?? '' });
    site.page('/', server.url, '<div id="root"></div><script src="/react.js"></script>');
    await page.goto(site.url);
    const tag = new Tag(page);
    await tag.alive();
    await expect(tag.input).not.toHaveAttribute('multiple');
    await expect(tag.input).toHaveAttribute('accept', '.bin, image/*');
    const [sample, empty] = [await files.sample('react.bin', MIB), await files.sample('empty.bin', 0)];
    await tag.input.setInputFiles(sample.path);
    await tag.state(sample.name, 'done');
    await expect(page.locator('li', { hasText: sample.name }).last()).toBeVisible();
    await expect(page.locator('form > ul > li')).toHaveText([sample.name]);
    await tag.input.setInputFiles(empty.path);
    await expect(tag.row(empty.name).locator('[data-pl-reason]')).toHaveText('This file is empty.');
    await page.getByRole('button', { name: 'No attachments' }).click();
    await expect(tag.host).toHaveCount(0);
    await page.getByRole('button', { name: 'Attachments', exact: true }).click();
    await tag.alive();
    await expect(tag.host.locator('[data-pl-row]')).toHaveCount(0);
  } finally {
    await site.stop();
    await server.stop();
  }
});

test('five hundred tags made and removed leave nothing behind', async ({ page, server, browserName }) => {
  test.skip(browserName !== 'chromium', 'Only Chromium tells how much a page holds.');
  test.setTimeout(180_000);
  await page.addInitScript(installWasmWatch);
  await page.goto(`${server.url}/plain.html`);
  await new Tag(page).alive();
  const rounds = (count: number) =>
    page.evaluate(async (count) => {
      for (let round = 0; round < count; round++) {
        const made = document.createElement('plimsoll-upload');
        document.body.append(made);
        // Some are taken away before they are alive, most after it.
        if (round % 5) while (!made.shadowRoot?.querySelector('[data-hydrated]')) await new Promise((later) => setTimeout(later));
        if (round % 2) made.add([new File(['x'], 'x.txt')]);
        made.remove();
        await new Promise((later) => setTimeout(later));
      }
    }, count);
  const client = await page.context().newCDPSession(page);
  await client.send('Performance.enable');
  const held = async () => {
    // Twice: what the first finds, finalizers may let go of.
    for (let i = 0; i < 2; i++) {
      await client.send('HeapProfiler.collectGarbage');
      await page.evaluate(() => new Promise((later) => setTimeout(later)));
    }
    const { nodes, jsEventListeners } = await client.send('Memory.getDOMCounters');
    const { metrics } = await client.send('Performance.getMetrics');
    const wasm = await page.evaluate(() => window.plMemories[0]?.buffer.byteLength ?? 0);
    return { nodes, jsEventListeners, wasm, heap: metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? 0 };
  };
  await rounds(50);
  const before = await held();
  await rounds(500);
  const after = await held();
  expect(after.nodes - before.nodes, 'DOM nodes').toBeLessThan(100);
  expect(after.jsEventListeners - before.jsEventListeners, 'listeners').toBeLessThan(50);
  expect(after.wasm - before.wasm, 'bytes of the WASM memory').toBeLessThan(MIB);
  expect(after.heap - before.heap, 'bytes of the heap').toBeLessThan(500_000);
});
