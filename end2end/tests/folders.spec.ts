// Folders: dropped ones are walked whole, as the desktop delivers them (Chromium, by CDP), and picked ones keep their
// paths. The folder is the one that other widgets were tried with: 250 files in one directory, an empty file, a file
// whose name begins with a dot, and some further down.

import { readFileSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Page } from '@playwright/test';
import { withOptions } from '../fixtures/options';
import { Pages } from '../fixtures/pages';
import { Widget } from '../fixtures/page';
import { pickPaths } from '../fixtures/pick';
import { SITE } from '../fixtures/server';
import { expect, test as base, type Silence } from '../fixtures/test';

/** Files in the folder, the one with the dot among them. */
const COUNT = 263;

/** The file of the part that walks folders; a debug build has all its parts at once. */
const pkg = path.join(SITE, 'pkg');
const part = readdirSync(pkg).find((name) => /^part\..*\.js$/.test(name) && readFileSync(path.join(pkg, name), 'utf8').includes('readEntries'));

const test = base.extend<{ tree: string }>({
  tree: async ({}, use) => {
    const parent = await mkdtemp(path.join(os.tmpdir(), 'plimsoll-tree-'));
    const tree = path.join(parent, 'tree');
    await mkdir(path.join(tree, 'many'), { recursive: true });
    await mkdir(path.join(tree, 'deep', 'er', 'still'), { recursive: true });
    await mkdir(path.join(tree, 'nothing here'));
    for (let i = 0; i < 250; i++) await writeFile(path.join(tree, 'many', `file-${String(i).padStart(3, '0')}.txt`), `file ${i}`);
    for (let i = 0; i < 11; i++) await writeFile(path.join(tree, i % 2 ? 'deep/er' : 'deep/er/still', `deep-${i}.txt`), `deep ${i}`);
    await writeFile(path.join(tree, 'empty.txt'), '');
    await writeFile(path.join(tree, '.hidden'), 'seen all the same');
    await use(tree);
    await rm(parent, { recursive: true, force: true });
  },
});

// Hundreds of files take their time on a machine that has much else to do.
test.setTimeout(120_000);

