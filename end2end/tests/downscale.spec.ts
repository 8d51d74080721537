// Pictures that are made smaller before they are sent: what the server then has, read back as a picture; what is left
// alone; and that it stays the same file through limits, tries, checksums and a reload.

import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Locator, Page } from '@playwright/test';
import type { PlimsollFile, PlimsollReceipt, PlimsollUpload } from '../../public/upload-widget.js';
import { Files } from '../fixtures/files';
import { installRecords } from '../fixtures/records';
import { expect, test as base } from '../fixtures/test';

type Told = { file: PlimsollFile; receipt: PlimsollReceipt };

declare global {
  interface Window {
    plShrunk: Told[];
    /** Pictures that are open now, were at most, and at all. */
    plOpen: { now: number; most: number; all: number };
  }
}

interface Seen {
  width: number;
  height: number;
  /** Red, green, blue and alpha at places that are told as shares of width and height. */
  colours: number[][];
}

const test = base.extend<{ album: Album }>({
  album: async ({ page, net, silence }, use) => {
    silence.listen(page);
    const files = await Files.create();
    await use(new Album(page, net.url, path.dirname((await files.sample('place', 1)).path)));
    await files.remove();
  },
});

/** A page with a tag, and pictures made in it. */
class Album {
  readonly host: Locator;

  constructor(readonly page: Page, readonly url: string, private readonly folder: string) {
    this.host = page.locator('plimsoll-upload');
  }

  async open(attributes: Record<string, string>): Promise<void> {
    await this.page.addInitScript(installRecords);
    await this.page.addInitScript(() => {
      if (window.plShrunk) return;
      window.plShrunk = [];
      document.addEventListener('plimsoll-stored', (event) => window.plShrunk.push((event as CustomEvent<Told>).detail));
    });
    await this.page.goto(`${this.url}/plain.html`);
    await this.page.evaluate((attributes) => {
      const tag = document.createElement('plimsoll-upload');
      for (const [name, value] of Object.entries(attributes)) tag.setAttribute(name, value);
      document.querySelector('plimsoll-upload')?.replaceWith(tag);
    }, attributes);
    await expect(this.host.locator('form[data-plimsoll]')).toHaveAttribute('data-hydrated', 'true');
  }

  /** Left half red, right half blue, both a little restless, so that it does not compress to nothing. */
  async picture(type: string, width: number, height: number, clear = false): Promise<Buffer> {
    const bytes = await this.page.evaluate(
      async ([type, width, height, clear]) => {
        const canvas = new OffscreenCanvas(width, height);
        const pen = canvas.getContext('2d')!;
        const image = pen.createImageData(width, height);
        let x = 12345;
        for (let at = 0; at < image.data.length; at += 4) {
          x ^= x << 13;
          x ^= x >>> 17;
          x ^= x << 5;
          const left = (at / 4) % width < width / 2;
          image.data[at] = (left ? 200 : 0) + (x & 31);
          image.data[at + 2] = (left ? 0 : 200) + (x & 31);
          image.data[at + 3] = clear && left ? 0 : 255;
        }
        pen.putImageData(image, 0, 0);
        const reader = new FileReader();
        reader.readAsDataURL(await canvas.convertToBlob({ type, quality: 0.95 }));
        await new Promise((read) => (reader.onload = read));
        return String(reader.result).split(',')[1] ?? '';
      },
      [type, width, height, clear] as const,
    );
    return Buffer.from(bytes, 'base64');
  }

  async write(name: string, bytes: Buffer): Promise<string> {
    const file = path.join(this.folder, name);
    await writeFile(file, bytes);
    return file;
  }

  async pick(...paths: string[]): Promise<void> {
    await this.host.locator('[data-pl-input]').setInputFiles(paths);
  }

  row(name: string): Locator {
    return this.host.locator(`[data-pl-row][data-name="${name}"]`);
  }

  /** What was told of a stored file, and its bytes. */
  async stored(name: string): Promise<Told & { bytes: Buffer }> {
    await expect(this.row(name)).toHaveAttribute('data-state', 'done');
    const told = (await this.page.evaluate(() => window.plShrunk)).filter(({ file }) => file.name === name);
    expect(told).toHaveLength(1);
    const answer = await fetch(this.url + told[0]!.receipt.url);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect([bytes.length, told[0]!.file.size]).toEqual([told[0]!.receipt.size, told[0]!.receipt.size]);
    return { ...told[0]!, bytes };
  }

  /** These bytes as a picture, as they lie in the file. */
  see(bytes: Buffer, type: string, places: [number, number][]): Promise<Seen> {
    return this.page.evaluate(
      async ([bytes, type, places]) => {
        const picture = await createImageBitmap(new Blob([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], { type }));
        const { width, height } = picture;
        const pen = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
        pen.drawImage(picture, 0, 0);
        const colours = places.map(([x, y]) => [...pen.getImageData(Math.floor(x * width), Math.floor(y * height), 1, 1).data]);
        return { width, height, colours };
      },
      [bytes.toString('base64'), type, places] as const,
    );
  }
}

