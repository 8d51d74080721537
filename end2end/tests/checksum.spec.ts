// The checksum that a browser computes beside the sending, against the server's: in a worker and without one, for forms
// and for resumable uploads, through cuts and pauses; and a server that stored something else is caught.

import type { Locator, Page } from '@playwright/test';
import type { PlimsollFile, PlimsollReceipt, PlimsollUpload } from '../../public/upload-widget.js';
import { MIB, type Sample } from '../fixtures/files';
import { ForeignTus } from '../fixtures/foreign';
import { browserMemory, peakDuring } from '../fixtures/memory';
import { withOptions } from '../fixtures/options';
import { Pages } from '../fixtures/pages';
import { installRecords } from '../fixtures/records';
import { Server } from '../fixtures/server';
import { expect, test } from '../fixtures/test';

type Told = { file: PlimsollFile; receipt: PlimsollReceipt };

declare global {
  interface Window {
    plTold: Told[];
    plWorkers: string[];
    plLife: number;
  }
}

/** Runs in the page: a quarter of a minute is more patience than a test has; less than this a busy machine may need to answer. */
function hurry(): void {
  const wait = window.setTimeout;
  Object.assign(window, { setTimeout: (go: () => void, ms: number, ...rest: unknown[]) => wait(go, ms > 10_000 ? 1500 : ms, ...rest) });
}

/** Runs in the page, before its scripts: notes what is told of stored files, and which workers are made. */
function installEars(): void {
  if (window.plTold) return;
  window.plTold = [];
  window.plWorkers = [];
  document.addEventListener('plimsoll-stored', (event) => window.plTold.push((event as CustomEvent<Told>).detail));
  window.Worker = class extends Worker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      window.plWorkers.push(new URL(url).pathname);
    }
  };
}

/** The only tag of a page, with these attributes, once it is alive. */
class Tag {
  private constructor(readonly page: Page, readonly host: Locator) {}

  /** On a page of the server's own, instead of the tag that is there. */
  static async on(page: Page, url: string, attributes: Record<string, string>): Promise<Tag> {
    await page.addInitScript(installEars);
    await page.addInitScript(installRecords);
    await page.goto(`${url}/plain.html`);
    await page.evaluate((attributes) => {
      const tag = document.createElement('plimsoll-upload');
      for (const [name, value] of Object.entries({ checksum: '', ...attributes })) tag.setAttribute(name, value);
      document.querySelector('plimsoll-upload')?.replaceWith(tag);
    }, attributes);
    return Tag.alive(page);
  }

  static async alive(page: Page): Promise<Tag> {
    const host = page.locator('plimsoll-upload');
    await expect(host.locator('form[data-plimsoll]')).toHaveAttribute('data-hydrated', 'true');
    return new Tag(page, host);
  }

  async pick(...samples: Sample[]): Promise<void> {
    await this.host.locator('[data-pl-input]').setInputFiles(samples.map(({ path }) => path));
  }

  row({ name }: Sample): Locator {
    return this.host.locator(`[data-pl-row][data-name="${name}"]`);
  }

  async state(sample: Sample, state: string, timeout?: number): Promise<void> {
    await expect(this.row(sample)).toHaveAttribute('data-state', state, { timeout });
  }

  /** What was told of a stored file. */
  async told({ name }: Sample): Promise<Told> {
    const told = (await this.page.evaluate(() => window.plTold)).filter(({ file }) => file.name === name);
    expect(told, 'told once').toHaveLength(1);
    return told[0]!;
  }

  /** It is stored, and both sides have found the same digest, which is the right one. */
  async checked(sample: Sample): Promise<void> {
    await this.state(sample, 'done', 30_000);
    const { file, receipt } = await this.told(sample);
    expect([file.sha256, receipt.sha256]).toEqual([sample.sha256, sample.sha256]);
    await expect(this.row(sample).locator('[data-pl-status]')).toHaveText('Stored, and checked: the server has exactly this file');
  }

  workers(): Promise<string[]> {
    return this.page.evaluate(() => window.plWorkers);
  }
}

test('both find the same digest, for forms and resumable uploads, several at one time', async ({ page, net, files, silence }) => {
  silence.listen(page);
  const tag = await Tag.on(page, net.url, {});
  // Whole pieces and steps, one byte more, and nothing at all.
  const sizes = [0, 1, MIB, MIB + 1, 7 * MIB + 4321, 16 * MIB, 33 * MIB + 1];
  const samples = await Promise.all(sizes.map((size) => files.sample(`hash-${size}.bin`, size)));
  await tag.pick(...samples);
  for (const sample of samples) await tag.checked(sample);
  expect(await tag.workers(), 'one worker for all').toEqual(['/checksum.js']);
  expect(net.asked.get('/checksum.js'), 'and the page itself hashed nothing').toBe(1);
});

