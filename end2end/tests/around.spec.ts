// The widget and what is around it: the screen that is kept on, a page that is frozen, its language, its own look, and
// what a folder holds that is not to be read.

import { appendFile, rm, truncate, writeFile } from 'node:fs/promises';
import AxeBuilder from '@axe-core/playwright';
import type { PlimsollUpload } from '../../public/upload-widget.js';
import { expectNoViolations } from '../fixtures/axe';
import { MIB } from '../fixtures/files';
import { Widget } from '../fixtures/page';
import { Pages } from '../fixtures/pages';
import { expect, test as base } from '../fixtures/test';

declare global {
  interface Window {
    /** What was done about the screen, in order. */
    plScreen: string[];
    plHide: (hidden: boolean) => void;
    plSaid: string[];
  }
}

const UNREADABLE = /^The file cannot be read: /;

/** The tag on a plain page, behind the proxy. */
class Tag extends Widget {
  readonly host = this.page.locator('plimsoll-upload');

  /** Sets attributes, and waits until the widget has them. */
  async set(attributes: Record<string, string>): Promise<void> {
    await this.host.evaluate((host, attributes) => {
      for (const [name, value] of Object.entries(attributes)) host.setAttribute(name, value);
    }, attributes);
    await this.hydrated();
  }

  reason(name: string) {
    return this.row(name).locator('[data-pl-reason]');
  }
}

const test = base.extend<{ tag: Tag }>({
  tag: async ({ page, net, silence }, use) => {
    silence.listen(page);
    await use(new Tag(page, net.url, 'plain.html'));
  },
});

test('the screen is kept on while something is sent, and again when the page is back in sight', async ({ tag, net, files, page }) => {
  await page.addInitScript(() => {
    window.plScreen = [];
    let held: { released: boolean } | undefined;
    const request = (kind: string) => {
      window.plScreen.push(`on: ${kind}`);
      const lock = { released: false, release: () => Promise.resolve(lock.released || (window.plScreen.push('off'), (lock.released = true))) };
      held = lock;
      return Promise.resolve(lock);
    };
    Object.defineProperty(navigator, 'wakeLock', { value: { request } });
    let hidden = false;
    Object.defineProperty(document, 'visibilityState', { get: () => (hidden ? 'hidden' : 'visible') });
    Object.defineProperty(document, 'hidden', { get: () => hidden });
    window.plHide = (hide) => {
      hidden = hide;
      // What browsers do.
      if (hide && held) held.released = true;
      document.dispatchEvent(new Event('visibilitychange'));
    };
  });
  const screen = () => page.evaluate(() => window.plScreen);
  const samples = [await files.sample('one.bin', MIB), await files.sample('two.bin', MIB)];
  await tag.open();
  await tag.pick(samples[0]!);
  await tag.waitState(samples[0]!.name, 'done');
  expect(await screen(), 'nobody has asked for it').toEqual([]);
  await tag.host.evaluate((host: PlimsollUpload) => host.clear());
  await tag.set({ 'wake-lock': '' });
  net.behave({ kind: 'hold', frames: 'processing' });
  await tag.pick(samples[1]!);
  await expect.poll(screen).toEqual(['on: screen']);
  await page.evaluate(() => window.plHide(true));
  expect(await screen()).toEqual(['on: screen']);
  await page.evaluate(() => window.plHide(false));
  await expect.poll(screen).toEqual(['on: screen', 'on: screen']);
  net.release();
  await tag.waitState(samples[1]!.name, 'done');
  await expect.poll(screen).toEqual(['on: screen', 'on: screen', 'off']);
  await page.evaluate(() => (window.plHide(true), window.plHide(false)));
  expect(await screen(), 'nothing is under way').toHaveLength(3);
});

