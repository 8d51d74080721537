// Anyone can use it (promise 8): axe in every state, the keyboard alone, and what a screen reader hears.

import type { Locator, Page } from '@playwright/test';
import { expectNoViolations, smallTargets } from '../fixtures/axe';
import { MIB } from '../fixtures/files';
import { Widget } from '../fixtures/page';
import { expect, test } from '../fixtures/test';

// One form for each file: what a piece of a resumable upload does instead, resume.spec says.
test.use({ protocol: 'form' });

test('axe finds nothing in any state', async ({ widget, net, files, page, silence }) => {
  silence.allowFailedRequests();
  const [sending, held, refused] = [await files.sample('axe-sending.bin', 16 * MIB), await files.sample('axe-held.bin', MIB), await files.sample('axe-refused.bin', 1000)];
  await widget.open();
  await expectNoViolations(page, 'idle');

  net.behave({ kind: 'stall', after: 4 * MIB });
  await widget.pick(sending);
  await expect.poll(async () => (await widget.read(sending.name)).received).toBeGreaterThan(MIB);
  await expectNoViolations(page, 'uploading');

  net.behave({ kind: 'hold', frames: 'processing' });
  await widget.pick(held);
  await widget.waitState(held.name, 'processing');
  await expectNoViolations(page, 'processing');

  const body = JSON.stringify({ type: 'about:blank', status: 413, code: 'too-large', message: 'Too large for this drawer.', retryable: false });
  net.behave({ kind: 'answer', status: 413, body, times: 1 });
  await widget.pick(refused);
  await widget.waitState(refused.name, 'failed');
  await expectNoViolations(page, 'failed');

  net.release();
  for (const { name } of [sending, held]) await widget.waitState(name, 'done');
  await expect(widget.uploads).toHaveCount(2);
  await expectNoViolations(page, 'done');

  // The same in the dark (Firefox takes no colour scheme over BiDi: there this looks at the light page again).
  await page.emulateMedia({ colorScheme: 'dark' });
  await expectNoViolations(page, 'dark');
  await page.setViewportSize({ width: 320, height: 640 });
  await expectNoViolations(page, '320 px');
});

test('every bar is named after its file', async ({ widget, net, files, page }) => {
  const samples = [await files.sample('bar-1.bin', 12 * MIB), await files.sample('bar-2.bin', 12 * MIB)];
  await widget.open();
  net.behave({ kind: 'stall', after: MIB });
  await widget.pick(...samples);
  for (const { name } of samples) {
    const bar = page.getByRole('progressbar', { name: new RegExp(name.replace('.', '\\.')) });
    await expect(bar).toHaveCount(1);
    await expect(bar).toHaveAttribute('aria-valuemin', '0');
    await expect(bar).toHaveAttribute('aria-valuemax', '100');
  }
  net.release();
  for (const { name } of samples) await widget.waitState(name, 'done');
});

test('with the keyboard alone, from start to end', async ({ widget, net, files, page }) => {
  const sample = await files.sample('keys.bin', 24 * MIB);
  await widget.open();
  net.behave({ kind: 'stall', after: 2 * MIB });
  await page.keyboard.press('Tab');
  const chooser = await openByKey(page, widget.input);
  await chooser.setFiles(sample.path);
  await widget.waitState(sample.name, 'sending');
  await expectFocus(page, 'focus stays while the list grows');

  await pressOn(page, widget.button('cancel', sample.name), 'Enter');
  await widget.waitState(sample.name, 'cancelled');
  await expectFocus(page, 'focus after cancel');

  net.release();
  await pressOn(page, widget.button('retry', sample.name), 'Space');
  await widget.waitState(sample.name, 'done');
  await expectFocus(page, 'focus after retry');

  await pressOn(page, widget.button('remove', sample.name), 'Enter');
  await expect(widget.row(sample.name)).toHaveCount(0);
  await expectFocus(page, 'focus after remove');

  await tabTo(page, page.locator('[data-pl-upload] a[data-pl-download]'));
  await pressOn(page, page.locator('[data-pl-upload] [data-pl-delete]'), 'Enter');
  await expect(widget.uploads).toHaveCount(0);
  await expectFocus(page, 'focus after delete');
});

