// Before the scripts are there the page is a form already, and nothing a person did meanwhile is lost (promise 5).

import { MIB } from '../fixtures/files';
import { expect, test } from '../fixtures/test';

for (const [what, pattern] of [
  ['the WASM', /\.wasm/],
  ['the script', /\.js/],
] as const) {
  test(`files picked while ${what} is still on its way are adopted`, async ({ widget, net, files, page }) => {
    const samples = [await files.sample('early-1.bin', MIB), await files.sample('early-2.bin', 2 * MIB)];
    const open = net.gate(pattern);
    await widget.goto();
    await page.locator('[data-pl-digest]').check();
    await widget.pick(...samples);
    await expect(widget.form).not.toHaveAttribute('data-hydrated', 'true');
    expect(net.uploads).toEqual([]);
    open();
    await widget.hydrated();
    for (const { name } of samples) await widget.waitState(name, 'done');
    await expect(widget.uploads).toHaveCount(2);
    const digests = (await widget.stored()).map(({ name, sha256 }) => [name, sha256]).sort();
    expect(digests, 'and so is the wish for digests').toEqual(samples.map(({ name, sha256 }) => [name, sha256]));
  });
}

test('what the server rendered stays as it is while it is hydrated', async ({ widget, net, page }) => {
  const open = net.gate(/\.wasm/);
  await widget.goto();
  await expect(widget.input).toBeVisible();
  await expect(page.locator('[data-pl-submit]'), 'without scripts files are sent by a button').toBeVisible();
  const input = await widget.input.elementHandle();
  open();
  await widget.hydrated();
  expect(await page.evaluate((element) => element?.isConnected, input), 'the input is the same element').toBe(true);
  await expect(page.locator('[data-pl-submit]'), 'with scripts they start by themselves').toBeHidden();
  await expect(page.locator('[data-pl-announcer][role=status][aria-live=polite]')).toHaveCount(1);
  await expect(page.locator('[data-pl-announcer]')).toBeEmpty();
});
