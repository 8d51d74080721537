// What a row says in each state, word for word, on our own page and in the tag; and that all of them side by side are
// clean: axe, nothing that sticks out, targets that can be hit, also at 400 %.

import { truncate, writeFile } from 'node:fs/promises';
import type { Locator, Page } from '@playwright/test';
import { expectNoViolations, smallTargets } from '../fixtures/axe';
import { MIB } from '../fixtures/files';
import { withOptions } from '../fixtures/options';
import { Widget } from '../fixtures/page';
import { installRecords } from '../fixtures/records';
import { expect, test } from '../fixtures/test';

const PLACES = [['on our own page', ''], ['in the tag', 'plain.html']] as const;
const UNREADABLE =
  'The file cannot be read: its disk is not connected, you may not have permission, or it has changed. Try again when it can be read, or choose it again.';
const NOT_SIGNED_IN = 'Not signed in, or the session has ended. Please sign in and try again.';

for (const [place, query] of PLACES) {
  test(`${place}: what is said in each state, and nothing for axe to find`, async ({ page, net, files, silence, context, browserName }) => {
    test.setTimeout(150_000);
    silence.listen(page);
    silence.allowFailedRequests();
    const widget = new Widget(page, net.url, query);
    const says = rows(widget);
    await widget.open();
    const refuse = (status: number, body: object, headers = {}) => net.behave({ kind: 'answer', status, body: JSON.stringify(body), headers, times: 1 });

    // What has ended.
    const stored = await files.sample('stored.bin', 1000);
    if (!query) await page.locator('[data-pl-digest]').check();
    await widget.pick(stored);
    await widget.waitState(stored.name, 'done');
    await says(stored.name, 'Stored');
    const link = widget.row(stored.name).getByRole('link');
    expect(await link.evaluate((link: HTMLAnchorElement) => new URL(link.href).pathname)).toMatch(/^\/files\/[a-z2-7]{26}$/);
    await expect(widget.row(stored.name).locator('[data-pl-sha256] code')).toHaveText(stored.sha256);

    const refused = await files.sample('refused.bin', 1000);
    refuse(413, { code: 'too-large', message: 'Not in this drawer.', retryable: false });
    await widget.pick(refused);
    await widget.waitState(refused.name, 'failed');
    await says(refused.name, 'Failed', 'Not in this drawer.');

    const strange = await files.sample('strange.bin', 1000);
    refuse(401, {});
    await widget.pick(strange);
    await widget.waitState(strange.name, 'failed');
    await says(strange.name, 'Failed', NOT_SIGNED_IN);

    const odd = await files.sample('odd.bin', 1000);
    net.behave({ kind: 'answer', status: 200, headers: { 'content-type': 'text/html' }, body: '<p>Welcome', times: 1 });
    await widget.pick(odd);
    await widget.waitState(odd.name, 'failed');
    await says(odd.name, 'Failed', 'The answer did not come from an upload server. It is not known whether the file is stored.');

    // What is held, and what changed meanwhile.
    net.behave({ kind: 'stall', after: 4 * MIB });
    const [paused, changed, stopped] = [await files.sample('paused.bin', 24 * MIB), await files.sample(`changed ${place}.bin`, 24 * MIB), await files.sample('stopped.bin', 24 * MIB)];
    await widget.pick(paused, changed, stopped);
    for (const { name } of [paused, changed, stopped]) await expect.poll(async () => (await widget.read(name)).received, name).toBeGreaterThan(MIB);
    for (const { name } of [paused, changed]) {
      await widget.button('pause', name).click();
      await says(name, 'Paused');
    }
    await widget.button('cancel', stopped.name).click();
    await says(stopped.name, 'Cancelled');
    await writeFile(changed.path, 'another beginning', { flag: 'r+' });
    await widget.button('resume', changed.name).click();
    await widget.waitState(changed.name, 'failed');
    // Chromium does not read what has changed since it was picked, nor say why. Firefox reads what is there now.
    await says(
      changed.name,
      'Failed',
      browserName === 'chromium'
        ? UNREADABLE
        : 'This is not the file that the upload was begun with, or it has changed. Nothing more was sent.',
    );

    // What is under way: three at one time.
    net.behave({ kind: 'hold', frames: 'processing' });
    const held = await files.sample('held.bin', 2 * MIB);
    await widget.pick(held);
    await widget.waitState(held.name, 'processing');
    await says(held.name, 'Received in full. The server is storing it');

    const later = await files.sample('later.bin', 1000);
    refuse(503, { code: 'shutting-down', message: 'The server is restarting.', retryable: true }, { 'retry-after': '100' });
    await widget.pick(later);
    await widget.waitState(later.name, 'waiting');
    await says(later.name, /^Trying again in (1 min \d\d?|59) s$/, 'The server is restarting.');

    net.behave({ kind: 'hoard', rate: 200_000 });
    const hoarded = await files.sample('hoarded.bin', 7 * MIB);
    await widget.pick(hoarded);
    await expect(widget.row(hoarded.name)).toHaveAttribute('data-hint', 'buffered', { timeout: 25_000 });
    const row = await widget.read(hoarded.name);
    expect([row.state, row.sent, row.percent < 99], 'all of it is sent, and that is not the bar').toEqual(['sending', hoarded.size, true]);
    await says(hoarded.name, /^\d+(\.\d)? [kM]B of 7\.3 MB received( \u00b7 .*)?$/);
    await expect(widget.row(hoarded.name).locator('[data-pl-hint]')).toHaveText(
      /^Sent 7\.3 MB; the server has \d+(\.\d)? [kM]B of 7\.3 MB\. Something on the way is holding the rest back\.$/,
    );

    net.behave({ kind: 'stall', after: MIB });
    const stalled = await files.sample('stalled.bin', 7 * MIB + 1);
    await widget.pick(stalled);
    await expect(widget.row(stalled.name)).toHaveAttribute('data-state', 'sending');
    const [queued, twin] = [await files.sample('queued.bin', 1000), stalled];
    await widget.pick(queued, twin);
    await says(queued.name, 'Waiting for its turn');
    const second = widget.row(twin.name).nth(1);
    await expect(second.locator('[data-pl-status]')).toHaveText('Not uploaded');
    await expect(second.locator('[data-pl-reason]')).toHaveText('The same file is in the list already.');
    await expect(second.locator('[data-pl-action=retry]')).toHaveText('Upload it too');

    // All of it side by side; and one that was just taken off.
    await widget.button('remove', odd.name).click();
    await expect(widget.button('undo')).toBeVisible();
    for (const [width, height] of [[1280, 1024], [320, 256]] as const) {
      await page.setViewportSize({ width, height });
      await expectClean(page, `${place}, ${width} px`);
    }
    await page.setViewportSize({ width: 1280, height: 1024 });

    // Without a network there is no turn and no time to wait for.
    await context.setOffline(true);
    await says(queued.name, 'Offline. Goes on when the network is back');
    await says(later.name, 'Offline. Goes on when the network is back', 'The server is restarting.');
    await expectClean(page, `${place}, offline`);
    net.release();
    await context.setOffline(false);
    for (const { name } of [held, hoarded, queued]) await widget.waitState(name, 'done', 60_000);
  });
}

