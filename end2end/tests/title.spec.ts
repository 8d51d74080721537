// The tab of a page with uploads: its title, its icon and the badge of an installed page say how far all is, how it
// ended until somebody looks, and nothing else; what the page has there itself comes back.

import type { Page } from '@playwright/test';
import { MIB } from '../fixtures/files';
import { withOptions } from '../fixtures/options';
import { Pages } from '../fixtures/pages';
import { png } from '../fixtures/pictures';
import { Server } from '../fixtures/server';
import { expect, test } from '../fixtures/test';

declare global {
  interface Window {
    plTab: TabSeen;
  }
}

/** What the page did to its tab. */
interface TabSeen {
  /** Titles in their order. */
  titles: string[];
  /** What the badge of the installed page was set to; 0 is none, `flag` a mark without a number. */
  badges: (number | 'flag')[];
  /** Addresses that were made for icons. */
  urls: number;
}

/** The icons of a page: their links, and whether the browser takes the last for an image. */
interface Icons {
  own: string[];
  ours: number;
  drawn: boolean;
}

test.beforeEach(({ page }) => page.addInitScript(watchTab));

test('title, icon and badge say how far all is, and how it ended until somebody looks', async ({ widget, net, files, page }) => {
  const sample = await files.sample('tab.bin', 12 * MIB);
  await widget.open();
  expect(await page.title()).toBe('Plimsoll');
  const before = await icons(page);
  expect(before).toMatchObject({ own: ['/favicon.svg'], ours: 0 });
  net.behave({ kind: 'stall', after: 6 * MIB });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).percent).toBeGreaterThan(40);
  await expectShare(page);
  await expect.poll(() => icons(page)).toEqual({ own: [], ours: 1, drawn: true });
  await expect.poll(async () => numbered((await seen(page)).badges)).toEqual([1]);
  net.release();
  await widget.waitState(sample.name, 'done');
  await expect(page).toHaveTitle('✓ · Plimsoll');
  await expect.poll(() => icons(page)).toEqual({ own: [], ours: 1, drawn: true });
  await expect.poll(async () => numbered((await seen(page)).badges)).toEqual([1, 'flag']);

  await page.keyboard.press('Shift');
  await expect(page).toHaveTitle('Plimsoll');
  await expect.poll(() => icons(page)).toEqual(before);
  await expect.poll(async () => numbered((await seen(page)).badges)).toEqual([1, 'flag', 0]);
  const { titles, urls } = await seen(page);
  expect(urls, 'few, and the same again').toBeLessThanOrEqual(22);
  const shares = titles.map((title) => /^(\d+)% · Plimsoll$/.exec(title)?.[1]).filter((share) => share !== undefined).map(Number);
  expect(shares, 'each once, and never back').toEqual([...new Set(shares)].sort((a, b) => a - b));
  expect(shares.at(-1), 'all is said only when all is stored').toBeLessThan(100);
});

test('what failed is said; what is sent after that is begun anew', async ({ widget, net, files, page, silence }) => {
  silence.allowFailedRequests();
  const [bad, good] = [await files.sample('tab-bad.bin', 2000), await files.sample('tab-good.bin', 12 * MIB)];
  await widget.open();
  const body = JSON.stringify({ code: 'too-large', message: 'No.', retryable: false });
  net.behave({ kind: 'answer', status: 413, headers: { 'content-type': 'application/problem+json' }, body, times: 1 });
  await widget.pick(bad);
  await widget.waitState(bad.name, 'failed');
  await expect(page).toHaveTitle('! · Plimsoll');
  await expect.poll(async () => (await seen(page)).badges.at(-1)).toBe(1);
  await page.keyboard.press('Shift');
  await expect(page).toHaveTitle('Plimsoll');
  net.behave({ kind: 'stall', after: 6 * MIB });
  await widget.pick(good);
  await expect(page).toHaveTitle(/^\d+% · Plimsoll$/);
  // With all of it taken off there is nothing to say.
  await widget.button('cancel', good.name).click();
  await widget.waitState(good.name, 'cancelled');
  await expect(page).toHaveTitle('! · Plimsoll');
  await widget.button('clear').click();
  await expect(page).toHaveTitle('Plimsoll');
  await expect.poll(() => icons(page)).toMatchObject({ own: ['/favicon.svg'], ours: 0 });
});

