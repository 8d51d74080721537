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

test('a click anywhere in the zone opens the dialog', async ({ widget, files, page }) => {
  const samples = [await files.sample('corner.txt', 10), await files.sample('edge.txt', 11)];
  for (const [i, sample] of samples.entries()) {
    // To Firefox a dialog that a driver has answered stays open.
    await widget.open();
    const { width, height } = (await widget.drop.boundingBox())!;
    const choosing = page.waitForEvent('filechooser');
    await widget.drop.click({ position: i === 0 ? { x: 8, y: 8 } : { x: width - 8, y: height - 8 } });
    await (await choosing).setFiles(sample.path);
    await widget.waitState(sample.name, 'done');
  }
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

test('a drag over what is inside the zone changes nothing either: no flicker', async ({ widget, page }) => {
  await widget.open();
  await drag(page, '[data-pl-drop]', ['dragenter', 'dragover']);
  await expect(widget.drop).toHaveAttribute('data-over', 'true');
  const changes = await page.evaluate(async () => {
    const zone = document.querySelector('[data-pl-drop]')!;
    let changes = 0;
    new MutationObserver((told) => (changes += told.length)).observe(zone, { attributes: true, attributeFilter: ['data-over'] });
    const inside = [zone, ...zone.querySelectorAll('*')];
    const data = new DataTransfer();
    data.items.add(new File(['dragged'], 'dragged.txt'));
    // As browsers tell of it: the next element is entered before the last is left. One goes away on the way, so that who
    // counts has counted wrong.
    for (const [i, next] of inside.entries()) {
      const last = inside.at(i - 1)!;
      const tell = (type: string, target: Element, relatedTarget: Element) => target.dispatchEvent(new DragEvent(type, { dataTransfer: data, relatedTarget, bubbles: true, cancelable: true, composed: true }));
      tell('dragenter', next, last);
      tell('dragleave', last, next);
      tell('dragover', next, last);
      await new Promise((later) => setTimeout(later));
    }
    const gone = zone.appendChild(document.createElement('i'));
    gone.dispatchEvent(new DragEvent('dragenter', { dataTransfer: data, bubbles: true, composed: true }));
    gone.remove();
    await new Promise((later) => setTimeout(later));
    return changes;
  });
  expect(changes).toBe(0);
  await drag(page, '[data-pl-drop]', ['dragleave']);
  await expect(widget.drop).not.toHaveAttribute('data-over', 'true');
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

test('what is disabled takes nothing, dropped or pasted; of two tags the one has it that wants it from anywhere', async ({ page, net, silence }) => {
  silence.listen(page);
  await page.goto(`${net.url}/plain.html`);
  await page.evaluate(() => {
    const tags = ['first', 'second'].map((id) => Object.assign(document.createElement('plimsoll-upload'), { id }));
    tags[1]!.dropAnywhere = true;
    document.querySelector('plimsoll-upload')?.replaceWith(...tags);
  });
  const [first, second] = [page.locator('#first'), page.locator('#second')];
  for (const tag of [first, second]) await expect(tag.locator('form')).toHaveAttribute('data-hydrated', 'true');
  /** Whether each was accepted, and what it would do: dropped on a tag's zone, or beside, and pasted. */
  const bring = (name: string, where: string) =>
    page.evaluate(
      ([name, where]) => {
        const target = document.querySelector(where)!.shadowRoot?.querySelector('[data-pl-drop]') ?? document.querySelector(where)!;
        const data = new DataTransfer();
        data.items.add(new File(['brought'], name, { type: 'text/plain' }));
        const init = { dataTransfer: data, bubbles: true, cancelable: true, composed: true };
        data.dropEffect = 'copy';
        const over = new DragEvent('dragover', init);
        target.dispatchEvent(over);
        const effect = data.dropEffect;
        const drop = new DragEvent('drop', init);
        target.dispatchEvent(drop);
        const paste = new ClipboardEvent('paste', { bubbles: true, cancelable: true });
        Object.defineProperty(paste, 'clipboardData', { value: data });
        const left = name.startsWith('paste') ? document.body.dispatchEvent(paste) : undefined;
        return { kept: over.defaultPrevented && drop.defaultPrevented, effect, left };
      },
      [name, where] as const,
    );
  const listed = () => page.evaluate(() => [...document.querySelectorAll('plimsoll-upload')].map((tag) => tag.files.map(({ name }) => name)));

  expect(await bring('beside.txt', 'body')).toMatchObject({ kept: true });
  await expect.poll(listed, 'the first is no wall').toEqual([[], ['beside.txt']]);
  await page.evaluate(() => document.querySelectorAll('plimsoll-upload').forEach((tag) => (tag.disabled = true)));
  await expect(second.locator('[data-pl-input]')).toBeDisabled();
  for (const where of ['#first', '#second', 'body']) {
    // The page is not replaced by the file all the same.
    expect((await bring('refused.txt', where)).kept, where).toBe(true);
    for (const tag of [first, second]) await expect(tag.locator('[data-pl-drop]:is([data-over], [data-page-over])')).toHaveCount(0);
  }
  expect((await bring('paste.txt', 'body')).left, 'and the paste is the page’s').toBe(true);
  await page.evaluate(() => document.querySelectorAll('plimsoll-upload').forEach((tag) => (tag.disabled = false)));
  await expect(first.locator('[data-pl-input]')).toBeEnabled();
  await bring('last.txt', '#first');
  await expect.poll(listed, 'what came in between is nowhere').toEqual([['last.txt'], ['beside.txt']]);
});

/** Where something is pasted or dropped, what lies beside the file on the clipboard, and whether the tag takes the file. */
const PLACES_OF_THE_PAGE = [
  { where: 'p', text: '', pasted: true, dropped: true },
  { where: 'p', text: 'words', pasted: true, dropped: true },
  { where: 'textarea', text: 'words', pasted: false, dropped: true },
  { where: 'textarea', text: '', pasted: true, dropped: true },
  { where: 'input[type=text]', text: 'words', pasted: false, dropped: true },
  { where: '[contenteditable] b', text: '', pasted: false, dropped: false },
  { where: 'input[type=file]', text: '', pasted: true, dropped: false },
];

test('what is pasted or dropped into a field of the page is the field’s, also where files may be dropped anywhere', async ({ page, net, silence }) => {
  silence.listen(page);
  await page.goto(`${net.url}/plain.html`);
  await page.evaluate(() => {
    const tag = Object.assign(document.createElement('plimsoll-upload'), { dropAnywhere: true });
    document.querySelector('plimsoll-upload')?.replaceWith(tag);
    document.body.insertAdjacentHTML('beforeend', '<p>Words</p><textarea></textarea><input type="text"><div contenteditable><b>Edited</b></div><input type="file">');
  });
  await expect(page.locator('plimsoll-upload form')).toHaveAttribute('data-hydrated', 'true');
  for (const { where, text, pasted, dropped } of PLACES_OF_THE_PAGE) {
    for (const [how, expected] of [['paste', pasted], ['drop', dropped]] as const) {
      const taken = await page.evaluate(
        ({ where, text, how }) => {
          const data = new DataTransfer();
          if (text) data.setData('text/plain', text);
          data.items.add(new File(['brought'], 'brought.png', { type: 'image/png' }));
          const init = { bubbles: true, cancelable: true, composed: true };
          const event = how === 'drop' ? new DragEvent('drop', { ...init, dataTransfer: data }) : new ClipboardEvent('paste', init);
          // Firefox ignores `clipboardData` in the constructor.
          if (how === 'paste') Object.defineProperty(event, 'clipboardData', { value: data });
          document.querySelector(`body > ${where}`)!.dispatchEvent(event);
          return { prevented: event.defaultPrevented };
        },
        { where, text, how },
      );
      const files = () => page.evaluate(() => document.querySelector('plimsoll-upload')!.files.length);
      // What is not taken by the tag must not replace the page either; a file input is the only one to take it by itself.
      const keeps = how === 'drop' && where !== 'input[type=file]';
      expect(taken.prevented, `${how} on ${where} with "${text}"`).toBe(expected || keeps);
      await expect.poll(files, `${how} on ${where} with "${text}"`).toBe(expected ? 1 : 0);
      await page.evaluate(() => {
        const tag = document.querySelector('plimsoll-upload')!;
        tag.cancel();
        tag.clear();
      });
      await expect.poll(files).toBe(0);
    }
  }
});

/** How a browser tells where things lie that were dropped together. */
const PLACES = {
  'each in a place of its own': { shared: false, list: 'nothing' },
  'all in one place': { shared: true, list: 'everything' },
  'all in one place, which tells of nothing': { shared: true, list: 'nothing' },
  'all in one place, which tells of some': { shared: true, list: 'some' },
  'all in one place, which cannot be looked through': { shared: true, list: 'an error' },
  'nowhere': { shared: true, list: 'no entries' },
} as const;

for (const [where, { shared, list }] of Object.entries(PLACES)) {
  test(`very many are dropped, folders and words among them: ${where}`, async ({ page, net, silence }) => {
    test.setTimeout(120_000);
    silence.listen(page);
    await page.goto(`${net.url}/plain.html`);
    await expect(page.locator('plimsoll-upload form[data-plimsoll]')).toHaveAttribute('data-hydrated', 'true');
    await page.evaluate(
      ({ shared, list }) => {
        const data = new DataTransfer();
        data.setData('text/plain', 'words');
        const names = Array.from({ length: 50 }, (_, i) => `${(i * 7) % 50}`);
        const folders = list === 'no entries' ? [] : ['7', '49'];
        for (const name of names) data.items.add(new File([name], name));
        const read = (told: object[], fails = false) => () => {
          // In portions, as browsers do.
          const rest = [...told];
          return { readEntries: (done: (found: object[]) => void, failed: () => void) => setTimeout(() => (fails ? failed() : done(rest.splice(0, 20)))) };
        };
        const place = () => ({ root: {} as object });
        const one = place();
        const entry = (name: string) => {
          const filesystem = shared ? one : place();
          const isDirectory = folders.includes(name);
          const inside = { name: 'in', fullPath: `/${name}/in`, isFile: true, isDirectory: false, file: (done: (file: File) => void) => done(new File(['inside'], 'in')) };
          return { name, fullPath: `/${name}`, isFile: !isDirectory, isDirectory, filesystem, createReader: read([inside]) };
        };
        const entries = new Map(names.map((name) => [name, entry(name)]));
        // Backwards: the order is that of the drop, and not the place’s.
        const told = { everything: [...entries.values()].reverse(), some: [...entries.values()].filter(({ isFile }) => isFile), nothing: [], 'an error': [], 'no entries': [] }[list];
        one.root = {
          createReader: read(told, list === 'an error'),
          getDirectory: (name: string, _: object, done: (found: object) => void, failed: () => void) => setTimeout(() => (entries.get(name)?.isDirectory ? done(entries.get(name)!) : failed())),
        };
        DataTransferItem.prototype.webkitGetAsEntry = function (this: DataTransferItem) {
          const file = this.getAsFile();
          return ((file && list !== 'no entries' && entries.get(file.name)) || null) as FileSystemEntry | null;
        };
        const zone = document.querySelector('plimsoll-upload')!.shadowRoot!.querySelector('[data-pl-drop]')!;
        zone.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true, composed: true }));
      },
      { shared, list },
    );
    const names = Array.from({ length: 50 }, (_, i) => `${(i * 7) % 50}`);
    const expected = list === 'no entries' ? names : [...names.filter((name) => name !== '7' && name !== '49'), '7/in', '49/in'];
    const listed = () => page.evaluate(() => document.querySelector('plimsoll-upload')!.files.map(({ name, path }) => path || name));
    await expect.poll(listed, { timeout: 45_000 }).toEqual(expected);
    const states = () => page.evaluate(() => [...new Set(document.querySelector('plimsoll-upload')!.files.map(({ state }) => state))]);
    await expect.poll(states, { message: 'nothing that stands for a folder is sent', timeout: 45_000 }).toEqual(['done']);
  });
}

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

  test('a real drop on a file input of the page', async ({ page, net, files, silence }) => {
    silence.listen(page);
    const sample = await files.sample('theirs.bin', 1000);
    await page.goto(`${net.url}/plain.html`);
    await page.evaluate(() => {
      const tag = Object.assign(document.createElement('plimsoll-upload'), { dropAnywhere: true });
      document.querySelector('plimsoll-upload')?.replaceWith(tag);
      document.body.insertAdjacentHTML('beforeend', '<input type="file" id="theirs">');
    });
    await expect(page.locator('plimsoll-upload form[data-plimsoll]')).toHaveAttribute('data-hydrated', 'true');
    await dropPaths(page, [sample.path], '#theirs');
    await expect.poll(() => page.locator('#theirs').evaluate((input: HTMLInputElement) => [...(input.files ?? [])].map(({ name }) => name))).toEqual(['theirs.bin']);
    expect(await page.evaluate(() => document.querySelector('plimsoll-upload')!.files)).toEqual([]);
    await dropPaths(page, [sample.path], 'h1');
    await expect.poll(() => page.evaluate(() => document.querySelector('plimsoll-upload')!.files.map(({ state }) => state))).toEqual(['done']);
  });

  test('a real drop in what is edited, by an editor that listens to drops alone', async ({ page, net, files, silence }) => {
    silence.listen(page);
    const sample = await files.sample('edited.bin', 1000);
    await page.goto(`${net.url}/plain.html`);
    await expect(page.locator('plimsoll-upload form[data-plimsoll]')).toHaveAttribute('data-hydrated', 'true');
    await page.evaluate(() => {
      document.body.insertAdjacentHTML('beforeend', '<div contenteditable id="edited">Edited</div>');
      document.querySelector('#edited')!.addEventListener('drop', (event) => {
        event.preventDefault();
        (event.target as Element).textContent = (event as DragEvent).dataTransfer!.files[0]!.name;
      });
    });
    await dropPaths(page, [sample.path], '#edited');
    await expect(page.locator('#edited')).toHaveText('edited.bin');
    expect(await page.evaluate(() => document.querySelector('plimsoll-upload')!.files)).toEqual([]);
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