test.describe('dropped', () => {
  test.skip(({ browserName }) => browserName !== 'chromium', 'only CDP can make a trusted drop');

  test('a folder is walked whole, and what is empty is told', async ({ widget, page, tree, server }) => {
    await widget.open();
    const before = (await server.files()).length;
    await widget.listen();
    await realDrop(page, [tree]);
    await expect(widget.total).toHaveAttribute('data-done', String(COUNT), { timeout: 90_000 });
    await expect(widget.total).toHaveAttribute('data-failed', '1');
    expect((await server.files()).length - before).toBe(COUNT);
    // The list tells the last first: the folder without files is a row with its reason.
    await page.locator('[data-pl-frame]').evaluate((frame) => (frame.scrollTop = frame.scrollHeight));
    await expect.poll(() => widget.announced(), 'one sentence for all that was found').toContainEqual(expect.stringMatching(/263/));
  });

  test('files beside the folder come with it, and paths are kept', async ({ widget, page, tree, files }) => {
    const beside = await files.sample('beside.txt', 12);
    await widget.open();
    await realDrop(page, [path.join(tree, 'deep'), beside.path]);
    await expect(widget.total).toHaveAttribute('data-done', '12');
    const titles = await page.locator('[data-pl-row] .pl-name').evaluateAll((names) => names.map((name) => name.getAttribute('title')).sort());
    expect(titles).toContain('beside.txt');
    expect(titles).toContain('deep/er/deep-1.txt');
    expect(titles).toContain('deep/er/still/deep-10.txt');
  });

  test('folders among very many files are walked as well, and of what has one name in several places nothing is lost', async ({ widget, page, tree }) => {
    const [here, there] = [path.join(path.dirname(tree), 'here'), path.join(path.dirname(tree), 'there')];
    const folders = [path.join(here, 'notes'), path.join(there, 'notes'), path.join(here, 'empty'), path.join(there, 'f-01.txt')];
    for (const folder of [...folders, path.join(folders[0]!, 'in')]) await mkdir(folder, { recursive: true });
    await writeFile(path.join(folders[0]!, 'in', 'a.txt'), 'in a folder');
    await writeFile(path.join(folders[0]!, '.hidden'), 'seen all the same');
    await writeFile(path.join(folders[1]!, 'b.txt'), 'in another of its name');
    await writeFile(path.join(folders[3]!, 'c.txt'), 'in a folder of a file’s name');
    const names = Array.from({ length: 60 }, (_, i) => `f-${String(i).padStart(2, '0')}.txt`);
    for (const name of names) await writeFile(path.join(here, name), name);
    await writeFile(path.join(there, 'f-02.txt'), 'not the other one');
    await widget.open();
    const files = [...names.map((name) => path.join(here, name)), path.join(there, 'f-02.txt')].reverse();
    await realDrop(page, [folders[0]!, ...files.slice(0, 30), folders[2]!, ...files.slice(30), folders[1]!, folders[3]!]);
    await expect(widget.total).toHaveAttribute('data-done', '65', { timeout: 45_000 });
    await expect(widget.total).toHaveAttribute('data-active', '0');
    // The empty folder, with its reason; and nothing else stands for a folder.
    await expect(widget.total).toHaveAttribute('data-failed', '1');
    const answer = await page.request.get(`${widget.base}/api/list_uploads`);
    const stored = ((await answer.json()) as { name: string; path?: string; size: number }[]).map(({ name, path, size }) => `${path || name} ${size}`);
    // Of one name the browser tells the second from the first by a number.
    const single = [...names.filter((name) => name !== 'f-02.txt').map((name) => `${name} 8`), 'f-02.txt 17', 'f-02 (1).txt 8'];
    expect(stored.filter((name) => !name.includes('/')).sort(), 'no file is lost').toEqual(single.sort());
    const inside = ['notes/in/a.txt 11', 'notes/.hidden 17', 'notes (1)/b.txt 22', 'f-01 (1).txt/c.txt 30'];
    expect(stored.filter((name) => name.includes('/')).sort(), 'nor a folder').toEqual(inside.sort());
  });

  test('an empty folder alone is one row with its reason', async ({ widget, page, tree, net }) => {
    await widget.open();
    await realDrop(page, [path.join(tree, 'nothing here')]);
    const row = await widget.waitState('nothing here', 'rejected');
    expect(row.error).toBe('no-file');
    await expect(widget.row('nothing here').locator('[data-pl-reason]')).toHaveText(/empty/);
    expect(net.uploads).toEqual([]);
  });
});

test('a picked folder keeps its paths', async ({ page, net, tree, browserName, silence }) => {
  silence.listen(page);
  const widget = new Widget(page, net.url);
  await widget.open();
  const picker = page.locator('[data-pl-folder]');
  if (browserName === 'chromium') {
    await picker.setInputFiles(tree);
  } else {
    // BiDi cannot pick a folder: the same list, as a browser would make it.
    await picker.evaluate(pickPaths, ['tree/many/file-000.txt', 'tree/deep/er/deep-1.txt', 'tree/.hidden']);
  }
  const count = browserName === 'chromium' ? COUNT : 3;
  await expect(widget.total).toHaveAttribute('data-done', String(count), { timeout: 90_000 });
  const titles = () => page.locator('[data-pl-row] .pl-name').evaluateAll((names) => names.map((name) => name.getAttribute('title') ?? ''));
  expect((await titles()).every((title) => title.startsWith('tree/'))).toBe(true);
});