test('without the attribute nothing is hashed and nothing loaded', async ({ page, net, files, silence }) => {
  silence.listen(page);
  const tag = await Tag.on(page, net.url, { checksum: 'false' });
  const sample = await files.sample('unhashed.bin', MIB);
  await tag.pick(sample);
  await tag.state(sample, 'done');
  const { file, receipt } = await tag.told(sample);
  expect([file.sha256, receipt.sha256]).toEqual([undefined, undefined]);
  expect(await tag.workers()).toEqual([]);
  expect(net.asked.has('/checksum.js')).toBe(false);
});

for (const [protocol, size] of [['form', 3 * MIB], ['resumable', 12 * MIB]] as const) {
  test(`${protocol}: what was changed on its way is no success, is not kept, and can be sent again`, async ({ page, net, server, files, silence }) => {
    silence.listen(page);
    const tag = await Tag.on(page, net.url, { protocol });
    const sample = await files.sample(`tampered-${protocol}.bin`, size);
    const before = (await server.finished()).length;
    // Behind the form's own fields.
    net.behave({ kind: 'tamper', at: 2 * MIB, times: 1 });
    const deleted = page.waitForResponse((answer) => answer.request().method() === 'DELETE');
    await tag.pick(sample);
    await tag.state(sample, 'failed');
    await expect(tag.row(sample)).toHaveAttribute('data-error', 'digest-mismatch');
    await expect(tag.row(sample)).not.toHaveAttribute('data-percent', '100');
    expect(await page.evaluate(() => window.plTold), 'never told as stored').toEqual([]);
    expect((await deleted).status()).toBe(204);
    await expect.poll(async () => (await server.finished()).length).toBe(before);
    await tag.row(sample).locator('[data-pl-action=retry]').click();
    await tag.checked(sample);
    expect((await server.finished()).length).toBe(before + 1);
  });
}

test('a pause and a cut in the middle: the digest is that of the whole file', async ({ page, net, files, silence }) => {
  silence.listen(page);
  silence.allowFailedRequests();
  const tag = await Tag.on(page, net.url, { protocol: 'resumable' });
  const sample = await files.sample('interrupted.bin', 40 * MIB);
  net.behave({ kind: 'stall', after: 10 * MIB, times: 1 });
  await tag.pick(sample);
  await expect.poll(() => net.read).toBeGreaterThan(10 * MIB);
  await tag.row(sample).locator('[data-pl-action=pause]').click();
  await tag.state(sample, 'paused');
  net.release();
  net.behave({ kind: 'reset', after: 10 * MIB, times: 1 });
  await tag.row(sample).locator('[data-pl-action=resume]').click();
  await tag.checked(sample);
});

test('an upload that was found again after a reload is compared as well', async ({ page, net, files, silence }) => {
  silence.listen(page);
  silence.allowFailedRequests();
  const tag = await Tag.on(page, net.url, { protocol: 'resumable' });
  const sample = await files.sample('reloaded.bin', 24 * MIB);
  net.behave({ kind: 'stall', after: 10 * MIB, times: 1 });
  await tag.pick(sample);
  await expect.poll(() => net.read).toBeGreaterThan(10 * MIB);
  await expect.poll(() => page.evaluate(() => window.plRecords())).toEqual([{ name: sample.name, file: true }]);
  // Only now: before, the page that is left could still end the upload.
  const again = await Tag.on(page, net.url, { protocol: 'resumable' });
  net.release();
  await again.checked(sample);
});