/** A JPEG with an Exif segment that says how it is turned (Exif 2.3, tag 0x0112), and a text that gives a place away. */
function turned(jpeg: Buffer, orientation: number): Buffer {
  const tiff = Buffer.from([0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]);
  const exif = Buffer.concat([Buffer.from('Exif\0\0'), tiff, Buffer.from('taken at home')]);
  const head = Buffer.from([0xff, 0xe1, 0, exif.length + 2]);
  return Buffer.concat([jpeg.subarray(0, 2), head, exif, jpeg.subarray(2)]);
}

const isRed = ([red = 0, , blue = 0]: number[] = []) => red > 150 && blue < 80;
const isBlue = ([red = 0, , blue = 0]: number[] = []) => blue > 150 && red < 80;

test('the longest side is what was asked for, and the kind, the name and the time stay', async ({ album }) => {
  await album.open({ downscale: '600', threshold: '1GiB' });
  for (const [type, name] of [['image/jpeg', 'wide.jpg'], ['image/png', 'wide.png'], ['image/webp', 'wide.webp']] as const) {
    const original = await album.picture(type, 1500, 1000);
    await album.pick(await album.write(name, original));
    const { file, receipt, bytes } = await album.stored(name);
    expect(bytes.length).toBeLessThan(original.length);
    expect([file.originalSize, file.type, receipt.media_type]).toEqual([original.length, type, type]);
    const { width, height, colours } = await album.see(bytes, type, [[0.1, 0.5], [0.9, 0.5]]);
    expect([width, height]).toEqual([600, 400]);
    expect([isRed(colours[0]), isBlue(colours[1])], JSON.stringify(colours)).toEqual([true, true]);
    await expect(album.row(name).locator('.pl-size')).toHaveText(/^[\d.]+ [kM]B, made smaller from [\d.]+ [kM]B$/);
  }
});

test('a picture that lies on its side is stored upright, and does not tell where it was taken', async ({ album }) => {
  await album.open({ downscale: '600' });
  const original = turned(await album.picture('image/jpeg', 1500, 1000), 6);
  expect(original.includes('taken at home')).toBe(true);
  await album.pick(await album.write('turned.jpg', original));
  const { bytes } = await album.stored('turned.jpg');
  const { width, height, colours } = await album.see(bytes, 'image/jpeg', [[0.5, 0.1], [0.5, 0.9]]);
  expect([width, height]).toEqual([400, 600]);
  expect([isRed(colours[0]), isBlue(colours[1])], `left becomes top: ${JSON.stringify(colours)}`).toEqual([true, true]);
  expect(bytes.includes('taken at home') || bytes.includes('Exif')).toBe(false);
});

test('what is transparent stays so', async ({ album }) => {
  await album.open({ downscale: '300' });
  await album.pick(await album.write('clear.png', await album.picture('image/png', 900, 600, true)));
  const { bytes } = await album.stored('clear.png');
  const { colours } = await album.see(bytes, 'image/png', [[0.1, 0.5], [0.9, 0.5]]);
  expect(colours.map((colour) => colour[3])).toEqual([0, 255]);
});

