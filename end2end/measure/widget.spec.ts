// The widget in the situations in which other widgets were watched: what a person is told, and whether it is true. Each
// scenario notes its figures; a scenario fails only when it cannot be run to its end.

import type { Page } from '@playwright/test';
import AxeBuilder from '@axe-core/playwright';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { dropPaths } from '../fixtures/drop';
import { MIB } from '../fixtures/files';
import { browserMemory, installWasmWatch, peakDuring } from '../fixtures/memory';
import type { PlimsollUpload } from '../../public/upload-widget.js';
import type { Moment } from '../fixtures/page';
import { expect, test } from '../fixtures/test';
import { watchTasks, type Longest } from './tasks';

const MB = 1_000_000;

/** Notes a figure. */
function note(what: string, value: string | number): void {
  test.info().annotations.push({ type: what, description: String(value) });
}

/** What a row says, as a person reads it. */
async function words(page: Page): Promise<string> {
  const parts = await page.locator('[data-pl-row]').first().locator('[data-pl-status], [data-pl-reason]:visible, [data-pl-hint]:visible').allInnerTexts();
  return parts.map((part) => part.trim()).filter(Boolean).join(' | ');
}

/** The most that a row showed before it was stored, in percent. */
function most(moments: Moment[]): number {
  return Math.max(0, ...moments.filter(({ state }) => state !== 'done').map(({ percent }) => percent));
}

test('the answer is held for 5 s after the last byte', async ({ widget, net, files, page }) => {
  const sample = await files.sample('held.bin', 3 * MIB);
  await widget.open();
  await widget.record();
  net.behave({ kind: 'hold', frames: 'processing' });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'processing');
  // The five seconds are the scenario itself.
  await page.waitForTimeout(5000);
  note('says meanwhile', await words(page));
  note('most it showed before the answer', `${most(await widget.moments())} %`);
  net.release();
  await widget.waitState(sample.name, 'done');
});

test('20 MB to a server that reads 2 MB/s', async ({ widget, net, files }) => {
  const sample = await files.sample('slow.bin', 20 * MB);
  await widget.open();
  await widget.record();
  net.behave({ kind: 'slow', rate: 2 * MB });
  await widget.pick(sample);
  await expect(widget.row(sample.name)).toHaveCount(1);
  let ahead = 0;
  for (let row = await widget.read(sample.name); row.state !== 'done'; row = await widget.read(sample.name)) {
    ahead = Math.max(ahead, (row.percent * sample.size) / 100 - net.passed);
    await widget.page.evaluate(() => new Promise(requestAnimationFrame));
  }
  note('most the bar was ahead of the server', `${(Math.max(0, ahead) / MB).toFixed(1)} MB`);
  note('most it showed before the answer', `${most(await widget.moments())} %`);
});

test('the server stops reading for 50 s', async ({ widget, net, files, page }) => {
  const sample = await files.sample('stall.bin', 20 * MB);
  await widget.open();
  await widget.record();
  net.behave({ kind: 'stall', after: 4 * MIB, times: 1 });
  await widget.pick(sample);
  await expect.poll(() => net.read).toBeGreaterThan(4 * MIB);
  const stopped = Date.now();
  // What is said at each moment until then; the words and not an attribute, and nothing of how it gets over it is assumed.
  const said = new Map<string, number>();
  const release = setTimeout(() => net.release(), 50_000);
  let row = await widget.read(sample.name);
  for (; row.state !== 'done' && Date.now() < stopped + 120_000; row = await widget.read(sample.name)) {
    // Figures change all the time: the words without them.
    const now = (await words(page)).replaceAll(/[\d.,]+/g, 'N');
    if (!said.has(now)) said.set(now, Date.now() - stopped);
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  clearTimeout(release);
  expect(row.state).toBe('done');
  for (const [now, after] of said) note(`says from ${(after / 1000).toFixed(0)} s on`, now);
  note('stored after the stop by', `${((Date.now() - stopped) / 1000).toFixed(0)} s`);
  note('bytes sent in all', `${(net.read / sample.size).toFixed(2)} times the file`);
});

test('the connection is reset at 5 MB, always', async ({ widget, net, files, page, silence }) => {
  silence.allowFailedRequests();
  const sample = await files.sample('reset.bin', 20 * MB);
  await widget.open();
  net.behave({ kind: 'reset', after: 5 * MB, times: Infinity });
  const began = Date.now();
  await widget.pick(sample);
  await widget.waitState(sample.name, ['failed', 'done'], 150_000);
  note('ends after', `${((Date.now() - began) / 1000).toFixed(0)} s and ${net.uploads.length} requests`);
  note('says', await words(page));
});

test('HTTP 413 with a reason in JSON', async ({ widget, net, files, page, silence }) => {
  silence.allowFailedRequests();
  const sample = await files.sample('refused.bin', MIB);
  await widget.open();
  const reason = 'The file is larger than 500 kB, which is the limit here.';
  const body = JSON.stringify({ code: 'too-large', message: reason, detail: reason, retryable: false });
  net.behave({ kind: 'answer', status: 413, body, times: Infinity });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'failed');
  note('requests', net.uploads.length);
  note('says', await words(page));
});

