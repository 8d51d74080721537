// How what a page consists of comes to it: compressed beforehand, with the right types, compiled while it comes, and kept
// for good under a name that goes with its content. A debug build is neither compressed nor named so.

import { readdirSync } from 'node:fs';
import path from 'node:path';
import type { Response } from '@playwright/test';
import { MIB } from '../fixtures/files';
import { SITE } from '../fixtures/server';
import { expect, test } from '../fixtures/test';

const HASHED = /\/pkg\/[\w-]+\.[\w-]{22}\.(wasm|js|css)$/;
const TYPES: Record<string, RegExp> = { wasm: /^application\/wasm$/, js: /^(text|application)\/javascript(;|$)/, css: /^text\/css(;|$)/ };

test.skip(!readdirSync(path.join(SITE, 'pkg')).some((name) => name.endsWith('.br')), 'a debug build is as it is');

for (const [what, place, ready] of [
  ['our own page', '/', 'form[data-plimsoll][data-hydrated="true"]'],
  ['a page with the tag', '/plain.html', 'plimsoll-upload form[data-plimsoll][data-hydrated="true"]'],
] as const) {
  test(`${what}: compressed, of the right type, compiled while it comes, and kept for good`, async ({ page, server, files, silence }) => {
    silence.listen(page);
    await page.addInitScript(() => {
      window.plCompiled = { streamed: 0, whole: 0 };
      const { instantiate, instantiateStreaming } = WebAssembly;
      WebAssembly.instantiateStreaming = (...args) => ((window.plCompiled.streamed += 1), instantiateStreaming.apply(WebAssembly, args));
      WebAssembly.instantiate = ((...args: Parameters<typeof instantiate>) => ((window.plCompiled.whole += 1), instantiate.apply(WebAssembly, args))) as typeof instantiate;
    });
    const answers = new Map<string, Response>();
    page.on('response', (answer) => answers.set(new URL(answer.url()).pathname, answer));
    await page.goto(server.url + place);
    await expect(page.locator(ready)).toBeVisible();
    // With a file, so that what comes only then has come as well.
    await page.locator('[data-pl-input]').setInputFiles((await files.sample('small.bin', MIB)).path);
    await expect(page.locator('[data-pl-row]')).toHaveAttribute('data-state', 'done');

    const bundles = [...answers.keys()].filter((name) => name.endsWith('.wasm'));
    expect(bundles.length, 'both halves').toBe(2);
    expect(await page.evaluate(() => window.plCompiled)).toEqual({ streamed: 2, whole: 0 });
    const ours = [...answers].filter(([name]) => name.startsWith('/pkg/'));
    expect(ours.length).toBeGreaterThanOrEqual(4);
    for (const [name, answer] of ours) {
      const headers = answer.headers();
      const told = { name, encoding: headers['content-encoding'], varies: headers['vary']?.toLowerCase(), cache: headers['cache-control'] };
      expect(told).toEqual({ name: expect.stringMatching(HASHED), encoding: 'br', varies: expect.stringContaining('accept-encoding'), cache: 'public, max-age=31536000, immutable' });
      expect(headers['content-type']).toMatch(TYPES[path.extname(name).slice(1)]!);
    }
    // What stands at a name that stays is asked for again each time.
    const [, document] = [...answers].find(([name]) => name === place)!;
    expect(document.headers()['cache-control']).toMatch(/no-cache|no-store/);
  });
}

test('whoever cannot have it compressed has it as it is', async ({ server }) => {
  const [name] = readdirSync(path.join(SITE, 'pkg')).filter((name) => name.endsWith('.wasm'));
  const get = async (encoding: string) => {
    const answer = await fetch(`${server.url}/pkg/${name}`, { headers: { 'accept-encoding': encoding } });
    return { encoding: answer.headers.get('content-encoding'), bytes: Buffer.from(await answer.arrayBuffer()) };
  };
  const plain = await get('identity');
  expect(plain.encoding).toBe(null);
  expect(WebAssembly.validate(plain.bytes)).toBe(true);
  for (const encoding of ['br', 'gzip']) {
    const packed = await get(encoding);
    expect(packed.encoding).toBe(encoding);
    expect(packed.bytes.equals(plain.bytes), `the same by ${encoding}`).toBe(true);
  }
});

declare global {
  interface Window {
    plCompiled: { streamed: number; whole: number };
  }
}
