// What a person does every day: pick, watch, download, delete, and change one's mind.

import { createHash } from 'node:crypto';
import { MIB } from '../fixtures/files';
import { expect, test } from '../fixtures/test';

test('one file: picked, watched, stored, listed, downloaded, deleted', async ({ widget, net, server, files, page }) => {
  const sample = await files.sample('one.bin', 3 * MIB + 7);
  await widget.open();
  await widget.record();
  await widget.pick(sample);
  const row = await widget.waitState(sample.name, 'done');
  expect(row).toMatchObject({ size: sample.size, received: sample.size, sent: sample.size, percent: 100, valueNow: 100, error: null });
  const full = (await widget.moments()).filter(({ percent, state }) => percent === 100 && state !== 'done');
  expect(full, '100 % means stored (promise 1)').toEqual([]);
  expect(net.uploads).toHaveLength(1);

  await expect(widget.uploads).toHaveCount(1);
  const [upload] = await widget.stored();
  expect(upload).toMatchObject({ name: sample.name, size: sample.size, sha256: null });
  const answer = await widget.download(upload!.href);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-disposition')).toContain('attachment');
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(createHash('sha256').update(Buffer.from(await answer.arrayBuffer())).digest('hex')).toBe(sample.sha256);

  await page.reload();
  await widget.hydrated();
  await expect(widget.uploads, 'the list is the server’s, not the page’s').toHaveCount(1);
  await page.locator('[data-pl-upload] [data-pl-delete]').click();
  await expect(widget.uploads).toHaveCount(0);
  expect((await widget.download(upload!.href)).status).toBeGreaterThanOrEqual(404);
  await expect.poll(async () => (await server.files()).filter(({ path }) => path.endsWith(upload!.id)), 'nor on the disk').toEqual([]);
});

test('a click on the link saves the file under its own name', async ({ widget, files, page }) => {
  const sample = await files.sample('naïve “quoted” & 100 %.txt', 1234);
  await widget.open();
  await widget.pick(sample);
  await widget.waitState(sample.name, 'done');
  const [download] = await Promise.all([page.waitForEvent('download'), page.locator('[data-pl-upload] a[data-pl-download]').click()]);
  expect(download.suggestedFilename()).toContain('naïve');
  expect(page.url(), 'a download leaves the page where it is').toBe(widget.base + '/');
});

test('several at once, each with its own row and receipt, newest first', async ({ widget, net, files }) => {
  const samples = await Promise.all(['a.bin', 'b.bin', 'c.bin', 'd.bin', 'e.bin'].map((name, i) => files.sample(name, MIB * (i + 1))));
  await widget.open();
  await widget.pick(...samples);
  for (const { name } of samples) await widget.waitState(name, 'done');
  expect((await widget.rows()).map(({ name }) => name)).toEqual(samples.map(({ name }) => name));
  await expect(widget.total).toHaveAttribute('data-done', '5');
  await expect(widget.total).toHaveAttribute('data-percent', '100');
  await expect(widget.uploads).toHaveCount(5);
  expect(net.uploads, 'one request for each file').toHaveLength(5);

  const last = await files.sample('last.bin', 100);
  await widget.pick(last);
  await widget.waitState(last.name, 'done');
  await expect(widget.uploads).toHaveCount(6);
  expect((await widget.stored())[0]?.name).toBe('last.bin');
});

test('names are only words: whatever a file is called is shown and kept', async ({ widget, files }) => {
  const names = ['été.txt', '<b>bold & "loud".txt', "o'brien & sons.txt", 'percent %41 %2F.txt', 'a;b=c,d.txt', '日本語.txt', '..hidden', '.profile'];
  const samples = await Promise.all(names.map((name) => files.sample(name, 20)));
  await widget.open();
  await widget.pick(...samples);
  for (const name of names) await widget.waitState(name, 'done');
  await expect(widget.uploads).toHaveCount(names.length);
  expect((await widget.stored()).map(({ name }) => name).sort()).toEqual([...names].sort());
});

test('an empty file is a file', async ({ widget, files }) => {
  const sample = await files.sample('empty.txt', 0);
  await widget.open();
  await widget.pick(sample);
  expect(await widget.waitState(sample.name, 'done')).toMatchObject({ size: 0, percent: 100 });
  await expect(widget.uploads).toHaveCount(1);
  expect((await widget.stored())[0]).toMatchObject({ name: 'empty.txt', size: 0 });
});