test('of two tags that want the screen on, one lock is held, and none is left; a refusal is nothing to complain of', async ({ tag, files, page }) => {
  await page.addInitScript(() => {
    window.plScreen = [];
    let count = 0;
    const request = async () => {
      const own = ++count;
      window.plScreen.push(`${own} wanted`);
      // What a browser does takes a while, in which the other begins.
      if (own === 1) await new Promise((go) => addEventListener('pl-refuse', go));
      if (own === 1) throw new DOMException('The battery is low.', 'NotAllowedError');
      window.plScreen.push(`${own} on`);
      return { released: false, release: async () => void window.plScreen.push(`${own} off`) };
    };
    Object.defineProperty(navigator, 'wakeLock', { value: { request } });
  });
  const sample = await files.sample('screen.bin', 1000);
  await tag.open();
  await page.evaluate(() => {
    const tags = ['first', 'second'].map((id) => Object.assign(document.createElement('plimsoll-upload'), { id, wakeLock: true }));
    document.querySelector('plimsoll-upload')?.replaceWith(...tags);
    // Neither ends before it may.
    for (const tag of tags) tag.addEventListener('plimsoll-before-upload', ({ detail }) => detail.waitUntil(new Promise((go) => addEventListener('pl-go', go))));
  });
  const hosts = [page.locator('#first'), page.locator('#second')];
  for (const host of hosts) await expect(host.locator('form')).toHaveAttribute('data-hydrated', 'true');
  const screen = () => page.evaluate(() => window.plScreen);
  await hosts[0]!.locator('[data-pl-input]').setInputFiles(sample.path);
  await expect.poll(screen).toEqual(['1 wanted']);
  await hosts[1]!.locator('[data-pl-input]').setInputFiles(sample.path);
  await expect(hosts[1]!.locator('[data-pl-row]')).toHaveCount(1);
  await page.evaluate(() => dispatchEvent(new Event('pl-refuse')));
  await expect.poll(screen).toEqual(['1 wanted', '2 wanted', '2 on']);
  await page.evaluate(() => dispatchEvent(new Event('pl-go')));
  for (const host of hosts) await expect(host.locator('[data-pl-row]')).toHaveAttribute('data-state', 'done');
  await expect.poll(screen, 'every lock that was had is given back').toEqual(['1 wanted', '2 wanted', '2 on', '2 off']);
});

test('frozen while it sends, the page is right as soon as it wakes', async ({ tag, net, server, files, page, browserName }) => {
  test.skip(browserName !== 'chromium', 'only CDP can freeze a page');
  const sample = await files.sample('frozen.bin', 6 * MIB);
  await tag.open();
  const before = (await server.finished()).length;
  // It can come to its end only after the page has fallen asleep.
  net.behave({ kind: 'stall', after: 2 * MIB });
  await tag.pick(sample);
  await expect.poll(() => net.passed).toBeGreaterThan(MIB);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Page.setWebLifecycleState', { state: 'frozen' });
  net.release();
  // What is only on its way lies there as well: it is to come to its end while the page sleeps.
  await expect.poll(async () => (await server.finished()).length - before, { timeout: 20_000 }).toBe(1);
  await cdp.send('Page.setWebLifecycleState', { state: 'active' });
  // Before the ten seconds are over in which nothing moves and which would have it try again.
  expect(await tag.waitState(sample.name, 'done', 9000)).toMatchObject({ percent: 100, restarts: 0 });
  expect(net.uploads).toHaveLength(1);
});