test('what is announced: politely, once, and seldom', async ({ widget, net, files, page, silence }) => {
  silence.allowFailedRequests();
  const [good, bad] = [await files.sample('heard.bin', 5_000_000), await files.sample('unheard.bin', 1000)];
  await widget.open();
  await expect(page.locator(LIVE)).toHaveCount(1);
  await expect(page.locator('[data-pl-announcer]')).toBeEmpty();
  await widget.listen();
  net.behave({ kind: 'slow', rate: 2_000_000 });
  await widget.pick(good);
  await widget.waitState(good.name, 'done');
  await expect.poll(async () => (await widget.announced()).at(-1), 'the end is told').toMatch(/stored/i);

  const message = 'Not in this drawer.';
  net.behave({ kind: 'answer', status: 413, body: JSON.stringify({ code: 'too-large', message, retryable: false }), times: 1 });
  await widget.pick(bad);
  await widget.waitState(bad.name, 'failed');
  await expect.poll(async () => (await widget.announced()).join(' | '), 'a failure is told with its reason').toContain(message);

  const heard = await widget.announced();
  expect(heard.filter((text, i) => text === heard[i - 1]), `nothing twice in a row: ${heard.join(' | ')}`).toEqual([]);
  // A start and an end for each of two, and three milestones between at the most: nobody counts aloud.
  expect(heard.length, heard.join(' | ')).toBeGreaterThanOrEqual(3);
  expect(heard.length, heard.join(' | ')).toBeLessThanOrEqual(7);
});

test('a whole job by keyboard, and all that is heard of it', async ({ page, net, files, silence }) => {
  silence.listen(page);
  silence.allowFailedRequests();
  const [long, bad] = [await files.sample('long-job.bin', 24 * MIB), await files.sample('refused.bin', 1000)];
  // By itself: only a resumable upload can be held.
  const widget = new Widget(page, net.url);
  await widget.open();
  await widget.listen();
  net.behave({ kind: 'stall', after: 2 * MIB });
  await tabTo(page, widget.input);
  await widget.pick(long);
  await expect.poll(async () => (await widget.read(long.name)).received).toBeGreaterThan(MIB);
  await pressOn(page, widget.button('pause', long.name), 'Space');
  await widget.waitState(long.name, 'paused');
  await expect(widget.button('resume', long.name), 'the same button goes on').toBeFocused();
  await page.keyboard.press('Enter');
  await widget.waitState(long.name, 'sending');
  await expect(widget.button('pause', long.name)).toBeFocused();
  await pressOn(page, widget.button('cancel', long.name), 'Enter');
  await widget.waitState(long.name, 'cancelled');
  await expect(widget.button('remove', long.name)).toBeFocused();
  net.release();
  await pressOn(page, widget.button('retry', long.name), 'Space');
  await widget.waitState(long.name, 'done');
  await expect.poll(async () => (await widget.announced()).at(-1)).toBe('1 file stored');

  const message = 'Not in this drawer.';
  net.behave({ kind: 'answer', status: 413, body: JSON.stringify({ code: 'too-large', message, retryable: false }), times: 1 });
  await widget.pick(bad);
  await widget.waitState(bad.name, 'failed');
  await expect.poll(async () => (await widget.announced()).at(-1)).toContain(message);

  const heard = await widget.announced();
  // How many milestones there is time for is the machine's affair; their order is not.
  const milestone = /^(25|50|75)% of 1 file uploaded$/;
  expect(heard.filter((text) => !milestone.test(text))).toEqual(TRANSCRIPT);
  const quarters = heard.flatMap((text) => milestone.exec(text)?.[1] ?? []);
  expect(quarters, 'each once, and upwards').toEqual([...new Set(quarters)].sort());

  await pressOn(page, widget.button('remove', bad.name), 'Enter');
  await expect(widget.row(bad.name)).toHaveCount(0);
  await expectFocus(page, 'focus after remove');
  // What is stored is linked from its row.
  await tabTo(page, widget.row(long.name).getByRole('link'));
  await expect.poll(async () => (await widget.stored())[0]?.name).toBe(long.name);
  expect(await widget.row(long.name).getByRole('link').evaluate((link: HTMLAnchorElement) => link.href)).toBe((await widget.stored())[0]!.href);
  await pressOn(page, widget.button('clear'), 'Space');
  await expect(widget.row(long.name)).toHaveCount(0);
  await expectFocus(page, 'focus after clear');
});