/** What had failed before was shown in its place, and then nothing. */
test('what is held has not ended, also where something else has failed', async ({ widget, net, files, page, silence }) => {
  silence.allowFailedRequests();
  const [bad, held] = [await files.sample('tab-failed.bin', 2000), await files.sample('tab-held.bin', 12 * MIB)];
  await widget.open();
  const body = JSON.stringify({ code: 'too-large', message: 'No.', retryable: false });
  net.behave({ kind: 'answer', status: 413, headers: { 'content-type': 'application/problem+json' }, body, times: 1 });
  await widget.pick(bad);
  await widget.waitState(bad.name, 'failed');
  net.behave({ kind: 'stall', after: 6 * MIB });
  await widget.pick(held);
  await expect.poll(async () => (await widget.read(held.name)).percent).toBeGreaterThan(40);
  await widget.button('pause', held.name).click();
  await widget.waitState(held.name, 'paused');
  await expectShare(page);
  await page.keyboard.press('Shift');
  // Looking at it does not end it.
  await expectShare(page);
  await widget.button('cancel', held.name).click();
  await widget.waitState(held.name, 'cancelled');
  await expect(page).toHaveTitle('! · Plimsoll');
  net.release();
});

test('a page that changes its title meanwhile gets that back, and one that insists on it has it', async ({ widget, net, files, page }) => {
  const sample = await files.sample('tab-own.bin', 12 * MIB);
  await widget.open();
  net.behave({ kind: 'stall', after: 6 * MIB });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).percent).toBeGreaterThan(40);
  await expectShare(page);
  await page.evaluate(() => (document.title = 'Inbox'));
  await expectShare(page, 'Inbox');
  // As found, with something added.
  await page.evaluate(() => (document.title = `(1) ${document.title}`));
  await expectShare(page, '(1) Inbox');
  await page.evaluate(() => {
    const title = document.createElement('title');
    title.textContent = 'Another';
    document.querySelector('title')?.replaceWith(title);
  });
  await expectShare(page, 'Another');
  // A page that writes its own title again each time: nobody goes round in circles.
  await page.evaluate(() => {
    const insist = (): void => {
      if (document.title !== 'Mine') document.title = 'Mine';
    };
    new MutationObserver(insist).observe(document.head, { subtree: true, childList: true, characterData: true });
    insist();
  });
  await expect(page).toHaveTitle('Mine');
  net.release();
  await widget.waitState(sample.name, 'done');
  await expect(page).toHaveTitle('Mine');
});

test('on a page out of sight the end stays until it is seen', async ({ widget, files, page }) => {
  await page.addInitScript(() => {
    window.requestAnimationFrame = () => 0;
    let state = 'hidden';
    Object.defineProperty(document, 'hidden', { get: () => state === 'hidden' });
    Object.defineProperty(document, 'visibilityState', { get: () => state });
    addEventListener('pl-show', () => {
      state = 'visible';
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
    });
  });
  const sample = await files.sample('tab-hidden.bin', 2000);
  await widget.open();
  await widget.pick(sample);
  await widget.waitState(sample.name, 'done');
  await expect(page).toHaveTitle('✓ · Plimsoll');
  // Nobody is there yet: a window that gets the focus behind others shows nothing.
  await page.evaluate(() => dispatchEvent(new Event('focus')));
  await expect(page).toHaveTitle('✓ · Plimsoll');
  await page.evaluate(() => dispatchEvent(new Event('pl-show')));
  await expect(page).toHaveTitle('Plimsoll');
});

test('a page that does not want it keeps its tab', async ({ widget, net, files, page }) => {
  await withOptions(page, { title: false });
  const sample = await files.sample('tab-off.bin', 12 * MIB);
  await widget.open();
  net.behave({ kind: 'stall', after: 6 * MIB });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).percent).toBeGreaterThan(40);
  expect(await icons(page)).toMatchObject({ own: ['/favicon.svg'], ours: 0 });
  net.release();
  await widget.waitState(sample.name, 'done');
  expect(await seen(page)).toEqual({ titles: [], badges: [], urls: 0 });
});

