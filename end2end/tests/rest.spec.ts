// The part of the bundle that comes with the first file, or with the first sign of one: until it is there files wait, in
// their order, and are told of; nothing is lost, and no form is sent without them. A debug build is whole from the
// beginning, so that here only what does not depend on the waiting is shown with one.

import { readdirSync } from 'node:fs';
import path from 'node:path';
import type { Locator, Page } from '@playwright/test';
import type { PlimsollUpload } from '../../public/upload-widget.js';
import { expectNoViolations } from '../fixtures/axe';
import { MIB } from '../fixtures/files';
import { NetProxy } from '../fixtures/netproxy';
import { Pages } from '../fixtures/pages';
import { pickPaths } from '../fixtures/pick';
import { Server, SITE } from '../fixtures/server';
import { expect, test } from '../fixtures/test';

const REST = /-rest\.[\w-]+\.wasm/;
const cut = readdirSync(path.join(SITE, 'pkg')).some((name) => REST.test(name));

/** How often the rest was asked for. */
function asks(net: NetProxy): number {
  return [...net.asked].filter(([asked]) => REST.test(asked)).reduce((sum, [, times]) => sum + times, 0);
}

/** Names of the rows, in their order. */
function names(page: Page): Promise<string[]> {
  return page.locator('[data-pl-row]').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-name') ?? ''));
}

test.describe('of our own page', () => {
  test.skip(!cut, 'a debug build is whole');

  test('nothing of it is fetched before a person comes near; a pointer, the keyboard and a drag are enough', async ({ widget, page }) => {
    // What the browser has kept from before is asked for as well.
    let asked = 0;
    page.on('request', (request) => (asked += REST.test(request.url()) ? 1 : 0));
    for (const come of [
      () => widget.drop.hover(),
      () => widget.input.focus(),
      () => widget.drop.dispatchEvent('dragenter'),
    ]) {
      await widget.open();
      // Whatever was to come with the page has come.
      await page.waitForLoadState('networkidle');
      expect(asked).toBe(0);
      await Promise.all([page.waitForRequest(REST), come()]);
      await page.goto('about:blank');
      asked = 0;
    }
  });

  test('files that are picked before it is there wait in their order, are told of, and guard the page', async ({ widget, net, files, page }) => {
    const open = net.gate(REST);
    await widget.open();
    const samples = await Promise.all(['first.bin', 'second.bin', 'third.bin'].map((name) => files.sample(name, MIB)));
    await widget.input.setInputFiles(samples.slice(0, 2).map(({ path }) => path));
    await expect(widget.total).toHaveAttribute('data-waiting', 'true');
    await expect(widget.total).toBeVisible();
    await expect(widget.total).toContainText('Starting');
    await widget.input.setInputFiles(samples[2]!.path);
    const leaves = () => page.evaluate(() => dispatchEvent(new Event('beforeunload', { cancelable: true })));
    expect(await leaves(), 'whoever leaves is asked').toBe(false);
    expect(await names(page)).toEqual([]);
    expect(net.uploads).toEqual([]);
    open();
    for (const { name } of samples) await widget.waitState(name, 'done');
    expect(await names(page)).toEqual(samples.map(({ name }) => name));
    await expect(widget.total).not.toHaveAttribute('data-waiting');
    await expect.poll(leaves, 'nothing holds the page any more').toBe(true);
    expect(asks(net), 'fetched once').toBe(1);
  });

  test('offline at the first file: that is said, and it goes on by itself', async ({ widget, files, context, silence }) => {
    silence.allowFailedRequests();
    await widget.open();
    await widget.listen();
    const sample = await files.sample('tunnel.bin', MIB);
    await context.setOffline(true);
    await widget.input.setInputFiles(sample.path);
    await expect(widget.total).toContainText('Offline');
    await expect.poll(() => widget.announced()).toContain('Offline. Goes on when the network is back');
    await context.setOffline(false);
    await widget.waitState(sample.name, 'done');
    await expect(widget.total).not.toContainText('Offline');
  });

  test('a server that fails, or has another release by now, is asked again; and that is said', async ({ widget, files, page, silence }) => {
    silence.allowFailedRequests();
    let status = 503;
    await page.route(REST, (route) => (status === 200 ? route.continue() : route.fulfill({ status, body: '' })));
    await widget.open();
    await widget.listen();
    const sample = await files.sample('patient.bin', MIB);
    await widget.input.setInputFiles(sample.path);
    await expect(widget.total).toContainText('The server is not available at the moment.');
    // Another release has come meanwhile; then it is taken back.
    status = 404;
    const outdated = 'This page is out of date. Reload it, then choose the files again.';
    await expect(widget.total).toContainText(outdated);
    await expect.poll(() => widget.announced()).toContain(outdated);
    status = 200;
    await widget.waitState(sample.name, 'done');
  });

  test('nothing of it comes, and nothing fails: that is said as well', async ({ widget, net, files, page }) => {
    await page.clock.install();
    const open = net.gate(REST);
    await widget.open();
    const sample = await files.sample('silence.bin', MIB);
    await widget.input.setInputFiles(sample.path);
    await expect(widget.total).toContainText('Starting');
    await page.clock.runFor(10_000);
    await expect(widget.total).toContainText('The server is not available at the moment.');
    open();
    await widget.waitState(sample.name, 'done');
  });

  test('what waits can be taken back, and stays what was said of it when more is picked', async ({ widget, files, page, silence }) => {
    silence.allowFailedRequests();
    await page.route(REST, (route) => route.fulfill({ status: 404, body: '' }));
    await widget.open();
    const [first, second] = [await files.sample('first.bin', MIB), await files.sample('second.bin', MIB)];
    await widget.input.setInputFiles(first.path);
    const outdated = 'This page is out of date. Reload it, then choose the files again.';
    await expect(widget.total).toContainText(outdated);
    await widget.input.setInputFiles(second.path);
    expect(await widget.total.textContent()).toContain(outdated);
    await expectNoViolations(page, 'files wait');
    await widget.button('cancel-all').click();
    await expect(widget.total).toBeHidden();
    await expect(widget.input, 'the button is gone').toBeFocused();
    expect(await page.evaluate(() => dispatchEvent(new Event('beforeunload', { cancelable: true }))), 'nobody is asked').toBe(true);
    await page.unroute(REST);
    await widget.input.setInputFiles(second.path);
    await widget.waitState(second.name, 'done');
    expect(await names(page)).toEqual([second.name]);
  });
});

