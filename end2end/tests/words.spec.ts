// The widget in other languages: what the server rendered stays when the page comes alive, what is said is of one
// language only, numbers are written as they are there, and an element fetches the words of its page.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Page } from '@playwright/test';
import type { PlimsollUpload } from '../../public/upload-widget.js';
import { MIB } from '../fixtures/files';
import { Pages } from '../fixtures/pages';
import { Widget } from '../fixtures/page';
import { pickPaths } from '../fixtures/pick';
import { expect, test } from '../fixtures/test';

const LANGUAGES = ['ar', 'de', 'es', 'fr', 'ja', 'zh'];
const CATEGORIES = ['zero', 'one', 'two', 'few', 'many'];

/** The texts of a language, as they are published. */
function texts(lang: string): Record<string, string> {
  return JSON.parse(readFileSync(path.join(import.meta.dirname, `../../public/labels/${lang}.json`), 'utf8')) as Record<string, string>;
}

/** The forms of a text by their plural categories. */
function forms(text: string): Record<string, string> {
  const parts = text.split('|');
  const other = parts.pop()!;
  return { ...Object.fromEntries(parts.map((part) => [part.split(':')[0], part.slice(part.indexOf(':') + 1)])), other };
}

/** What a text says with these values, without the signs that set them apart. */
function fill(text: string, values: Record<string, string> = {}): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
}

const plain = (text: string) => text.replace(/[\u2066-\u2069\u200e\u200f]/g, '');

/** All texts of the page but those of moments, which become the reader's own; and its accessible names. */
function said(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const words: string[] = [];
    const walk = document.createTreeWalker(document.querySelector('main')!, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      if (node instanceof Element) words.push(node.getAttribute('aria-label') ?? '', node.getAttribute('title') ?? '');
      else if (!node.parentElement?.closest('time')) words.push(node.textContent ?? '');
    }
    return words.filter((text) => text.trim());
  });
}

for (const lang of LANGUAGES) {
  test(`${lang}: what the server wrote stays as the page comes alive, and an upload is told in it`, async ({ page, net, files, silence }) => {
    silence.listen(page);
    const words = texts(lang);
    const own = new Widget(page, net.url, `?protocol=form&lang=${lang}`);
    const first = await files.sample(`first ${lang}.bin`, 1_234_567);
    await own.open();
    await own.pick(first);
    await own.waitState(first.name, 'done');

    // Again, with a stored file in the list and the scripts held back.
    const open = net.gate(/\.wasm/);
    await own.goto();
    // All that the server wrote, and not its beginning.
    await page.waitForFunction(() => document.readyState !== 'loading');
    await expect(page.locator('[data-pl-upload]')).not.toHaveCount(0);
    expect(await page.evaluate(() => [document.documentElement.lang, document.documentElement.dir])).toEqual([lang, lang === 'ar' ? 'rtl' : 'ltr']);
    for (const place of ['form[data-plimsoll]', '[data-pl-uploads]']) {
      await expect(page.locator(place)).toHaveAttribute('lang', lang);
      await expect(page.locator(place)).toHaveAttribute('dir', lang === 'ar' ? 'rtl' : 'ltr');
    }
    const rendered = await said(page);
    expect(rendered).toContain(words['drop-here']);
    open();
    await own.hydrated();
    await expect(page.locator('time').first()).not.toContainText('UTC');
    await expect.poll(() => said(page)).toEqual(rendered);
    const [limits] = await page.locator('.pl-limits').allTextContents();
    expect(limits).toContain(words.paste);
    await expect(page.locator('.pl-facts').first()).toContainText(lang === 'ar' ? '1.2' : fill(words.size!, { n: `1${words.decimal}2`, unit: words.units!.split(' ')[2]! }));

    // An upload, in the words of this language from start to end.
    await own.listen();
    net.behave({ kind: 'hold', frames: 'processing' });
    const second = await files.sample(`second ${lang}.bin`, MIB);
    await own.pick(second);
    await own.waitState(second.name, 'processing');
    const row = own.row(second.name);
    await expect(row.locator('[data-pl-status]')).toHaveText(words.processing!);
    await expect(row.locator('[role=progressbar]')).toHaveAttribute('aria-valuetext', words.processing!);
    await expect(row.locator('[data-pl-action=cancel]')).toHaveText(words.cancel!);
    net.release();
    await own.waitState(second.name, 'done');
    await expect(row.locator('[data-pl-status]')).toHaveText(words.stored!);
    await expect.poll(async () => plain((await own.announced()).at(-1) ?? '')).toBe(fill(forms(words['all-stored']!).one ?? words['all-stored']!, { n: '1' }));
    expect(plain((await own.announced())[0]!)).toBe(fill(forms(words.added!).one ?? words.added!, { n: '1' }));
    expect((await said(page)).join(' '), 'no English').not.toMatch(/\b(Stored|received|sent|of|Remove|Cancel|Sending)\b/);
  });
}

