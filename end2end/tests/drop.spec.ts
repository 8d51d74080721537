// Drop and paste. A synthetic event carries files in both engines; a trusted drop, as the desktop delivers it, exists
// in Chromium only (CDP): WebDriver BiDi has no command for it, and a headless Firefox takes no real paste with files.

import type { Page } from '@playwright/test';
import { dropPaths } from '../fixtures/drop';
import { MIB } from '../fixtures/files';
import { expect, test } from '../fixtures/test';

test('a file is dropped on the zone', async ({ widget, page }) => {
  await widget.open();
  await drag(page, '[data-pl-drop]', ['dragenter', 'dragover']);
  await expect(widget.drop).toHaveAttribute('data-over', 'true');
  await drag(page, '[data-pl-drop]', ['drop']);
  await expect(widget.drop).not.toHaveAttribute('data-over', 'true');
  await widget.waitState('dropped.txt', 'done');
  await expect(widget.uploads).toHaveCount(1);
});

test('a drag that leaves again changes nothing', async ({ widget, net, page }) => {
  await widget.open();
  await drag(page, '[data-pl-drop]', ['dragenter', 'dragover']);
  await expect(widget.drop).toHaveAttribute('data-over', 'true');
  await drag(page, '[data-pl-drop]', ['dragleave']);
  await expect(widget.drop).not.toHaveAttribute('data-over', 'true');
  expect(await widget.rows()).toEqual([]);
  expect(net.uploads).toEqual([]);
});

test('a file is pasted anywhere on the page', async ({ widget, page }) => {
  await widget.open();
  await page.evaluate(() => {
    const data = new DataTransfer();
    data.items.add(new File(['pasted'], 'pasted.png', { type: 'image/png' }));
    const event = new ClipboardEvent('paste', { bubbles: true, cancelable: true });
    // Firefox ignores `clipboardData` in the constructor.
    Object.defineProperty(event, 'clipboardData', { value: data });
    document.body.dispatchEvent(event);
  });
  await widget.waitState('pasted.png', 'done');
  await expect(widget.uploads).toHaveCount(1);
});

test('a paste without files is left to the page', async ({ widget, page }) => {
  await widget.open();
  const untouched = await page.evaluate(() => {
    const data = new DataTransfer();
    data.setData('text/plain', 'words');
    const event = new ClipboardEvent('paste', { bubbles: true, cancelable: true });
    Object.defineProperty(event, 'clipboardData', { value: data });
    return document.body.dispatchEvent(event);
  });
  expect(untouched).toBe(true);
  expect(await widget.rows()).toEqual([]);
});

test.describe('as the desktop delivers it', () => {
  test.skip(({ browserName }) => browserName !== 'chromium', 'only CDP can make a trusted drop');

  test('a real drop of two files', async ({ widget, files, page }) => {
    const samples = [await files.sample('real-1.bin', MIB), await files.sample('real-2.bin', 30 * MIB)];
    await widget.open();
    await dropPaths(page, samples.map(({ path }) => path));
    for (const { name } of samples) await widget.waitState(name, 'done');
    await expect(widget.drop).not.toHaveAttribute('data-over', 'true');
    await expect(widget.uploads).toHaveCount(2);
  });

  test('a real paste of a picture', async ({ widget, page, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await widget.open();
    await page.evaluate(async () => {
      const canvas = document.createElement('canvas');
      const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'));
      if (blob) await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
    });
    await page.keyboard.press('Control+V');
    await widget.waitState('image.png', 'done');
  });
});

/** Untrusted drag events with one small file over the first match. */
function drag(page: Page, selector: string, types: string[]): Promise<void> {
  return page.evaluate(
    ({ selector, types }) => {
      const target = document.querySelector(selector);
      if (!target) throw new Error(`Nothing matches ${selector}`);
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(['dropped'], 'dropped.txt', { type: 'text/plain' }));
      for (const type of types) target.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true, composed: true }));
    },
    { selector, types },
  );
}
