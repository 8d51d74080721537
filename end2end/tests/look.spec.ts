// Reduced motion and forced colours. Playwright emulates both in Chromium; over BiDi Firefox takes them from
// preferences, so there each test starts a Firefox of its own.

import { firefox, type Page } from '@playwright/test';
import { firefoxLaunch } from '../browsers';
import { expectNoViolations } from '../fixtures/axe';
import { MIB } from '../fixtures/files';
import { Widget } from '../fixtures/page';
import { expect, test as base } from '../fixtures/test';

const test = base.extend<{ calm: Page; forced: Page }>({
  calm: async ({ browserName, page }, use) => {
    if (browserName === 'chromium') {
      await page.emulateMedia({ reducedMotion: 'reduce' });
      return use(page);
    }
    await withFirefox({ 'ui.prefersReducedMotion': 1 }, use);
  },
  forced: async ({ browserName, page }, use) => {
    if (browserName === 'chromium') {
      await page.emulateMedia({ forcedColors: 'active' });
      return use(page);
    }
    await withFirefox({ 'browser.display.document_color_use': 2 }, use);
  },
});

test('reduced motion: nothing moves but the values', async ({ calm, net, files, silence }) => {
  silence.listen(calm);
  const [slow, held] = [await files.sample('calm-slow.bin', 4_000_000), await files.sample('calm-held.bin', MIB)];
  const widget = new Widget(calm, net.url, '?protocol=form');
  await widget.open();
  expect(await calm.evaluate(() => matchMedia('(prefers-reduced-motion: reduce)').matches)).toBe(true);
  net.behave({ kind: 'slow', rate: 2_000_000 });
  await widget.pick(slow);
  const moving = await movedUntil(widget, 'done');
  net.behave({ kind: 'hold', frames: 'processing' });
  await widget.pick(held);
  await widget.waitState(held.name, 'processing');
  for (const name of await motions(calm)) moving.add(name);
  net.release();
  await widget.waitState(held.name, 'done');
  expect([...moving]).toEqual([]);
});

test('reduced motion in the tag as well', async ({ calm, net, files, silence }) => {
  silence.listen(calm);
  const sample = await files.sample('calm-tag.bin', 2_000_000);
  const widget = new Widget(calm, net.url, 'plain.html');
  await widget.open();
  expect(await calm.evaluate(() => matchMedia('(prefers-reduced-motion: reduce)').matches)).toBe(true);
  net.behave({ kind: 'hold', frames: 'processing' });
  await widget.pick(sample);
  const moving = await movedUntil(widget, 'processing');
  for (const name of await motions(calm)) moving.add(name);
  net.release();
  await widget.waitState(sample.name, 'done');
  expect([...moving]).toEqual([]);
});

test('motion that is not reduced is seen by the same eyes, in the page and in the tag', async ({ page, net, files, silence }) => {
  silence.listen(page);
  const sample = await files.sample('lively.bin', MIB);
  for (const place of ['?protocol=form', 'plain.html']) {
    const widget = new Widget(page, net.url, place);
    await widget.open();
    net.behave({ kind: 'hold', frames: 'processing' });
    await widget.pick(sample);
    await widget.waitState(sample.name, 'processing');
    await expect.poll(() => motions(page), place).toContain('CSSAnimation on pl-bar');
    net.release();
    await widget.waitState(sample.name, 'done');
  }
});

test('forced colours: the bar can be seen, and so can its fill', async ({ forced, net, files, silence }, info) => {
  silence.listen(forced);
  const sample = await files.sample('forced.bin', 24 * MIB);
  const widget = new Widget(forced, net.url, '?protocol=form');
  await widget.open();
  expect(await forced.evaluate(() => matchMedia('(forced-colors: active)').matches)).toBe(true);
  net.behave({ kind: 'stall', after: 12 * MIB });
  await widget.pick(sample);
  await expect.poll(async () => (await widget.read(sample.name)).percent).toBeGreaterThan(40);
  const picture = await widget.row(sample.name).locator('[role=progressbar]').screenshot();
  await info.attach('bar', { body: picture, contentType: 'image/png' });
  const [filled, empty] = await coloursAlong(forced, picture, [0.2, 0.97]);
  expect(filled, 'the received part differs from the rest').not.toBe(empty);
  await expectNoViolations(forced, 'forced colours');
  await forced.screenshot({ path: `out/screens/${info.project.name}-forced.png` });
  net.release();
  await widget.waitState(sample.name, 'done');
});

async function withFirefox(prefs: Record<string, string | number | boolean>, use: (page: Page) => Promise<void>): Promise<void> {
  const browser = await firefox.launch({ ...firefoxLaunch(), firefoxUserPrefs: prefs });
  try {
    const context = await browser.newContext();
    await use(await context.newPage());
  } finally {
    await browser.close();
  }
}

/** What has moved until the first row is in this state. */
async function movedUntil(widget: Widget, state: string): Promise<Set<string>> {
  const moving = new Set<string>();
  await expect
    .poll(async () => {
      for (const name of await motions(widget.page)) moving.add(name);
      return (await widget.rows()).at(0)?.state;
    }, { intervals: [20] })
    .toBe(state);
  return moving;
}

/** Animations and transitions that run now and last long enough to be seen. */
function motions(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [document, ...[...document.querySelectorAll('plimsoll-upload')].flatMap(({ shadowRoot }) => shadowRoot ?? [])]
      .flatMap((root) => root.getAnimations())
      .filter((animation) => animation.playState === 'running' && Number(animation.effect?.getComputedTiming().endTime ?? 0) > 50)
      .map((animation) => {
        const target = animation.effect instanceof KeyframeEffect ? animation.effect.target : null;
        return `${animation.constructor.name} on ${target?.className ?? '?'}`;
      }),
  );
}

/** Colours in the middle of the picture's height, at these shares of its width. */
async function coloursAlong(page: Page, picture: Buffer, shares: number[]): Promise<string[]> {
  // A page of its own: the site's content security policy would not let a data URL in.
  const blank = await page.context().newPage();
  try {
    return await blank.evaluate(
      async ({ url, shares }) => {
        const image = new Image();
        image.src = url;
        await image.decode();
        const canvas = document.createElement('canvas');
        canvas.width = image.width;
        canvas.height = image.height;
        const pen = canvas.getContext('2d')!;
        pen.drawImage(image, 0, 0);
        return shares.map((share) => [...pen.getImageData(Math.floor(image.width * share), Math.floor(image.height / 2), 1, 1).data].join(','));
      },
      { url: `data:image/png;base64,${picture.toString('base64')}`, shares },
    );
  } finally {
    await blank.close();
  }
}