test('files of one name are told apart by their folders, by eye and by ear, also where there is little room', async ({ page, net, silence }, info) => {
  silence.listen(page);
  const widget = new Widget(page, net.url);
  await widget.open();
  const deep = `tree/${'a folder with a rather long name/'.repeat(6)}report.txt`;
  const paths = ['tree/1875/report.txt', 'tree/1876/report.txt', deep];
  await page.locator('[data-pl-folder]').evaluate(pickPaths, paths);
  await expect(widget.total).toHaveAttribute('data-done', '3');
  const rows = page.locator('[data-pl-row]');
  for (const [at, path] of paths.entries()) {
    const row = rows.nth(at);
    await expect(row.locator('.pl-name bdi > *')).toHaveText([path.slice(0, -10), 'report.txt']);
    await expect(row.getByRole('progressbar', { name: path, exact: true })).toHaveCount(1);
    await expect(row.getByRole('button', { name: `Remove ${path}`, exact: true })).toHaveCount(1);
    const stored = widget.uploads.filter({ has: page.getByRole('button', { name: `Delete ${path}`, exact: true }) });
    await expect(stored.locator('.pl-name bdi > *')).toHaveText([path.slice(0, -10), 'report.txt']);
  }
  for (const width of [1280, 320]) {
    await page.setViewportSize({ width, height: 720 });
    const seen = await page.locator('[data-pl-row], [data-pl-upload]').evaluateAll((rows) =>
      rows.map((row) => {
        const frame = row.getBoundingClientRect();
        const [folder, name] = [...row.querySelectorAll('.pl-name bdi > *')];
        const [above, below] = [folder!.getBoundingClientRect(), name!.getBoundingClientRect()];
        const style = getComputedStyle(folder!);
        return {
          inside: [above, below].every(({ left, right }) => left >= frame.left && right <= frame.right),
          long: folder!.textContent!.length > 50,
          lines: Math.round(above.height / parseFloat(style.lineHeight)),
          cut: folder!.scrollWidth > folder!.clientWidth,
          whole: name!.scrollWidth <= Math.ceil(row.querySelector('.pl-name')!.clientWidth),
          quiet: style.color !== getComputedStyle(name!).color,
        };
      }),
    );
    expect(seen).toHaveLength(6);
    for (const { long, cut, ...row } of seen) {
      expect(row, `${width} px`).toEqual({ inside: true, lines: 1, whole: true, quiet: true });
      if (width === 320 || !long) expect(cut, 'a long way is cut short, and no other').toBe(long);
    }
    expect(seen.filter(({ long }) => long)).toHaveLength(2);
    await page.screenshot({ path: `out/screens/${info.project.name}-folders-${width}.png`, fullPage: true });
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  }
  // Among words from right to left a path is read as it is written.
  await page.setViewportSize({ width: 1280, height: 720 });
  const arabic = new Widget(page, net.url, '?lang=ar');
  await arabic.open();
  await expect(page.locator('html')).toHaveAttribute('dir', 'rtl');
  const order = await arabic.uploads.filter({ hasText: '1876' }).evaluate((row) => {
    const [folder, name] = [...row.querySelectorAll('.pl-name bdi > *')];
    return name!.getBoundingClientRect().left - folder!.getBoundingClientRect().right;
  });
  expect(order).toBeGreaterThanOrEqual(-1);
});

test('names with a dot are left out where the page wants that, but not the folder that was chosen', async ({ page, net, silence }) => {
  silence.listen(page);
  await withOptions(page, { dotfiles: false });
  const widget = new Widget(page, net.url);
  await widget.open();
  await page.locator('[data-pl-folder]').evaluate(pickPaths, ['.config/one.txt', '.config/.secret', '.config/.git/head', '.config/two/three.txt']);
  await expect(widget.total).toHaveAttribute('data-done', '2');
  expect((await widget.rows()).map(({ name, state }) => [name, state])).toEqual([['one.txt', 'done'], ['three.txt', 'done']]);
});

test('directories are read until nothing more comes, all the way down, and each path is sent', async ({ page, server, silence }) => {
  silence.listen(page);
  const site = await Pages.start();
  try {
    site.put('/photos/', { type: 'text/plain', body: 'thank you' });
    site.page('/', server.url, '<plimsoll-upload protocol="form" action="/photos/"></plimsoll-upload>');
    const widget = new Widget(page, site.url);
    await widget.open();
    await widget.drop.evaluate(dropTree);
    await expect(widget.total).toHaveAttribute('data-done', '303', { timeout: 90_000 });
    const sent = site.posted.flatMap(({ fields }) => fields.filter(([name]) => name === 'relativePath').map(([, path]) => path));
    const wanted = [
      ...Array.from({ length: 250 }, (_, i) => `top/many/${i}.txt`),
      ...Array.from({ length: 50 }, (_, i) => `top${'/down'.repeat(i + 1)}/${i}.txt`),
      'top/empty.txt', 'top/.hidden', 'top/last.txt',
    ];
    expect(sent.sort()).toEqual(wanted.sort());
    expect(site.posted.filter(({ files }) => files[0]?.length === 0), 'the empty one').toHaveLength(1);
  } finally {
    await site.stop();
  }
});

