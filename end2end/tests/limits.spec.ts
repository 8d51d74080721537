// Files over the server's limit: refused before they are sent by a page that knows it, and early, with the reason, when
// the page does not (promise 9).

import { MIB } from '../fixtures/files';
import { Widget } from '../fixtures/page';
import { Server } from '../fixtures/server';
import { expect, test } from '../fixtures/test';

/** In the same words, whoever says it; the limit is cut and not rounded, so that it never looks larger than it is. */
const WHY = 'The file is larger than 1 MB, the most that is allowed.';

test.use({ serverArgs: ['--max-file-size', '1000000'] });

test('a file over it is refused before it is sent, and does not sink the others', async ({ widget, net, files }) => {
  const [large, small] = [await files.sample('large.bin', 1_000_001), await files.sample('small.bin', 1_000_000)];
  await widget.open();
  await widget.pick(large, small);
  await widget.waitState(small.name, 'done');
  expect((await widget.waitState(large.name, 'rejected')).error).toBe('too-large');
  await expect(widget.row(large.name).locator('[data-pl-reason]')).toHaveText(WHY);
  await expect(widget.uploads).toHaveCount(1);
  expect(net.uploads, 'only the other one was sent').toHaveLength(1);
});

test('a limit that is no round number is told alike before and after, and never as more than it is', async ({ page, files, silence }) => {
  silence.listen(page);
  const large = await files.sample('larger.bin', 10 * MIB + 1);
  const server = await Server.start(['--max-file-size', '10MiB']);
  try {
    const widget = new Widget(page, server.url);
    await widget.open();
    await expect(widget.drop).toContainText('Up to 10.4 MB per file.');
    await widget.pick(large);
    await widget.waitState(large.name, 'rejected');
    await expect(widget.row(large.name).locator('[data-pl-reason]')).toHaveText('The file is larger than 10.4 MB, the most that is allowed.');
  } finally {
    await server.stop();
  }
});

for (const [way, query, path] of [['as a form', '?protocol=form', '/upload'], ['as a resumable upload', '', '/files']] as const) {
  test(`a page older than the limit, ${way}: the server refuses early, and the browser hears why`, async ({ page, files, silence }) => {
    silence.listen(page);
    silence.allowFailedRequests();
    const sample = await files.sample('too-large.bin', 40 * MIB);
    // No proxy between: whether a browser sees an answer that comes before it has sent everything is up to the server.
    const server = await Server.start();
    try {
      const widget = new Widget(page, server.url, query);
      await widget.open();
      await server.restart(['--max-file-size', '1000000']);
      let sent = 0;
      page.on('request', (request) => (sent += Number(request.method() === 'POST' && new URL(request.url()).pathname === path)));
      await widget.pick(sample);
      const row = await widget.waitState(sample.name, 'failed', 30_000);
      expect(row.error).toBe('too-large');
      await expect(widget.row(sample.name).locator('[data-pl-reason]')).toHaveText(WHY);
      expect(sent, 'sent once').toBe(1);
      expect((await server.files()).filter(({ size }) => size > 0)).toEqual([]);
    } finally {
      await server.stop();
    }
  });
}