test('on a page of another site, which may have no such worker, the page hashes by itself', async ({ page, files, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  const server = await Server.start(['--allow-origin', site.url]);
  try {
    const policy = `default-src 'self'; script-src ${server.url} 'wasm-unsafe-eval'; connect-src ${server.url}`;
    site.page('/', server.url, '<plimsoll-upload checksum></plimsoll-upload>');
    site.put('/strict', { ...site.content('/')!, headers: { 'content-security-policy': `${policy}; img-src data:` } });
    await page.addInitScript(installEars);
    await page.goto(`${site.url}/strict`);
    const tag = await Tag.alive(page);
    const samples = [await files.sample('abroad.bin', 3 * MIB + 1), await files.sample('abroad-large.bin', 20 * MIB + 1)];
    await tag.pick(...samples);
    for (const sample of samples) await tag.checked(sample);
    expect(await tag.workers()).toEqual([]);
  } finally {
    await site.stop();
    await server.stop();
  }
});

test('a page whose policy forbids workers hashes by itself', async ({ page, net, files }) => {
  // Not heard: the browser says that its policy was obeyed.
  await page.route('**/plain.html', async (route) => {
    const answer = await route.fetch();
    const policy = `${answer.headers()['content-security-policy']}; worker-src 'none'`;
    await route.fulfill({ response: answer, headers: { ...answer.headers(), 'content-security-policy': policy } });
  });
  const tag = await Tag.on(page, net.url, {});
  const sample = await files.sample('workless.bin', 9 * MIB);
  await tag.pick(sample);
  await tag.checked(sample);
});

for (const [death, tells] of [['ends without a word', false], ['answers what cannot be read', true]] as const) {
  test(`a worker that ${death}: the page hashes by itself`, async ({ page, server, files, silence }) => {
    silence.listen(page);
    const tag = await Tag.on(page, server.url, {});
    await page.evaluate((tells) => {
      Worker.prototype.postMessage = function (this: Worker) {
        this.terminate();
        if (tells) this.dispatchEvent(new MessageEvent('messageerror'));
      };
    }, tells);
    await page.evaluate(hurry);
    const [one, two] = [await files.sample('orphan-1.bin', 3 * MIB), await files.sample('orphan-2.bin', 17 * MIB)];
    await tag.pick(one, two);
    await tag.checked(one);
    await tag.checked(two);
    expect(await tag.workers(), 'it was tried').toContain('/checksum.js');
  });
}

test('a worker that is slow is waited for, however long it takes: the page hashes nothing', async ({ page, net, files, silence }) => {
  silence.listen(page);
  const tag = await Tag.on(page, net.url, {});
  await page.evaluate(() => {
    const post = Worker.prototype.postMessage as (message: unknown[]) => void;
    const held: (() => void)[] = [];
    let slow = true;
    window.plLife = 0;
    // The disk is slow: a piece of a file is not read yet. The worker itself is not.
    Worker.prototype.postMessage = function (this: Worker, message: unknown[]) {
      if (slow && message[1] instanceof Blob) return void held.push(() => post.call(this, message));
      window.plLife += 1;
      post.call(this, message);
    };
    document.addEventListener('go', () => {
      slow = false;
      for (const go of held) go();
    });
  });
  await page.evaluate(hurry);
  const sample = await files.sample('slow-disk.bin', 20 * MIB);
  await tag.pick(sample);
  await expect.poll(() => page.evaluate(() => window.plLife), 'whether it lives').toBeGreaterThan(2);
  await tag.state(sample, 'checking');
  await page.evaluate(() => document.dispatchEvent(new Event('go')));
  await tag.checked(sample);
  expect(await tag.workers(), 'it is the same still').toEqual(['/checksum.js']);
  expect(net.asked.get('/checksum.js'), 'and the page itself hashed nothing').toBe(1);
});

test('what hashes does not load: the file is stored, and nobody says that it was compared', async ({ page, net, files, silence, widget }) => {
  silence.allowFailedRequests();
  silence.listen(page);
  silence.allow(/checksum-that-is-not-there|Error resolving|Loading module|Failed to fetch|error loading/i);
  await withOptions(page, { checksum: '/checksum-that-is-not-there.js' });
  await widget.open();
  await page.locator('[data-pl-digest]').check();
  const sample = await files.sample('uncompared.bin', MIB);
  await widget.pick(sample);
  await widget.waitState(sample.name, 'done');
  await expect(widget.row(sample.name).locator('[data-pl-status]')).toHaveText('Stored');
  expect((await widget.stored()).find(({ name }) => name === sample.name)?.sha256).toBe(sample.sha256);
  expect(net.asked.get('/checksum-that-is-not-there.js')).toBeGreaterThan(0);
});

test("somebody else's tus server tells no digest: the page is told the browser's own", async ({ page, server, files, silence }) => {
  silence.listen(page);
  const foreign = await ForeignTus.start(server.url);
  try {
    const tag = await Tag.on(page, foreign.url, { protocol: 'tus', progress: '' });
    const sample = await files.sample('foreign-hash.bin', 10 * MIB);
    await tag.pick(sample);
    await tag.state(sample, 'done');
    const { file, receipt } = await tag.told(sample);
    expect([file.sha256, receipt.sha256]).toEqual([sample.sha256, undefined]);
    await expect(tag.row(sample).locator('[data-pl-status]')).toHaveText('Stored');
  } finally {
    await foreign.stop();
  }
});

test('200 MB are hashed and sent without being held', async ({ playwright, browserName, server, files }, info) => {
  test.skip(browserName !== 'chromium', 'Firefox lets go of memory when it likes');
  test.setTimeout(120_000);
  const browser = await playwright.chromium.launch(info.project.use.launchOptions);
  try {
    const page = await browser.newPage();
    const tag = await Tag.on(page, server.url, {});
    const [warm, big] = [await files.sample('warm-hash.bin', 16 * MIB), await files.sample('big-hash.bin', 200 * MIB)];
    await tag.pick(warm);
    await tag.checked(warm);
    const memory = () => browserMemory([server.pid]);
    const before = memory();
    const peak = await peakDuring(memory, async () => {
      await tag.pick(big);
      await tag.checked(big);
    }, 50);
    console.log(`    memory of the browser: ${Math.round(before / MIB)} MiB before, ${Math.round(peak / MIB)} MiB at most`);
    expect(peak - before).toBeLessThan(96 * MIB);
  } finally {
    await browser.close();
  }
});

test('a tag that hashes is set up by its property as well', async ({ page, net }) => {
  const tag = await Tag.on(page, net.url, { checksum: 'false' });
  const said = await tag.host.evaluate((host: PlimsollUpload) => {
    const before = host.checksum;
    host.checksum = true;
    return [before, host.checksum, host.getAttribute('checksum')];
  });
  expect(said).toEqual([false, true, '']);
});
