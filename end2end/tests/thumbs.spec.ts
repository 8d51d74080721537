// Small pictures in the rows: what gets one, when, how large, and that nothing of them stays.

import type { Locator, Page } from '@playwright/test';
import { expectNoViolations } from '../fixtures/axe';
import { withOptions } from '../fixtures/options';
import { Widget } from '../fixtures/page';
import { film, lateFilm, png, upright, vast } from '../fixtures/pictures';
import { expect, test } from '../fixtures/test';

declare global {
  interface Window {
    plPictures: Pictures;
  }
}

/** What the page did about pictures. */
interface Pictures {
  /** Addresses of objects that have not been taken back. */
  urls: string[];
  /** Addresses made at all. */
  made: number;
  /** In the order they happened: a request with a body was sent, or work on a picture began. */
  order: ('sent' | 'drawn')[];
  /** What the line over all files said of files that are about to be sent, each time work on a picture began. */
  starting: (string | undefined)[];
  /** Bytes of the largest picture. */
  largest: number;
  /** Most images and videos in work at one time. */
  most: number;
  /** Most videos of these. */
  mostVideos: number;
}

// What the tab shows has addresses of its own.
test.beforeEach(async ({ page }) => {
  await page.addInitScript(installCounts);
  await withOptions(page, { title: false });
});

test('an image has a small picture in its row, once its sending has begun', async ({ widget, page }) => {
  await widget.open();
  await widget.input.setInputFiles(png('wide.png', 1200, 500));
  const picture = icon(widget.row('wide.png'), 'image').locator('img');
  await expect(picture).toHaveAttribute('alt', '');
  expect(await size(picture)).toEqual({ width: 96, height: 96 });
  const { order, starting, largest } = await pictures(page);
  expect(largest, 'no more than its pixels').toBeLessThan(96 * 96 * 4);
  expect(order[0]).toBe('sent');
  expect(order).toContain('drawn');
  expect(new Set(starting)).toEqual(new Set(['0']));
  await widget.waitState('wide.png', 'done');
  await expect(picture, 'it stays with its row').toHaveCount(1);
});

test('no picture is begun while an upload is being created', async ({ widget, net, page }) => {
  await withOptions(page, { protocol: 'resumable' });
  await widget.open();
  await widget.input.setInputFiles([png('one.png', 300, 300, 1), png('two.png', 300, 300, 2), png('three.png', 300, 300, 3)]);
  await expect(page.locator('[data-pl-icon] img')).toHaveCount(3);
  const { order, starting } = await pictures(page);
  expect(order[0]).toBe('sent');
  expect(starting.length).toBeGreaterThanOrEqual(3);
  expect(new Set(starting)).toEqual(new Set(['0']));
  expect(net.uploads.length).toBeGreaterThanOrEqual(3);
});

test('what is very long, and what is smaller than its picture', async ({ widget }) => {
  await widget.open();
  await widget.input.setInputFiles([png('long.png', 2, 4000), png('tiny.png', 16, 12)]);
  const long = await size(icon(widget.row('long.png'), 'image').locator('img'));
  expect(long).toEqual({ width: 1, height: 96 });
  expect(await size(icon(widget.row('tiny.png'), 'image').locator('img'))).toEqual({ width: 16, height: 12 });
});

test('a photograph stands upright in its picture', async ({ widget, page }) => {
  await widget.open();
  await widget.input.setInputFiles([await upright(page, 'upright.jpg')]);
  const picture = icon(widget.row('upright.jpg'), 'image').locator('img');
  expect(await size(picture)).toEqual({ width: 96, height: 96 });
  const [red, , blue] = await colour(picture, 48, 20);
  expect(red, 'red above').toBeGreaterThan(200);
  expect(blue).toBeLessThan(60);
  const [below, , blueBelow] = await colour(picture, 48, 76);
  expect(blueBelow, 'blue below').toBeGreaterThan(200);
  expect(below).toBeLessThan(60);
});

test('of many pixels there is a picture, of more than memory is worth there is none', async ({ widget, page }) => {
  await widget.open();
  await widget.input.setInputFiles([vast('vast.png', 12_000, 9_000), vast('large.png', 9_000, 6_000), vast('larger.png', 9_000, 6_000)]);
  await expect(icon(widget.row('large.png'), 'image').locator('img')).toHaveCount(1);
  await expect(icon(widget.row('larger.png'), 'image').locator('img')).toHaveCount(1);
  expect(await size(icon(widget.row('large.png'), 'image').locator('img'))).toEqual({ width: 96, height: 96 });
  await expect.poll(async () => (await pictures(page)).urls.length, 'all work is over').toBe(2);
  await expect(icon(widget.row('vast.png'), 'image').locator('img')).toHaveCount(0);
});

