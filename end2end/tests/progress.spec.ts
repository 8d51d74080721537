// The bar is true, whatever stands between the browser and the server (promise 1, DESIGN 5).

import type { Page } from '@playwright/test';
import { MIB } from '../fixtures/files';
import type { Moment } from '../fixtures/page';
import { expect, test } from '../fixtures/test';

// One form for each file: what a piece of a resumable upload does instead, resume.spec says.
test.use({ protocol: 'form' });

const MB = 1_000_000;

test('a server that reads 2 MB/s: the bar shows what it received, never what was sent', async ({ widget, net, files }) => {
  const sample = await files.sample('slow.bin', 20 * MB);
  await widget.open();
  await widget.record();
  net.behave({ kind: 'slow', rate: 2 * MB });
  await widget.pick(sample);
  await expect(widget.row(sample.name)).toHaveCount(1);
  let looks = 0;
  for (;;) {
    const row = await widget.read(sample.name);
    // Read after the row: what was passed on only grows, so the row may never be ahead of it.
    expect(row.received, 'received is what the server has').toBeLessThanOrEqual(net.passed);
    expect(row.received).toBeLessThanOrEqual(row.sent);
    if (row.state === 'done') break;
    expect(['queued', 'sending', 'processing'], JSON.stringify(row)).toContain(row.state);
    expect(row.percent).toBeLessThan(100);
    looks++;
    await widget.page.evaluate(() => new Promise(requestAnimationFrame));
  }
  expect(looks, 'looked often').toBeGreaterThan(50);
  const moments = await widget.moments();
  expectTrue(moments);
  expect(distinct(moments, 'received'), 'the received layer moves by more than one step').toBeGreaterThan(3);
  const lead = Math.max(...moments.map(({ sent, received }) => sent - received));
  expect(lead, 'over HTTP/1.1 the browser runs ahead, and the row shows both').toBeGreaterThan(MB);
  expect(moments.some(({ sentPercent, percent, state }) => state === 'sending' && sentPercent > percent)).toBe(true);
});

/** A page of the server's own origin with so many tags, all of them alive. */
async function openTags(page: Page, base: string, count: number): Promise<void> {
  const body = '<!doctype html><title>Tags</title><link rel="icon" href="data:,"><script type="module" src="upload-widget.js"></script>' + '<plimsoll-upload protocol="form"></plimsoll-upload>'.repeat(count);
  await page.route('**/tags.html', (route) => route.fulfill({ contentType: 'text/html', body }));
  await page.goto(`${base}/tags.html`);
  await expect(page.locator('form[data-plimsoll][data-hydrated="true"]')).toHaveCount(count);
}

test('two widgets that send at once leave a connection for the questions, and the bars of both are true', async ({ net, page, silence }) => {
  silence.listen(page);
  await openTags(page, net.url, 2);
  net.behave({ kind: 'stall', after: 2 * MB });
  // Both in one turn: neither knows yet what the other will send.
  await page.evaluate((size) => {
    document.querySelectorAll('plimsoll-upload').forEach((tag, at) => tag.add([1, 2, 3].map((n) => new File([new Uint8Array(size)], `${at}-${n}.bin`))));
  }, 8 * MB);
  const rows = () => page.evaluate(() => [...document.querySelectorAll('plimsoll-upload')].map((tag) => tag.files.filter(({ state }) => state === 'sending').map(({ received }) => received)));
  await expect.poll(async () => (await rows()).map((tag) => tag.length > 0 && tag.every((received) => received > MB))).toEqual([true, true]);
  expect(net.uploads.length, 'a browser has six connections').toBeLessThanOrEqual(5);
  net.release();
  const states = () => page.evaluate(() => [...document.querySelectorAll('plimsoll-upload')].flatMap((tag) => tag.files.map(({ state }) => state)));
  await expect.poll(states, { timeout: 30_000 }).toEqual(Array(6).fill('done'));
  expect(net.uploads, 'each was sent once').toHaveLength(6);
});

test('of many widgets that send at once each has its turn', async ({ net, page, silence }) => {
  silence.listen(page);
  await openTags(page, net.url, 7);
  net.behave({ kind: 'stall', after: 1000 });
  await page.evaluate(() => {
    document.querySelectorAll('plimsoll-upload').forEach((tag, at) => tag.add([1, 2, 3, 4].map((n) => new File([new Uint8Array(200_000)], `${at}-${n}.bin`))));
  });
  await expect.poll(() => net.uploads.length).toBe(5);
  const states = () => page.evaluate(() => [...document.querySelectorAll('plimsoll-upload')].map((tag) => tag.files.map(({ state }) => state).join()));
  expect((await states()).filter((tag) => tag === 'queued,queued,queued,queued'), 'some wait').not.toEqual([]);
  net.release();
  await expect.poll(states, { timeout: 30_000 }).toEqual(Array(7).fill('done,done,done,done'));
  expect(net.uploads, 'each was sent once').toHaveLength(28);
});

test('an answer that takes 5 s: "processing", not 100 %', async ({ widget, net, files, page }) => {
  const sample = await files.sample('held.bin', 3 * MIB);
  await widget.open();
  await widget.record();
  net.behave({ kind: 'hold', frames: 'processing' });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'processing');
  const row = widget.row(sample.name);
  await expect(row.locator('[role=progressbar]')).not.toHaveAttribute('aria-valuenow');
  await expect(row.locator('[data-pl-status]')).not.toHaveText(/100\s?%/);
  await expect(row.locator('[data-pl-status]')).not.toBeEmpty();
  // The five seconds are the fault itself.
  await page.waitForTimeout(5000);
  expect(await widget.read(sample.name)).toMatchObject({ state: 'processing', valueNow: null });
  net.release();
  expect(await widget.waitState(sample.name, 'done')).toMatchObject({ percent: 100, valueNow: 100 });
  const moments = await widget.moments();
  expectTrue(moments);
  expect(moments.filter(({ state, valueNow }) => state === 'processing' && valueNow !== null)).toEqual([]);
  await expect(widget.uploads).toHaveCount(1);
});