test('every text has the plural forms that the browser will ask for', async ({ page }) => {
  for (const lang of LANGUAGES) {
    const needed = await page.evaluate((lang) => [...new Set([...Array(111).keys(), 1_000_000].map((n) => new Intl.PluralRules(lang).select(n)))], lang);
    const words = texts(lang);
    for (const [key, text] of Object.entries(texts('en'))) {
      if (!text.startsWith('one:')) continue;
      expect(Object.keys(forms(words[key]!)).sort(), `${lang} ${key}`).toEqual(needed.sort());
      expect(needed.every((name) => name === 'other' || CATEGORIES.includes(name))).toBe(true);
    }
  }
});

test('numbers, shares and moments are written as in the variant that the page is in', async ({ page, net, files }) => {
  const own = new Widget(page, net.url, '?protocol=form&lang=ar-EG');
  await own.open();
  net.behave({ kind: 'stall', after: 2 * MIB });
  const sample = await files.sample('misr.bin', 12_300_000);
  await own.pick(sample);
  await expect.poll(async () => (await own.read(sample.name)).percent).toBeGreaterThan(5);
  // Egypt writes its numbers with these digits; the units are words.
  await expect(own.row(sample.name).locator('.pl-size')).toHaveText(/١٢[٫,]٣.*ميغابايت/u);
  await expect(own.row(sample.name).locator('.pl-percent')).toHaveText(/[٠-٩]/u);
  net.release();
  await own.waitState(sample.name, 'done');
  const moment = await page.locator('time').first().getAttribute('datetime');
  const written = await page.evaluate((at) => new Intl.DateTimeFormat('ar-EG', { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at)), moment!);
  await expect.poll(() => page.locator('time').first().textContent()).toBe(written);
});

test('in Arabic the bar grows from the right, and a size keeps its order', async ({ page, net, files }) => {
  const own = new Widget(page, net.url, '?protocol=form&lang=ar');
  await own.open();
  net.behave({ kind: 'stall', after: 6 * MIB });
  const sample = await files.sample('report (final) 2.pdf', 12 * MIB);
  await own.pick(sample);
  await expect.poll(async () => (await own.read(sample.name)).percent).toBeGreaterThan(40);
  const row = own.row(sample.name);
  const [bar, filled] = await Promise.all([row.locator('[role=progressbar]').boundingBox(), row.locator('.pl-bar-received').boundingBox()]);
  expect(filled!.width).toBeLessThan(bar!.width * 0.6);
  expect(Math.abs(filled!.x + filled!.width - (bar!.x + bar!.width)), 'from the right').toBeLessThan(2);
  // The letters of the name stand in their own order: the first of them leftmost.
  const order = await row.locator('.pl-name bdi').last().evaluate((element) => {
    const text = element.firstChild!;
    const at = (index: number) => {
      const range = document.createRange();
      range.setStart(text, index);
      range.setEnd(text, index + 1);
      return range.getBoundingClientRect().left;
    };
    return [0, 8, 16].map(at);
  });
  expect(order).toEqual([...order].sort((a, b) => a - b));
  net.release();
  await own.waitState(sample.name, 'done');
});

test('signs that turn a text about are seen in a name, and turn nothing; the name that is sent is the file’s own', async ({ page, net, server, silence }) => {
  silence.listen(page);
  const own = new Widget(page, net.url);
  await own.open();
  const name = 'in\u202egpj.\u2067\u200fexe';
  const [seen, folder] = ['in\ufffdgpj.\ufffd\ufffdexe', 'dir\ufffd/'];
  await page.locator('[data-pl-folder]').evaluate(pickPaths, [`dir\u202d/${name}`]);
  await own.waitState(name, 'done');
  const row = own.row(name);
  await expect(row.locator('.pl-name bdi > *')).toHaveText([folder, seen]);
  await expect(row.locator('.pl-name')).toHaveAttribute('title', folder + seen);
  await expect(own.button('remove', name)).toHaveAttribute('aria-label', `Remove ${folder}${seen}`);
  await expect(row.locator('[role=progressbar]')).toHaveAttribute('aria-label', folder + seen);
  // Our server keeps most of them out of what it tells, but not all.
  const kept = 'ingpj.\ufffdexe';
  const stored = own.uploads.first();
  await expect(stored.locator('.pl-name bdi > *')).toHaveText(['dir/', kept]);
  await expect(stored.locator('.pl-name')).toHaveAttribute('title', `Download dir/${kept}`);
  await expect(stored.locator('[data-pl-delete]')).toHaveAttribute('aria-label', `Delete dir/${kept}`);
  const site = await Pages.start();
  try {
    site.put('/photos/', { type: 'text/plain', body: 'thank you' });
    site.page('/', server.url, '<plimsoll-upload action="/photos/"></plimsoll-upload>');
    const tag = new Widget(page, site.url);
    await tag.open();
    await tag.input.evaluate(pickPaths, [`dir\u202d/${name}`]);
    await tag.waitState(name, 'done');
    await expect(tag.row(name).locator('.pl-name bdi > *')).toHaveText([folder, seen]);
    expect(site.posted.map(({ fields }) => fields)).toEqual([[['relativePath', `dir\u202d/${name}`], ['file', name]]]);
  } finally {
    await site.stop();
  }
});

