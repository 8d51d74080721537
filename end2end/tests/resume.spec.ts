// Uploads that go on where they were cut: by the network, by the person, by a reload (promises 1, 2 and 10).

import { mkdtemp, open, rm, stat, utimes } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expectNoViolations } from '../fixtures/axe';
import { MIB, type Sample } from '../fixtures/files';
import type { NetProxy, Seen } from '../fixtures/netproxy';
import { withOptions } from '../fixtures/options';
import { installEyes, type Row, type Upload } from '../fixtures/page';
import { digest, expectNeverBack, expectWhole, offset, pieces, tries } from '../fixtures/pieces';
import { FirefoxPilot, type OwnBrowser, ownBrowser, type Pilot, playwrightPilot } from '../fixtures/pilot';
import { installRecords } from '../fixtures/records';
import { expect, test as base } from '../fixtures/test';

/** Bytes per second at which 24 MiB take a quarter of a minute: on a busy machine there is still something left to cut. */
const UNHURRIED = 1.5 * MIB;

const test = base.extend<{ pilot: Pilot }>({
  // Firefox without anybody who reads along: see the fixture.
  pilot: async ({ browserName, page, silence }, use) => {
    if (browserName === 'firefox') {
      const pilot = await FirefoxPilot.start();
      await use(pilot);
      await pilot.close();
      silence.said.push(...pilot.said);
    } else {
      silence.listen(page);
      await use(playwrightPilot(page, silence.said));
    }
  },
});

test('a line that ends cleanly in the middle of 400 MB: it goes on from what the server has', async ({ pilot, net, files, silence }) => {
  test.setTimeout(180_000);
  silence.allowFailedRequests();
  const sample = await files.sample('fin.bin', 400_000_000);
  await pilot.prepare(installEyes);
  await pilot.goto(net.url + '/');
  await hydrated(pilot);
  await pilot.run(() => window.plEyes.record());
  net.behave({ kind: 'fin', after: 100_000_000, times: 1 });
  await pilot.pick('[data-pl-input]', [sample.path]);
  await expect.poll(async () => (await row(pilot, sample))?.state, { timeout: 120_000 }).toBe('done');
  expect((await row(pilot, sample))!.restarts).toBe(0);
  const [first, second, ...more] = tries(net);
  expect([first!.cut, second!.cut, more.length]).toEqual([true, false, 0]);
  expect(offset(second!), 'a clean end loses nothing that was read').toBe(first!.passed);
  console.log(`    ${net.read} bytes sent of ${sample.size}: ${(net.read / sample.size).toFixed(3)}`);
  expect(net.read, 'bytes sent in all').toBeLessThanOrEqual(1.05 * sample.size);
  expectNeverBack(await pilot.run(() => window.plEyes.moments));
  await expectWholeAt(pilot, net, sample);
});

test('a connection that is reset: the bytes are the same at the end', async ({ widget, net, server, files, silence }) => {
  silence.allowFailedRequests();
  const sample = await files.sample('rst.bin', 48 * MIB + 5);
  const before = (await server.files()).filter(({ place }) => place === 'staging').length;
  await widget.open();
  await widget.record();
  net.behave({ kind: 'reset', after: 16 * MIB, times: 2 });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'done', 50_000);
  expectNeverBack(await widget.moments());
  await expectWhole(widget, sample);
  await expect.poll(async () => (await server.files()).filter(({ place }) => place === 'staging').length, 'nothing of it stays staged').toBe(before);
});

test('a connection on which nothing moves is replaced, and the row says so', async ({ widget, net, files }) => {
  const sample = await files.sample('dead.bin', 32 * MIB);
  await widget.open();
  await widget.record();
  net.behave({ kind: 'stall', after: 8 * MIB, times: 1 });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'done', 50_000);
  const [first, second] = pieces(net);
  // Ten seconds of silence, one poll that notices and one question; that this stays under twelve the queue's own test
  // says to the millisecond, and here is room for a busy machine.
  const silent = second!.began - first!.last;
  console.log(`    replaced after ${Math.round(silent)} ms`);
  expect(silent).toBeGreaterThan(9_000);
  expect(silent).toBeLessThan(16_000);
  expect(offset(second!)).toBeGreaterThan(0);
  const moments = await widget.moments();
  expect(moments.some(({ hint }) => hint === 'replaced')).toBe(true);
  expectNeverBack(moments);
  await expectWhole(widget, sample);
});