test('the same file can be picked again', async ({ widget, net, files }) => {
  const sample = await files.sample('again.bin', 5000);
  await widget.open();
  await widget.pick(sample);
  await widget.waitState(sample.name, 'done');
  // A browser tells of no change where the same file is in the input already.
  expect(await widget.input.evaluate((input: HTMLInputElement) => input.files?.length)).toBe(0);
  await widget.pick(sample);
  await expect(widget.row(sample.name)).toHaveCount(2);
  await expect(widget.uploads).toHaveCount(2);
  expect(net.uploads).toHaveLength(2);
});

test('the digest is told when it is asked for', async ({ widget, files, page }) => {
  const [without, withDigest] = await Promise.all([files.sample('plain.bin', 70_000), files.sample('digest.bin', 70_001)]);
  await widget.open();
  await widget.pick(without);
  await widget.waitState(without.name, 'done');
  await page.locator('[data-pl-digest]').check();
  await widget.pick(withDigest);
  await widget.waitState(withDigest.name, 'done');
  await expect(widget.uploads).toHaveCount(2);
  expect((await widget.stored()).map(({ name, sha256 }) => [name, sha256])).toEqual([
    ['digest.bin', withDigest.sha256],
    ['plain.bin', null],
  ]);
});

test('fifty small files', async ({ widget, net, files }) => {
  const samples = await files.many(50, 1000);
  await widget.open();
  await widget.pick(...samples);
  await expect(widget.total).toHaveAttribute('data-done', '50', { timeout: 40_000 });
  expect((await widget.rows()).filter(({ state }) => state !== 'done')).toEqual([]);
  await expect(widget.uploads).toHaveCount(50);
  const listed = (await widget.stored()).map(({ name, size }) => `${name} ${size}`).sort();
  expect(listed).toEqual(samples.map(({ name, size }) => `${name} ${size}`).sort());
  expect(net.uploads, 'each was sent once').toHaveLength(50);
});

test('cancel, retry, remove', async ({ widget, net, server, files }) => {
  const sample = await files.sample('mind.bin', 24 * MIB);
  const ours = async () => (await server.files()).filter(({ place }) => place !== 'trash').length;
  await widget.open();
  const before = await ours();
  net.behave({ kind: 'stall', after: 2 * MIB });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).sent).toBeGreaterThan(MIB);
  await widget.button('cancel', sample.name).click();
  await widget.waitState(sample.name, 'cancelled');
  // A proxy that does not read does not see the connection go: it sees it when it reads on.
  net.release();
  // By the browser, or by the server, as of a resumable upload the deletion may come first: it answers (409), and
  // hangs up on a body that goes on beyond what it drains, whether or not its answer has been read by then.
  const isOver = () => net.uploads.slice(-1).some(({ abandoned, cut, status }) => abandoned || cut || status === 409);
  await expect.poll(isOver, 'the request is given up').toBe(true);
  await expect.poll(ours, 'nothing of it stays on the server').toBe(before);

  await widget.button('retry', sample.name).click();
  await widget.waitState(sample.name, 'done');
  await expect(widget.uploads).toHaveCount(1);
  await expect.poll(ours).toBe(before + 1);

  await widget.button('remove', sample.name).click();
  await expect(widget.row(sample.name)).toHaveCount(0);
  await expect(widget.uploads, 'the row is removed, not what was stored').toHaveCount(1);
});

test('all at once: cancel all, retry all, clear', async ({ widget, net, files }) => {
  const samples = await Promise.all(Array.from({ length: 5 }, (_, i) => files.sample(`all-${i}.bin`, 12 * MIB + i)));
  await widget.open();
  net.behave({ kind: 'stall', after: MIB });
  await widget.pick(...samples);
  await expect.poll(() => net.uploads.length, 'three at a time').toBe(3);
  await widget.button('cancel-all').click();
  for (const { name } of samples) await widget.waitState(name, 'cancelled');
  await expect(widget.total).toHaveAttribute('data-active', '0');
  expect(net.uploads, 'what waited was never sent').toHaveLength(3);
  net.release();
  await widget.button('retry-all').click();
  for (const { name } of samples) await widget.waitState(name, 'done');
  await widget.button('clear').click();
  await expect.poll(() => widget.rows()).toEqual([]);
  await expect(widget.uploads).toHaveCount(5);
});

test('at rest the page asks the server nothing', async ({ widget, net, files, page }) => {
  const sample = await files.sample('rest.bin', 2 * MIB);
  await widget.open();
  await widget.pick(sample);
  await widget.waitState(sample.name, 'done');
  await expect(widget.uploads).toHaveCount(1);
  const count = () => [...net.asked.values()].reduce((sum, n) => sum + n, 0);
  const settled = count();
  // Absence can only be watched for a while: longer than any poll interval (5 s) of the design.
  await page.waitForTimeout(6000);
  expect(count()).toBe(settled);
});
