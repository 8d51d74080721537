// Long lists: a thousand files and more, of which the page holds few rows. How long that takes, `make bench` says.

import type { Locator, Page } from '@playwright/test';
import type { PlimsollUpload } from '../../public/upload-widget.js';
import { Widget } from '../fixtures/page';
import { expect, test } from '../fixtures/test';

const COUNT = 1000;

test('a thousand files: each stored once, and few nodes in the page', async ({ widget, server, page }) => {
  test.setTimeout(180_000);
  await widget.open();
  const before = (await server.files()).length;
  await pickMany(page, COUNT);
  const most = { rows: 0, elements: 0 };
  await expect
    .poll(async () => {
      const now = await page.evaluate(() => ({
        rows: document.querySelectorAll('[data-pl-row]').length,
        elements: document.querySelectorAll('*').length,
        done: document.querySelector('[data-pl-total]')?.getAttribute('data-done'),
      }));
      most.rows = Math.max(most.rows, now.rows);
      most.elements = Math.max(most.elements, now.elements);
      return now.done;
    }, { timeout: 150_000, intervals: [50] })
    .toBe(String(COUNT));
  expect(most.rows).toBeGreaterThan(5);
  expect(most.rows).toBeLessThanOrEqual(40);
  expect(most.elements).toBeLessThan(2000);
  expect((await server.files()).length - before).toBe(COUNT);
});

test('ten thousand files: all are listed, few rows are drawn, and what is wanted of all is done', async ({ widget, net, page }) => {
  test.setTimeout(120_000);
  await widget.open();
  net.behave({ kind: 'stall', after: 0 });
  await pickMany(page, 10_000);
  await expect(page.locator('[data-pl-row]').first()).toHaveAttribute('aria-setsize', '10000', { timeout: 60_000 });
  const drawn = () => page.evaluate(() => [document.querySelectorAll('[data-pl-row]').length, document.querySelectorAll('*').length] as const);
  const [rows, elements] = await drawn();
  expect(rows).toBeGreaterThan(5);
  expect(rows).toBeLessThanOrEqual(40);
  expect(elements).toBeLessThan(2000);
  const frame = page.locator('[data-pl-frame]');
  await frame.evaluate((frame) => (frame.scrollTop = frame.scrollHeight));
  await expect.poll(async () => (await inSight(page)).last).toBe(10_000);
  expect((await drawn())[1]).toBeLessThan(2000);
  await widget.button('cancel-all').click();
  await expect(widget.total).toHaveAttribute('data-active', '0');
  net.release();
  await widget.button('clear').click();
  await expect.poll(() => widget.rows()).toEqual([]);
  await widget.button('undo').click();
  await expect(page.locator('[data-pl-row]').first()).toHaveAttribute('aria-setsize', '10000');
});

test('files that are stored fast are drawn together, in the list below and on the tab', async ({ widget, page }) => {
  await widget.open();
  const told = await page.evaluateHandle(() => {
    const told = { list: 0, tab: 0, began: performance.now() };
    new MutationObserver(() => told.list++).observe(document.querySelector('.pl-shelf')!, { childList: true });
    new MutationObserver(() => told.tab++).observe(document.querySelector('title')!, { childList: true });
    return told;
  });
  await pickMany(page, 200);
  await expect(widget.total).toHaveAttribute('data-done', '200', { timeout: 60_000 });
  await expect(page).toHaveTitle(/^\u2713/);
  await expect(widget.uploads.and(page.locator('[data-name="many-00199.txt"]'))).toHaveCount(1);
  await expect(widget.uploads).toHaveCount(50);
  const { list, tab, took } = await told.evaluate(({ list, tab, began }) => ({ list, tab, took: performance.now() - began }));
  // The first and the last at once; between them pauses of half a second, and of a quarter.
  expect(list).toBeLessThanOrEqual(took / 500 + 2);
  expect(tab).toBeLessThanOrEqual(took / 250 + 2);
});