test('pause and resume, one and all, by mouse and by keyboard', async ({ widget, net, files, page }) => {
  const sample = await files.sample('held.bin', 24 * MIB);
  await widget.open();
  net.behave({ kind: 'slow', rate: UNHURRIED });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).received).toBeGreaterThan(4 * MIB);
  await widget.button('pause', sample.name).click();
  const paused = await widget.waitState(sample.name, 'paused');
  await expect(widget.button('resume', sample.name), 'the button keeps the focus').toBeFocused();
  await expectNoViolations(page, 'paused');
  await expect.poll(() => pieces(net)[0]!.abandoned).toBe(true);
  await page.keyboard.press('Enter');
  await expect.poll(() => pieces(net).length).toBe(2);
  expect(offset(pieces(net)[1]!)).toBeGreaterThanOrEqual(paused.received);
  await widget.button('pause-all').click();
  await widget.waitState(sample.name, 'paused');
  net.release();
  await widget.button('resume-all').click();
  expect(await widget.waitState(sample.name, 'done')).toMatchObject({ restarts: 0 });
  await expectWhole(widget, sample);
});

test('a cancelled upload leaves nothing, neither on the server nor here', async ({ widget, net, server, files, page }) => {
  await page.addInitScript(installRecords);
  const sample = await files.sample('unwanted.bin', 24 * MIB);
  const staged = async () => (await server.files()).filter(({ place }) => place === 'staging').length;
  const before = await staged();
  await widget.open();
  net.behave({ kind: 'slow', rate: UNHURRIED });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).received).toBeGreaterThan(MIB);
  expect(await staged()).toBe(before + 1);
  const records = () => page.evaluate(() => window.plRecords());
  await expect.poll(records).toEqual([{ name: sample.name, file: true }]);
  await widget.button('cancel', sample.name).click();
  await widget.waitState(sample.name, 'cancelled');
  await expect.poll(staged).toBe(before);
  await expect.poll(records).toEqual([]);
});

test('a reload in the middle of 300 MB: it goes on without being asked', async ({ pilot, net, files, silence }) => {
  test.setTimeout(180_000);
  silence.allowFailedRequests();
  const sample = await files.sample('reload.bin', 300_000_000);
  await pilot.prepare(installEyes);
  await pilot.prepare(installRecords);
  await pilot.goto(net.url + '/');
  await hydrated(pilot);
  net.behave({ kind: 'slow', rate: 10_000_000 });
  await pilot.pick('[data-pl-input]', [sample.path]);
  await expect.poll(async () => (await row(pilot, sample))?.received ?? 0, { timeout: 60_000 }).toBeGreaterThan(60_000_000);
  await expect.poll(() => pilot.run(() => window.plRecords())).toEqual([{ name: sample.name, file: true }]);
  await pilot.goto(net.url + '/');
  await hydrated(pilot);
  await pilot.run(() => window.plEyes.record());
  await expect.poll(async () => (await row(pilot, sample))?.state, { timeout: 20_000 }).toBe('sending');
  net.release();
  await expect.poll(async () => (await row(pilot, sample))?.state, { timeout: 120_000 }).toBe('done');
  const sends = pieces(net);
  expect(offset(sends[0]!)).toBe(0);
  expect(offset(sends.at(-1)!), 'it went on').toBeGreaterThan(60_000_000);
  expect(net.read, 'bytes sent in all').toBeLessThanOrEqual(1.05 * sample.size);
  const moments = await pilot.run(() => window.plEyes.moments);
  expectNeverBack(moments);
  expect((await row(pilot, sample))!.restarts).toBe(0);
  await expect.poll(() => pilot.run(() => window.plRecords()), 'what is done is forgotten').toEqual([]);
  await expectWholeAt(pilot, net, sample);
});