for (const protocol of ['form', 'resumable']) {
  test(`a file that is gone or cut off before it is sent says so at once, and holds up no other: ${protocol}`, async ({ tag, net, files, browserName }) => {
    const made = (name: string, size = MIB) => files.sample(`${name} ${protocol}.bin`, size);
    const [gone, cut, good] = [await made('gone'), await made('cut'), await made('there')];
    const small = [await made('small and gone', 1000), await made('small and cut', 1000)];
    // Nothing but Chromium says of a part of a file that there is more by now.
    const grown = protocol === 'form' || browserName === 'chromium' ? [await made('small and grown', 1000)] : [];
    // Of an empty file a resumable upload sends nothing.
    const empty = protocol === 'form' ? [await made('empty and gone', 0)] : [];
    await tag.open();
    await tag.set({ protocol, concurrency: '1', 'auto-start': 'false' });
    await tag.pick(gone, cut, ...small, ...grown, ...empty, good);
    await tag.waitState(good.name, 'queued');
    await rm(gone.path);
    await truncate(cut.path, 1000);
    await rm(small[0]!.path);
    await truncate(small[1]!.path, 10);
    for (const { path } of grown) await appendFile(path, 'more');
    for (const { path } of empty) await rm(path);
    await tag.host.evaluate((host: PlimsollUpload) => host.start());
    // Chromium calls it a failed connection, and Firefox sends what it has and waits for ever for the rest.
    for (const { name } of [gone, cut, ...small, ...grown, ...empty]) {
      expect((await tag.waitState(name, 'failed')).error).toBe('file-changed');
      await expect(tag.reason(name)).toHaveText(UNREADABLE);
      await expect(tag.button('retry', name)).toBeVisible();
    }
    await tag.waitState(good.name, 'done');
    expect(net.uploads.filter(({ passed }) => passed > 0), 'of the others not a byte').toHaveLength(1);
    await tag.button('retry', gone.name).click();
    await expect(tag.reason(gone.name)).toHaveText(UNREADABLE);
  });
}

test('a file that is long in coming is no server that stalls', async ({ tag, page, net, files }) => {
  // As of files that lie far away, and are fetched when somebody reads them.
  await page.addInitScript(() => {
    const { arrayBuffer } = Blob.prototype;
    const here = new Promise((go) => addEventListener('pl-here', go, { once: true }));
    Blob.prototype.arrayBuffer = async function () {
      await here;
      return arrayBuffer.call(this);
    };
  });
  const sample = await files.sample('far.bin', MIB);
  const answer = net.gate(/^\/files$/);
  await tag.open();
  await tag.set({ protocol: 'resumable', retries: '0' });
  await tag.pick(sample);
  await tag.waitState(sample.name, 'creating');
  // Absence can only be watched for a while: longer than a server may keep still.
  await page.waitForTimeout(13_000);
  expect((await tag.read(sample.name)).state).toBe('creating');
  await page.evaluate(() => dispatchEvent(new Event('pl-here')));
  // And from then on the server has its time: ten seconds, which are not over yet, though twice as much has gone by.
  await page.waitForTimeout(8_000);
  answer();
  expect(await tag.waitState(sample.name, 'done')).toMatchObject({ restarts: 0, error: null });
  expect(net.uploads).toHaveLength(1);
  expect(net.asked.get('/files'), 'created once').toBe(1);
});

test('a file that has changed while it was sent is told as that, where the line breaks over it', async ({ tag, net, files, silence, browserName }) => {
  test.skip(browserName !== 'chromium', 'Firefox reads what is there now');
  silence.allowFailedRequests();
  const sample = await files.sample('changes.bin', 16 * MIB);
  await tag.open();
  await tag.set({ protocol: 'form', retries: '0' });
  net.behave({ kind: 'stall', after: 2 * MIB });
  await tag.pick(sample);
  await expect.poll(() => net.passed).toBeGreaterThan(MIB);
  await writeFile(sample.path, 'another beginning', { flag: 'r+' });
  await net.stop();
  expect((await tag.waitState(sample.name, 'failed')).error).toBe('file-changed');
  await expect(tag.reason(sample.name)).toHaveText(UNREADABLE);
});

test('in the tag the keyboard keeps its place as well: after a stop, another try and a removal', async ({ tag, net, files, page }) => {
  const samples = [await files.sample('tag-keys-1.bin', 24 * MIB), await files.sample('tag-keys-2.bin', 24 * MIB)];
  const [first, second] = samples.map(({ name }) => name) as [string, string];
  await tag.open();
  net.behave({ kind: 'stall', after: 2 * MIB });
  await tag.pick(...samples);
  for (const name of [first, second]) await expect.poll(async () => (await tag.read(name)).received).toBeGreaterThan(MIB);
  await tag.button('cancel', first).press('Enter');
  await expect(tag.button('remove', first)).toBeFocused();
  await tag.button('retry', first).press('Space');
  await tag.waitState(first, 'sending');
  await expect(tag.row(first).locator('button:focus')).toHaveCount(1);
  await tag.button('cancel', first).press('Enter');
  await tag.button('remove', first).press('Enter');
  await expect(tag.row(first)).toHaveCount(0);
  await expect(tag.row(second).locator('button:focus'), 'what has taken its place').toHaveCount(1);
  await tag.button('cancel-all').press('Enter');
  await tag.waitState(second, 'cancelled');
  await tag.button('clear').press('Space');
  await expect(tag.row(second)).toHaveCount(0);
  await expect(tag.button('undo')).toBeFocused();
  net.release();
  await page.keyboard.press('Enter');
  await expect(tag.row(second).locator('button:focus')).toHaveCount(1);
});

