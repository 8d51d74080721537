// The list as a person works with it: sorting, the same file twice, and leaving the page while something is sent.

import type { Page } from '@playwright/test';
import { MIB } from '../fixtures/files';
import { withOptions } from '../fixtures/options';
import { expect, test } from '../fixtures/test';

test('sorted by state: what failed comes first, what is stored last', async ({ widget, net, files, page, silence }) => {
  silence.allowFailedRequests();
  const samples = await files.many(9, 2000);
  const bad = await files.sample('zz-bad.bin', 3000);
  await widget.open();
  await widget.pick(...samples);
  await expect(widget.total).toHaveAttribute('data-done', '9');
  net.behave({ kind: 'answer', status: 413, body: JSON.stringify({ code: 'too-large', message: 'No.', retryable: false }), times: 1 });
  await widget.pick(bad);
  await widget.waitState(bad.name, 'failed');
  const names = () => page.locator('[data-pl-row]').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-name')));
  const added = [...samples.map(({ name }) => name), bad.name];
  expect(await names()).toEqual(added);
  const sort = widget.button('sort');
  await expect(sort).toHaveAttribute('aria-pressed', 'false');
  await sort.click();
  await expect(sort).toHaveAttribute('aria-pressed', 'true');
  await expect.poll(names).toEqual([bad.name, ...added.slice(0, -1)]);
  const places = () => page.locator('[data-pl-row]').evaluateAll((rows) => rows.map((row) => Number(row.getAttribute('aria-posinset'))));
  expect(await places()).toEqual(added.map((_, i) => i + 1));
  await sort.click();
  await expect.poll(names).toEqual(added);
});

test('the same file twice is said, and sent when it is wanted', async ({ widget, net, files }) => {
  const sample = await files.sample('twice.bin', 12 * MIB);
  await widget.open();
  net.behave({ kind: 'stall', after: MIB });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'sending');
  await widget.pick(sample);
  const second = widget.row(sample.name).nth(1);
  await expect(second).toHaveAttribute('data-error', 'duplicate');
  await expect(second.locator('[data-pl-reason]')).toHaveText(/already/);
  await expect.poll(() => net.passed).toBeGreaterThan(0);
  const sent = net.uploads.length;
  net.release();
  await expect(widget.row(sample.name).first()).toHaveAttribute('data-state', 'done');
  expect(net.uploads.length, 'the second was not sent').toBe(sent);
  await second.locator('[data-pl-action="retry"]').click();
  await expect(second).toHaveAttribute('data-state', 'done');
  await expect(widget.uploads).toHaveCount(2);
});

test('leaving the page is asked while something is sent, and only then', async ({ widget, net, files, page }) => {
  const sample = await files.sample('leave.bin', 12 * MIB);
  await widget.open();
  expect(await asks(page), 'at rest').toBe(false);
  net.behave({ kind: 'stall', after: MIB });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'sending');
  await expect.poll(() => asks(page), 'under way').toBe(true);
  net.release();
  await widget.waitState(sample.name, 'done');
  await expect.poll(() => asks(page), 'stored').toBe(false);
});

test('where the page wants no question none is asked', async ({ widget, net, files, page }) => {
  await withOptions(page, { guard: false });
  const sample = await files.sample('unguarded.bin', 12 * MIB);
  await widget.open();
  net.behave({ kind: 'stall', after: MIB });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'sending');
  expect(await asks(page)).toBe(false);
  net.release();
  await widget.waitState(sample.name, 'done');
});

test('a file is dropped anywhere on the page', async ({ widget, page }) => {
  await widget.open();
  const drag = (type: string) =>
    page.evaluate((type) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(['dropped'], 'beside.txt', { type: 'text/plain' }));
      // Into something, as long as it is over the page.
      document.querySelector('h1')!.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true, relatedTarget: type === 'dragleave' ? null : document.body }));
    }, type);
  await drag('dragover');
  await expect(widget.drop).toHaveAttribute('data-page-over', '');
  await drag('dragleave');
  await expect(widget.drop).not.toHaveAttribute('data-page-over', '');
  await drag('dragover');
  await drag('drop');
  await expect(widget.drop).not.toHaveAttribute('data-page-over', '');
  await widget.waitState('beside.txt', 'done');
  await expect(widget.uploads).toHaveCount(1);
});

test('nothing needs a frame: with the page out of sight, files are sent and the list is right', async ({ widget, page }) => {
  // As a browser does with a page in the background: no frames, no observers of layout.
  await page.addInitScript(() => {
    window.requestAnimationFrame = () => 0;
    window.ResizeObserver = class {
      observe() {}
      unobserve() {}
      disconnect() {}
    };
    Object.defineProperty(document, 'hidden', { get: () => true });
    Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' });
  });
  await widget.open();
  await page.evaluate(() => {
    const input = document.querySelector<HTMLInputElement>('[data-pl-input]')!;
    const data = new DataTransfer();
    for (let i = 0; i < 60; i++) data.items.add(new File([`file ${i}`], `hidden-${i}.txt`));
    input.files = data.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  });
  await expect.poll(() => page.evaluate(() => document.querySelector('[data-pl-total]')?.getAttribute('data-done')), { timeout: 40_000 }).toBe('60');
  expect((await widget.rows()).length).toBeGreaterThan(5);
  await expect.poll(async () => (await widget.rows()).filter(({ state }) => state !== 'done')).toEqual([]);
});