for (const protocol of ['resumable', 'tus']) {
  test(`paths go along with uploads in pieces as well: ${protocol}`, async ({ page, net, silence }) => {
    silence.listen(page);
    const widget = new Widget(page, net.url, `?protocol=${protocol}`);
    const told: (string | undefined)[] = [];
    page.on('request', (request) => {
      if (request.method() === 'POST' && new URL(request.url()).pathname === '/files') told.push(request.headers()['upload-metadata']);
    });
    await widget.open();
    await page.locator('[data-pl-folder]').evaluate(pickPaths, ['letters/2026/näheres.txt']);
    await widget.waitState('näheres.txt', 'done');
    const path = Buffer.from('letters/2026/näheres.txt').toString('base64');
    expect(told.map((metadata) => metadata?.split(',').map((pair) => pair.split(' ')).find(([key]) => key === 'relativePath')?.[1])).toEqual([path]);
  });
}

test.describe('what opens folders cannot be had', () => {
  test.skip(!part, 'a debug build has all its parts at once');

  const reason = 'The part of this page that opens folders could not be loaded. It will be tried again.';

  /** Answers with this status when the part is asked for; the answer tells how often that was. */
  async function refuse(page: Page, silence: Silence, status: () => number): Promise<() => number> {
    silence.allowFailedRequests();
    // As one browser says it.
    silence.allow(/Loading module|error loading/i);
    let asked = 0;
    await page.route(new RegExp(`/${part!.replaceAll('.', '\\.')}$`), (route) => {
      asked += 1;
      return status() === 200 ? route.continue() : route.fulfill({ status: status(), contentType: 'text/javascript', body: '' });
    });
    return () => asked;
  }

  test('files beside a folder are sent; the folder says so, is tried again, and comes as soon as it can', async ({ widget, page, silence }) => {
    let status = 503;
    const asked = await refuse(page, silence, () => status);
    await widget.open();
    await widget.drop.evaluate(dropFolders, ['papers']);
    await widget.waitState('beside.txt', 'done');
    expect((await widget.waitState('papers', 'failed')).error).toBe('no-file');
    await expect(widget.row('papers').locator('[data-pl-reason]')).toHaveText(reason);
    await expect(widget.button('retry', 'papers')).toBeVisible();
    await expect(widget.total, 'nothing is under way').not.toHaveAttribute('data-gathering');
    await expect.poll(asked, 'by itself').toBeGreaterThan(3);
    await expect(widget.row('papers')).toHaveCount(1);
    // Should it come by itself before the key is down, the focus is lost just so.
    await widget.button('retry', 'papers').focus();
    status = 200;
    await page.keyboard.press('Enter');
    await widget.waitState('a papers.txt', 'done');
    await widget.waitState('b papers.txt', 'done');
    await expect(widget.row('papers'), 'what stood for it is gone').toHaveCount(0);
    await expect(widget.total.locator('.pl-sum'), 'so is the button').toBeFocused();
    await expect(widget.total).toHaveAttribute('data-failed', '0');
    await expect(widget.total).toHaveAttribute('data-done', '3');
  });

  test('a folder whose row was taken off stays away', async ({ widget, page, silence }) => {
    let status = 404;
    await refuse(page, silence, () => status);
    await widget.open();
    await widget.drop.evaluate(dropFolders, ['unwanted', 'wanted']);
    await widget.waitState('wanted', 'failed');
    await widget.button('remove', 'unwanted').click();
    // It stays for as long as it has the focus.
    await widget.button('undo').focus();
    status = 200;
    // Both are tried in the same turn.
    await widget.waitState('b wanted.txt', 'done');
    expect((await widget.rows()).map(({ name }) => name).sort()).toEqual(['a wanted.txt', 'b wanted.txt', 'beside.txt']);
    await widget.button('undo').click();
    await widget.button('retry', 'unwanted').click();
    await widget.waitState('b unwanted.txt', 'done');
    await expect(widget.row('unwanted')).toHaveCount(0);
  });

  test('while one folder is looked through and another does not come, something is under way', async ({ widget, page, silence }) => {
    let status = 503;
    await refuse(page, silence, () => status);
    await widget.open();
    await widget.drop.evaluate(dropFolders, ['slow', 'unwanted']);
    await widget.waitState('unwanted', 'failed');
    await widget.button('remove', 'unwanted').click();
    status = 200;
    await expect(widget.row('slow')).toHaveCount(0);
    await expect(widget.total).toHaveAttribute('data-gathering');
    // What may be brought back is asked about again and again.
    for (let times = 0; times < 3; times++) await page.evaluate(() => new Promise((later) => (dispatchEvent(new Event('online')), setTimeout(later, 100))));
    await expect(widget.total).toHaveAttribute('data-gathering');
    await page.evaluate(() => document.dispatchEvent(new Event('go')));
    await widget.waitState('b slow.txt', 'done');
    await expect(widget.total).not.toHaveAttribute('data-gathering');
  });

  for (const gone of ['its row', 'the tag'] as const) {
    test(`for a folder that nobody wants any more nothing is asked for: without ${gone}`, async ({ page, server, silence }) => {
      silence.listen(page);
      const asked = await refuse(page, silence, () => 503);
      const widget = new Widget(page, server.url);
      await page.goto(`${server.url}/plain.html`);
      await widget.hydrated();
      await widget.drop.evaluate(dropFolders, ['papers']);
      await expect(widget.row('papers')).toHaveAttribute('data-state', 'failed');
      /** The network's return ends any pause. */
      const online = () => page.evaluate(() => dispatchEvent(new Event('online')));
      const isAskedFor = async (why: string) => {
        const before = asked();
        await online();
        await expect.poll(asked, why).toBeGreaterThan(before);
      };
      const isNotAskedFor = async () => {
        // What was asked for before this is known of when it is answered.
        await page.evaluate(() => fetch('/favicon.svg').then((answer) => answer.text()));
        const before = asked();
        await online();
        // Absence can only be watched for a while: longer than the first pauses.
        await page.waitForTimeout(1500);
        expect(asked()).toBe(before);
      };
      await isAskedFor('it is wanted');
      if (gone === 'its row') {
        await widget.button('remove', 'papers').click();
        await isAskedFor('it may be brought back');
        await page.evaluate(() => new Promise((later) => (dispatchEvent(new Event('pagehide')), setTimeout(later, 100))));
      } else {
        await page.evaluate(() => new Promise((later) => (document.querySelector('plimsoll-upload')!.remove(), setTimeout(later, 100))));
      }
      await isNotAskedFor();
      await isNotAskedFor();
    });
  }

  test('who wants a folder tried again while it is tried does not wait for the next time', async ({ widget, page, silence }) => {
    const asked = await refuse(page, silence, () => 503);
    let held: (() => void) | undefined;
    await widget.open();
    await widget.drop.evaluate(dropFolders, ['papers']);
    await widget.waitState('papers', 'failed');
    // Until the pauses are long.
    for (let times = 0; times < 6; times++) {
      const before = asked();
      await widget.button('retry', 'papers').click();
      await expect.poll(asked).toBeGreaterThan(before);
    }
    await page.waitForTimeout(500);
    await page.route(new RegExp(`/${part!.replaceAll('.', '\\.')}$`), (route) => (held = () => void route.fallback()), { times: 1 });
    await widget.button('retry', 'papers').click();
    await expect.poll(() => !!held).toBe(true);
    await widget.button('retry', 'papers').click();
    const before = asked();
    held!();
    await expect.poll(asked, 'what was held, and the next').toBe(before + 2);
  });

  test('without a network a folder waits, and comes with it', async ({ widget, context, silence }) => {
    silence.allowFailedRequests();
    silence.allow(/Loading module|error loading/i);
    await widget.open();
    // The rest of the bundle is there.
    await widget.input.setInputFiles({ name: 'before.txt', mimeType: 'text/plain', buffer: Buffer.from('before') });
    await widget.waitState('before.txt', 'done');
    await context.setOffline(true);
    await widget.drop.evaluate(dropFolders, ['papers']);
    await widget.waitState('papers', 'failed');
    await expect(widget.row('papers').locator('[data-pl-reason]')).toHaveText(reason);
    await context.setOffline(false);
    for (const name of ['a papers.txt', 'b papers.txt', 'beside.txt']) await widget.waitState(name, 'done');
    await expect(widget.row('papers')).toHaveCount(0);
  });

  test('of very many files those that may be folders wait, and no other', async ({ widget, page, tree, silence, browserName }) => {
    test.skip(browserName !== 'chromium', 'only CDP can make a trusted drop');
    let status = 503;
    await refuse(page, silence, () => status);
    const files = Array.from({ length: 40 }, (_, i) => path.join(tree, 'many', `file-${String(i).padStart(3, '0')}.txt`));
    await widget.open();
    await realDrop(page, [...files.slice(0, 20), path.join(tree, 'deep'), ...files.slice(20), path.join(tree, 'nothing here')]);
    await expect(widget.total).toHaveAttribute('data-done', '40', { timeout: 45_000 });
    await expect(widget.total).toHaveAttribute('data-failed', '2');
    await page.locator('[data-pl-frame]').evaluate((frame) => (frame.scrollTop = frame.scrollHeight));
    await widget.waitState('nothing here', 'failed');
    await expect(widget.row('deep').locator('[data-pl-reason]')).toHaveText(reason);
    status = 200;
    // Pauses grow to half a minute.
    await expect(widget.total).toHaveAttribute('data-done', '51', { timeout: 40_000 });
    await widget.waitState('nothing here', 'rejected');
    await expect(widget.row('nothing here').locator('[data-pl-reason]')).toHaveText('This folder is empty.');
    await expect(widget.total).toHaveAttribute('data-failed', '1');
  });
});