test('scrolled anywhere, the rows there are shown, in their places', async ({ widget, net, page }) => {
  await widget.open();
  net.behave({ kind: 'stall', after: 0 });
  await listMany(page, COUNT);
  const frame = page.locator('[data-pl-frame]');
  await expect(frame).toHaveAttribute('data-long', 'true');
  for (const share of [0.5, 1, 0.25, 0]) {
    await frame.evaluate((frame, share) => (frame.scrollTop = share * (frame.scrollHeight - frame.clientHeight)), share);
    // The row in the middle of the frame, once there is one all over it.
    // What was never drawn was guessed: near, and exact at the ends.
    const end = share === 0 ? { first: 1 } : share === 1 ? { last: COUNT } : {};
    await expect.poll(() => inSight(page)).toMatchObject({ whole: true, right: true, ...end });
    const { first } = await inSight(page);
    const expected = Math.round(share * (COUNT - 6));
    expect(Math.abs(first - expected), `${share}: row ${first} of about ${expected}`).toBeLessThan(share === 0 || share === 1 ? 8 : 60);
  }
  await widget.button('cancel-all').click();
  net.release();
});

test('a row that has the focus stays, however far the list is scrolled', async ({ widget, net, page }) => {
  await widget.open();
  net.behave({ kind: 'stall', after: 0 });
  await listMany(page, 300);
  const button = page.locator('[data-pl-row][aria-posinset="2"] [data-pl-action="cancel"]');
  await button.focus();
  const name = await focusedRow(page);
  const frame = page.locator('[data-pl-frame]');
  await frame.evaluate((frame) => (frame.scrollTop = frame.scrollHeight / 2));
  await expect.poll(() => inSight(page)).toMatchObject({ whole: true, right: true });
  expect((await inSight(page)).first).toBeGreaterThan(100);
  expect(await focusedRow(page)).toBe(name);
  await page.keyboard.press('Enter');
  await expect(page.locator(`[data-pl-row][data-name="${name}"]`)).toHaveAttribute('data-state', 'cancelled');
  await frame.evaluate((frame) => (frame.scrollTop = 0));
  await expect.poll(() => inSight(page)).toMatchObject({ first: 1, whole: true, right: true });
  expect(await focusedRow(page)).toBe(name);
  await widget.button('cancel-all').click();
  net.release();
});

test('the keyboard walks down a long list row by row', async ({ widget, net, page }) => {
  await widget.open();
  net.behave({ kind: 'stall', after: 0 });
  await listMany(page, 60);
  await page.locator('[data-pl-row][aria-posinset="1"] [data-pl-action="cancel"]').focus();
  let last = 1;
  for (let steps = 0; last < 60 && steps < 300; steps++) {
    await page.keyboard.press('Tab');
    const place = await page.evaluate(() => Number(document.activeElement?.closest('[data-pl-row]')?.getAttribute('aria-posinset')));
    expect(place === last || place === last + 1, `from row ${last} to ${place}`).toBe(true);
    last = place;
    await expect.poll(() => inSight(page)).toMatchObject({ whole: true, right: true });
  }
  expect(last).toBe(60);
  await widget.button('cancel-all').click();
  net.release();
});

test('a row that grows above what is in sight moves nothing there', async ({ widget, net, page }) => {
  await widget.open();
  net.behave({ kind: 'stall', after: 0 });
  await listMany(page, 200);
  const frame = page.locator('[data-pl-frame]');
  await frame.evaluate((frame) => (frame.scrollTop = 3000));
  await expect.poll(() => inSight(page)).toMatchObject({ whole: true, right: true });
  const { first } = await inSight(page);
  const top = () => page.locator(`[data-pl-row][aria-posinset="${first + 1}"]`).evaluate((row) => row.getBoundingClientRect().top);
  const before = await top();
  await page.locator(`[data-pl-row][aria-posinset="${first - 2}"] details`).evaluate((details: HTMLDetailsElement) => (details.open = true));
  await expect.poll(() => page.locator(`[data-pl-row][aria-posinset="${first - 2}"]`).evaluate((row) => row.clientHeight)).toBeGreaterThan(120);
  await expect.poll(async () => Math.abs((await top()) - before)).toBeLessThanOrEqual(1);
  await widget.button('cancel-all').click();
  net.release();
});