test('a video has a picture; videos are opened one by one, and let go of', async ({ widget, page }) => {
  await widget.open();
  const green = await film(page, 'one.webm');
  await widget.input.setInputFiles([
    green,
    { ...green, name: 'two.webm', buffer: Buffer.concat([green.buffer, Buffer.from('2')]) },
    { name: 'cut.webm', mimeType: 'video/webm', buffer: green.buffer.subarray(0, 250) },
    { name: 'no.mp4', mimeType: 'video/mp4', buffer: Buffer.from('nothing to see') },
    png('last.png', 300, 200),
  ]);
  await expect(widget.total).toHaveAttribute('data-done', '5');
  for (const name of ['one.webm', 'two.webm']) {
    const picture = icon(widget.row(name), 'video').locator('img');
    expect(await size(picture)).toEqual({ width: 96, height: 96 });
    const [red, greenness] = await colour(picture, 48, 48);
    expect(greenness, 'its first frame is green').toBeGreaterThan(120);
    expect(red).toBeLessThan(60);
  }
  await expect(icon(widget.row('last.png'), 'image').locator('img')).toHaveCount(1);
  await expect.poll(async () => (await pictures(page)).urls.length, 'all work is over').toBe(3);
  await expect(widget.row('cut.webm').locator('img')).toHaveCount(0);
  await expect(widget.row('no.mp4').locator('img')).toHaveCount(0);
  const { mostVideos, starting } = await pictures(page);
  expect(mostVideos).toBe(1);
  expect(new Set(starting)).toEqual(new Set(['0']));
  await widget.button('clear').click();
  await expect.poll(async () => (await pictures(page)).urls).toEqual([]);
});

test('of a video that begins in the dark the picture shows what comes a little later', async ({ widget, page }) => {
  await widget.open();
  const late = await lateFilm(page, 'late.webm');
  await widget.input.setInputFiles(late);
  const picture = icon(widget.row('late.webm'), 'video').locator('img');
  await expect.poll(async () => (await colour(picture, 48, 48))[1], 'a tenth into it').toBeGreaterThan(120);
  expect(await size(picture)).toEqual({ width: 96, height: 96 });
  await expect.poll(async () => (await pictures(page)).urls.length, 'the first is taken back').toBe(1);
});

test('a browser that forgets what was sought before there was a frame is asked again', async ({ widget, page }) => {
  await page.addInitScript(() => {
    const own = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'currentTime')!;
    // As Firefox does now and then, in the first video that it opens.
    Object.defineProperty(HTMLMediaElement.prototype, 'currentTime', {
      ...own,
      set(this: HTMLMediaElement, time: number) {
        if (this.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) own.set!.call(this, time);
      },
    });
  });
  await widget.open();
  await widget.input.setInputFiles(await film(page, 'first.webm'));
  const picture = icon(widget.row('first.webm'), 'video').locator('img');
  expect((await colour(picture, 48, 48))[1], 'green').toBeGreaterThan(120);
});

test('where the later place of a video is never found its first picture stays, and the next video has its turn', async ({ widget, page }) => {
  await page.addInitScript(() => {
    const own = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'currentTime')!;
    // As where a video has no list of its places.
    Object.defineProperty(HTMLMediaElement.prototype, 'currentTime', {
      ...own,
      set(this: HTMLMediaElement, time: number) {
        if (time === 0) own.set!.call(this, time);
      },
    });
  });
  await widget.open();
  const late = await lateFilm(page, 'late.webm');
  await widget.input.setInputFiles([late, { ...late, name: 'next.webm', buffer: Buffer.concat([late.buffer, Buffer.from('2')]) }]);
  for (const name of ['late.webm', 'next.webm']) {
    const picture = icon(widget.row(name), 'video').locator('img');
    expect(await size(picture)).toEqual({ width: 96, height: 96 });
    expect((await colour(picture, 48, 48))[1], 'black').toBeLessThan(60);
  }
  await expect.poll(async () => (await pictures(page)).urls.length, 'all work is over').toBe(2);
  expect((await pictures(page)).mostVideos).toBe(1);
});

