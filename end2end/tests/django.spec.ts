// The example of public/examples/django.txt in a real Django: its template as it is published, its guard against forged
// requests, its redirects.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { exampleScripts } from '../fixtures/example';
import { MIB } from '../fixtures/files';
import { Widget } from '../fixtures/page';
import { SITE, sha256OfFile } from '../fixtures/server';
import { expect, test as base } from '../fixtures/test';

const here = path.dirname(fileURLToPath(import.meta.url));
let python = '';

interface Place {
  /** Where the view writes what is uploaded. */
  uploaded: string;
  site: Widget;
}

const test = base.extend<Place>({
  uploaded: async ({}, use) => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'django-'));
    await use(folder);
    await rm(folder, { recursive: true, force: true });
  },
  site: async ({ uploaded, page, silence }, use) => {
    silence.listen(page);
    const child = spawn(python, [path.join(here, '../clients/django_site.py'), SITE, uploaded], { stdio: ['ignore', 'pipe', 'pipe'] });
    let complained = '';
    child.stderr.on('data', (piece) => (complained += piece));
    const gone = once(child, 'exit').then(() => Promise.reject(new Error(`Django left:\n${complained}`)));
    gone.catch(() => undefined);
    const [port] = (await Promise.race([once(child.stdout, 'data'), gone])) as [Buffer];
    const site = new Widget(page, `http://127.0.0.1:${port.toString().trim()}`, 'photos/');
    await site.open();
    await use(site);
    child.kill();
    await gone.catch(() => undefined);
  },
});

test.beforeAll(() => {
  // The first time it installs: some seconds, or as long as a slow network takes.
  test.setTimeout(300_000);
  try {
    python = execFileSync(path.join(here, '../../scripts/python.sh'), { encoding: 'utf8' }).trim();
  } catch (error) {
    const reason = `Django cannot be had here: ${String((error as { stderr?: string }).stderr).trim()}`;
    console.log(`Skipped: ${reason}`);
    test.skip(true, reason);
  }
});

test('a file goes through the view, with the token of the form, and is the same on disk', async ({ site, uploaded, files }) => {
  const samples = [await files.sample('boat é.png', 6 * MIB + 1), await files.sample('small.png', 10)];
  await site.pick(...samples);
  for (const { name, path: source } of samples) {
    await site.waitState(name, 'done');
    expect(await sha256OfFile(path.join(uploaded, name))).toBe(await sha256OfFile(source));
  }
  expect((await readdir(uploaded)).length).toBe(samples.length);
});

test('what it refuses is refused: a file without its token, and one of a session that has ended', async ({ site, uploaded, files, page, silence }) => {
  silence.allowFailedRequests();
  const sample = await files.sample('boat.png', 1000);
  await page.context().addCookies([{ name: 'session', value: 'over', url: site.base }]);
  await site.pick(sample);
  await site.waitState(sample.name, 'failed');
  await expect(site.row(sample.name)).toHaveAttribute('data-error', 'unauthorized');
  await site.button('remove', sample.name).click();
  await expect(site.row(sample.name)).toHaveCount(0);

  // Its token among them.
  await page.context().clearCookies();
  await site.pick(sample);
  await site.waitState(sample.name, 'failed');
  await expect(site.row(sample.name)).toHaveAttribute('data-error', 'forbidden');
  expect(await readdir(uploaded)).toEqual([]);
});

/** A new token in the header alone was refused: Django looks at the field first, which is the form's, and old. */
test('a token that has grown old is renewed by the script of the example', async ({ site, uploaded, files, page, silence }) => {
  silence.allowFailedRequests();
  await page.evaluate(`{ const photos = document.querySelector('#photos'); ${exampleScripts().beforeRequest} }`);
  await site.hydrated();
  // As after signing in once more, in another tab: the cookie has a new one, the form in this page the old.
  const cookie = { name: 'csrftoken', value: 'n'.repeat(32), url: site.base };
  await page.context().addCookies([cookie]);
  const sample = await files.sample('renewed.png', 1000);
  await site.pick(sample);
  await site.waitState(sample.name, 'done');

  // Without any cookie it is asked for after the refusal.
  await page.context().clearCookies();
  await page.evaluate(() => {
    const real = window.fetch;
    // Stands for a view with @ensure_csrf_cookie.
    window.fetch = (...args) => {
      if (args[0] !== '/csrf/') return real(...args);
      document.cookie = `csrftoken=${'m'.repeat(32)}; path=/`;
      return Promise.resolve(new Response());
    };
  });
  const late = await files.sample('late.png', 2000);
  await site.pick(late);
  await site.waitState(late.name, 'done');
  expect((await readdir(uploaded)).sort()).toEqual(['late.png', 'renewed.png']);
});