test('what is wanted of all files holds for those that are still being taken in', async ({ widget, net, files, page }) => {
  await widget.open();
  // After a first one the page has all that works on files: what is picked then is taken in at once.
  const one = await files.sample('one.txt', 1);
  await widget.pick(one);
  await widget.waitState(one.name, 'done');
  net.behave({ kind: 'stall', after: 0 });
  const text = async (name: string) => Number(await widget.total.getAttribute(name));
  // In one turn of the page: the first of them are in the list by then, and most are not.
  await pickMany(page, COUNT, 'cancel-all');
  await expect.poll(() => page.locator('[data-pl-row]').first().getAttribute('aria-setsize')).toBe(String(COUNT + 1));
  expect(await text('data-active')).toBe(0);
  expect(net.uploads.length, 'no more than were under way').toBeLessThanOrEqual(4);
  net.release();
});

test('a widget that is taken out of the page takes in no more', async ({ net, page, silence }) => {
  silence.listen(page);
  await page.goto(`${net.url}/plain.html`);
  await expect(page.locator('plimsoll-upload form[data-plimsoll]')).toHaveAttribute('data-hydrated', 'true');
  net.behave({ kind: 'stall', after: 0 });
  const told = await page.evaluate(async (count) => {
    const tag = document.querySelector<PlimsollUpload>('plimsoll-upload')!;
    const added: string[] = [];
    document.addEventListener('plimsoll-added', (event) => added.push((event as CustomEvent<{ file: { name: string } }>).detail.file.name));
    // After a first one the page has all that works on files: what is added then is taken in at once.
    tag.add([new File(['one'], 'one.txt')]);
    while (!added.includes('one.txt')) await new Promise((next) => setTimeout(next));
    added.length = 0;
    const files = Array.from({ length: count }, (_, i) => new File([`${i}`], `${i}.txt`));
    tag.add(files);
    const atOnce = added.length;
    const busy = tag.matches(':invalid') || tag.files.length > 0;
    // By the third slice some are in and some are not; then it goes.
    while (added.length < 100) await new Promise((next) => setTimeout(next));
    tag.remove();
    const then = added.length;
    for (let i = 0; i < 50; i++) await new Promise((next) => setTimeout(next));
    return { atOnce, busy, then, after: added.length, inOrder: added.every((name, i) => name === `${i}.txt`) };
  }, COUNT);
  expect(told).toMatchObject({ busy: true, inOrder: true, after: told.then });
  expect(told.atOnce).toBeGreaterThan(0);
  expect(told.then).toBeLessThan(COUNT);
  net.release();
});

for (const [place, query] of [['on our own page', ''], ['in the tag', 'plain.html']] as const) {
  test(`${place}: a finger over the list scrolls it, and the page beyond its ends`, async ({ browser, browserName, net, silence }) => {
    const context = await browser.newContext(browserName === 'chromium' ? { hasTouch: true, viewport: { width: 400, height: 600 } } : {});
    try {
      const page = await context.newPage();
      silence.listen(page);
      const widget = new Widget(page, net.url, query);
      await widget.open();
      net.behave({ kind: 'stall', after: 0 });
      await widget.input.evaluate((input: HTMLInputElement) => {
        const data = new DataTransfer();
        for (let i = 0; i < 100; i++) data.items.add(new File([`file ${i}`], `long-${i}.txt`, { type: 'text/plain' }));
        input.files = data.files;
        input.dispatchEvent(new Event('change', { bubbles: true }));
      });
      const row = page.locator('[data-pl-row]').first();
      await expect(row).toHaveAttribute('aria-setsize', '100');
      // Nothing on the way to the page says otherwise, in any engine.
      const held = await row.evaluate((row) => {
        const found: string[] = [];
        const above = (at: Node): Node | null => at.parentNode;
        for (let at: Node | null = row; at; at = at instanceof ShadowRoot ? at.host : above(at)) {
          if (!(at instanceof Element)) continue;
          const { touchAction, overscrollBehaviorY } = getComputedStyle(at);
          if (touchAction !== 'auto' || overscrollBehaviorY !== 'auto') found.push(at.tagName);
        }
        return found;
      });
      expect(held).toEqual([]);
      // The other engine takes no touches over its protocol.
      if (browserName === 'chromium') {
        const frame = page.locator('[data-pl-frame]');
        await expect(frame).toHaveAttribute('data-long', 'true');
        await frame.evaluate((frame) => frame.scrollIntoView({ block: 'center' }));
        const places = () => frame.evaluate((frame) => [frame.scrollTop, scrollY] as const);
        await swipe(page, frame);
        await expect.poll(async () => (await places())[0]).toBeGreaterThan(100);
        // What is below it is reached from the list's own end.
        await page.evaluate(() => (document.body.appendChild(document.createElement('div')).style.height = '1000px'));
        // It is as long as its rows turn out to be once they are drawn.
        const toEnd = () => frame.evaluate((frame) => {
          const wasThere = frame.scrollTop + frame.clientHeight >= frame.scrollHeight - 1;
          frame.scrollTop = frame.scrollHeight;
          return wasThere && frame.querySelector('[data-pl-row][aria-posinset="100"]:not([data-away])') !== null;
        });
        await expect.poll(toEnd).toBe(true);
        const [, before] = await places();
        // The browser may still be at the one before, and take this one for more of the same.
        const further = async () => {
          await swipe(page, frame);
          return (await places())[1];
        };
        await expect.poll(further).toBeGreaterThan(before);
      }
      await widget.button('cancel-all').click();
      net.release();
    } finally {
      await context.close();
    }
  });
}