for (const [place, query] of PLACES) {
  test(`${place}: no byte for ten seconds`, async ({ page, net, files, silence }) => {
    silence.listen(page);
    const widget = new Widget(page, net.url, query);
    await widget.open();
    net.behave({ kind: 'stall', after: MIB });
    // One form: of a resumable upload another connection would take over.
    const sample = await files.sample('still.bin', 7 * MIB);
    await widget.pick(sample);
    await expect(widget.row(sample.name)).toHaveAttribute('data-hint', 'stalled', { timeout: 30_000 });
    const hint = widget.row(sample.name).locator('[data-pl-hint]');
    await expect(hint).toHaveText('No data has arrived for 10 s. Still trying.');
    await expectClean(page, `${place}, stalled`);
    net.release();
    await widget.waitState(sample.name, 'done');
    await expect(hint).toBeHidden();
  });

  test(`${place}: while what arrived is compared, and after it`, async ({ page, net, files, silence }) => {
    silence.listen(page);
    await withOptions(page, { checksum: '/checksum.js' });
    const widget = new Widget(page, net.url, query);
    await widget.open();
    if (query) await page.evaluate(() => (document.querySelector('plimsoll-upload')!.checksum = true));
    else await page.locator('[data-pl-digest]').check();
    await widget.hydrated();
    const open = net.gate(/checksum\.js/);
    const sample = await files.sample('compared.bin', MIB);
    await widget.pick(sample);
    const row = await widget.waitState(sample.name, 'checking');
    expect([row.percent, row.valueNow], 'nothing is full yet').toEqual([99, null]);
    await rows(widget)(sample.name, 'The server has stored it. Comparing that with the file');
    await expectClean(page, `${place}, checking`);
    open();
    await widget.waitState(sample.name, 'done');
    await rows(widget)(sample.name, 'Stored, and checked: the server has exactly this file');
  });

  test(`${place}: what was found again without its file, and what was just taken off`, async ({ page, net, files, silence }) => {
    silence.listen(page);
    // A reload leaves a request behind that the server may still answer: another has taken its place.
    silence.allowFailedRequests();
    await page.addInitScript(installRecords);
    const widget = new Widget(page, net.url, query);
    await widget.open();
    net.behave({ kind: 'stall', after: 4 * MIB });
    const sample = await files.sample('left.bin', 24 * MIB);
    await widget.pick(sample);
    await expect.poll(async () => (await widget.read(sample.name)).received).toBeGreaterThan(2 * MIB);
    await expect.poll(() => page.evaluate(() => window.plRecords())).toEqual([{ name: sample.name, file: true }]);
    await page.evaluate(() => window.plLoseFiles());
    await page.reload();
    await widget.hydrated();
    await widget.waitState(sample.name, 'missing');
    await rows(widget)(sample.name, 'Found again, not finished. Choose the same file again to go on');
    await expect(widget.button('resume', sample.name)).toHaveText('Choose again');
    await expectClean(page, `${place}, missing`);

    await widget.button('cancel', sample.name).click();
    await rows(widget)(sample.name, 'Cancelled');
    await widget.button('remove', sample.name).click();
    await expect(widget.row(sample.name)).toHaveCount(0);
    await expect(widget.total.locator('[part=sum]')).toHaveText('Removed. This can be undone');
    await expect(widget.button('undo')).toHaveText('Undo');
    await expectClean(page, `${place}, undo`);
    await widget.button('undo').click();
    await rows(widget)(sample.name, 'Cancelled');
    net.release();
  });
}