/** It came within two seconds of a start, and was told with the end of everything, or never. */
test('a failure right after a start is told while others go on, and is the one that is named', async ({ widget, net, files, silence }) => {
  silence.allowFailedRequests();
  const [long, bad] = [await files.sample('goes-on.bin', 12 * MIB), await files.sample('fails.bin', 1000)];
  await widget.open();
  await widget.listen();
  net.behave({ kind: 'stall', after: 2 * MIB });
  await widget.pick(long);
  await expect.poll(async () => (await widget.read(long.name)).received).toBeGreaterThan(MIB);
  const message = 'Not in this drawer.';
  net.behave({ kind: 'answer', status: 413, body: JSON.stringify({ code: 'too-large', message, retryable: false }), times: 1 });
  await widget.pick(bad);
  await widget.waitState(bad.name, 'failed');
  await expect.poll(() => widget.announced()).toContain(`${bad.name}: ${message}`);
  expect((await widget.read(long.name)).state).toBe('sending');
  net.release();
  await widget.waitState(long.name, 'done');
});

/** The reason was shown and no more: whoever does not see it had pressed a button, and nothing followed. */
test('that the server has not deleted a file is read out', async ({ widget, files, page, silence }) => {
  silence.allowFailedRequests();
  const sample = await files.sample('kept.bin', 1000);
  await widget.open();
  await widget.pick(sample);
  await expect(widget.uploads).toHaveCount(1);
  await page.route('**/api/delete_upload', (route) => route.fulfill({ status: 503, contentType: 'text/plain', body: 'Busy.' }));
  const [button, reason] = [widget.uploads.locator('[data-pl-delete]'), widget.uploads.locator('[data-pl-refused]')];
  await expect(reason).toBeHidden();
  for (const key of ['Enter', 'Space'] as const) {
    await pressOn(page, button, key);
    await expect(reason, 'each time').toBeFocused();
    await expect(reason).toHaveText('The server did not delete it. Please try again.');
  }
  await page.keyboard.press('Tab');
  await expect(button, 'the next thing is another try').toBeFocused();
  await expect(page.locator(LIVE)).toHaveCount(1);
  await expectNoViolations(page, 'not deleted');
});

test('a button that goes away by itself leaves the focus where a late press does no harm', async ({ page, net, files, silence }) => {
  silence.listen(page);
  const samples = [await files.sample('goes-1.bin', 24 * MIB), await files.sample('goes-2.bin', 24 * MIB)];
  const widget = new Widget(page, net.url);
  await widget.open();
  net.behave({ kind: 'stall', after: 2 * MIB });
  const [first, second] = samples.map(({ name }) => name) as [string, string];
  await widget.pick(samples[0]!);
  await expect.poll(async () => (await widget.read(first)).received).toBeGreaterThan(MIB);
  await widget.button('pause', first).focus();
  await expect(widget.button('pause', first)).toBeFocused();
  net.release();
  await widget.waitState(first, 'done');
  await expect(widget.row(first).locator('summary')).toBeFocused();

  net.behave({ kind: 'stall', after: 2 * MIB });
  await widget.pick(samples[1]!);
  await expect.poll(async () => (await widget.read(second)).received).toBeGreaterThan(MIB);
  await widget.button('pause-all').focus();
  await expect(widget.button('pause-all')).toBeFocused();
  net.release();
  await widget.waitState(second, 'done');
  await expect(widget.total.locator('[part=sum]')).toBeFocused();
});