/** Draws a finger up over the middle of what is there, as far as the screen goes. */
async function swipe(page: Page, over: Locator): Promise<void> {
  const box = (await over.boundingBox())!;
  const [x, from] = [box.x + box.width / 3, Math.min(560, box.y + box.height / 2)];
  const cdp = await page.context().newCDPSession(page);
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', y?: number) => cdp.send('Input.dispatchTouchEvent', { type, touchPoints: y === undefined ? [] : [{ x, y }] });
  await touch('touchStart', from);
  for (let y = from - 10; y > Math.max(10, from - 300); y -= 10) await touch('touchMove', y);
  await touch('touchEnd');
  await cdp.detach();
}

/**
 * Picks so many, and waits until all are in the list: they come in portions, and a list that still grows has neither
 * its middle nor its last row.
 */
async function listMany(page: Page, count: number): Promise<void> {
  await pickMany(page, count);
  await expect(page.locator('[data-pl-row]').first()).toHaveAttribute('aria-setsize', String(count));
}

/** Picks so many small files at once, as a script in the page would; and presses a button in the same turn. */
function pickMany(page: Page, count: number, press?: string): Promise<void> {
  return page.evaluate(([count, press]) => {
    const input = document.querySelector<HTMLInputElement>('[data-pl-input]')!;
    const data = new DataTransfer();
    for (let i = 0; i < count; i++) data.items.add(new File([`file ${i}`], `many-${String(i).padStart(5, '0')}.txt`, { type: 'text/plain' }));
    input.files = data.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
    if (press) document.querySelector<HTMLButtonElement>(`[data-pl-action="${press}"]`)!.click();
  }, [count, press] as const);
}

/** The rows in sight: the places of the first and the last, whether they fill the frame, and lie in order without gaps. */
function inSight(page: Page): Promise<{ first: number; last: number; whole: boolean; right: boolean }> {
  return page.evaluate(() => {
    const frame = document.querySelector('[data-pl-frame]')!.getBoundingClientRect();
    const rows = [...document.querySelectorAll('[data-pl-row]:not([data-away])')].map((row) => ({ place: Number(row.getAttribute('aria-posinset')), box: row.getBoundingClientRect() }));
    const seen = rows.filter(({ box }) => box.bottom > frame.top + 1 && box.top < frame.bottom - 1);
    const [first, last] = [seen[0], seen.at(-1)];
    return {
      first: first?.place ?? 0,
      last: last?.place ?? 0,
      whole: !!first && first.box.top <= frame.top + 2 && last!.box.bottom >= frame.bottom - 2,
      right: rows.every((row, i) => i === 0 || (row.place === rows[i - 1]!.place + 1 && Math.abs(row.box.top - rows[i - 1]!.box.bottom) < 2)),
    };
  });
}

function focusedRow(page: Page): Promise<string | null> {
  return page.evaluate(() => document.activeElement?.closest('[data-pl-row]')?.getAttribute('data-name') ?? null);
}
