// What the browser remembers of unfinished uploads: whose they are, how long, and what it takes to have their files again.

import { rename, utimes } from 'node:fs/promises';
import type { Page } from '@playwright/test';
import { expectNoViolations } from '../fixtures/axe';
import { dropPaths } from '../fixtures/drop';
import { MIB, type Sample } from '../fixtures/files';
import type { NetProxy } from '../fixtures/netproxy';
import { withOptions } from '../fixtures/options';
import { Widget } from '../fixtures/page';
import { expectWhole, offset, pieces } from '../fixtures/pieces';
import { installRecords } from '../fixtures/records';
import { expect, test } from '../fixtures/test';

/** Bytes per second at which 24 MiB take a quarter of a minute. */
const UNHURRIED = 1.5 * MIB;

test.beforeEach(async ({ page, silence }) => {
  // A reload leaves a request behind that the server may still answer: another has taken its place.
  silence.allowFailedRequests();
  await page.addInitScript(installRecords);
});

const records = (page: Page) => page.evaluate(() => window.plRecords());

/** Begins an upload and waits until some of it has arrived and all of it is remembered. */
async function begin(widget: Widget, net: NetProxy, sample: Sample, file = true): Promise<void> {
  net.behave({ kind: 'slow', rate: UNHURRIED });
  await widget.pick(sample);
  await begun(widget, sample, file);
}

async function begun(widget: Widget, sample: Sample, file: boolean): Promise<void> {
  await expect(widget.row(sample.name)).toHaveCount(1);
  await expect.poll(async () => (await widget.read(sample.name)).received).toBeGreaterThan(2 * MIB);
  await expect.poll(() => records(widget.page)).toEqual([{ name: sample.name, file }]);
}

async function reload(widget: Widget): Promise<void> {
  await widget.page.reload();
  await widget.hydrated();
}

/** The widget has looked for what it remembers and found nothing: it asked the server, or had nothing to ask. */
async function expectNothingFound(widget: Widget, net: NetProxy, asked: number): Promise<void> {
  await expect.poll(() => questions(net)).toBe(asked);
  // A lock that could be had by now has been had.
  await expect.poll(() => widget.page.evaluate(async () => (await navigator.locks.query()).held?.length)).toBe(0);
  expect(await widget.rows()).toEqual([]);
}

/** How often the server was asked about single uploads. */
function questions(net: NetProxy): number {
  return [...net.asked].filter(([path]) => path.startsWith('/files/')).reduce((sum, [, times]) => sum + times, 0);
}

test('who is not its owner does not even see its name', async ({ widget, net, files, page, context }) => {
  const sample = await files.sample('private.bin', 24 * MIB);
  await widget.open();
  await begin(widget, net, sample);
  await context.clearCookies();
  const before = questions(net);
  await reload(widget);
  await expectNothingFound(widget, net, before + 1);
  expect(await page.locator('body').innerText()).not.toContain('private.bin');
  await expect.poll(() => records(page), 'nobody else will go on with it here').toEqual([]);
});

test('what nobody went on with for long is forgotten', async ({ widget, net, files, page }) => {
  const sample = await files.sample('old.bin', 24 * MIB);
  await widget.open();
  await begin(widget, net, sample);
  await page.evaluate(() => window.plAge(13));
  await reload(widget);
  await widget.waitState(sample.name, ['sending', 'creating']);
  await expect.poll(() => page.evaluate(() => window.plAges()), 'it is in use again').toEqual([0]);
  await page.evaluate(() => window.plAge(15));
  const before = questions(net);
  await reload(widget);
  await expectNothingFound(widget, net, before);
  await expect.poll(() => records(page)).toEqual([]);
});