test('from right to left, narrow, and with targets that can be hit', async ({ page, net, files, silence }) => {
  test.slow();
  silence.listen(page);
  silence.allowFailedRequests();
  const [done, held, bad] = [await files.sample('rtl done.bin', 1000), await files.sample('rtl held.bin', 24 * MIB), await files.sample('rtl-refused-with-a-very-long-name-that-has-no-space.bin', 1000)];
  const widget = new Widget(page, net.url, '?lang=ar');
  await widget.open();
  const check = async (state: string) => {
    for (const width of [320, 1000]) {
      await page.setViewportSize({ width, height: 700 });
      const where = `${state}, ${width} px`;
      await expectNoViolations(page, where);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${where}: sticks out`).toBeLessThanOrEqual(0);
      expect(await smallTargets(page), `${where}: targets under 24 px`).toEqual([]);
    }
  };
  await check('idle');
  await widget.pick(done);
  await widget.waitState(done.name, 'done');
  net.behave({ kind: 'answer', status: 413, body: JSON.stringify({ code: 'too-large', message: 'No.', retryable: false }), times: 1 });
  await widget.pick(bad);
  await widget.waitState(bad.name, 'failed');
  net.behave({ kind: 'stall', after: MIB });
  await widget.pick(held);
  await expect.poll(async () => (await widget.read(held.name)).received).toBeGreaterThan(0);
  await check('done, refused and uploading');
  await widget.button('pause', held.name).click();
  await widget.waitState(held.name, 'paused');
  await check('paused');
  await widget.button('cancel', held.name).click();
  await widget.waitState(held.name, 'cancelled');
  await check('cancelled');
});

/** What speaks by itself. */
const LIVE = '[aria-live], [role=status], [role=alert], [role=log]';

/** What is heard of that job besides its milestones. */
const TRANSCRIPT = ['Uploading 1 file', '1 file stored', 'Uploading 1 file', '1 file stored, 1 not. refused.bin: Not in this drawer.'];

/**
 * Tabs to the file input, or to the button that stands for it, and opens the dialog with the space bar. It is waited for
 * before the way there: that reaches a busy page by another line than keys, which had been faster now and then.
 */
async function openByKey(page: Page, input: Locator) {
  const open = async () => {
    await tabTo(page, input);
    await page.keyboard.press('Space');
  };
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), open()]);
  return chooser;
}

async function pressOn(page: Page, target: Locator, key: 'Enter' | 'Space'): Promise<void> {
  await tabTo(page, target);
  await page.keyboard.press(key);
}

/** Moves the focus with Tab or Shift+Tab, as the target lies after or before it; the focus must show on arrival. */
async function tabTo(page: Page, target: Locator): Promise<void> {
  await expect(target).toHaveCount(1);
  for (let steps = 0; steps < 60; steps++) {
    const where = await target.evaluate((element) => {
      const now = document.activeElement;
      if (now === element) return 'here';
      return now && now !== document.body && now.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_PRECEDING ? 'before' : 'after';
    });
    if (where === 'here') {
      expect(await target.evaluate(showsFocus), `focus is visible on ${target}`).toBe(true);
      return;
    }
    await page.keyboard.press(where === 'before' ? 'Shift+Tab' : 'Tab');
  }
  throw new Error(`The keyboard does not reach ${target}`);
}

/** Whether an outline or a ring is drawn on the focused element or on what holds it. */
function showsFocus(element: Element): boolean {
  for (let at: Element | null = element, depth = 0; at && depth < 3; at = at.parentElement, depth++) {
    // The ring of a file input may be drawn on its button.
    for (const style of [getComputedStyle(at), getComputedStyle(at, '::file-selector-button')]) {
      if ((style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none') return true;
    }
  }
  return false;
}

/** Focus is on something; it may be moved on a frame after what had it went away. */
async function expectFocus(page: Page, when: string): Promise<void> {
  await expect.poll(() => page.evaluate(() => document.activeElement !== null && document.activeElement !== document.body), when).toBe(true);
}