test('without the file: the row asks for it, the same one goes on, another is refused', async ({ widget, net, files, page, silence }) => {
  // A reload leaves a request behind that the server may still answer: another has taken its place.
  silence.allowFailedRequests();
  const sample = await files.sample('again.bin', 24 * MIB);
  await page.addInitScript(installRecords);
  await widget.open();
  net.behave({ kind: 'slow', rate: UNHURRIED });
  await widget.pick(sample);
  const lose = async () => {
    await expect.poll(async () => (await widget.read(sample.name)).received).toBeGreaterThan(4 * MIB);
    await expect.poll(() => page.evaluate(() => window.plRecords())).toEqual([{ name: sample.name, file: true }]);
    // As where a browser could not keep the file.
    await page.evaluate(() => window.plLoseFiles());
    await page.reload();
    await widget.hydrated();
    await widget.waitState(sample.name, 'missing');
  };
  await lose();
  await expectNoViolations(page, 'missing');
  await expect(widget.row(sample.name).locator('[data-pl-status]')).toContainText('Choose the same file');
  const chooseAgain = async () => {
    const choosing = page.waitForEvent('filechooser');
    await widget.button('resume', sample.name).click();
    await (await choosing).setFiles(sample.path);
  };
  await chooseAgain();
  await widget.waitState(sample.name, ['sending', 'creating']);
  await expect.poll(() => pieces(net).length).toBe(2);
  expect(offset(pieces(net)[1]!)).toBeGreaterThan(4 * MIB);
  await expect(widget.page.locator('[data-pl-row]')).toHaveCount(1);

  // Now it changes: another length, another time.
  await lose();
  const { mtime } = await stat(sample.path);
  const file = await open(sample.path, 'a');
  await file.write('more');
  await file.close();
  await utimes(sample.path, mtime, new Date(mtime.getTime() + 10_000));
  const before = pieces(net).length;
  await chooseAgain();
  expect(await widget.waitState(sample.name, 'failed')).toMatchObject({ error: 'file-changed' });
  await expect(widget.row(sample.name).locator('[data-pl-reason]')).toContainText('changed');
  expect(pieces(net).length, 'it was not sent').toBe(before);
  net.release();
  await widget.button('retry', sample.name).click();
  expect(await widget.waitState(sample.name, 'done')).toMatchObject({ size: sample.size + 4 });
  expect(offset(pieces(net).at(-1)!), 'from the beginning').toBe(0);
});

test('a file that changes on the disk while it waits is told and not sent', async ({ widget, net, files }) => {
  const sample = await files.sample('restless.bin', 24 * MIB);
  await widget.open();
  net.behave({ kind: 'slow', rate: UNHURRIED });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).received).toBeGreaterThan(4 * MIB);
  await widget.button('pause', sample.name).click();
  await widget.waitState(sample.name, 'paused');
  const file = await open(sample.path, 'r+');
  await file.write('another beginning', 0);
  await file.close();
  const before = pieces(net).length;
  await widget.button('resume', sample.name).click();
  expect(await widget.waitState(sample.name, 'failed')).toMatchObject({ error: 'file-changed' });
  expect(pieces(net).length, 'not a byte more').toBe(before);
});