/** Of so many they are drawn less often than anything happens. */
test('the words and the bar over very many files come up with them, also when nothing follows, and to the end', async ({ widget, net, files, page }) => {
  const samples = await files.many(100, 50);
  await widget.open();
  await widget.pick(...samples);
  await expect.poll(async () => Number(await widget.total.getAttribute('data-done'))).toBeGreaterThan(5);
  net.behave({ kind: 'stall', after: 0 });
  const told = () =>
    page.evaluate(() => {
      const total = document.querySelector<HTMLElement>('[data-pl-total]')!;
      const [bar, part] = [total.querySelector('[role=progressbar]')!, total.querySelector('.pl-bar-received')!];
      const { done, percent, active } = total.dataset;
      return { done, percent, active: Number(active), words: total.querySelector('.pl-sum')!.textContent, spoken: bar.ariaValueText, now: bar.ariaValueNow, width: part.getAttribute('width') };
    });
  await expect(async () => {
    const { done, percent, active, words, ...bar } = await told();
    expect(net.uploads.filter(({ status }) => status === undefined), 'all that may be sent at once stand still').toHaveLength(3);
    expect(words?.startsWith(`${String(done)} of 100 files stored`), words ?? '').toBe(true);
    expect(bar).toEqual({ spoken: words, now: percent, width: `${String(percent)}%` });
    expect(active, 'very many').toBeGreaterThan(30);
  }).toPass({ timeout: 15_000 });
  net.release();
  await expect(widget.total).toHaveAttribute('data-done', '100', { timeout: 30_000 });
  await expect.poll(told).toEqual({ done: '100', percent: '100', active: 0, words: '100 files stored', spoken: '100 files stored', now: '100', width: '100%' });
});

test('what was taken off can be brought back: one row, or all that were cleared', async ({ widget, net, files, page }) => {
  const [good, other, bad] = [await files.sample('kept.bin', 2000), await files.sample('other.bin', 3000), await files.sample('bad.bin', 12 * MIB)];
  const undo = widget.button('undo');
  const names = () => page.locator('[data-pl-row]').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-name')));
  await widget.open();
  await expect(undo).toBeHidden();
  await widget.pick(good);
  await widget.waitState(good.name, 'done');
  net.behave({ kind: 'stall', after: MIB });
  await widget.pick(bad);
  await expect.poll(async () => (await widget.read(bad.name)).sent).toBeGreaterThan(0);
  await widget.button('cancel', bad.name).click();
  await widget.waitState(bad.name, 'cancelled');
  net.release();
  await widget.pick(other);
  await widget.waitState(other.name, 'done');
  await widget.listen();

  await widget.button('remove', bad.name).click();
  await expect(widget.row(bad.name)).toHaveCount(0);
  await undo.click();
  await expect(undo).toBeHidden();
  await expect.poll(names).toEqual([good.name, bad.name, other.name]);
  expect((await widget.read(bad.name)).state).toBe('cancelled');
  await expect(widget.row(bad.name).locator('button').first(), 'the focus is with what came back').toBeFocused();

  await widget.button('clear').click();
  await expect(page.locator('[data-pl-row]')).toHaveCount(0);
  await expect(undo, 'also of an empty list').toBeVisible();
  await expect(undo, 'and the focus is there, where nothing else is left').toBeFocused();
  const heard = async () => (await widget.announced()).filter((text) => /undone/.test(text)).length;
  await expect.poll(heard).toBe(2);
  await page.keyboard.press('Enter');
  await expect.poll(names).toEqual([good.name, bad.name, other.name]);
  expect(await heard(), 'said once for each').toBe(2);

  // The file was not forgotten.
  await widget.button('retry', bad.name).click();
  await widget.waitState(bad.name, 'done');
  await expect(widget.uploads).toHaveCount(3);
});

test('an undo goes by itself, but not from under the focus', async ({ widget, files, page }) => {
  const [one, two] = [await files.sample('one.bin', 2000), await files.sample('two.bin', 2000)];
  const undo = widget.button('undo');
  await widget.open();
  await widget.pick(one, two);
  await expect(widget.total).toHaveAttribute('data-done', '2');
  await widget.button('remove', one.name).click();
  await undo.focus();
  // Absence can only be watched for a while: longer than the ten seconds of the design.
  await page.waitForTimeout(11_000);
  await expect(undo).toBeFocused();
  await undo.evaluate((button) => (button as HTMLElement).blur());
  await expect(undo).toBeHidden({ timeout: 30_000 });
  await expect(widget.row(two.name)).toHaveCount(1);
  await widget.button('remove', two.name).click();
  await undo.click();
  await expect.poll(async () => (await widget.rows()).map(({ name }) => name), 'the last removal only').toEqual([two.name]);
});

/** Whether the page would have the browser ask a person who leaves it. */
function asks(page: Page): Promise<boolean> {
  return page.evaluate(() => !window.dispatchEvent(new Event('beforeunload', { cancelable: true })));
}
