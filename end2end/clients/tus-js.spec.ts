// tus-js-client as npm has it, in Node.js: every way it can be told to send, and lines that break under it.

import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { Upload, type UploadOptions } from 'tus-js-client';
import { MIB, type Sample } from '../fixtures/files';
import { downloaded } from '../fixtures/stored';
import { expect, test } from '../fixtures/test';

type Source = ConstructorParameters<typeof Upload>[0];

/** Sends until the client itself says that all is there. → the upload's address */
async function send(source: Source, sample: Sample, options: UploadOptions): Promise<URL> {
  const upload = await new Promise<Upload>((done, fail) => {
    const made: Upload = new Upload(source, {
      retryDelays: null,
      metadata: { filename: sample.name, filetype: 'application/x-sample' },
      ...options,
      onSuccess: () => done(made),
      onError: fail,
    });
    made.start();
  });
  return new URL(upload.url ?? '', options.endpoint ?? undefined);
}

test.describe('sends', () => {
  const ways: { name: string; options: UploadOptions; size?: number; stream?: true }[] = [
    { name: 'the whole in one request', options: {} },
    { name: 'chunk by chunk', options: { chunkSize: MIB } },
    { name: 'with the first chunk in the creation', options: { chunkSize: MIB, uploadDataDuringCreation: true } },
    { name: 'all of it in the creation', options: { uploadDataDuringCreation: true } },
    { name: 'a stream whose length comes late', options: { chunkSize: MIB, uploadLengthDeferred: true }, stream: true },
    { name: 'three parts at once, joined at the end', options: { parallelUploads: 3 } },
    { name: 'PATCH dressed as POST', options: { overridePatchMethod: true, chunkSize: 2 * MIB } },
    { name: 'an empty file', options: {}, size: 0 },
  ];
  for (const { name, options, size = 5 * MIB + 1, stream } of ways) {
    test(name, async ({ server, files }) => {
      const sample = await files.sample('tus-js.bin', size);
      // A stream that names no file: of one that does, this version announces its last piece too long, to any server.
      const source = stream ? createReadStream(sample.path).pipe(new PassThrough()) : await readFile(sample.path);
      const told: number[] = [];
      const url = await send(source, sample, { ...options, endpoint: `${server.url}/files`, onProgress: (sent) => told.push(sent) });
      expect(await downloaded(url)).toBe(sample.sha256);
      if (size) expect(Math.max(...told)).toBe(size);
    });
  }
});

test('goes on where it was stopped; what is finished is not taken back by its address alone', async ({ server, net, files }) => {
  const sample = await files.sample('tus-js-paused.bin', 8 * MIB);
  const source = await readFile(sample.path);
  const options = { endpoint: `${net.url}/files`, chunkSize: MIB };
  const first = await new Promise<Upload>((stopped, fail) => {
    const upload = new Upload(source, {
      ...options,
      onChunkComplete: (_size, accepted) => {
        if (accepted === 3 * MIB) void upload.abort().then(() => stopped(upload), fail);
      },
      onError: fail,
    });
    upload.start();
  });
  const before = net.uploads.length;
  const url = await send(source, sample, { ...options, uploadUrl: first.url });
  expect(await downloaded(new URL(url.pathname, server.url))).toBe(sample.sha256);
  const again = net.uploads.slice(before).map(({ headers }) => Number(headers['upload-offset']));
  expect(again[0], 'from where it was').toBeGreaterThanOrEqual(3 * MIB);

  // It was begun without a cookie, and its address is what is handed on for downloads.
  await expect(Upload.terminate(url.href, { retryDelays: null })).rejects.toThrow(/response code: 403/);
  expect(await downloaded(url)).toBe(sample.sha256);
});

test('is gone when it is taken back before its end', async ({ server, files }) => {
  const sample = await files.sample('tus-js-taken-back.bin', 8 * MIB);
  const source = await readFile(sample.path);
  const url = await new Promise<URL>((taken, fail) => {
    const upload = new Upload(source, {
      endpoint: `${server.url}/files`,
      chunkSize: MIB,
      onChunkComplete: (_size, accepted) => {
        const { url } = upload;
        if (accepted === 3 * MIB && url) void upload.abort(true).then(() => taken(new URL(url, server.url)), fail);
      },
      onError: fail,
    });
    upload.start();
  });
  expect((await fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })).status).toBe(410);
});

test('a line that is cut again and again: it goes on, and never back', async ({ server, net, files }) => {
  const sample = await files.sample('tus-js-cut.bin', 20 * MIB + 1);
  const source = await readFile(sample.path);
  const stored = (await server.finished()).length;
  net.behave({ kind: 'reset', after: 4 * MIB, times: 4 });
  // The first answer that says nothing new counts as a failed try, so there are more delays than cuts.
  const url = await send(source, sample, { endpoint: `${net.url}/files`, retryDelays: [0, 50, 50, 50, 50, 50, 50, 50] });
  expect(await downloaded(new URL(url.pathname, server.url))).toBe(sample.sha256);
  expect((await server.finished()).length).toBe(stored + 1);
  const begun = net.uploads.map(({ headers }) => Number(headers['upload-offset']));
  expect(net.uploads.filter(({ cut }) => cut)).toHaveLength(4);
  // A reset throws away what the server had not read yet, so one try or another may gain nothing.
  expect(begun, 'no offset that was told goes back').toEqual([...begun].sort((a, b) => a - b));
  expect(begun.at(-1), 'it went on and did not begin anew').toBeGreaterThan(0);
});
