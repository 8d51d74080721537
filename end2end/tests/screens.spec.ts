// Pictures to be looked at by a person, in out/screens; and at every width nothing may stick out of the page.
// Firefox takes no colour scheme over BiDi: its pictures are all light.

import { MIB } from '../fixtures/files';
import { expect, test } from '../fixtures/test';

// One form for each file: what a piece of a resumable upload does instead, resume.spec says.
test.use({ protocol: 'form' });

const SIZES = { desk: { width: 1280, height: 900 }, phone: { width: 320, height: 720 } };

test('pictures of every state @screens', async ({ widget, net, files, page, silence, browserName }, info) => {
  silence.allowFailedRequests();
  const shoot = async (state: string) => {
    for (const scheme of browserName === 'chromium' ? (['light', 'dark'] as const) : (['light'] as const)) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const [size, viewport] of Object.entries(SIZES)) {
        await page.setViewportSize(viewport);
        expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${state}, ${size}: sticks out`).toBeLessThanOrEqual(0);
        await page.screenshot({ path: `out/screens/${info.project.name}-${state}-${size}-${scheme}.png`, fullPage: true });
      }
    }
  };
  const sample = (name: string, size: number) => files.sample(name, size);
  await widget.open();
  await shoot('idle');

  const done = await sample('Holiday in Brittany, the long way round.mp4', 9 * MIB);
  await page.locator('[data-pl-digest]').check();
  await widget.pick(done);
  await widget.waitState(done.name, 'done');
  await expect(widget.uploads).toHaveCount(1);
  await shoot('done');

  const body = JSON.stringify({ code: 'too-large', message: 'The file is larger than this server takes.', retryable: false });
  net.behave({ kind: 'answer', status: 413, body, times: 1 });
  const failed = await sample('recording-without-a-space-in-its-very-long-name-2026-11-20.flac', 6 * MIB);
  await widget.pick(failed);
  await widget.waitState(failed.name, 'failed');
  await shoot('failed');

  net.behave({ kind: 'hold', frames: 'processing' });
  const held = await sample('survey.csv', 3 * MIB);
  await widget.pick(held);
  await widget.waitState(held.name, 'processing');
  await shoot('processing');

  net.behave({ kind: 'stall', after: 14 * MIB });
  const sending = await sample('plans.pdf', 32 * MIB);
  await widget.pick(sending);
  await expect.poll(async () => (await widget.read(sending.name)).received).toBeGreaterThan(13 * MIB);
  await shoot('uploading');

  net.release();
  for (const { name } of [held, sending]) await widget.waitState(name, 'done');
});
