// curl as the system has it: whole files, streams, forms, and the pieces of a resumable upload by hand.

import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { MIB } from '../fixtures/files';
import { downloaded } from '../fixtures/stored';
import { expect, test } from '../fixtures/test';

interface Answer {
  status: number;
  /** Names in lower case. */
  headers: Map<string, string>;
  body: string;
}

/** Runs curl with these words; `input` is what it reads from standard input. */
async function curl(words: readonly string[], input?: string): Promise<Answer> {
  const child = spawn('curl', ['-sS', '-i', '--max-time', '50', ...words], { stdio: ['pipe', 'pipe', 'pipe'] });
  const said: Buffer[] = [];
  const complained: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => said.push(piece));
  child.stderr.on('data', (piece: Buffer) => complained.push(piece));
  const code = await new Promise<number | null>((exit, fail) => {
    child.once('error', () => fail(new Error('curl is missing: install it (Debian: apt-get install curl).')));
    child.once('close', exit);
    if (input) createReadStream(input).pipe(child.stdin);
    else child.stdin.end();
  });
  if (code !== 0) throw new Error(`curl ${words.join(' ')} left with ${code}: ${Buffer.concat(complained).toString()}`);
  // Answers that come before the last (100 Continue) have a head of their own.
  const text = Buffer.concat(said).toString().replace(/^(HTTP\/\S+ 1\d\d[^]*?\r\n\r\n)+/, '');
  const end = text.indexOf('\r\n\r\n');
  const [status = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = new Map(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  return { status: Number(status.split(' ')[1]), headers, body: text.slice(end + 4) };
}

function urlOf({ body }: Answer): string {
  return (JSON.parse(body) as { files: { url: string }[] }).files[0]?.url ?? '';
}

for (const [protocol, words] of [
  ['HTTP/1.1', ['--http1.1']],
  ['HTTP/2', ['--http2-prior-knowledge']],
] as const) {
  test(`-T, -T - and -F by ${protocol}`, async ({ server, files }) => {
    const sample = await files.sample('curl.bin', 6 * MIB + 1);
    const put = await curl([...words, '-T', sample.path, `${server.url}/files/`]);
    expect(put.status).toBe(201);
    expect(await downloaded(server.url + put.headers.get('location'))).toBe(sample.sha256);

    const streamed = await curl([...words, '-T', '-', `${server.url}/files/streamed.bin`], sample.path);
    expect(await downloaded(server.url + urlOf(streamed))).toBe(sample.sha256);

    const form = await curl([...words, '-F', `file=@${sample.path}`, '-F', 'note=one more', `${server.url}/upload?X-Progress-ID=curl-form-1`]);
    expect(await downloaded(server.url + urlOf(form))).toBe(sample.sha256);
    const progress = await curl([...words, `${server.url}/progress?X-Progress-ID=curl-form-1`]);
    expect(progress.body).toContain('"state" : "done"');
  });

  test(`a resumable upload by hand, by ${protocol}`, async ({ server, files }) => {
    const sample = await files.sample('curl-pieces.bin', 3 * MIB);
    const bytes = await readFile(sample.path);
    const piece = `${sample.path}.piece`;
    const created = await curl([...words, '-X', 'POST', '-H', 'Upload-Complete: ?0', '-H', `Upload-Length: ${sample.size}`, '-H', 'Content-Type;', `${server.url}/files`]);
    expect(created.status).toBe(201);
    const url = new URL(created.headers.get('location') ?? '', server.url).href;
    for (const [from, to] of [[0, MIB], [MIB, 2 * MIB], [2 * MIB, 3 * MIB]] as const) {
      await writeFile(piece, bytes.subarray(from, to));
      const head = await curl([...words, '-I', url]);
      expect([head.headers.get('upload-offset'), head.headers.get('upload-complete')]).toEqual([String(from), '?0']);
      const last = to === sample.size;
      const append = ['-X', 'PATCH', '-H', `Upload-Offset: ${from}`, '-H', `Upload-Complete: ?${last ? 1 : 0}`, '-H', 'Content-Type: application/partial-upload'];
      const answer = await curl([...words, ...append, '--data-binary', `@${piece}`, url]);
      expect([Math.floor(answer.status / 100), answer.headers.get('upload-complete')]).toEqual([2, last ? '?1' : '?0']);
    }
    expect(await downloaded(url)).toBe(sample.sha256);
  });
}
