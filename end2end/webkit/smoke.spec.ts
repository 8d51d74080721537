// The main job in WebKit: the page comes alive, small and large files arrive, a cut connection goes on, a refusal is
// told. Drops, stored files and media features are what its driver or its private session cannot do.

import { By, type WebDriver } from 'selenium-webdriver';
import { MIB, type Sample } from '../fixtures/files';
import { installEyes, type Row, type Upload } from '../fixtures/page';
import { downloaded } from '../fixtures/stored';
import { expect, test as base } from '../fixtures/test';
import { startWebKit, WEBKIT_DRIVER, type WebKit } from '../fixtures/webkit';

const test = base.extend<object, { webkit: WebKit }>({
  webkit: [
    async ({}, use) => {
      const webkit = await startWebKit();
      await use(webkit);
      await webkit.stop();
    },
    { scope: 'worker', timeout: 90_000 },
  ],
});

test.skip(!WEBKIT_DRIVER, 'There is no WebKitWebDriver here, and none could be installed.');

/** Opens the page, waits until it is alive, and keeps what it throws. */
async function open(driver: WebDriver, url: string): Promise<void> {
  await driver.get(url);
  await driver.executeScript(`window.plThrown = []; addEventListener('error', (event) => plThrown.push(event.message));
    addEventListener('unhandledrejection', (event) => plThrown.push(String(event.reason))); (${installEyes.toString()})();`);
  await expect.poll(() => driver.executeScript('return document.querySelector("form[data-plimsoll]")?.dataset.hydrated'), { timeout: 20_000 }).toBe('true');
}

const rows = (driver: WebDriver): Promise<Row[]> => driver.executeScript('return plEyes.rows()');
const stored = (driver: WebDriver): Promise<Upload[]> => driver.executeScript('return plEyes.uploads()');

async function pick(driver: WebDriver, ...samples: Sample[]): Promise<void> {
  await driver.findElement(By.css('[data-pl-input]')).sendKeys(samples.map(({ path }) => path).join('\n'));
}

/** Waits until every row is in this state. */
async function allAre(driver: WebDriver, state: string, count: number): Promise<Row[]> {
  const states = async () => (await rows(driver)).map((row) => row.state);
  await expect.poll(states, { timeout: 40_000 }).toEqual(Array.from({ length: count }, () => state));
  return rows(driver);
}

test.afterEach(async ({ webkit }) => {
  expect(await webkit.driver.executeScript('return window.plThrown'), 'nothing may be thrown').toEqual([]);
});

test('several files by form: rows end at 100 % with their receipts', async ({ webkit: { driver }, net, files }) => {
  const samples = [await files.sample('webkit ünï.bin', 3 * MIB + 1), await files.sample('webkit-empty.bin', 0)];
  await open(driver, `${net.url}/?protocol=form`);
  await pick(driver, ...samples);
  for (const row of await allAre(driver, 'done', 2)) expect([row.percent, row.error]).toEqual([100, null]);
  await expect.poll(async () => (await stored(driver)).length, 'files that are stored fast are listed together').toBe(2);
  const list = await stored(driver);
  for (const sample of samples) {
    const href = list.find(({ name }) => name === sample.name)?.href ?? '';
    expect(await downloaded(href)).toBe(sample.sha256);
  }
});

test('a large file is sent in a resumable way, and a cut goes on where the server is', async ({ webkit: { driver }, net, files }) => {
  const sample = await files.sample('webkit-large.bin', 40 * MIB);
  net.behave({ kind: 'fin', after: 20 * MIB, times: 1 });
  await open(driver, `${net.url}/`);
  await pick(driver, sample);
  const [row] = await allAre(driver, 'done', 1);
  expect(row?.received).toBe(sample.size);
  expect(net.uploads.some(({ cut }) => cut)).toBe(true);
  expect(net.read).toBeLessThan(1.05 * sample.size);
  expect(await downloaded((await stored(driver))[0]?.href ?? '')).toBe(sample.sha256);
});

test('the tag on a plain page: files that were picked before it was there, more after it, and its events', async ({ webkit: { driver }, net, files }) => {
  const [early, late] = [await files.sample('webkit-early.bin', MIB), await files.sample('webkit-late.bin', 9 * MIB)];
  const go = net.gate(/\.wasm/);
  await driver.get(`${net.url}/plain.html`);
  await driver.executeScript(`window.plThrown = []; addEventListener('error', (event) => plThrown.push(event.message));
    addEventListener('unhandledrejection', (event) => plThrown.push(String(event.reason))); (${installEyes.toString()})();
    window.plTold = []; document.addEventListener('plimsoll-stored', ({ detail }) => plTold.push([detail.file.name, detail.receipt.proof, detail.receipt.size]));`);
  await driver.findElement(By.css('plimsoll-upload > form input')).sendKeys(early.path);
  expect(net.uploads).toEqual([]);
  go();
  await allAre(driver, 'done', 1);
  // The driver types into no input that is in a shadow root: the files come as a page's own script would bring them.
  await driver.executeScript(`const made = document.body.appendChild(document.createElement('input')); made.type = 'file'; made.id = 'hands';`);
  await driver.findElement(By.css('#hands')).sendKeys(late.path);
  await driver.executeScript(`document.querySelector('plimsoll-upload').add(document.querySelector('#hands').files);`);
  await allAre(driver, 'done', 2);
  expect(await driver.executeScript('return plTold')).toEqual([[early.name, 'stored', early.size], [late.name, 'stored', late.size]]);
  expect(await driver.executeScript(`const tag = document.querySelector('plimsoll-upload'); return [tag.busy, tag.receipts.length, tag.matches(':valid')]`)).toEqual([false, 2, true]);
});

test('100 % waits for the answer; a refusal says why', async ({ webkit: { driver }, net, files }) => {
  const sample = await files.sample('webkit-held.bin', 2 * MIB);
  net.behave({ kind: 'hold', frames: 'processing' });
  await open(driver, `${net.url}/?protocol=form`);
  await pick(driver, sample);
  const [held] = await allAre(driver, 'processing', 1);
  expect([held?.valueNow, (held?.percent ?? 100) < 100]).toEqual([null, true]);
  net.release();
  await allAre(driver, 'done', 1);

  const body = JSON.stringify({ code: 'forbidden', detail: 'Not on a Sunday.', message: 'Not on a Sunday.', retryable: false });
  net.behave({ kind: 'answer', status: 403, headers: { 'content-type': 'application/problem+json' }, body, times: 1 });
  await pick(driver, await files.sample('webkit-refused.bin', MIB));
  await expect.poll(async () => (await rows(driver)).map((row) => row.state)).toEqual(['done', 'failed']);
  expect(await driver.findElement(By.css('[data-state=failed] [data-pl-reason]')).getText()).toBe('Not on a Sunday.');
});