test('a widget that does something else does not take it', async ({ widget, net, files, page, context }) => {
  const sample = await files.sample('mine.bin', 24 * MIB);
  await widget.open();
  await begin(widget, net, sample);
  const before = questions(net);
  const other = await context.newPage();
  await other.addInitScript(installRecords);
  await withOptions(other, { accept: '.bin,.txt' });
  await page.close();
  const elsewhere = new Widget(other, net.url);
  await elsewhere.open();
  await expectNothingFound(elsewhere, net, before);
  expect(await records(other), 'it is kept for the one that began it').toEqual([{ name: sample.name, file: true }]);
  const back = new Widget(await context.newPage(), net.url);
  await back.open();
  net.release();
  await back.waitState(sample.name, 'done');
  await expectWhole(back, sample);
});

test('of two tags of a page, and of two pages, each goes on with its own', async ({ net, files, page, silence }) => {
  silence.listen(page);
  const sample = await files.sample('cv.bin', 24 * MIB);
  const another = await files.sample('other.bin', 24 * MIB);
  const tag = (name: string) => `<form><plimsoll-upload name="${name}"></plimsoll-upload></form>`;
  const serve = (path: string, body: string) => page.route(`**/${path}`, (route) => route.fulfill({ contentType: 'text/html', body: `<!doctype html><title>Page</title><link rel="icon" href="data:,"><script type="module" src="upload-widget.js"></script>${body}` }));
  await serve('letter.html', tag('passport') + tag('cv'));
  await serve('other.html', tag('cv'));
  const listed = () => page.evaluate(() => [...document.querySelectorAll('plimsoll-upload')].map((tag) => tag.files.map(({ name, state }) => `${name} ${state}`)));
  const open = async (path: string, tags: number) => {
    await page.goto(`${net.url}/${path}`);
    await expect(page.locator('form[data-plimsoll][data-hydrated="true"]')).toHaveCount(tags);
  };
  await open('letter.html', 2);
  net.behave({ kind: 'slow', rate: UNHURRIED });
  await page.locator('[name=cv] [data-pl-input]').setInputFiles(sample.path);
  await expect.poll(() => net.passed).toBeGreaterThan(2 * MIB);
  await expect.poll(() => records(page)).toEqual([{ name: sample.name, file: true }]);
  await open('other.html', 1);
  const passed = net.passed;
  await page.locator('[name=cv] [data-pl-input]').setInputFiles(another.path);
  await expect.poll(() => net.passed).toBeGreaterThan(passed + 2 * MIB);
  const both = [sample, another].map(({ name }) => ({ name, file: true }));
  const remembered = async () => (await records(page)).sort((one, other) => one.name.localeCompare(other.name));
  await expect.poll(remembered).toEqual(both);
  // By the time that it goes on with its own it has seen both.
  await open('other.html', 1);
  await expect.poll(async () => (await listed())[0]).toEqual(['other.bin sending']);
  expect(await remembered()).toEqual(both);
  await open('letter.html', 2);
  await expect.poll(async () => (await listed())[1]?.length).toBe(1);
  net.release();
  await expect.poll(listed).toEqual([[], ['cv.bin done']]);
});

test('where remembering is not wanted nothing is remembered', async ({ widget, net, files, page }) => {
  await withOptions(page, { remember: false });
  const sample = await files.sample('forgotten.bin', 24 * MIB);
  await widget.open();
  net.behave({ kind: 'slow', rate: UNHURRIED });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).received).toBeGreaterThan(2 * MIB);
  expect(await records(page)).toEqual([]);
  const before = questions(net);
  await reload(widget);
  await expectNothingFound(widget, net, before);
});

