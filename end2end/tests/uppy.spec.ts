// @uppy/tus as npm has it, in a page of another origin: the tus routes, and what a browser must be allowed to ask and
// to read there.

import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { MIB } from '../fixtures/files';
import { NetProxy } from '../fixtures/netproxy';
import { Server } from '../fixtures/server';
import { downloaded } from '../fixtures/stored';
import { expect, test } from '../fixtures/test';
import type {} from '../fixtures/uppy';

let origin: string;
let site: http.Server;
let stores: Server;

test.beforeAll(async () => {
  const entry = path.join(path.dirname(fileURLToPath(import.meta.url)), '../fixtures/uppy.ts');
  const bundle = await build({ entryPoints: [entry], bundle: true, format: 'iife', target: 'es2022', write: false });
  const script = bundle.outputFiles[0]?.text ?? '';
  site = http.createServer((request, response) => {
    const isScript = request.url === '/uppy.js';
    response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html; charset=utf-8' });
    response.end(isScript ? script : '<!doctype html><title>Uppy</title><link rel="icon" href="data:,"><input type="file"><script src="/uppy.js"></script>');
  });
  await new Promise<void>((ready) => site.listen(0, '127.0.0.1', ready));
  origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  stores = await Server.start(['--allow-origin', origin]);
});

test.afterAll(async () => {
  site?.closeAllConnections();
  await new Promise((closed) => site?.close(closed));
  await stores?.stop();
});

for (const { name, options, cuts } of [
  { name: 'in one request', options: {}, cuts: 0 },
  { name: 'in chunks', options: { chunkSize: 2 * MIB }, cuts: 0 },
  { name: 'through a line that is cut', options: {}, cuts: 2 },
]) {
  test(`Uppy uploads ${name}`, async ({ page, files, silence }) => {
    // Each browser has its own words for a request to another origin that was cut.
    if (!cuts) silence.listen(page);
    const sample = await files.sample('uppy é.bin', 9 * MIB + 1);
    const net = await NetProxy.start(stores.url);
    try {
      net.behave(cuts ? { kind: 'reset', after: 3 * MIB, times: cuts } : { kind: 'pass' });
      await page.goto(origin);
      await page.locator('input').setInputFiles(sample.path);
      const task = { endpoint: `${net.url}/files`, retryDelays: [0, 100, 100, 100, 100, 100], ...options };
      const end = await page.evaluate((told) => window.send(told), task);
      expect(end.error).toBeUndefined();
      expect(end.shown).toBe(sample.size);
      const download = new URL(new URL(end.url ?? '').pathname, stores.url);
      expect(await downloaded(download)).toBe(sample.sha256);
      expect((await fetch(download, { method: 'HEAD' })).headers.get('content-disposition')).toContain(encodeURIComponent(sample.name));
      const begun = net.uploads.map(({ headers }) => Number(headers['upload-offset']));
      // A browser may send a request that was cut once more by itself, from where it began; Uppy asks first.
      if (cuts) expect(begun.at(-1), `it went on and did not begin anew: ${begun.join(' ')}`).toBeGreaterThan(0);
    } finally {
      await net.stop();
    }
  });
}