test.describe('of the tag', () => {
  let site: Pages;
  let server: Server;
  let net: NetProxy;

  test.beforeAll(async () => {
    site = await Pages.start();
    server = await Server.start(['--allow-origin', site.url]);
  });

  test.afterAll(async () => {
    await site?.stop();
    await server?.stop();
  });

  test.beforeEach(async ({ page, silence }) => {
    silence.listen(page);
    net = await NetProxy.start(server.url);
  });

  test.afterEach(() => net.stop());

  /** Opens a page with this body, whose tags come from the server through the proxy, and waits until all are alive. */
  async function open(page: Page, body: string): Promise<Locator> {
    site.page('/', net.url, body);
    await page.goto(site.url);
    const tags = page.locator('plimsoll-upload');
    for (const tag of await tags.all()) await expect(tag.locator('form[data-plimsoll]')).toHaveAttribute('data-hydrated', 'true');
    return tags;
  }

  test('a form is not sent without files that wait; what was asked for meanwhile is done in its turn', async ({ page }) => {
    const go = net.gate(REST);
    const tag = await open(page, '<form action="/" method="get"><plimsoll-upload name="papers"></plimsoll-upload><button>Send</button></form>');
    const before = await tag.evaluate((host: PlimsollUpload) => {
      const told: unknown[] = [];
      Object.assign(window, { told });
      host.addEventListener('plimsoll-waiting', ({ detail }) => told.push(detail.files));
      host.addEventListener('plimsoll-added', ({ detail }) => told.push(detail.file.name));
      host.add([new File(['one'], 'one.txt'), new File(['two'], 'two.txt')]);
      host.pause();
      host.add([new File(['three'], 'three.txt')]);
      return { busy: host.busy, valid: host.form?.checkValidity(), says: host.validationMessage };
    });
    expect(before).toEqual({ busy: true, valid: false, says: 'Some files are not stored yet. Wait for them, or remove them.' });
    await page.locator('button', { hasText: 'Send' }).click();
    if (cut) expect(await page.evaluate(() => window.told)).toEqual([2, 3]);
    expect(new URL(page.url()).search, 'the browser refuses to send it').toBe('');
    go();
    const state = (name: string) => tag.locator(`[data-pl-row][data-name="${name}"]`).getAttribute('data-state');
    await expect.poll(() => state('three.txt')).toBe('done');
    expect(await Promise.all(['one.txt', 'two.txt'].map(state))).toEqual(['paused', 'paused']);
    expect((await page.evaluate(() => window.told)).filter((told) => typeof told === 'string' || told === 0)).toEqual(['one.txt', 'two.txt', 'three.txt', 0]);
    await tag.evaluate((host: PlimsollUpload) => host.resume());
    await expect.poll(() => tag.evaluate((host: PlimsollUpload) => ({ busy: host.busy, valid: host.form?.checkValidity(), stored: host.receipts.length }))).toEqual({ busy: false, valid: true, stored: 3 });
  });

  test('a page that adds a file as soon as it hears of the first gets ahead of none that waited', async ({ page }) => {
    test.skip(!cut, 'a debug build takes each in at once');
    const go = net.gate(REST);
    const tag = await open(page, '<plimsoll-upload></plimsoll-upload>');
    await tag.evaluate((host: PlimsollUpload) => {
      const told: unknown[] = [];
      Object.assign(window, { told });
      host.addEventListener('plimsoll-added', ({ detail }) => {
        told.push(detail.file.name);
        if (told.length === 1) host.add([new File(['late'], 'late.txt')]);
      });
      for (const name of ['one.txt', 'two.txt', 'three.txt']) host.add([new File([name], name)]);
    });
    go();
    await expect(tag.locator('[data-name="late.txt"]')).toHaveAttribute('data-state', 'done');
    expect(await page.evaluate(() => window.told)).toEqual(['one.txt', 'two.txt', 'three.txt', 'late.txt']);
    expect(await names(page)).toEqual(['one.txt', 'two.txt', 'three.txt', 'late.txt']);
    await expect.poll(() => tag.evaluate((host: PlimsollUpload) => host.busy)).toBe(false);
    expect(await tag.locator('[data-pl-total]').getAttribute('data-waiting')).toBeNull();
  });

  test('a page that adds a file and starts it, as soon as it hears of the first, starts it', async ({ page }) => {
    const go = net.gate(REST);
    const tag = await open(page, '<plimsoll-upload auto-start="false"></plimsoll-upload>');
    await tag.evaluate((host: PlimsollUpload) => {
      let heard = false;
      host.addEventListener('plimsoll-added', () => {
        if (heard) return;
        heard = true;
        host.add([new File(['late'], 'late.txt')]);
        host.start();
      });
      for (const name of ['one.txt', 'two.txt']) host.add([new File([name], name)]);
    });
    go();
    for (const name of ['one.txt', 'two.txt', 'late.txt']) await expect(tag.locator(`[data-name="${name}"]`)).toHaveAttribute('data-state', 'done');
  });

  test('a reset form has nothing that waits; and what nobody waits for any more is not asked for', async ({ page, silence }) => {
    test.skip(!cut, 'a debug build is whole');
    silence.allowFailedRequests();
    await page.clock.install();
    let asked = 0;
    await page.route(REST, (route) => ((asked += 1), route.fulfill({ status: 503, body: '' })));
    const tag = await open(page, '<form><plimsoll-upload></plimsoll-upload></form>');
    await tag.evaluate((host: PlimsollUpload) => host.add([new File(['x'], 'x.txt')]));
    await expect(tag.locator('[data-pl-total]')).toContainText('not available');
    expect(await tag.evaluate((host: PlimsollUpload) => host.form!.checkValidity())).toBe(false);
    const after = await tag.evaluate((host: PlimsollUpload) => (host.form!.reset(), { valid: host.form!.checkValidity(), busy: host.busy }));
    expect(after).toEqual({ valid: true, busy: false });
    // From the try that is under way, or from the next, it learns that nobody waits.
    const most = asked + 1;
    for (let minute = 0; minute < 5; minute++) {
      await page.clock.runFor(60_000);
      // What was asked for by now has been answered.
      await page.evaluate(async () => (await fetch(location.href)).text());
    }
    expect(asked).toBeLessThanOrEqual(most);
  });

  test('what one was told of the network before, another has not to hear later', async ({ page }) => {
    const tags = await open(page, '<plimsoll-upload></plimsoll-upload><plimsoll-upload></plimsoll-upload>');
    const add = (at: number, name: string) => tags.nth(at).evaluate((host: PlimsollUpload, name) => host.add([new File(['x'], name)]), name);
    await page.evaluate(() => dispatchEvent(new Event('offline')));
    await add(0, 'one.txt');
    await expect(tags.nth(0).locator('[data-name="one.txt"] [data-pl-status]')).toHaveText('Offline. Goes on when the network is back');
    await page.evaluate(() => dispatchEvent(new Event('online')));
    await expect(tags.nth(0).locator('[data-name="one.txt"]')).toHaveAttribute('data-state', 'done');
    await add(1, 'two.txt');
    await expect(tags.nth(1).locator('[data-name="two.txt"]')).toHaveAttribute('data-state', 'done');
  });

  test('several of a page fetch it once', async ({ page }) => {
    const tags = await open(page, '<plimsoll-upload></plimsoll-upload><plimsoll-upload></plimsoll-upload><plimsoll-upload></plimsoll-upload>');
    await tags.evaluateAll((hosts: PlimsollUpload[]) => hosts.forEach((host, at) => host.add([new File(['x'], `${at}.txt`)])));
    for (const at of [0, 1, 2]) await expect(tags.nth(at).locator(`[data-name="${at}.txt"]`)).toHaveAttribute('data-state', 'done');
    expect(asks(net)).toBe(cut ? 1 : 0);
  });

  test('files that come to nothing leave nothing behind; a tag that is taken away takes along what waits', async ({ page }) => {
    test.skip(!cut, 'a debug build takes them in at once, and sends them');
    const go = net.gate(REST);
    const tags = await open(page, '<plimsoll-upload directory dotfiles="false"></plimsoll-upload><plimsoll-upload></plimsoll-upload>');
    await tags.nth(1).evaluate((host: PlimsollUpload) => {
      host.add([new File(['x'], 'gone.txt')]);
      host.remove();
    });
    await tags.locator('[data-pl-folder]').evaluate(pickPaths, ['folder/.hidden']);
    expect(await tags.evaluate((host: PlimsollUpload) => host.busy)).toBe(true);
    go();
    await expect.poll(() => tags.evaluate((host: PlimsollUpload) => [host.busy, host.files.length])).toEqual([false, 0]);
    await expect(tags.locator('[data-pl-total]')).toBeHidden();
    expect(net.uploads).toEqual([]);
  });
});

declare global {
  interface Window {
    told: unknown[];
  }
}
