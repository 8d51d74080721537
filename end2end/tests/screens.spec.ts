// Pictures to be looked at by a person, in out/screens: every state a row can be in, on our own page and in the tag, from
// left to right and from right to left, wide and narrow; in Chromium also dark, in forced colours and without motion,
// which no driver of Firefox can ask for. In each of them axe finds nothing, and nothing sticks out of the page.

import type { Page } from '@playwright/test';
import { expectNoViolations } from '../fixtures/axe';
import { MIB } from '../fixtures/files';
import { withOptions } from '../fixtures/options';
import { Widget } from '../fixtures/page';
import { expect, test } from '../fixtures/test';

const SIZES = { desk: { width: 1280, height: 900 }, phone: { width: 320, height: 720 } };

type Look = NonNullable<Parameters<Page['emulateMedia']>[0]>;
const LIGHT: Look = { colorScheme: 'light', forcedColors: 'none', reducedMotion: 'no-preference' };
const LOOKS: Record<string, Look> = {
  light: LIGHT,
  dark: { ...LIGHT, colorScheme: 'dark' },
  forced: { ...LIGHT, forcedColors: 'active' },
  'forced-dark': { ...LIGHT, forcedColors: 'active', colorScheme: 'dark' },
  still: { ...LIGHT, reducedMotion: 'reduce' },
};

for (const place of ['own', 'tag']) {
  for (const lang of ['en', 'ar']) {
    test(`pictures of every state: ${place}, ${lang} @screens`, async ({ net, files, page, silence, browserName }, info) => {
      // Some thirty pictures, on a machine that may have much else to do.
      test.setTimeout(400_000);
      silence.listen(page);
      silence.allowFailedRequests();
      const widget = await open(page, net.url, place, lang);
      const shoot = async (state: string) => {
        for (const [name, look] of Object.entries(LOOKS)) {
          if (browserName !== 'chromium' && look !== LIGHT) continue;
          await page.emulateMedia(look);
          for (const [size, viewport] of Object.entries(SIZES)) {
            await page.setViewportSize(viewport);
            const where = `${state}, ${size}, ${name}`;
            expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${where}: sticks out`).toBeLessThanOrEqual(0);
            await expectNoViolations(page, where);
            await page.screenshot({ path: `out/screens/${info.project.name}-${place}-${lang}-${state}-${size}-${name}.png`, fullPage: true });
          }
        }
      };
      const sample = (name: string, size: number) => files.sample(name, size);
      const answer = (status: number, body: object, headers = {}) => net.behave({ kind: 'answer', status, body: JSON.stringify(body), headers, times: 1 });
      await shoot('idle');

      const done = await sample('Holiday in Brittany, the long way round.mp4', 4 * MIB);
      if (place === 'own') await page.locator('[data-pl-digest]').check();
      await widget.pick(done);
      await widget.waitState(done.name, 'done');

      answer(413, { code: 'too-large', message: 'The file is larger than this server takes.', retryable: false });
      const failed = await sample('recording-without-a-space-in-its-very-long-name-2026-11-20.flac', 6 * MIB);
      await widget.pick(failed);
      await widget.waitState(failed.name, 'failed');

      const rejected = await sample('عطلة.exe', 1000);
      await widget.pick(rejected);
      await widget.waitState(rejected.name, 'rejected');

      net.behave({ kind: 'stall', after: 4 * MIB });
      const [paused, stopped] = [await sample('minutes of the meeting.txt', 24 * MIB), await sample('草稿.md', 24 * MIB)];
      await widget.pick(paused, stopped);
      for (const { name } of [paused, stopped]) await expect.poll(async () => (await widget.read(name)).received).toBeGreaterThan(2 * MIB);
      await widget.button('pause', paused.name).click();
      await widget.waitState(paused.name, 'paused');
      await widget.button('cancel', stopped.name).click();
      await widget.waitState(stopped.name, 'cancelled');
      await shoot('ended-and-held');

      answer(503, { code: 'shutting-down', message: 'The server is restarting.', retryable: true }, { 'retry-after': '1000' });
      const later = await sample('later.zip', 1000);
      await widget.pick(later);
      await widget.waitState(later.name, 'waiting');

      net.behave({ kind: 'hold', frames: 'processing' });
      const held = await sample('survey.csv', 3 * MIB);
      await widget.pick(held);
      await widget.waitState(held.name, 'processing');

      net.behave({ kind: 'stall', after: 3 * MIB });
      // Forms: of a resumable upload another connection would take over.
      const [sending, still] = [await sample('plans.pdf', 7 * MIB), await sample('score.pdf', 7 * MIB + 1)];
      await widget.pick(sending, still);
      for (const { name } of [sending, still]) await expect.poll(async () => (await widget.read(name)).received).toBeGreaterThan(2 * MIB);
      const queued = await sample('letter.odt', 1000);
      await widget.pick(queued, sending);
      await widget.waitState(queued.name, 'queued');
      await expect(widget.row(sending.name).nth(1)).toHaveAttribute('data-error', 'duplicate');
      await expect(widget.row(still.name)).toHaveAttribute('data-hint', 'stalled', { timeout: 30_000 });
      await shoot('under-way');

      // The pictures may have taken so long that a form which does not move was given up, and `queued` has had its turn.
      await page.context().setOffline(true);
      const last = await sample('postcard.odt', 1001);
      await widget.pick(last);
      await expect(widget.row(last.name)).toHaveAttribute('data-state', 'waiting');
      await widget.button('remove', failed.name).click();
      await shoot('offline-and-undo');
      net.release();
      await page.context().setOffline(false);
      for (const { name } of [held, still, queued, last]) await widget.waitState(name, 'done', 60_000);
    });
  }
}

/** The widget of this place in this language; it takes no programs. */
async function open(page: Page, url: string, place: string, lang: string): Promise<Widget> {
  const accept = 'audio/*,video/*,.txt,.md,.csv,.zip,.pdf,.odt';
  if (place === 'own') {
    await withOptions(page, { accept });
    const widget = new Widget(page, url, `?lang=${lang}`);
    await widget.open();
    return widget;
  }
  const widget = new Widget(page, url, 'plain.html');
  await widget.open();
  await page.evaluate(
    ([accept, lang]) => {
      document.documentElement.lang = lang;
      document.documentElement.dir = lang === 'ar' ? 'rtl' : 'ltr';
      document.querySelector('plimsoll-upload')!.accept = accept;
    },
    [accept, lang] as const,
  );
  await widget.hydrated();
  return widget;
}
