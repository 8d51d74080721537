// The widget with a tus server that is not ours, unmodified: nobody counts what it receives, and it gives no receipts.

import { MIB, type Sample } from '../fixtures/files';
import { ForeignTus } from '../fixtures/foreign';
import { NetProxy } from '../fixtures/netproxy';
import { withOptions } from '../fixtures/options';
import { Widget } from '../fixtures/page';
import { expectNeverBack, offset, pieces } from '../fixtures/pieces';
import { expect, test as base } from '../fixtures/test';

interface Foreign {
  foreign: ForeignTus;
  /** In front of it, and of our own page. */
  line: NetProxy;
  /** Our page, set up for that server. */
  guest: Widget;
}

const test = base.extend<Foreign>({
  foreign: async ({ server }, use) => {
    const foreign = await ForeignTus.start(server.url);
    await use(foreign);
    await foreign.stop();
  },
  line: async ({ foreign }, use) => {
    const line = await NetProxy.start(foreign.url);
    await use(line);
    await line.stop();
  },
  guest: async ({ page, line, silence }, use) => {
    // Connections are cut here, and browsers say so.
    silence.listen(page);
    silence.allowFailedRequests();
    await withOptions(page, { protocol: 'tus', progress: '', digest: false });
    await use(new Widget(page, line.url));
  },
});

test('whole, empty and in slices', async ({ guest, foreign, line, files, page }) => {
  await withOptions(page, { slice: 3 * MIB });
  const samples = [await files.sample('guest ü.bin', 10 * MIB + 7), await files.sample('nothing.bin', 0)];
  await guest.open();
  await guest.record();
  for (const sample of samples) {
    await guest.pick(sample);
    await guest.waitState(sample.name, 'done');
  }
  expectNeverBack(await guest.moments());
  await expectThere(foreign, samples);
  const large = pieces(line).filter(({ read }) => read > 0);
  expect(large.map((seen) => [offset(seen), seen.read])).toEqual([0, 3, 6, 9].map((at) => [at * MIB, Math.min(3 * MIB, 10 * MIB + 7 - at * MIB)]));
  expect(large[0]!.headers).not.toHaveProperty('x-progress-id');
});

for (const kind of ['fin', 'reset'] as const) {
  test(`cut by a ${kind}: it goes on, and only the end is 100 %`, async ({ guest, foreign, line, files }) => {
    const sample = await files.sample(`cut-by-${kind}.bin`, 40 * MIB);
    await guest.open();
    await guest.record();
    line.behave({ kind, after: 10 * MIB, times: 1 });
    await guest.pick(sample);
    await guest.waitState(sample.name, 'done', 50_000);
    const moments = await guest.moments();
    expectNeverBack(moments);
    expect(moments.filter(({ witness }) => witness === 'server'), 'nobody counts').toEqual([]);
    expect(pieces(line)[0]!.cut).toBe(true);
    // In between a browser may send the first piece again by itself, in vain.
    expect(offset(pieces(line).at(-1)!), 'it went on').toBeGreaterThan(0);
    await expectThere(foreign, [sample]);
    expect(foreign.created).toBe(1);
  });
}

test('paused, reloaded and found again', async ({ guest, foreign, line, files, page }) => {
  const sample = await files.sample('again.bin', 24 * MIB);
  await guest.open();
  line.behave({ kind: 'slow', rate: 3 * MIB });
  await guest.pick(sample);
  await expect.poll(() => line.passed).toBeGreaterThan(6 * MIB);
  await guest.button('pause', sample.name).click();
  await guest.waitState(sample.name, 'paused');
  await guest.button('resume', sample.name).click();
  await expect.poll(() => pieces(line).length).toBe(2);
  await expect.poll(() => line.passed).toBeGreaterThan(12 * MIB);
  await page.reload();
  await guest.hydrated();
  await expect.poll(() => pieces(line).length).toBe(3);
  line.release();
  await guest.waitState(sample.name, 'done', 30_000);
  expect(pieces(line).map(offset)).toEqual([...new Set(pieces(line).map(offset))].sort((a, b) => a - b));
  await expectThere(foreign, [sample]);
  expect(foreign.created).toBe(1);
});

async function expectThere(foreign: ForeignTus, samples: Sample[]): Promise<void> {
  const there = () => foreign.whole.map(({ size, sha256 }) => ({ size, sha256 }));
  await expect.poll(there).toEqual(samples.map(({ size, sha256 }) => ({ size, sha256 })));
}