test('two tabs: one goes on, and when it closes the other does', async ({ widget, net, files, page, context }) => {
  const sample = await files.sample('tabs.bin', 24 * MIB);
  await widget.open();
  await begin(widget, net, sample);
  const other = new Widget(await context.newPage(), net.url);
  await other.open();
  const waits = () => other.page.evaluate(async () => (await navigator.locks.query()).pending?.length);
  await expect.poll(waits, 'the second tab waits for the first').toBe(1);
  const at = (await widget.read(sample.name)).received;
  await expect.poll(async () => (await widget.read(sample.name)).received, 'nobody disturbs the first').toBeGreaterThan(at);
  expect(await other.rows()).toEqual([]);
  expect(pieces(net).length).toBe(1);
  await page.close();
  await other.waitState(sample.name, 'sending');
  net.release();
  expect(await other.waitState(sample.name, 'done')).toMatchObject({ restarts: 0 });
  expect(offset(pieces(net).at(-1)!)).toBeGreaterThan(2 * MIB);
  await expectWhole(other, sample);
  await expect.poll(() => other.page.evaluate(() => navigator.locks.query().then(({ held }) => held?.length)), 'no lock stays').toBe(0);
});

test('after a wrong file the right one can be chosen, under another name as well', async ({ widget, net, files, page }) => {
  const sample = await files.sample('right.bin', 24 * MIB);
  // Whole seconds: what is written back below is then the same to the last digit, however a browser rounds it.
  const mtime = new Date(Math.floor(Date.now() / 1000) * 1000);
  await utimes(sample.path, mtime, mtime);
  await widget.open();
  await begin(widget, net, sample);
  await page.evaluate(() => window.plLoseFiles());
  await reload(widget);
  await widget.waitState(sample.name, 'missing');
  await expect(widget.total).toHaveAttribute('data-active', '0');

  const later = new Date(mtime.getTime() + 10_000);
  await utimes(sample.path, later, later);
  const before = pieces(net).length;
  await choose(widget, sample.name, sample.path);
  expect(await widget.waitState(sample.name, 'failed')).toMatchObject({ error: 'file-changed' });
  await expectNoViolations(page, 'a wrong file was chosen');
  expect(pieces(net).length, 'it was not sent').toBe(before);

  await utimes(sample.path, mtime, mtime);
  const moved = sample.path.replace('right.bin', 'renamed.bin');
  await rename(sample.path, moved);
  net.release();
  await choose(widget, sample.name, moved);
  expect(await widget.waitState(sample.name, 'done')).toMatchObject({ size: sample.size });
  expect(offset(pieces(net).at(-1)!), 'it went on').toBeGreaterThan(2 * MIB);
  await expectWhole(widget, sample);
});

test('what is missing does not stand in the way of the others', async ({ widget, net, files, page }) => {
  const sample = await files.sample('waiting.bin', 24 * MIB);
  const small = await files.sample('passing.bin', MIB);
  await withOptions(page, { multiple: false });
  await widget.open();
  await begin(widget, net, sample);
  await page.evaluate(() => window.plLoseFiles());
  await reload(widget);
  await widget.waitState(sample.name, 'missing');
  net.release();
  await widget.listen();
  await widget.pick(small);
  await widget.waitState(small.name, 'done');
  await expect.poll(async () => (await widget.announced()).at(-1)).toContain('1 file stored');
});

test.describe('a file that cannot be read any more', () => {
  test.skip(({ browserName }) => browserName !== 'chromium', 'Firefox reads what is there now');

  test('it can be chosen anew when it is there again', async ({ widget, net, files, page }) => {
    const sample = await files.sample('away.bin', 24 * MIB);
    await widget.open();
    await begin(widget, net, sample);
    await widget.button('pause', sample.name).click();
    await widget.waitState(sample.name, 'paused');
    const aside = `${sample.path}.aside`;
    await rename(sample.path, aside);
    await widget.button('resume', sample.name).click();
    expect(await widget.waitState(sample.name, 'failed')).toMatchObject({ error: 'file-changed' });
    await expect(widget.row(sample.name).locator('[data-pl-reason]')).toContainText('choose it again');
    await rename(aside, sample.path);
    net.release();
    await choose(widget, sample.name, sample.path);
    expect(await widget.waitState(sample.name, 'done')).toMatchObject({ restarts: 0 });
    expect(offset(pieces(net).at(-1)!)).toBeGreaterThan(2 * MIB);
    await expectWhole(widget, sample);
    expect(await records(page)).toEqual([]);
  });
});