test('a browser that is killed: the next one with its profile goes on', async ({ browserName, net, files, silence }) => {
  test.setTimeout(150_000);
  silence.allowFailedRequests();
  const sample = await files.sample('killed.bin', 64 * MIB);
  const profile = await mkdtemp(path.join(os.tmpdir(), 'plimsoll-profile-'));
  let pilot: OwnBrowser | undefined;
  const start = async () => {
    pilot = await ownBrowser(browserName, profile);
    await pilot.prepare(installEyes);
    await pilot.prepare(installRecords);
    await pilot.goto(net.url + '/');
    await hydrated(pilot);
    return pilot;
  };
  try {
    // Known here from before, as most visitors are: a browser writes cookies some time after they come.
    const first = await start();
    const cookie = await first.cookie(net.url);
    await first.close();
    const killed = await start();
    expect(await killed.cookie(net.url)).toBe(cookie);
    net.behave({ kind: 'slow', rate: 4 * MIB });
    await killed.pick('[data-pl-input]', [sample.path]);
    await expect.poll(async () => (await row(killed, sample))?.received ?? 0, { timeout: 60_000 }).toBeGreaterThan(16 * MIB);
    await expect.poll(() => killed.run(() => window.plRecords())).toEqual([{ name: sample.name, file: true }]);
    await killed.kill();
    net.release();
    const next = await start();
    await expect.poll(async () => (await row(next, sample))?.state, { timeout: 60_000 }).toBe('done');
    expect((await row(next, sample))!.restarts).toBe(0);
    expect(offset(pieces(net).at(-1)!), 'it went on').toBeGreaterThan(16 * MIB);
    await expectWholeAt(next, net, sample);
    await next.close();
  } finally {
    await pilot?.kill().catch(() => undefined);
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
});

test('on a page that was not told that the network is gone files wait for it, and go when it is there', async ({ widget, files, page, context, silence }) => {
  silence.allowFailedRequests();
  const [first, later] = [await files.sample('first.bin', 1000), await files.sample('later.bin', 2 * MIB)];
  // As on one that was opened without: nothing has changed since, so there is nothing to be told.
  await page.addInitScript(() => addEventListener('offline', (event) => event.stopImmediatePropagation(), true));
  await widget.open();
  // With the first file all is there that sends another.
  await widget.pick(first);
  await widget.waitState(first.name, 'done');
  await context.setOffline(true);
  await widget.pick(later);
  await expect(widget.row(later.name).locator('[data-pl-status]')).toContainText(/offline/i);
  await context.setOffline(false);
  await widget.waitState(later.name, 'done');
});

test('offline in the middle: it waits, says so, and goes on by itself', async ({ widget, net, files, context, silence }) => {
  silence.allowFailedRequests();
  const sample = await files.sample('tunnel.bin', 24 * MIB);
  await widget.open();
  await widget.record();
  // What is on its way when the network goes is neither taken nor refused: it stops.
  net.behave({ kind: 'stall', after: 6 * MIB });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).received).toBeGreaterThan(4 * MIB);
  await context.setOffline(true);
  await widget.waitState(sample.name, 'waiting');
  await expect(widget.row(sample.name).locator('[data-pl-status]')).toContainText('network');
  net.release();
  await context.setOffline(false);
  expect(await widget.waitState(sample.name, 'done')).toMatchObject({ restarts: 0 });
  expect(offset(pieces(net).at(-1)!)).toBeGreaterThanOrEqual(4 * MIB);
  expectNeverBack(await widget.moments());
  await expectWhole(widget, sample);
});

test('in slices, and cut in one of them', async ({ widget, net, files, page, silence }) => {
  silence.allowFailedRequests();
  await withOptions(page, { slice: 4 * MIB });
  const sample = await files.sample('sliced.bin', 18 * MIB + 1);
  await widget.open();
  await widget.record();
  net.behave({ kind: 'fin', after: 3 * MIB, times: 1 });
  await widget.pick(sample);
  expect(await widget.waitState(sample.name, 'done')).toMatchObject({ restarts: 0 });
  const [cut, ...whole] = tries(net);
  expect(cut!.cut).toBe(true);
  // From what was kept of the one that was cut, slice after slice. A browser that sends it again by itself, at once, may
  // end it before its last bytes are read; or before any are, and then that one is taken whole.
  const attempt = ({ headers }: Seen) => headers['plimsoll-attempt'];
  const again = pieces(net).some((piece) => piece !== cut && attempt(piece) === attempt(cut!) && piece.status === 204);
  const from = offset(whole[0]!);
  if (again) {
    expect(from).toBe(4 * MIB);
  } else {
    expect(from).toBeGreaterThan(0);
    expect(from).toBeLessThanOrEqual(cut!.passed);
  }
  const slices = Math.ceil((sample.size - from) / (4 * MIB));
  expect(whole.map(offset)).toEqual(Array.from({ length: slices }, (_, i) => from + i * 4 * MIB));
  expect(whole.map(({ headers }) => headers['upload-complete'])).toEqual(Array.from({ length: slices }, (_, i) => (i < slices - 1 ? '?0' : '?1')));
  expectNeverBack(await widget.moments());
  await expectWhole(widget, sample);
});

