// Networks that break and servers that refuse (promises 9, 10 and 12).
//
// Firefox sends a form again by itself when its connection breaks, and now and then stops in the middle of that for
// good. The widget gives such a try up after 30 s without a byte, so an end may take that much longer here.

import { MIB } from '../fixtures/files';
import { expect, test } from '../fixtures/test';

// One form for each file: what a piece of a resumable upload does instead, resume.spec says.
test.use({ protocol: 'form' });

test('a connection reset once: one finished file', async ({ widget, net, server, files, silence }) => {
  test.setTimeout(120_000);
  silence.allowFailedRequests();
  const sample = await files.sample('reset-once.bin', 12 * MIB + 1);
  const stored = async () => (await server.finished()).length;
  const before = await stored();
  await widget.open();
  await widget.record();
  net.behave({ kind: 'reset', after: 5 * MIB, times: 1 });
  await widget.pick(sample);
  expect(await widget.waitState(sample.name, 'done', 80_000)).toMatchObject({ percent: 100, received: sample.size });
  await expect.poll(async () => (await server.files()).filter(({ place }) => place !== 'files' && place !== '').map(({ path, size }) => `${path} ${size}`), 'nothing of the broken one stays').toEqual([]);
  // Chromium and Firefox may send the same POST again by themselves; else the widget does.
  expect(net.uploads.length).toBeGreaterThanOrEqual(2);
  expect(net.uploads.filter(({ status }) => status === 200)).toHaveLength(1);
  await expect(widget.uploads).toHaveCount(1);
  expect(await stored(), 'exactly one finished file').toBe(before + 1);
  const moments = await widget.moments();
  expect(moments.filter(({ percent, state }) => percent === 100 && state !== 'done')).toEqual([]);
  const back = moments.filter((now, i) => i > 0 && moments[i - 1]!.received > now.received && moments[i - 1]!.restarts === now.restarts);
  expect(back, 'it goes back only with a visible restart').toEqual([]);
});

test('an answer that is lost: still one finished file', async ({ widget, net, server, files, silence }) => {
  test.setTimeout(120_000);
  silence.allowFailedRequests();
  const sample = await files.sample('lost-answer.bin', 2 * MIB + 1);
  const stored = async () => (await server.finished()).length;
  const before = await stored();
  await widget.open();
  net.behave({ kind: 'lose-answer', times: 1 });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'done', 80_000);
  await expect(widget.uploads).toHaveCount(1);
  expect(await stored(), 'exactly one finished file').toBe(before + 1);
});

test('a connection reset always: bounded tries, a clear failure, and a retry that works', async ({ widget, net, files, silence }) => {
  test.setTimeout(120_000);
  silence.allowFailedRequests();
  const sample = await files.sample('reset-always.bin', 3 * MIB);
  await widget.open();
  net.behave({ kind: 'reset', after: MIB, times: Infinity });
  await widget.pick(sample);
  const row = await widget.waitState(sample.name, 'failed', 90_000);
  expect(row.percent).toBeLessThan(100);
  expect(row.error).toBe('network');
  await expect(widget.row(sample.name).locator('[data-pl-reason]')).toHaveText(/\w+ \w+/);
  await expect(widget.row(sample.name).locator('[data-pl-status]')).not.toBeEmpty();
  const tries = net.uploads.map(({ headers }) => headers['plimsoll-attempt']);
  expect(new Set(tries), 'tries are bounded').toEqual(new Set(['1', '2', '3', '4', '5']));
  // Within one try a browser may send the same request again by itself, once for each idle connection (at most six).
  for (const attempt of new Set(tries)) expect(tries.filter((other) => other === attempt).length, tries.join()).toBeLessThanOrEqual(6);
  expect(new Set(net.uploads.map(({ headers, url }) => headers['x-progress-id'] ?? new URL(url, 'http://x').searchParams.get('X-Progress-ID'))).size, 'all tries are one upload').toBe(1);

  net.release();
  await widget.button('retry', sample.name).click();
  await widget.waitState(sample.name, 'done');
  await expect(widget.uploads).toHaveCount(1);
});

test('a server that asks to come back later is asked again, when it said', async ({ widget, net, files, silence }) => {
  silence.allowFailedRequests();
  const sample = await files.sample('later.bin', 50_000);
  const body = JSON.stringify({ type: 'about:blank', status: 503, code: 'shutting-down', message: 'The server is restarting.', retryable: true });
  await widget.open();
  net.behave({ kind: 'answer', status: 503, headers: { 'retry-after': '3' }, body, times: 1 });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'waiting');
  await widget.waitState(sample.name, 'done');
  expect(net.uploads.map(({ status }) => status)).toEqual([503, 200]);
});

/** A sentence that stands still is taken for a page that does. */
test('until then a person sees the seconds fall, and may have it tried at once', async ({ widget, net, files, silence }) => {
  silence.allowFailedRequests();
  const sample = await files.sample('seconds.bin', 50_000);
  const body = JSON.stringify({ type: 'about:blank', status: 503, code: 'shutting-down', message: 'The server is restarting.', retryable: true });
  await widget.open();
  net.behave({ kind: 'answer', status: 503, headers: { 'retry-after': '30' }, body, times: 1 });
  await widget.pick(sample);
  await widget.waitState(sample.name, 'waiting');
  const status = widget.row(sample.name).locator('[data-pl-status]');
  const left = async () => Number(/^Trying again in (\d+) s$/.exec(await status.innerText())?.[1]);
  const first = await left();
  expect(first).toBeGreaterThan(2);
  await expect.poll(left).toBeLessThan(first);
  const second = await left();
  await expect.poll(left, 'and not only once').toBeLessThan(second);
  await expect(status).toBeVisible();
  expect(net.uploads.map(({ status }) => status), 'nothing is sent meanwhile').toEqual([503]);
  await widget.button('retry', sample.name).click();
  await widget.waitState(sample.name, 'done');
  expect(net.uploads.map(({ status }) => status)).toEqual([503, 200]);
});

test('a refusal with a reason: shown beside the file, sent once', async ({ widget, net, files, silence }) => {
  silence.allowFailedRequests();
  const [bad, good] = [await files.sample('refused.bin', 2 * MIB), await files.sample('welcome.bin', 2 * MIB)];
  const message = 'This drawer is only for letters.';
  const body = JSON.stringify({ type: 'about:blank', status: 413, code: 'too-large', message, retryable: false });
  await widget.open();
  net.behave({ kind: 'answer', status: 413, body, times: 1 });
  await widget.pick(bad);
  const row = await widget.waitState(bad.name, 'failed');
  expect(row.error).toBe('too-large');
  expect(row.percent).toBeLessThan(100);
  await expect(widget.row(bad.name).locator('[data-pl-reason]')).toContainText(message);
  await widget.pick(good);
  await widget.waitState(good.name, 'done');
  expect(net.uploads, 'a refusal is never sent again').toHaveLength(2);
  await expect(widget.uploads).toHaveCount(1);
});