test('an element speaks the language of the page around it, fetched from where its script came from', async ({ page, server, silence, files }) => {
  silence.listen(page);
  const site = await Pages.start();
  try {
    site.page('/', server.url, '<div lang="fr-CH"><plimsoll-upload auto-start="false"></plimsoll-upload></div>');
    await page.goto(`${site.url}/`);
    const form = page.locator('plimsoll-upload form[data-plimsoll]');
    await expect(form).toHaveAttribute('lang', 'fr-CH');
    await expect(form.locator('.pl-headline')).toHaveText(texts('fr')['drop-here']!);
    const sample = await files.sample('suisse.bin', 1_200_000);
    await form.locator('[data-pl-input]').setInputFiles(sample.path);
    await expect(form.locator('[data-pl-status]')).toHaveText(texts('fr').queued!);
    // Tags of languages know no capitals; and simplified characters are not said to be Chinese of Taiwan.
    for (const [asked, marked, lang] of [['DE', 'de', 'de'], ['zh-TW', 'zh-Hans', 'zh']] as const) {
      site.page(`/${asked}`, server.url, `<div lang="${asked}"><plimsoll-upload></plimsoll-upload></div>`);
      await page.goto(`${site.url}/${asked}`);
      await expect(form.locator('.pl-headline')).toHaveText(texts(lang)['drop-here']!);
      await expect(form).toHaveAttribute('lang', marked);
    }
    // A language without words is English, and says so; nothing is fetched in vain.
    site.page('/pt', server.url, '<div lang="pt"><plimsoll-upload></plimsoll-upload></div>');
    await page.goto(`${site.url}/pt`);
    await expect(form).toHaveAttribute('data-hydrated', 'true');
    await expect(form).toHaveAttribute('lang', 'en');
    await expect(form.locator('.pl-headline')).toHaveText(texts('en')['drop-here']!);
  } finally {
    await site.stop();
  }
});

/** The page stayed English until it was loaded again. */
test('words that could not be had are asked for again', async ({ page, server, silence }) => {
  silence.listen(page);
  silence.allowFailedRequests();
  const site = await Pages.start();
  try {
    let asked = 0;
    const refusal = { status: 503, contentType: 'text/plain', headers: { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Retry-After' }, body: 'Busy.' };
    await page.route('**/labels/de.json', (route) => ((asked += 1) === 1 ? route.fulfill(refusal) : route.continue()));
    site.page('/', server.url, '<div lang="de"><plimsoll-upload></plimsoll-upload></div>');
    await page.goto(`${site.url}/`);
    await expect(page.locator('plimsoll-upload .pl-headline')).toHaveText(texts('de')['drop-here']!);
    expect(asked).toBe(2);
  } finally {
    await site.stop();
  }
});

test('a field that has no place in a header is said in the language of the page, and in no other', async ({ page, server, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  try {
    site.page('/', server.url, '<div lang="de"><plimsoll-upload protocol="tus"></plimsoll-upload></div>');
    await page.goto(`${site.url}/`);
    const tag = page.locator('plimsoll-upload');
    await expect(tag.locator('.pl-headline')).toHaveText(texts('de')['drop-here']!);
    await tag.evaluate((host: PlimsollUpload) => {
      host.addEventListener('plimsoll-before-upload', ({ detail }) => (detail.fields['Größe'] = '7'));
      host.add([new File(['odd'], 'odd.txt')]);
    });
    await expect(tag.locator('[data-pl-row]')).toHaveAttribute('data-state', 'failed');
    await expect(tag.locator('[data-pl-reason]')).toHaveText(fill(texts('de')['error-field']!, { field: 'Größe' }));
  } finally {
    await site.stop();
  }
});