test('of several tags the least is said; one that is taken away takes its part of it along', async ({ page, net, server, files, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  const own = await Server.start(['--allow-origin', site.url]);
  try {
    site.page('/', own.url, ['a', 'b'].map((id) => `<plimsoll-upload id="${id}" lang="de" tab-title protocol="form" concurrency="1"></plimsoll-upload>`).join(''));
    await page.goto(site.url);
    const [a, b] = [page.locator('#a'), page.locator('#b')];
    for (const tag of [a, b]) await expect(tag.locator('form')).toHaveAttribute('data-hydrated', 'true');
    expect(net.uploads, server.url).toEqual([]);
    const small = await files.sample('tab-a.bin', 2000);
    // A question that is never answered holds the second one back.
    await b.evaluate((tag) => {
      tag.addEventListener('plimsoll-before-upload', (event) => {
        (event as CustomEvent<{ waitUntil: (until: Promise<unknown>) => void }>).detail.waitUntil(new Promise(() => {}));
      });
    });
    await a.locator('[data-pl-input]').setInputFiles(small.path);
    await expect(page).toHaveTitle('✓ · Page');
    await b.locator('[data-pl-input]').setInputFiles(small.path);
    await expect(page).toHaveTitle('0\u00a0% · Page');
    await b.evaluate((tag) => {
      tag.remove();
    });
    await expect(page).toHaveTitle('✓ · Page');
    await a.evaluate((tag) => {
      tag.remove();
    });
    await expect(page).toHaveTitle('Page');
    await expect.poll(() => icons(page)).toMatchObject({ own: ['data:,'], ours: 0 });
  } finally {
    await site.stop();
    await own.stop();
  }
});

test('what is stored is not the end while more is on its way into the list', async ({ page, net, silence }) => {
  silence.listen(page);
  await page.goto(`${net.url}/plain.html`);
  await page.evaluate(() => {
    const tag = Object.assign(document.createElement('plimsoll-upload'), { tabTitle: true, thumbnails: false, downscale: '100' });
    // Words of its own, in a language whose name no browser knows.
    tag.setAttribute('labels', 'undo: Back');
    tag.lang = 'not_a_language';
    document.querySelector('plimsoll-upload')?.replaceWith(tag);
    const open = window.createImageBitmap.bind(window) as (file: Blob) => Promise<ImageBitmap>;
    const held = new Promise((go) => addEventListener('pl-go', go, { once: true }));
    window.createImageBitmap = ((file: Blob) => held.then(() => open(file))) as typeof createImageBitmap;
  });
  const tag = page.locator('plimsoll-upload');
  await expect(tag.locator('form')).toHaveAttribute('data-hydrated', 'true');
  const total = tag.locator('[data-pl-total]');
  const own = await page.title();
  await tag.locator('[data-pl-input]').setInputFiles([{ name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('first') }, png('picture.png', 300, 200)]);
  await expect(total).toHaveAttribute('data-done', '1');
  await expect(page).toHaveTitle(`99% · ${own}`);
  await page.evaluate(() => dispatchEvent(new Event('pl-go')));
  await expect(total).toHaveAttribute('data-done', '2');
  await expect(page).toHaveTitle(`✓ · ${own}`);
  expect((await seen(page)).titles.filter((title) => title.startsWith('✓')), 'said once').toHaveLength(1);
});

/** The tab says before the page's own title what the line over all files says: at one moment, as that may still grow. */
async function expectShare(page: Page, own = 'Plimsoll'): Promise<void> {
  const both = () =>
    page.evaluate(
      (own) => ({ tab: document.title, all: `${String(document.querySelector<HTMLElement>('[data-pl-total]')?.dataset.percent)}% · ${own}` }),
      own,
    );
  await expect(async () => {
    const { tab, all } = await both();
    expect(tab).toBe(all);
    expect(tab).toMatch(/^[1-9]/);
  }).toPass({ timeout: 15_000 });
}

/** From the first number on: as long as files wait for what works on them, nobody has counted them. */
function numbered(badges: TabSeen['badges']): TabSeen['badges'] {
  return badges[0] === 'flag' ? badges.slice(1) : badges;
}

function seen(page: Page): Promise<TabSeen> {
  return page.evaluate(() => window.plTab);
}

function icons(page: Page): Promise<Icons> {
  return page.evaluate(async () => {
    const links = [...document.querySelectorAll<HTMLLinkElement>('link[rel~="icon"]')];
    const addresses = links.map((link) => link.getAttribute('href') ?? '');
    const image = new Image();
    image.src = links.at(-1)?.href ?? '';
    const drawn = await image.decode().then(
      () => image.naturalWidth > 0,
      () => false,
    );
    const own = addresses.filter((address) => !address.startsWith('blob:'));
    return { own, ours: addresses.length - own.length, drawn };
  });
}

// Runs in the page, before its scripts: it may use nothing but the page's own objects.
function watchTab(): void {
  const seen: TabSeen = { titles: [], badges: [], urls: 0 };
  window.plTab = seen;
  const title = Object.getOwnPropertyDescriptor(Document.prototype, 'title');
  Object.defineProperty(document, 'title', {
    get: () => title?.get?.call(document) as string,
    set: (text: string) => {
      seen.titles.push(text);
      title?.set?.call(document, text);
    },
  });
  // Not every browser has badges.
  Object.assign(navigator, {
    setAppBadge: (count?: number) => Promise.resolve(void seen.badges.push(count ?? 'flag')),
    clearAppBadge: () => Promise.resolve(void seen.badges.push(0)),
  });
  const { createObjectURL } = URL;
  URL.createObjectURL = (object) => {
    seen.urls += 1;
    return createObjectURL.call(URL, object);
  };
}