/**
 * Drops a file and folders of these names, which the page makes up, each with two files; one of the name `slow` tells them
 * when the page says `go`. Runs in the page.
 */
function dropFolders(zone: Element, names: string[]): void {
  const entry = (fullPath: string) => ({ fullPath, name: fullPath.split('/').pop() ?? '' });
  const file = (fullPath: string) =>
    Object.assign(entry(fullPath), { isFile: true, isDirectory: false, file: (done: (file: File) => void) => done(new File([fullPath], entry(fullPath).name)) });
  const folder = (name: string) =>
    Object.assign(entry(`/${name}`), {
      isFile: false,
      isDirectory: true,
      createReader: () => {
        const rest = ['a', 'b'].map((first) => file(`/${name}/${first} ${name}.txt`));
        type Done = (entries: unknown[]) => void;
        const read = (done: Done) => done(rest.splice(0, 100));
        return { readEntries: (done: Done) => (name === 'slow' && rest.length ? document.addEventListener('go', () => read(done), { once: true }) : read(done)) };
      },
    });
  DataTransferItem.prototype.webkitGetAsEntry = function () {
    const { name } = this.getAsFile()!;
    return (names.includes(name) ? folder(name) : file(`/${name}`)) as unknown as FileSystemEntry;
  };
  const data = new DataTransfer();
  for (const name of ['beside.txt', ...names]) data.items.add(new File([name], name));
  zone.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true, composed: true }));
}