for (const [place, query] of PLACES) {
  // Its row only offered another try, and of a file that has changed since it was picked Chromium never gives a byte.
  test(`${place}: a file that has changed before its form is sent is chosen again in its row`, async ({ page, net, files, silence, context }) => {
    silence.listen(page);
    const widget = new Widget(page, net.url, query);
    const says = rows(widget);
    await widget.open();
    const [first, sample, other] = [await files.sample('first.bin', 1000), await files.sample(`shorter ${place}.bin`, MIB), await files.sample('other.bin', 1000)];
    await widget.pick(first);
    await widget.waitState(first.name, 'done');
    await context.setOffline(true);
    await widget.pick(sample);
    await says(sample.name, 'Offline. Goes on when the network is back');
    await truncate(sample.path, 2000);
    await context.setOffline(false);
    await widget.waitState(sample.name, 'failed');
    await says(sample.name, 'Failed', UNREADABLE);
    await expect(widget.button('retry', sample.name)).toHaveText('Try again');
    await expect(widget.button('resume', sample.name)).toHaveText('Choose again');
    await expectClean(page, `${place}, changed`);

    // What has another name is another file.
    await choose(widget, sample.name, other.path);
    await widget.waitState(other.name, 'done');
    await says(sample.name, 'Failed', UNREADABLE);
    await choose(widget, sample.name, sample.path);
    expect(await widget.waitState(sample.name, 'done')).toMatchObject({ size: 2000, error: null });
    expect((await widget.rows()).map(({ name }) => name), 'the other row has gone').toEqual([first.name, other.name, sample.name]);
    await expect.poll(() => page.evaluate(() => document.activeElement !== document.body), 'the focus does not go with its button').toBe(true);
  });
}

/** Expects the words of a row, and its reason, or that it has none. */
function rows(widget: Widget): (name: string, status: string | RegExp, reason?: string | RegExp) => Promise<void> {
  return async (name, status, reason) => {
    const row: Locator = widget.row(name).first();
    await expect(row.locator('[data-pl-status]')).toHaveText(status);
    if (reason) await expect(row.locator('[data-pl-reason]')).toHaveText(reason);
    else await expect(row.locator('[data-pl-reason]')).toBeHidden();
  };
}

/** Chooses a file with the button of a row. */
async function choose(widget: Widget, name: string, file: string): Promise<void> {
  if (widget.page.context().browser()?.browserType().name() === 'firefox') {
    // Nobody closes its first dialog, so there is never a second: the button is pressed all the same.
    await widget.button('resume', name).click();
    return widget.pick(file);
  }
  const choosing = widget.page.waitForEvent('filechooser');
  await widget.button('resume', name).click();
  await (await choosing).setFiles(file);
}

async function expectClean(page: Page, state: string): Promise<void> {
  await expectNoViolations(page, state);
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${state}: sticks out`).toBeLessThanOrEqual(0);
  expect(await smallTargets(page), `${state}: targets under 24 px`).toEqual([]);
}