test('the camera is asked for where the page says so', async ({ tag }) => {
  await tag.open();
  await expect(tag.input).not.toHaveAttribute('capture');
  await tag.set({ capture: 'environment', accept: 'image/*' });
  await expect(tag.input).toHaveAttribute('capture', 'environment');
  await expect(tag.input).toHaveAttribute('accept', 'image/*');
});

/** Drops a folder whose entries the page makes up: one of them, and a folder in it, cannot be read. */
function dropFolder(zone: Element): void {
  const file = (path: string, read: boolean) => ({
    isFile: true,
    isDirectory: false,
    name: path.split('/').pop(),
    fullPath: path,
    file: (done: (file: File) => void, failed: (why: Error) => void) => (read ? done(new File([path], path.split('/').pop() ?? '')) : failed(new DOMException('', 'NotReadableError'))),
  });
  const folder = (path: string, entries: object[] | null) => ({
    isFile: false,
    isDirectory: true,
    name: path.split('/').pop(),
    fullPath: path,
    createReader: () => {
      const portions = [entries, []];
      return { readEntries: (done: (entries: object[]) => void, failed: (why: Error) => void) => (entries ? done(portions.shift() ?? []) : failed(new DOMException('', 'NotReadableError'))) };
    },
  });
  const top = folder('/top', [
    file('/top/first.txt', true),
    file('/top/locked.txt', false),
    folder('/top/shut', null),
    folder('/top/.git', [file('/top/.git/config', true)]),
    file('/top/.hidden', true),
    file('/top/last.txt', true),
  ]);
  DataTransferItem.prototype.webkitGetAsEntry = () => top as unknown as FileSystemEntry;
  const data = new DataTransfer();
  data.items.add(new File([''], 'top'));
  zone.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true, composed: true }));
}

test('what cannot be read in a folder is a row with its reason, and the rest goes on; names with a dot as the page wants', async ({ tag }) => {
  await tag.open();
  for (const [dotfiles, sent] of [
    ['false', ['first.txt', 'last.txt']],
    ['true', ['.hidden', 'config', 'first.txt', 'last.txt']],
  ] as const) {
    await tag.set({ dotfiles });
    await tag.drop.evaluate(dropFolder);
    for (const name of sent) await tag.waitState(name, 'done');
    for (const name of ['locked.txt', 'shut']) {
      await tag.waitState(name, 'rejected');
      await expect(tag.reason(name)).toHaveText('This cannot be read: you may not have permission, or it is no longer there.');
    }
    expect((await tag.rows()).map(({ name }) => name).sort()).toEqual([...sent, 'locked.txt', 'shut'].sort());
    await tag.host.evaluate((host: PlimsollUpload) => host.clear());
  }
});