test('an answer that is late while the count says stored: done means stored', async ({ widget, net, server, files }) => {
  const sample = await files.sample('late.bin', 3 * MIB + 1);
  const stored = async () => (await server.finished()).length;
  const before = await stored();
  await widget.open();
  await widget.record();
  net.behave({ kind: 'hold', frames: 'true' });
  await widget.pick(sample);
  // Either it waits for the answer, or it believes the server's count, which says the same with the same receipt.
  const row = await widget.waitState(sample.name, ['processing', 'done']);
  if (row.state === 'done') expect(await stored()).toBe(before + 1);
  await expect.poll(stored).toBe(before + 1);
  net.release();
  await widget.waitState(sample.name, 'done');
  await expect(widget.uploads).toHaveCount(1);
  expectTrue(await widget.moments());
  expect(net.uploads).toHaveLength(1);
});

test('a service worker that answers every fetch: no upload events, and the bar still moves', async ({ widget, net, files, page }) => {
  const sample = await files.sample('worker.bin', 8 * MB);
  await page.addInitScript(() => {
    const open = XMLHttpRequest.prototype.open as (...args: unknown[]) => void;
    Object.assign(window, { plEvents: 0 });
    XMLHttpRequest.prototype.open = function (this: XMLHttpRequest, ...args: unknown[]) {
      this.upload.addEventListener('progress', () => (window as unknown as { plEvents: number }).plEvents++);
      open.apply(this, args);
    } as typeof XMLHttpRequest.prototype.open;
  });
  await widget.open();
  await page.evaluate(async () => {
    await navigator.serviceWorker.register('/sw-test.js', { scope: '/' });
    if (!navigator.serviceWorker.controller) await new Promise((taken) => navigator.serviceWorker.addEventListener('controllerchange', taken, { once: true }));
  });
  await page.reload();
  await widget.hydrated();
  expect(await page.evaluate(() => !!navigator.serviceWorker.controller), 'the page is controlled').toBe(true);
  await widget.record();
  net.behave({ kind: 'slow', rate: 2 * MB });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'done');
  expect(await page.evaluate(() => (window as unknown as { plEvents: number }).plEvents), 'the browser itself said nothing').toBe(0);
  const moments = await widget.moments();
  expectTrue(moments);
  const moving = moments.filter(({ state, received, size, witness }) => state === 'sending' && witness === 'server' && received > 0 && received < size);
  expect(distinct(moving, 'received'), 'the server’s count drives the bar').toBeGreaterThanOrEqual(3);
  await expect(widget.uploads).toHaveCount(1);
});

test('a server that stops reading: said in words after a while, and it goes on by itself', async ({ widget, net, files }) => {
  const sample = await files.sample('stall.bin', 24 * MIB);
  await widget.open();
  await widget.record();
  net.behave({ kind: 'stall', after: 4 * MIB });
  await widget.pick(sample);
  await expect(widget.row(sample.name)).toHaveAttribute('data-hint', /stalled|buffered/, { timeout: 25_000 });
  expect(await widget.read(sample.name)).toMatchObject({ state: 'sending' });
  await expect(widget.row(sample.name).locator('[data-pl-status]')).not.toBeEmpty();
  net.release();
  await widget.waitState(sample.name, 'done');
  await expect(widget.row(sample.name)).not.toHaveAttribute('data-hint');
  expectTrue(await widget.moments());
  expect(net.uploads, 'it was not sent again').toHaveLength(1);
});

test('many small uploads are asked about together, not one by one', async ({ widget, net, files }) => {
  const samples = await Promise.all([0, 1, 2].map((i) => files.sample(`together-${i}.bin`, 6 * MB + i)));
  await widget.open();
  net.behave({ kind: 'slow', rate: MB });
  await widget.pick(...samples);
  for (const { name } of samples) await widget.waitState(name, 'done', 30_000);
  const polls = net.asked.get('/api/upload_progress') ?? 0;
  expect(polls).toBeGreaterThan(0);
  // Six seconds at one poll each 250 ms at the very most: three files polled alone would be three times as many.
  expect(polls).toBeLessThan(40);
});

/** What holds at every moment of every upload. */
function expectTrue(moments: Moment[]): void {
  expect(moments.length).toBeGreaterThan(1);
  expect(moments.filter(({ percent, state }) => percent === 100 && state !== 'done'), '100 % only when stored').toEqual([]);
  expect(moments.filter(({ valueNow, state }) => valueNow === 100 && state !== 'done'), 'nor said so to a screen reader').toEqual([]);
  expect(moments.filter(({ received, sent, size }) => received > sent || sent > size), 'received ≤ sent ≤ size').toEqual([]);
  const back = moments.filter((now, i) => {
    const before = moments.slice(0, i).findLast(({ name }) => name === now.name);
    return before !== undefined && before.received > now.received && before.restarts === now.restarts;
  });
  expect(back, 'it never goes back without saying so').toEqual([]);
}

function distinct(moments: Moment[], key: 'received' | 'sent' | 'percent'): number {
  return new Set(moments.map((moment) => moment[key])).size;
}
