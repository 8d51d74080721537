// tuspy as PyPI has it. It sends an empty Upload-Metadata when it is given none, and keeps addresses in a file so that
// another process can go on.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { MIB } from '../fixtures/files';
import { downloaded } from '../fixtures/stored';
import { expect, test } from '../fixtures/test';

const here = path.dirname(fileURLToPath(import.meta.url));
let python = '';

test.beforeAll(() => {
  // The first time it installs: some seconds, or as long as a slow network takes.
  test.setTimeout(300_000);
  const script = path.join(here, '../../scripts/python.sh');
  python = execFileSync(script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
});

interface Task {
  endpoint: string;
  file: string;
  /** Bytes of one request. */
  chunk: number;
  metadata?: Record<string, string>;
  /** Where addresses are kept. */
  store?: string;
  checksum?: boolean;
  /** Bytes to stop at. */
  stop_at?: number;
}

/** In a process of its own, and not waited for in this one's stead: the proxy lives here. */
async function tuspy(task: Task): Promise<{ url: string; offset: number }> {
  const child = spawn(python, [path.join(here, 'tuspy.py')], { stdio: ['pipe', 'pipe', 'pipe'], timeout: 50_000 });
  let [said, complained] = ['', ''];
  child.stdout.on('data', (piece) => (said += piece));
  child.stderr.on('data', (piece) => (complained += piece));
  child.stdin.end(JSON.stringify(task));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0) throw new Error(`tuspy left with ${code ?? signal}:\n${complained}`);
  return JSON.parse(said) as { url: string; offset: number };
}

test('without metadata, in chunks and whole, with and without a checksum of each', async ({ server, files }) => {
  const sample = await files.sample('tuspy.bin', 3 * MIB + 1);
  for (const chunk of [MIB, 4 * MIB]) {
    for (const checksum of [false, true]) {
      const { url, offset } = await tuspy({ endpoint: `${server.url}/files`, file: sample.path, chunk, checksum });
      expect(offset).toBe(sample.size);
      expect(await downloaded(url)).toBe(sample.sha256);
    }
  }
});

test('another process goes on where the first one stopped', async ({ server, net, files }) => {
  const sample = await files.sample('tuspy-resumed.bin', 4 * MIB + 1);
  const task = { endpoint: `${net.url}/files`, file: sample.path, chunk: MIB, metadata: { filename: 'é.bin' }, store: `${sample.path}.urls` };
  const first = await tuspy({ ...task, stop_at: 2 * MIB });
  expect(first.offset).toBe(2 * MIB);
  const second = await tuspy(task);
  expect([second.url, second.offset]).toEqual([first.url, sample.size]);
  const begun = net.uploads.map(({ headers }) => Number(headers['upload-offset']));
  expect(begun).toEqual([0, 1, 2, 3, 4].map((n) => n * MIB));
  const download = new URL(new URL(second.url).pathname, server.url);
  expect(await downloaded(download)).toBe(sample.sha256);
  expect((await fetch(download, { method: 'HEAD' })).headers.get('content-disposition')).toContain(encodeURIComponent('é.bin'));
});