test.describe('a handle instead of the file', () => {
  test.skip(({ browserName }) => browserName !== 'chromium', 'only Chromium has handles, and CDP alone makes a trusted drop');

  /** Drops a file for which the browser has no room: its handle is all that is kept. */
  async function drop(widget: Widget, net: NetProxy, sample: Sample): Promise<void> {
    await widget.page.addInitScript(() => {
      navigator.storage.estimate = () => Promise.resolve({ quota: 1_000_000, usage: 0 });
    });
    await widget.open();
    net.behave({ kind: 'slow', rate: UNHURRIED });
    await dropPaths(widget.page, [sample.path]);
    await begun(widget, sample, false);
  }

  test('it goes on by it, asking for leave where that is needed', async ({ widget, net, files, page }) => {
    const sample = await files.sample('handle.bin', 24 * MIB);
    await drop(widget, net, sample);
    await leave(page, 'granted');
    await reload(widget);
    await widget.waitState(sample.name, 'sending');
    await expect.poll(() => pieces(net).length).toBe(2);
    await leave(page, 'prompt');
    await reload(widget);
    await widget.waitState(sample.name, 'missing');
    await expect(widget.button('resume', sample.name)).toHaveText('Resume');
    await expect(widget.row(sample.name).locator('[data-pl-status]')).toHaveText('Found again, not finished. Resume to go on; the browser may ask whether the file may be read');
    await expectNoViolations(page, 'missing, for want of leave');
    await leave(page, 'prompt', 'granted');
    await reload(widget);
    await widget.waitState(sample.name, 'missing');
    net.release();
    await widget.button('resume', sample.name).click();
    expect(await widget.waitState(sample.name, 'done')).toMatchObject({ restarts: 0 });
    expect(offset(pieces(net).at(-1)!)).toBeGreaterThan(2 * MIB);
    await expectWhole(widget, sample);
  });

  test('where leave is refused, or the file has moved, it can be chosen', async ({ widget, net, files, page }) => {
    const sample = await files.sample('refused.bin', 24 * MIB);
    await drop(widget, net, sample);
    await leave(page, 'prompt', 'denied');
    await reload(widget);
    await widget.waitState(sample.name, 'missing');
    await widget.button('resume', sample.name).click();
    await expect(widget.button('resume', sample.name)).toHaveText('Choose again');
    await expect(widget.button('resume', sample.name), 'the button keeps the focus').toBeFocused();
    await leave(page, 'prompt', 'granted');
    const aside = `${sample.path}.aside`;
    await rename(sample.path, aside);
    await reload(widget);
    await widget.waitState(sample.name, 'missing');
    await widget.button('resume', sample.name).click();
    await expect(widget.button('resume', sample.name)).toHaveText('Choose again');
    await rename(aside, sample.path);
    net.release();
    await choose(widget, sample.name, sample.path);
    await widget.waitState(sample.name, 'done');
    await expectWhole(widget, sample);
  });
});

/** What the browser answers in the next pages when it is asked about a handle: a headless one has nobody to ask. */
async function leave(page: Page, found: string, asked = found): Promise<void> {
  await page.addInitScript(
    ([found, asked]) => {
      const handles = FileSystemHandle.prototype as unknown as Record<string, () => Promise<unknown>>;
      handles.queryPermission = () => Promise.resolve(found);
      handles.requestPermission = () => Promise.resolve(asked);
    },
    [found, asked],
  );
}

/** Chooses this file for the row, in the dialog that its button opens. */
async function choose(widget: Widget, name: string, file: string): Promise<void> {
  if (widget.page.context().browser()?.browserType().name() === 'firefox') {
    // Nobody closes its first dialog, so there is never a second: the button is pressed all the same.
    await widget.button('resume', name).click();
    return widget.pick(file);
  }
  const choosing = widget.page.waitForEvent('filechooser');
  await widget.button('resume', name).click();
  await (await choosing).setFiles(file);
}