test('what is small, moves, is no picture, or is of another kind is sent as it is', async ({ album }) => {
  await album.open({ downscale: '600' });
  const large = await album.picture('image/png', 1200, 800);
  // An animation says so before its first picture: length, name, content and check of a chunk behind the first one.
  const control = Buffer.from([0, 0, 0, 8, ...Buffer.from('acTL'), 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  const samples: [string, Buffer][] = [
    ['small.jpg', turned(await album.picture('image/jpeg', 600, 400), 6)],
    ['moving.png', Buffer.concat([large.subarray(0, 33), control, large.subarray(33)])],
    ['broken.jpg', Buffer.from('this is no picture')],
    ['moving.gif', Buffer.concat([Buffer.from('GIF89a'), large])],
    ['picture.bin', large],
    ['empty.png', Buffer.alloc(0)],
  ];
  await album.pick(...(await Promise.all(samples.map(([name, bytes]) => album.write(name, bytes)))));
  for (const [name, original] of samples) {
    const { file, bytes } = await album.stored(name);
    expect(bytes.equals(original), name).toBe(true);
    expect(file.originalSize, name).toBeUndefined();
  }
  await expect(album.row('small.jpg').locator('.pl-size')).not.toHaveText(/smaller/);
});

test('while the first picture is being made smaller that is what is said, and no longer', async ({ album }) => {
  await album.open({ downscale: '300', thumbnails: 'false' });
  await album.page.evaluate(() => {
    const open = window.createImageBitmap.bind(window) as (file: Blob, how: ImageBitmapOptions) => Promise<ImageBitmap>;
    const go = new Promise((resolve) => document.addEventListener('go', resolve));
    window.createImageBitmap = (async (file: Blob, how: ImageBitmapOptions) => (await go, open(file, how))) as typeof createImageBitmap;
  });
  const total = album.host.locator('[data-pl-total]');
  await album.pick(await album.write('one.png', await album.picture('image/png', 900, 600)), await album.write('two.png', await album.picture('image/png', 600, 900)));
  await expect(total.locator('.pl-sum')).toHaveText('Making pictures smaller');
  await expect(total.locator('[role=progressbar]')).toHaveAttribute('aria-valuetext', 'Making pictures smaller');
  await album.page.evaluate(() => document.dispatchEvent(new Event('go')));
  for (const name of ['one.png', 'two.png']) await album.stored(name);
  await expect(total.locator('.pl-sum')).toHaveText('2 files stored');
});

test('limits are those of what is sent, and nobody is told of the end before the last picture', async ({ album }) => {
  await album.open({ downscale: '300', 'max-size': '400kB' });
  const original = await album.picture('image/png', 1500, 1000);
  expect(original.length).toBeGreaterThan(400_000);
  const ends = album.page.evaluate(
    () => new Promise<object>((told) => document.addEventListener('plimsoll-ended', (event) => told((event as CustomEvent<object>).detail), { once: true })),
  );
  await album.pick(await album.write('one.png', original), await album.write('two.png', original), await album.write('note.txt', Buffer.from('small')));
  expect(await ends).toEqual({ done: 3, failed: 0 });
});

test('what is wanted of all files holds for pictures that are still to be made smaller, which happens one by one', async ({ album, net }) => {
  await album.open({ downscale: '300', thumbnails: 'false' });
  await album.page.evaluate(() => {
    window.plOpen = { now: 0, most: 0, all: 0 };
    const open = window.createImageBitmap.bind(window) as (file: Blob, how: ImageBitmapOptions) => Promise<ImageBitmap>;
    window.createImageBitmap = (async (file: Blob, how: ImageBitmapOptions) => {
      window.plOpen.all += 1;
      window.plOpen.most = Math.max(window.plOpen.most, ++window.plOpen.now);
      const picture = await open(file, how);
      const close = picture.close.bind(picture);
      picture.close = () => (window.plOpen.now--, close());
      return picture;
    }) as typeof createImageBitmap;
  });
  const original = await album.picture('image/png', 400, 40);
  const bytes = original.toString('base64');
  // More than are taken in where they are picked: the rest comes in portions, after this turn of the page.
  const COUNT = 80;
  await album.host.evaluate(
    (host: PlimsollUpload, [bytes, count]) => {
      const picture = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
      host.add(Array.from({ length: count }, (_, i) => new File([picture], `${i}.png`, { type: 'image/png' })));
      host.cancel();
    },
    [bytes, COUNT] as const,
  );
  await expect.poll(() => album.host.evaluate((host: PlimsollUpload) => host.files.map(({ state }) => state))).toEqual(Array(COUNT).fill('cancelled'));
  expect(net.uploads, 'none was sent').toEqual([]);
  expect(await album.page.evaluate(() => window.plOpen)).toEqual({ now: 0, most: 1, all: COUNT });
});

test('an upload that a reload has interrupted goes on with the very bytes it was begun with', async ({ album, net, silence }) => {
  silence.allowFailedRequests();
  const attributes = { downscale: '1200', protocol: 'resumable', checksum: '' };
  await album.open(attributes);
  const original = await album.picture('image/png', 1600, 1200);
  net.behave({ kind: 'stall', after: 500_000, times: 1 });
  await album.pick(await album.write('interrupted.png', original));
  await expect.poll(() => net.read).toBeGreaterThan(500_000);
  // What is on the way when the line goes is nobody's: some of it the server must have.
  await expect.poll(() => album.host.evaluate((host: PlimsollUpload) => host.files[0]?.received)).toBeGreaterThan(0);
  const kept = () => album.page.evaluate(() => window.plSizes());
  await expect.poll(kept).toHaveLength(1);
  const [size = 0] = await kept();
  expect(size, 'what is kept is what is sent').toBeLessThan(original.length);
  // Only now: before, the page that is left could still end the upload.
  await album.open(attributes);
  net.release();
  const { file, receipt, bytes } = await album.stored('interrupted.png');
  expect([bytes.length, file.sha256, receipt.sha256]).toEqual([size, receipt.sha256, createHash('sha256').update(bytes).digest('hex')]);
  const { width, height } = await album.see(bytes, 'image/png', []);
  expect([width, height]).toEqual([1200, 900]);
  expect(net.uploads.filter(({ headers }) => headers['upload-offset'] === '0'), 'and it was not begun anew').toHaveLength(1);
});
