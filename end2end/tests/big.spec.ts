// One GiB by path: the same bytes at the other end, and no memory for them in the browser (promises 4 and 7).

import { createHash } from 'node:crypto';
import { MIB } from '../fixtures/files';
import { browserMemory, installWasmWatch, peakDuring } from '../fixtures/memory';
import { installEyes, type Upload } from '../fixtures/page';
import { FirefoxPilot, type Pilot, playwrightPilot } from '../fixtures/pilot';
import { sha256OfFile } from '../fixtures/server';
import { expect, test as base } from '../fixtures/test';

const SIZE = 1024 * MIB;
/** What a browser may need besides: buffers between its processes, and whatever it does meanwhile. */
const LEEWAY = 128 * MIB;

const test = base.extend<{ pilot: Pilot }>({
  pilot: async ({ browserName, silence, playwright }, use, info) => {
    if (browserName === 'firefox') {
      const pilot = await FirefoxPilot.start();
      await use(pilot);
      await pilot.close();
      silence.said.push(...pilot.said);
    } else {
      const browser = await playwright.chromium.launch(info.project.use.launchOptions);
      const page = await browser.newPage();
      silence.listen(page);
      await use(playwrightPilot(page, silence.said));
      await browser.close();
    }
  },
});

test('a file of 1 GiB arrives whole, and memory stays flat', async ({ pilot, server, files }) => {
  test.setTimeout(300_000);
  const [warm, big] = [await files.sample('warm.bin', 16 * MIB), await files.sample('big.bin', SIZE)];
  const state = async (name: string) => (await pilot.run(() => window.plEyes.rows())).find((row) => row.name === name)?.state;
  await pilot.prepare(installEyes);
  await pilot.prepare(installWasmWatch);
  // Straight to the server: what is measured is the browser, not the proxy.
  await pilot.goto(server.url + '/');
  await expect.poll(() => pilot.run(() => document.querySelector<HTMLElement>('form[data-plimsoll]')?.dataset.hydrated)).toBe('true');
  await pilot.run(() => document.querySelector<HTMLInputElement>('[data-pl-digest]')!.click());

  // A first upload lets every part of the browser and of the page come to its working size.
  await pilot.pick('[data-pl-input]', [warm.path]);
  await expect.poll(() => state(warm.name)).toBe('done');
  const wasm = () => pilot.run(() => window.plMemories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0));
  const wasmBefore = await wasm();
  expect(wasmBefore, 'the page runs on WASM').toBeGreaterThan(0);

  await pilot.run(() => window.plEyes.record());
  const memory = () => browserMemory([server.pid]);
  const before = memory();
  expect(before).toBeGreaterThan(0);
  const peak = await peakDuring(memory, async () => {
    await pilot.pick('[data-pl-input]', [big.path]);
    await expect.poll(() => state(big.name), { timeout: 150_000 }).toBe('done');
  });
  expect(peak - before, 'browser memory while 1 GiB was uploaded').toBeLessThan(LEEWAY);
  expect((await wasm()) - wasmBefore, 'WASM memory while 1 GiB was uploaded').toBeLessThanOrEqual(MIB);
  console.log(`    memory of the browser: ${Math.round(before / MIB)} MiB before, ${Math.round(peak / MIB)} MiB at most during`);

  const moments = await pilot.run(() => window.plEyes.moments);
  expect(moments.filter(({ percent, state }) => percent === 100 && state !== 'done')).toEqual([]);
  // The server's count is looked at every two seconds, give or take a fifth: so many steps the bar must have taken on
  // its way, and two more at the least for its beginning and its end, however fast the machine.
  const way = moments.filter(({ name }) => name === big.name);
  const sending = way.filter(({ state }) => state === 'sending');
  const seconds = (sending.at(-1)!.at - sending[0]!.at) / 1000;
  expect(new Set(way.map(({ percent }) => percent)).size, `the bar moved in ${seconds} s`).toBeGreaterThanOrEqual(2 + Math.max(1, Math.floor(seconds / 3)));
  expect(new Set(way.map(({ sent }) => sent)).size, 'and what was sent with it').toBeGreaterThan(5);

  const stored = (): Promise<Upload[]> => pilot.run(() => window.plEyes.uploads());
  await expect.poll(async () => (await stored()).length).toBe(2);
  const upload = (await stored()).find(({ name }) => name === big.name);
  expect(upload).toMatchObject({ size: SIZE, sha256: big.sha256 });
  const [onDisk] = (await server.files()).filter(({ size }) => size === SIZE);
  expect(await sha256OfFile(onDisk!.path)).toBe(big.sha256);
  const answer = await fetch(upload!.href, { headers: { cookie: await pilot.cookie(server.url) } });
  const hash = createHash('sha256');
  for await (const piece of answer.body!) hash.update(piece);
  expect(hash.digest('hex')).toBe(big.sha256);
});