test('what is brought back has its picture again', async ({ widget, page }) => {
  await widget.open();
  await widget.input.setInputFiles([png('one.png', 300, 200, 1), png('two.png', 300, 200, 2)]);
  await expect(widget.total).toHaveAttribute('data-done', '2');
  await expect(page.locator('[data-pl-icon] img')).toHaveCount(2);
  await widget.button('remove', 'one.png').click();
  await expect(page.locator('[data-pl-icon] img')).toHaveCount(1);
  await widget.button('undo').click();
  await expect(icon(widget.row('one.png'), 'image').locator('img')).toHaveCount(1);
  await expect.poll(async () => (await pictures(page)).urls.length).toBe(2);
});

test('a drawing has a picture; a broken image and other sorts keep their icons', async ({ widget, page }) => {
  await widget.open();
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100"><circle cx="100" cy="50" r="40" fill="teal"/></svg>';
  await widget.input.setInputFiles([
    { name: 'drawing.svg', mimeType: 'image/svg+xml', buffer: Buffer.from(svg) },
    { name: 'broken.png', mimeType: 'image/png', buffer: png('', 300, 300).buffer.subarray(0, 30) },
    { name: 'words.txt', mimeType: 'text/plain', buffer: Buffer.from('words') },
    { name: 'pages.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-') },
    { name: 'many.zip', mimeType: 'application/zip', buffer: Buffer.from('PK') },
    { name: 'song.mp3', mimeType: 'audio/mpeg', buffer: Buffer.from('ID3') },
    { name: 'film.mp4', mimeType: 'video/mp4', buffer: Buffer.from('ftyp') },
    { name: 'thing.xyz', mimeType: 'application/octet-stream', buffer: Buffer.from('?') },
    png('last.png', 300, 200),
  ]);
  await expect(widget.total).toHaveAttribute('data-done', '9');
  // The last of all shows that the broken one stops nothing.
  await expect(icon(widget.row('last.png'), 'image').locator('img')).toHaveCount(1);
  await expect(icon(widget.row('drawing.svg'), 'image').locator('img')).toHaveCount(1);
  // All work is over: only the addresses of what is shown are left.
  await expect.poll(async () => (await pictures(page)).urls.length).toBe(2);
  await expect(icon(widget.row('broken.png'), 'image').locator('img')).toHaveCount(0);
  const shapes = new Set<string>();
  for (const [name, sort] of [['broken.png', 'image'], ['words.txt', 'text'], ['pages.pdf', 'application/pdf'], ['many.zip', 'application/zip'], ['song.mp3', 'audio'], ['film.mp4', 'video'], ['thing.xyz', 'application/octet-stream']] as const) {
    const shape = await icon(widget.row(name), sort).evaluate((icon) => {
      const { clipPath, content } = getComputedStyle(icon, '::before');
      return content === '""' ? clipPath : 'none';
    });
    expect(shape, name).toMatch(/^path/);
    shapes.add(shape);
  }
  expect(shapes.size, 'each sort has a shape of its own').toBe(7);
  await expectNoViolations(page, 'pictures and icons');
});

test('few at a time; all is taken back when rows are removed and cleared', async ({ widget, page }) => {
  await widget.open();
  await widget.input.setInputFiles(Array.from({ length: 12 }, (_, i) => png(`p-${i}.png`, 400, 300, i)));
  await expect(widget.total).toHaveAttribute('data-done', '12');
  await expect(page.locator('[data-pl-icon] img')).toHaveCount(12);
  await expect.poll(async () => (await pictures(page)).urls.length).toBe(12);
  expect((await pictures(page)).most).toBe(2);
  await widget.button('remove', 'p-0.png').click();
  await expect.poll(async () => (await pictures(page)).urls.length).toBe(11);
  await widget.button('clear').click();
  await expect.poll(async () => (await pictures(page)).urls).toEqual([]);
});

test('rows that are moved keep their pictures', async ({ widget, page }) => {
  await widget.open();
  await widget.input.setInputFiles(Array.from({ length: 9 }, (_, i) => png(`p-${i}.png`, 100, 100, i)));
  await expect(widget.total).toHaveAttribute('data-done', '9');
  await expect(page.locator('[data-pl-icon] img')).toHaveCount(9);
  const { made } = await pictures(page);
  await widget.input.setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('no') });
  await expect(widget.total).toHaveAttribute('data-done', '10');
  // One for the attempt at what is no image.
  await expect.poll(async () => (await pictures(page)).made).toBe(made + 1);
  await widget.button('sort').click();
  await expect(page.locator('[data-pl-icon] img')).toHaveCount(9);
  await expect.poll(async () => (await pictures(page)).urls.length).toBe(9);
  expect((await pictures(page)).made, 'and none is made anew').toBe(made + 1);
});