test('the words follow the language of the tag, and of what is under way', async ({ tag, net, files, silence, page }) => {
  silence.allowFailedRequests();
  await tag.open();
  await tag.set({ 'max-files': '1', 'max-total': '1000000', accept: '.bin' });
  net.behave({ kind: 'answer', status: 422, headers: { 'content-type': 'text/plain' }, body: 'Only PDF, please.', times: 1 });
  const [failed, large, other] = [await files.sample('failed.bin', 10), await files.sample('large.bin', MIB), await files.sample('other.txt', 10)];
  await tag.pick(failed);
  await tag.waitState(failed.name, 'failed');
  await tag.pick(large, other);
  await tag.waitState(large.name, 'rejected');
  const more = await files.sample('more.bin', 10);
  await tag.pick(more, await files.sample('most.bin', 10));
  const headline = tag.form.locator('.pl-headline');
  await expect(headline).toHaveText('Drop files here, or choose them');
  await expect(tag.reason(failed.name)).toHaveText('Only PDF, please.');
  await expect(tag.reason(large.name)).toHaveText('All files together may be at most 1 MB.');

  // What was refused here needs no second language; what a server has said is kept.
  await tag.host.evaluate((host: PlimsollUpload) => (host.lang = 'de'));
  await expect(headline).toHaveText('Dateien hier ablegen oder auswählen');
  await expect(tag.form).toHaveAttribute('lang', 'de');
  await expect(tag.reason(failed.name)).toHaveText('Der Server konnte die Datei nicht speichern. (Only PDF, please.)');
  await expect(tag.reason(large.name)).toHaveText('Alle Dateien zusammen dürfen höchstens 1 MB groß sein.');
  await expect(tag.reason(other.name)).toHaveText('Diese Art von Datei wird nicht angenommen. Angenommen werden: BIN.');
  await expect(tag.row(other.name).locator('.pl-source'), 'of what was never sent there is nothing to count').toBeHidden();
  await expect(tag.row(failed.name).locator('.pl-source')).toBeVisible();
  await expect(tag.reason('most.bin')).toHaveText('Hier kann nur 1 Datei auf einmal hochgeladen werden.');

  await tag.host.evaluate((host: PlimsollUpload) => (host.lang = 'ar'));
  await expect(tag.form).toHaveAttribute('dir', 'rtl');
  // The last word holds, whichever texts come first.
  await tag.host.evaluate((host: PlimsollUpload) => ((host.lang = 'fr'), (host.lang = 'en')));
  await expect(headline).toHaveText('Drop files here, or choose them');
  await expect(tag.reason(large.name)).toHaveText('All files together may be at most 1 MB.');
  await page.evaluate(() => fetch('/labels/fr.json').then((answer) => answer.text()));
  await expect(tag.form).toHaveAttribute('lang', 'en');
  // Without a word of its own it speaks what the page speaks.
  await page.evaluate(() => (document.documentElement.lang = 'ja'));
  await tag.host.evaluate((host) => host.removeAttribute('lang'));
  await expect(tag.form).toHaveAttribute('lang', 'ja');
  await page.evaluate(() => (document.documentElement.lang = 'es'));
  await expect(tag.form).toHaveAttribute('lang', 'es');
  await expect(headline).toHaveText(/archivos/);
  // Also in the shadow of an element that speaks for itself, and when it is moved there.
  await tag.host.evaluate((host) => {
    const other = document.body.appendChild(document.createElement('div'));
    other.id = 'other';
    other.attachShadow({ mode: 'open' }).innerHTML = '<section lang="zh"></section>';
    other.shadowRoot!.firstElementChild!.append(host);
  });
  const moved = page.locator('#other form[data-plimsoll]');
  await expect(moved).toHaveAttribute('lang', 'zh');
  await page.evaluate(() => document.querySelector('#other')!.shadowRoot!.firstElementChild!.removeAttribute('lang'));
  await expect(moved).toHaveAttribute('lang', 'es');
  await page.evaluate(() => (document.querySelector<HTMLElement>('#other')!.lang = 'fr'));
  await expect(moved).toHaveAttribute('lang', 'fr');
  // And when it is moved without being taken out, from where on it follows what is around it there.
  const moves = await page.evaluate(() => {
    const section = Object.assign(document.body.appendChild(document.createElement('section')), { id: 'there', lang: 'de' });
    const host = document.querySelector('#other')!.shadowRoot!.querySelector('plimsoll-upload');
    if (!('moveBefore' in section)) return false;
    (section as unknown as { moveBefore(node: Node | null, child: null): void }).moveBefore(host, null);
    return true;
  });
  expect(moves, 'browsers can do that by now').toBe(true);
  const there = page.locator('#there form[data-plimsoll]');
  await expect(there).toHaveAttribute('lang', 'de');
  await page.evaluate(() => (document.querySelector<HTMLElement>('#there')!.lang = 'ja'));
  await expect(there).toHaveAttribute('lang', 'ja');
});

