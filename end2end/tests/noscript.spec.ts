// Without scripts the page is a form that uploads (promise 5). Runs in projects of its own, in which the browsers run
// no script of the page. In Firefox that stops animation frames as well, which Playwright's waiting clicks and
// assertions stand on: so clicks are forced, navigations are awaited, and values are read at once.

import type { Page } from '@playwright/test';
import { createHash } from 'node:crypto';
import { MIB } from '../fixtures/files';
import { Pages } from '../fixtures/pages';
import { Server } from '../fixtures/server';
import { expect, test } from '../fixtures/test';

test('several files with their digests, a results page, and the list', async ({ page, context, server, files }) => {
  const samples = [await files.sample('plain-1.bin', 3 * MIB + 1), await files.sample('plain “2” é.txt', 5), await files.sample('plain-3.bin', 0)];
  await page.goto(server.url + '/');
  expect(await page.evaluate(() => document.querySelector('form[data-plimsoll]')?.getAttribute('data-hydrated'))).not.toBe('true');
  await page.locator('[data-pl-digest]').click({ force: true });
  await page.locator('[data-pl-input]').setInputFiles(samples.map(({ path }) => path));
  await Promise.all([page.waitForURL(/\/results\?id=/), page.locator('[data-pl-submit]').click({ force: true })]);

  const results = await listed(page, '[data-pl-result]');
  expect(results.map(({ name, size, sha256 }) => ({ name, size, sha256 }))).toEqual(samples.map(({ name, size, sha256 }) => ({ name, size, sha256 })));
  const cookie = (await context.cookies(server.url)).map(({ name, value }) => `${name}=${value}`).join('; ');
  for (const [i, { href }] of results.entries()) {
    const bytes = Buffer.from(await (await fetch(href, { headers: { cookie } })).arrayBuffer());
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(samples[i]!.sha256);
  }

  await page.goto(server.url + '/');
  const uploads = await listed(page, '[data-pl-upload]');
  expect(uploads.map(({ name }) => name).sort()).toEqual(samples.map(({ name }) => name).sort());
  const gone = uploads[0]!;
  const loaded = page.waitForEvent('load');
  await page.locator(`[data-pl-upload][data-id="${gone.id}"] [data-pl-delete]`).click({ force: true });
  await loaded;
  expect((await listed(page, '[data-pl-upload]')).map(({ id }) => id)).toEqual(uploads.slice(1).map(({ id }) => id));
  expect((await fetch(gone.href, { headers: { cookie } })).status).toBeGreaterThanOrEqual(404);
});

test('what is inside the tag is the form that it was', async ({ page, server, files }) => {
  const site = await Pages.start();
  try {
    const form = '<form action="/photos/" method="post" enctype="multipart/form-data"><input type="hidden" name="album" value="7"><input type="file" name="photo"><button>Upload</button></form>';
    site.page('/', server.url, `<plimsoll-upload server="${server.url}">${form}</plimsoll-upload>`);
    site.put('/photos/', { type: 'text/html', body: '<!doctype html><title>Thanks</title><link rel="icon" href="data:,"><p>Thanks' });
    const sample = await files.sample('photo.bin', 1000);
    await page.goto(site.url);
    await page.locator('input[type=file]').setInputFiles(sample.path);
    await Promise.all([page.waitForURL(/\/photos\/$/), page.locator('button').click({ force: true })]);
    const [posted, ...more] = site.posted;
    expect(more).toEqual([]);
    expect(posted).toMatchObject({ path: '/photos/', fields: [['album', '7'], ['photo', sample.name]] });
    expect(createHash('sha256').update(posted!.files[0]!).digest('hex')).toBe(sample.sha256);
  } finally {
    await site.stop();
  }
});

test('there is a way back from the results', async ({ page, server, files }) => {
  const sample = await files.sample('back.txt', 10);
  await page.goto(server.url + '/');
  await page.locator('[data-pl-input]').setInputFiles(sample.path);
  await Promise.all([page.waitForURL(/\/results\?id=/), page.locator('[data-pl-submit]').click({ force: true })]);
  expect((await listed(page, '[data-pl-result]')).map(({ sha256 }) => sha256), 'no digest unless asked for').toEqual([null]);
  await Promise.all([page.waitForURL(server.url + '/'), page.locator('a[href="/"]').first().click({ force: true })]);
});

test('a form without a file says so on a page', async ({ page, server }) => {
  await page.goto(server.url + '/');
  // The browser itself may ask for a file first (`required`): then nothing is sent, which is as good.
  const required = await page.evaluate(() => document.querySelector<HTMLInputElement>('[data-pl-input]')?.required);
  test.skip(required === true, 'the browser asks for a file itself');
  await Promise.all([page.waitForURL(/\/upload/), page.locator('[data-pl-submit]').click({ force: true })]);
  await expectRefusal(page, 'no-file');
});

test('a file over the limit: a page with the reason and a way back', async ({ page, files }) => {
  const sample = await files.sample('too-large.bin', 12 * MIB);
  const server = await Server.start(['--max-file-size', '1000000']);
  try {
    await page.goto(server.url + '/');
    await page.locator('[data-pl-input]').setInputFiles(sample.path);
    await Promise.all([page.waitForURL(/\/upload/), page.locator('[data-pl-submit]').click({ force: true })]);
    await expectRefusal(page, 'too-large');
    expect((await server.files()).filter(({ size }) => size > 0)).toEqual([]);
  } finally {
    await server.stop();
  }
});

async function expectRefusal(page: Page, code: string): Promise<void> {
  await page.waitForLoadState('load');
  const error = await page.evaluate(() => {
    const element = document.querySelector<HTMLElement>('[data-pl-error]');
    return { code: element?.dataset.code, text: element?.textContent?.trim() ?? '', back: !!document.querySelector('a[href="/"]') };
  });
  expect(error).toMatchObject({ code, back: true });
  expect(error.text).toMatch(/\w+ \w+/);
}

function listed(page: Page, selector: string) {
  return page.evaluate(
    (selector) =>
      [...document.querySelectorAll<HTMLElement>(selector)].map((item) => ({
        id: item.dataset.id ?? '',
        name: item.dataset.name ?? '',
        size: Number(item.dataset.size),
        sha256: item.getAttribute('data-sha256'),
        href: item.querySelector<HTMLAnchorElement>('a[data-pl-download]')?.href ?? '',
      })),
    selector,
  );
}