/**
 * Drops a folder whose entries the page makes up, given in portions as browsers do: 250 files in one directory, and fifty
 * directories one in the other. Runs in the page.
 */
function dropTree(zone: Element): void {
  type Entry = { fullPath: string; name: string };
  const named = (fullPath: string) => ({ fullPath, name: fullPath.split('/').pop() ?? '' });
  const file = (path: string, text = path): Entry =>
    Object.assign(named(path), { isFile: true, isDirectory: false, file: (done: (file: File) => void) => done(new File([text], named(path).name)) });
  const folder = (path: string, entries: Entry[]): Entry =>
    Object.assign(named(path), {
      isFile: false,
      isDirectory: true,
      createReader: () => {
        const rest = [...entries];
        return { readEntries: (done: (entries: Entry[]) => void) => setTimeout(() => done(rest.splice(0, 100))) };
      },
    });
  const down = (path: string, depth: number): Entry => folder(path, [file(`${path}/${depth}.txt`), ...(depth < 49 ? [down(`${path}/down`, depth + 1)] : [])]);
  const top = folder('/top', [
    folder('/top/many', Array.from({ length: 250 }, (_, i) => file(`/top/many/${i}.txt`))),
    down('/top/down', 0),
    file('/top/empty.txt', ''),
    file('/top/.hidden'),
    file('/top/last.txt'),
  ]);
  DataTransferItem.prototype.webkitGetAsEntry = () => top as unknown as FileSystemEntry;
  const data = new DataTransfer();
  data.items.add(new File([''], 'top'));
  zone.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true, composed: true }));
}

/** A drop as the operating system would deliver it: trusted events, real files and folders. */
async function realDrop(page: Page, paths: string[]): Promise<void> {
  const cdp = await page.context().newCDPSession(page);
  const box = await page.locator('[data-pl-drop]').boundingBox();
  if (!box) throw new Error('The drop zone is not on the page');
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await cdp.send('Input.dispatchDragEvent', { type, x: box.x + box.width / 2, y: box.y + 8, data });
  }
  await cdp.detach();
}