test.describe('tus', () => {
  test.use({ protocol: 'tus' });

  test('a line that ends cleanly costs next to nothing by tus either', async ({ pilot, net, files, silence }) => {
    test.setTimeout(180_000);
    silence.allowFailedRequests();
    const sample = await files.sample('tus-fin.bin', 400_000_000);
    await pilot.prepare(installEyes);
    await pilot.goto(net.url + '/?protocol=tus');
    await hydrated(pilot);
    net.behave({ kind: 'fin', after: 100_000_000, times: 1 });
    await pilot.pick('[data-pl-input]', [sample.path]);
    await expect.poll(async () => (await row(pilot, sample))?.state, { timeout: 120_000 }).toBe('done');
    const [first, second, ...more] = tries(net);
    expect([first!.cut, second!.cut, more.length]).toEqual([true, false, 0]);
    expect(offset(second!)).toBe(first!.passed);
    console.log(`    ${net.read} bytes sent of ${sample.size}: ${(net.read / sample.size).toFixed(3)}`);
    expect(net.read, 'bytes sent in all').toBeLessThanOrEqual(1.05 * sample.size);
    await expectWholeAt(pilot, net, sample);
  });

  test('the same by tus: cut, gone on with, the same bytes', async ({ widget, net, files, silence }) => {
    silence.allowFailedRequests();
    const sample = await files.sample('tús “1”.bin', 40 * MIB);
    const small = await files.sample('tus-small.bin', 1000);
    const empty = await files.sample('tus-empty.bin', 0);
    await widget.open();
    await widget.record();
    net.behave({ kind: 'fin', after: 10 * MIB, times: 1 });
    await widget.pick(sample);
    await widget.waitState(sample.name, 'done', 50_000);
    for (const { headers } of pieces(net)) {
      expect(headers).toMatchObject({ 'tus-resumable': '1.0.0', 'content-type': 'application/offset+octet-stream' });
    }
    const [first, second] = tries(net);
    expect(offset(second!)).toBe(first!.passed);
    expectNeverBack(await widget.moments());
    await expectWhole(widget, sample);
    await widget.pick(small, empty);
    await widget.waitState(small.name, 'done');
    await widget.waitState(empty.name, 'done');
    await expectWhole(widget, small);
    await expectWhole(widget, empty);
  });
});

async function expectWholeAt(pilot: Pilot, net: NetProxy, sample: Sample): Promise<void> {
  const stored = (): Promise<Upload[]> => pilot.run(() => window.plEyes.uploads());
  await expect.poll(async () => (await stored()).length).toBe(1);
  const answer = await fetch((await stored())[0]!.href, { headers: { cookie: await pilot.cookie(net.url) } });
  expect(await digest(answer)).toBe(sample.sha256);
}

async function hydrated(pilot: Pilot): Promise<void> {
  const attribute = () => pilot.run(() => document.querySelector<HTMLElement>('form[data-plimsoll]')?.dataset.hydrated);
  await expect.poll(attribute).toBe('true');
}

async function row(pilot: Pilot, sample: Sample): Promise<Row | undefined> {
  return (await pilot.run(() => window.plEyes.rows())).find(({ name }) => name === sample.name);
}
