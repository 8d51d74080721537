// Reduced motion and forced colours, and what would stick out of a row. Playwright emulates both in Chromium; over BiDi Firefox takes them from
// preferences, so there each test starts a Firefox of its own.

import { firefox, type Locator, type Page } from '@playwright/test';
import type { PlimsollUpload } from '../../public/upload-widget.js';
import { firefoxLaunch } from '../browsers';
import { expectNoViolations } from '../fixtures/axe';
import { MIB } from '../fixtures/files';
import { Widget } from '../fixtures/page';
import { png } from '../fixtures/pictures';
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

test('forced colours: a button that is pressed and one that is disabled look so', async ({ forced, net, files, silence }, info) => {
  silence.listen(forced);
  const widget = new Widget(forced, net.url, 'plain.html');
  await widget.open();
  await widget.pick(...(await Promise.all(Array.from({ length: 8 }, (_, at) => files.sample(`pressed-${at}.bin`, 10)))));
  await expect(widget.total).toHaveAttribute('data-done', '8');
  const [sort, clear] = [widget.button('sort'), widget.button('clear')];
  expect(await looks(sort)).toEqual(await looks(clear));
  const system = (await looks(clear)).color;
  await sort.click();
  await expect(sort).toHaveAttribute('aria-pressed', 'true');
  expect(await looks(sort), 'the other way about').toEqual(await systemColours(forced, 'ButtonFace', 'ButtonText'));
  expect((await looks(sort)).background, 'and not as the others').not.toBe((await looks(clear)).background);
  await expectNoViolations(forced, 'forced colours, pressed');
  await forced.screenshot({ path: `out/screens/${info.project.name}-forced-pressed.png` });
  const grey = (await systemColours(forced, 'GrayText', 'Canvas')).color;
  expect(grey).not.toBe(system);
  await forced.locator('plimsoll-upload').evaluate((host: PlimsollUpload) => (host.disabled = true));
  await expect(widget.input).toBeDisabled();
  for (const button of [clear, widget.button('remove').first()]) expect((await looks(button)).color).toBe(grey);
  expect(await widget.input.evaluate((input) => getComputedStyle(input, '::file-selector-button').color)).toBe(grey);
  await forced.screenshot({ path: `out/screens/${info.project.name}-forced-disabled.png` });
});

test('what is disabled looks so, and does not answer to the pointer', async ({ page, net, files, silence }, info) => {
  silence.listen(page);
  const widget = new Widget(page, net.url, 'plain.html');
  await widget.open();
  await widget.pick(await files.sample('disabled.bin', 10));
  await expect(widget.total).toHaveAttribute('data-done', '1');
  const button = widget.button('remove').first();
  const [before, way] = [await looks(button), (element: Element) => getComputedStyle(element).borderTopColor];
  await page.locator('plimsoll-upload').evaluate((host: PlimsollUpload) => (host.disabled = true));
  await expect(button).toBeDisabled();
  expect((await looks(button)).color).not.toBe(before.color);
  expect(await button.evaluate((button) => getComputedStyle(button).cursor)).toBe('not-allowed');
  expect(await button.evaluate((button) => getComputedStyle(button.closest('.pl-actions')!).opacity)).toBe('0.6');
  const rests = await button.evaluate(way);
  await button.hover({ force: true });
  expect(await button.evaluate((button) => button.matches(':hover'))).toBe(true);
  expect(await button.evaluate(way)).toBe(rests);
  await page.screenshot({ path: `out/screens/${info.project.name}-disabled.png` });
});

test('a picture that was made smaller says so inside its row, and leaves its name room', async ({ page, net, silence }, info) => {
  silence.listen(page);
  const widget = new Widget(page, net.url, 'plain.html');
  await widget.open();
  await page.locator('plimsoll-upload').evaluate((host: PlimsollUpload) => (host.downscale = 40));
  await widget.hydrated();
  const names = ['holiday.png', 'upright, and with quite a long name for a picture.png'];
  await widget.input.setInputFiles(names.map((name, at) => png(name, 1200, 800, at)));
  for (const name of names) await widget.waitState(name, 'done');
  for (const [lang, width] of [['en', 1280], ['en', 320], ['ar', 320], ['fr', 480]] as const) {
    await page.locator('plimsoll-upload').evaluate((host: HTMLElement, lang) => (host.lang = lang), lang);
    await expect(widget.form).toHaveAttribute('lang', lang);
    await page.setViewportSize({ width, height: 720 });
    for (const name of names) {
      const seen = await widget.row(name).evaluate((row) => {
        const head = row.querySelector('.pl-row-head')!;
        const { left, right } = head.getBoundingClientRect();
        const boxes = [...head.children].filter((part) => part.checkVisibility()).map((part) => part.getBoundingClientRect());
        return {
          parts: boxes.length,
          outside: boxes.filter((box) => box.left < left - 0.5 || box.right > right + 0.5 || box.width === 0).length,
          size: row.querySelector('.pl-size')!.textContent,
          name: row.querySelector('.pl-name')!.getBoundingClientRect().width / head.getBoundingClientRect().width,
        };
      });
      expect(seen, `${lang}, ${width} px, ${name}`).toMatchObject({ parts: 3, outside: 0 });
      if (lang === 'en') expect(seen.size).toContain('made smaller from');
      if (width === 1280) expect(seen.name, 'the name has its place').toBeGreaterThan(0.4);
    }
    await page.screenshot({ path: `out/screens/${info.project.name}-smaller-${lang}-${width}.png`, fullPage: true });
  }
});

/** Its colours, as they are now. */
function looks(part: Locator): Promise<{ color: string; background: string }> {
  return part.evaluate((part) => {
    const { color, backgroundColor } = getComputedStyle(part);
    return { color, background: backgroundColor };
  });
}

/** What these system colours are here. */
function systemColours(page: Page, color: string, background: string): Promise<{ color: string; background: string }> {
  return page.evaluate(
    ([color, background]) => {
      const probe = document.body.appendChild(document.createElement('i'));
      probe.style.cssText = `forced-color-adjust: none; color: ${color}; background-color: ${background}`;
      const style = getComputedStyle(probe);
      const colours = { color: style.color, background: style.backgroundColor };
      probe.remove();
      return colours;
    },
    [color, background],
  );
}

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