test('nothing is drawn where pictures are not wanted', async ({ widget, page }) => {
  await withOptions(page, { thumbnails: false });
  await widget.open();
  await widget.input.setInputFiles([png('plain.png', 300, 300)]);
  await widget.waitState('plain.png', 'done');
  await expect(icon(widget.row('plain.png'), 'image')).toHaveCount(1);
  // The page has nothing else to do: it would be begun now.
  await page.evaluate(() => new Promise((resolve) => requestIdleCallback(resolve)));
  expect(await pictures(page)).toMatchObject({ made: 0, most: 0 });
});

test('a page whose policy refuses such pictures hears of it once or twice, not for each image', async ({ server, page }) => {
  await page.route(`${server.url}/`, async (route) => {
    const answer = await route.fetch();
    const policy = answer.headers()['content-security-policy']?.replace("img-src 'self' blob:;", '');
    await route.fulfill({ response: answer, headers: { ...answer.headers(), 'content-security-policy': policy ?? '' } });
  });
  const widget = new Widget(page, server.url);
  await widget.open();
  await widget.input.setInputFiles(Array.from({ length: 12 }, (_, i) => png(`p-${i}.png`, 100, 100, i)));
  await expect(widget.total).toHaveAttribute('data-done', '12');
  await expect.poll(async () => (await pictures(page)).made).toBeGreaterThan(0);
  await expect.poll(async () => (await pictures(page)).urls).toEqual([]);
  await page.evaluate(() => new Promise((resolve) => requestIdleCallback(resolve)));
  expect((await pictures(page)).made).toBeLessThanOrEqual(4);
  await expect(page.locator('[data-pl-icon]:empty')).toHaveCount(12);
});

/** The icon of a row, for a file of this media type, or of a type that begins so. */
function icon(row: Locator, type: string): Locator {
  return row.locator(`[data-pl-icon^="${type}"][aria-hidden="true"]`);
}

/** Of a picture, once it is there. */
async function size(picture: Locator): Promise<{ width: number; height: number }> {
  return picture.evaluate(({ naturalWidth, naturalHeight }: HTMLImageElement) => ({ width: naturalWidth, height: naturalHeight }));
}

/** Red, green and blue of a picture, so many pixels from its left and its top. */
async function colour(picture: Locator, x: number, y: number): Promise<[number, number, number]> {
  return picture.evaluate(
    (image: HTMLImageElement, [x, y]) => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext('2d');
      if (!context) throw new Error('There is no canvas');
      context.drawImage(image, 0, 0);
      const [red = 0, green = 0, blue = 0] = context.getImageData(x, y, 1, 1).data;
      return [red, green, blue] as [number, number, number];
    },
    [x, y] as const,
  );
}

function pictures(page: Page): Promise<Pictures> {
  return page.evaluate(() => window.plPictures);
}

// Runs in the page, before its scripts: it may use nothing but the page's own objects.
function installCounts(): void {
  const seen: Pictures = { urls: [], made: 0, order: [], starting: [], largest: 0, most: 0, mostVideos: 0 };
  window.plPictures = seen;
  const { createObjectURL, revokeObjectURL } = URL;
  // The address of a file is made when work on its picture begins, and taken back when that ends.
  const atWork = new Map<string, string>();
  URL.createObjectURL = (object) => {
    const url = createObjectURL.call(URL, object);
    seen.urls.push(url);
    seen.made += 1;
    if (object instanceof File) {
      atWork.set(url, object.type);
      seen.most = Math.max(seen.most, atWork.size);
      seen.mostVideos = Math.max(seen.mostVideos, [...atWork.values()].filter((type) => type.startsWith('video/')).length);
      seen.order.push('drawn');
      seen.starting.push(document.querySelector<HTMLElement>('[data-pl-total]')?.dataset.starting);
    } else if (object instanceof Blob) {
      seen.largest = Math.max(seen.largest, object.size);
    }
    return url;
  };
  URL.revokeObjectURL = (url) => {
    revokeObjectURL.call(URL, url);
    seen.urls = seen.urls.filter((kept) => kept !== url);
    atWork.delete(url);
  };
  const { send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.send = function (body) {
    if (body) seen.order.push('sent');
    send.call(this, body);
  };
}
