// <plimsoll-upload> on pages that know nothing of Leptos: before and after it is defined, moved, removed, several,
// under a strict policy, from another origin, and inside a form.

import type { Locator, Page } from '@playwright/test';
import { MIB } from '../fixtures/files';
import { Pages } from '../fixtures/pages';
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
  const tag = new Tag(page, page.locator('#wrong'));
  await expect(page.locator('#wrong > form input')).toBeVisible();
  await tag.host.evaluate((host) => {
    host.setAttribute('retries', '2');
    host.setAttribute('slice', '10MB');
  });
  await tag.alive();
});