test('two removals in a row are both announced', async ({ tag, files, page }) => {
  const samples = [await files.sample('a.bin', 10), await files.sample('b.bin', 10)];
  await tag.open();
  await tag.pick(...samples);
  for (const { name } of samples) await tag.waitState(name, 'done');
  await page.evaluate(() => {
    const region = document.querySelector('plimsoll-upload')?.shadowRoot?.querySelector('[data-pl-announcer]') as Element;
    window.plSaid = [];
    // As a screen reader does: a change is heard, whatever it is.
    new MutationObserver(() => window.plSaid.push(region.textContent ?? '')).observe(region, { childList: true, characterData: true, subtree: true });
  });
  for (const { name } of samples) {
    await tag.button('remove', name).click();
    await expect(tag.row(name)).toHaveCount(0);
  }
  await expect.poll(async () => (await page.evaluate(() => window.plSaid)).map((said) => said.trim())).toEqual(Array(2).fill('Removed. This can be undone'));
});

test('the page’s own look: custom properties, and every part that is named; axe finds nothing in it, at 400 % too', async ({ page, server, files, silence }) => {
  silence.listen(page);
  silence.allowFailedRequests();
  const site = await Pages.start();
  try {
    const style =
      '<style>plimsoll-upload { --plimsoll-bad: rgb(90, 0, 0); --plimsoll-radius: 3px } plimsoll-upload::part(headline) { color: rgb(1, 2, 3) }' +
      ' plimsoll-upload::part(button) { letter-spacing: 2px } .calm { --plimsoll-radius: 7px }</style>';
    site.page('/', server.url, `<main><h1>A page</h1><plimsoll-upload protocol="form" action="/photos/"></plimsoll-upload></main>`, style);
    const tag = new Tag(page, site.url);
    await tag.open();
    const look = (selector: string, property: string) => tag.host.evaluate((host, [selector, property]) => getComputedStyle(host.shadowRoot?.querySelector(selector!) as Element).getPropertyValue(property!), [selector, property]);
    expect(await look('.pl-drop', 'border-top-left-radius')).toBe('3px');
    expect(await look('.pl-headline', 'color')).toBe('rgb(1, 2, 3)');
    const sample = await files.sample('themed.bin', 10);
    // Nothing is at this address.
    await tag.pick(sample);
    await tag.waitState(sample.name, 'failed');
    expect(await look('[data-pl-reason]', 'color')).toBe('rgb(90, 0, 0)');
    expect(await look('[data-pl-action=remove]', 'letter-spacing')).toBe('2px');
    const parts = 'base drop mark headline input limits total sum list row name folder size percent bar bar-sent bar-received status reason hint button'.split(' ');
    // With a server that is ours.
    await tag.host.evaluate((host) => host.insertAdjacentHTML('afterend', '<plimsoll-upload id="ours"></plimsoll-upload>'));
    await expect(page.locator('#ours [part=check]')).toBeVisible();
    await page.locator('#ours').evaluate((host) => host.remove());
    expect(await tag.host.evaluate((host, parts) => parts.filter((part) => !host.shadowRoot?.querySelector(`[part~="${part}"]`)), parts), 'parts that are named in README').toEqual([]);
    await expectNoViolations(page, 'failed, in the tag');
    // 1280 by 1024 pixels at 400 %.
    await page.setViewportSize({ width: 320, height: 256 });
    await expectNoViolations(page, 'failed, in the tag, at 400 %');
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 'nothing sticks out').toBeLessThanOrEqual(0);
    const button = tag.button('remove', sample.name);
    await button.scrollIntoViewIfNeeded();
    await expect(button).toBeInViewport({ ratio: 1 });
    // It has looked inside: what it names there is a path through the tag.
    const { passes } = await new AxeBuilder({ page }).withRules(['button-name']).analyze();
    expect(passes.flatMap(({ nodes }) => nodes).filter(({ target }) => Array.isArray(target[0])).length).toBeGreaterThan(1);
  } finally {
    await site.stop();
  }
});