/** How a thousand files come to the page, and the event in which it has them. */
const WAYS: Record<string, { event: string; bring(page: Page, samples: string[]): Promise<void> }> = {
  picked: { event: 'change', bring: (page, samples) => page.locator('[data-pl-input]').setInputFiles(samples) },
  'dropped one beside the other': { event: 'drop', bring: dropPaths },
  'dropped as a folder': { event: 'drop', bring: (page, samples) => dropPaths(page, [path.dirname(samples[0]!)]) },
  // A real paste would need a desktop. The files are real ones.
  pasted: {
    event: 'paste',
    bring: (page, samples) =>
      withFiles(page, samples, (files) => {
        const data = new DataTransfer();
        for (const file of files) data.items.add(file);
        // It has its time before it is heard: what comes before is the work of whoever pastes.
        setTimeout(() => document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })));
      }),
  },
  'given by the page': {
    event: 'pl-give',
    bring: (page, samples) =>
      withFiles(page, samples, (files) => {
        setTimeout(() => {
          document.dispatchEvent(new Event('pl-give'));
          document.querySelector<PlimsollUpload>('plimsoll-upload')!.add(files);
        });
      }),
  },
};

for (const [way, { event, bring }] of Object.entries(WAYS)) {
  test(`1000 files of 7 bytes, ${way}`, async ({ widget, net, page }) => {
    const root = await mkdtemp(path.join(os.tmpdir(), 'plimsoll-many-'));
    try {
      const folder = path.join(root, 'many');
      await mkdir(folder);
      const samples = Array.from({ length: 1000 }, (_, i) => path.join(folder, `f-${i}.txt`));
      for (const [i, sample] of samples.entries()) await writeFile(sample, String(1_000_000 + i));
      if (event === 'pl-give') {
        await page.goto(`${net.url}/plain.html`);
        await widget.hydrated();
      } else {
        await widget.open();
      }
      await page.evaluate((event) => {
        document.addEventListener(event, () => (window.plBegan = performance.now()), { capture: true, once: true });
        const inside = document.querySelector('plimsoll-upload')?.shadowRoot ?? document;
        new MutationObserver(() => {
          const listed = inside.querySelector('[data-pl-row]')?.getAttribute('aria-setsize') === '1000';
          if (listed && !inside.querySelector('[data-gathering]')) document.dispatchEvent(new Event('pl-added'));
        }).observe(inside, { subtree: true, attributeFilter: ['data-gathering', 'aria-setsize'] });
      }, event);
      const tasks = await watchTasks(page);
      await bring(page, samples);
      let nodes = 0;
      await expect
        .poll(
          async () => {
            const [count, done] = await page.evaluate(() => {
              const inside = document.querySelector('plimsoll-upload')?.shadowRoot ?? document;
              const shadow = inside === document ? 0 : inside.querySelectorAll('*').length;
              return [document.querySelectorAll('*').length + shadow, inside.querySelector('[data-pl-total]')?.getAttribute('data-done')] as const;
            });
            nodes = Math.max(nodes, count);
            return done;
          },
          { timeout: 120_000, intervals: [100] },
        )
        .toBe('1000');
      note('all stored in', `${((await page.evaluate(() => performance.now() - window.plBegan)) / 1000).toFixed(1)} s`);
      const [before, adding, sending] = await tasks(event, 'pl-added');
      const block = ({ took, worked }: Longest) => `${took.toFixed(0)} ms, ${worked.toFixed(0)} ms of work`;
      // Until then the browser makes its list of them, which it does on a page with nothing of ours as well; where a script
      // brings them, that is the work of the script.
      if (event === 'change' || event === 'drop') note('longest block before the page has them', block(before!));
      note('longest block while they are added', block(adding!));
      note('longest block from then until all are stored', block(sending!));
      note('elements in the document at most', nodes);
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });
}

test('a folder of 263 files is dropped', async ({ widget, page }) => {
  const root = await mkdtemp(path.join(os.tmpdir(), 'plimsoll-folder-'));
  try {
    const folder = path.join(root, 'tree');
    await mkdir(path.join(folder, 'many'), { recursive: true });
    await mkdir(path.join(folder, 'deep/er/still'), { recursive: true });
    for (let i = 0; i < 250; i++) await writeFile(path.join(folder, 'many', `${i}.txt`), `file ${i}`);
    for (let i = 0; i < 11; i++) await writeFile(path.join(folder, 'deep/er/still', `${i}.txt`), `deep ${i}`);
    await writeFile(path.join(folder, 'empty.txt'), '');
    await writeFile(path.join(folder, '.dot'), 'dot');
    await widget.open();
    await dropPaths(page, [folder]);
    const done = () => widget.total.getAttribute('data-done');
    await expect.poll(async () => (await widget.total.getAttribute('data-active')) === '0' && Number(await done()) > 0, { timeout: 60_000 }).toBe(true);
    note('stored of 263', (await done()) ?? '0');
    const list = (await (await page.request.get(`${widget.base}/api/list_uploads`)).json().catch(() => [])) as { path?: string }[];
    note('paths kept', Array.isArray(list) ? list.filter((upload) => upload.path?.startsWith('tree/')).length : 'not told');
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});

test('axe, in four states', async ({ widget, net, files, page, silence }) => {
  silence.allowFailedRequests();
  const violations = async () => (await new AxeBuilder({ page }).analyze()).violations.map(({ id, nodes }) => `${id}×${nodes.length}`).join(' ') || '0';
  const sample = await files.sample('axe.bin', 3 * MIB);
  await widget.open();
  note('idle', await violations());
  net.behave({ kind: 'stall', after: MIB });
  await widget.pick(sample);
  await expect.poll(() => net.read).toBeGreaterThan(MIB);
  note('uploading', await violations());
  net.release();
  await widget.waitState(sample.name, 'done');
  note('done', await violations());
  net.behave({ kind: 'answer', status: 403, body: JSON.stringify({ code: 'forbidden', message: 'No.', detail: 'No.', retryable: false }), times: 1 });
  await widget.pick(await files.sample('axe-2.bin', MIB));
  await widget.waitState('axe-2.bin', 'failed');
  note('error', await violations());
});

test('what a screen reader is told', async ({ widget, net, files, silence }) => {
  silence.allowFailedRequests();
  await widget.open();
  await widget.listen();
  const [one, two] = [await files.sample('said-1.bin', 8 * MB), await files.sample('said-2.bin', MB)];
  net.behave({ kind: 'slow', rate: 4 * MB });
  await widget.pick(one);
  await widget.waitState(one.name, 'done');
  await expect.poll(async () => (await widget.announced()).at(-1)).toMatch(/stored/);
  note('success', (await widget.announced()).join(' | '));
  const before = (await widget.announced()).length;
  net.behave({ kind: 'answer', status: 403, body: JSON.stringify({ code: 'forbidden', message: 'Not here.', detail: 'Not here.', retryable: false }), times: 1 });
  await widget.pick(two);
  await widget.waitState(two.name, 'failed');
  await expect.poll(async () => (await widget.announced()).slice(before).join(' ')).toMatch(/Not here/);
  note('failure', (await widget.announced()).slice(before).join(' | '));
});

test('memory while 1 GiB is sent', async ({ widget, server, files, page }) => {
  const [warm, big] = [await files.sample('warm.bin', 16 * MIB), await files.sample('big.bin', 1024 * MIB)];
  await page.addInitScript(installWasmWatch);
  await widget.open();
  await widget.pick(warm);
  await widget.waitState(warm.name, 'done');
  const wasm = () => page.evaluate(() => window.plMemories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0));
  const [memory, wasmBefore] = [() => browserMemory([server.pid]), await wasm()];
  const before = memory();
  const peak = await peakDuring(memory, async () => {
    await widget.pick(big);
    await widget.waitState(big.name, 'done', 150_000);
  });
  note('all processes of the browser', `${Math.round(before / MIB)} MiB before, ${Math.round((peak - before) / MIB)} MiB more at most`);
  note('memory of the WASM', `${((await wasm()) / MIB).toFixed(1)} MiB, ${(((await wasm()) - wasmBefore) / MIB).toFixed(1)} MiB more`);
});

/** Does something in the page with real files, all in one turn. */
async function withFiles(page: Page, samples: string[], use: (files: File[]) => void): Promise<void> {
  await page.evaluate(() => {
    const input = document.createElement('input');
    Object.assign(input, { id: 'source', type: 'file', multiple: true });
    document.body.append(input);
  });
  const input = page.locator('#source');
  await input.setInputFiles(samples);
  const files = await input.evaluateHandle((input: HTMLInputElement) => [...(input.files ?? [])]);
  await input.evaluate((input) => input.remove());
  await page.evaluate(use, files);
}

declare global {
  interface Window {
    plBegan: number;
  }
}
