// The client, the same for every server: raw sockets and one buffer sent again and again, in a thread of its own, so
// that what it costs is little, is no server's, and delays no stop-watch. Must never know which server it talks to.
//
// Why Node: it is here anyway, for the page's build; and one that compiles would slow every build of the house down.

import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

const CHUNK = 1 << 20;
const BOUNDARY = 'plimsoll-bench-7MA4YWxkTrZu0gW';
/** Milliseconds between two polls of one poller. */
const POLL_GAP = 2;

/**
 * Sends `size` bytes, as a form's file or as a raw body, and waits for the whole answer.
 * `{ port, method, path, size, form, headers }` → `{ seconds, status, head, body }`
 */
export const upload = (task) => inThread('upload', task);

/** Asks `path` again and again until `until` (a SharedArrayBuffer) holds 1, or `count` times. → latencies in ms. */
export const poll = (task) => inThread('poll', task);

/**
 * Has a writer send a little of an upload and go silent, and takes its place, `count` times.
 * `{ port, count, size, sent, created, appended, asked }`, the last three fields of a head. → ms until the newcomer
 * was told where to go on
 */
export const takeOver = (task) => inThread('takeOver', task);

/** Asks for all `paths` in turn, each of `count` pollers `perSecond` times, until `until` holds 1. → latencies in ms. */
export const watch = (task) => inThread('watch', task);

/**
 * Opens `count` uploads that send a little and then wait; with `drip`, every second one sends another byte each so many
 * milliseconds. → a worker; `terminate()` cuts them all.
 */
export function idle(task) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { kind: 'idle', ...task } });
  return once(worker, 'message').then(([answer]) => {
    if (answer.error) throw new Error(answer.error);
    return worker;
  });
}

function inThread(kind, task) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { kind, ...task } });
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('message', (answer) => (answer.error ? reject(new Error(answer.error)) : resolve(answer)));
    worker.once('exit', () => reject(new Error(`the ${kind} client left without a word`)));
  });
}

const kinds = { upload: runUpload, poll: runPoll, watch: runWatch, takeOver: runTakeOver, idle: runIdle };

if (!isMainThread) {
  kinds[workerData.kind](workerData).then(
    (answer) => parentPort.postMessage(answer),
    (error) => parentPort.postMessage({ error: error.message }),
  );
}

async function runUpload({ port, method, path, size, form, headers = {} }) {
  const chunk = randomFillSync(Buffer.allocUnsafe(CHUNK));
  const { before, after } = wrapping(form);
  const began = performance.now();
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true, highWaterMark: 4 * CHUNK });
  const answer = answerOf(socket);
  const send = async (piece) => {
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain'), answer]);
  };
  await send(head({ method, path, length: before.length + size + after.length, form, headers }));
  await send(before);
  for (let left = size; left > 0 && !socket.destroyed; left -= CHUNK) {
    await send(left < CHUNK ? chunk.subarray(0, left) : chunk);
  }
  await send(after);
  const { status, ...rest } = await answer;
  const seconds = (performance.now() - began) / 1000;
  if (status < 200 || status > 299) throw new Error(`${method} ${path} was answered ${status}: ${rest.body.slice(0, 300)}`);
  return { seconds, status, ...rest };
}

async function runPoll({ port, paths, count = Infinity, until }) {
  const over = new Int32Array(until ?? new SharedArrayBuffer(4));
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  const latencies = [];
  for (let n = 0; n < count && Atomics.load(over, 0) === 0; n += 1) {
    const began = performance.now();
    socket.write(`GET ${paths[n % paths.length]} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    const status = await wholeAnswer(socket);
    latencies.push(performance.now() - began);
    if (status !== 200) throw new Error(`GET ${paths[n % paths.length]} was answered ${status}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_GAP));
  }
  socket.destroy();
  return latencies;
}

async function runWatch({ port, paths, count, perSecond, until }) {
  const over = new Int32Array(until);
  const latencies = [];
  const one = async (n) => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    for (let turn = n; Atomics.load(over, 0) === 0; turn += count) {
      const path = paths[turn % paths.length];
      const began = performance.now();
      socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
      const status = await wholeAnswer(socket);
      const took = performance.now() - began;
      latencies.push(took);
      if (status !== 200) throw new Error(`GET ${path} was answered ${status}`);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1000 / perSecond - took)));
    }
    socket.destroy();
  };
  await Promise.all(Array.from({ length: count }, (_, n) => one(n)));
  return latencies;
}

async function runTakeOver({ port, count, size, sent, created, appended, asked }) {
  const piece = randomFillSync(Buffer.alloc(sent));
  const ask = async (method, path, fields) => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    const answer = answerOf(socket);
    socket.write(lines(method, path, { ...fields, Connection: 'close' }));
    return answer;
  };
  const latencies = [];
  for (let n = 0; n < count; n += 1) {
    const begun = await ask('POST', '/files', { ...created, 'Content-Length': 0 });
    const url = begun.head.match(/\r\nlocation: *([^\r]*)/i)?.[1];
    if (begun.status !== 201 || !url) throw new Error(`POST /files was answered ${begun.status}`);
    const silent = net.connect({ port, host: '127.0.0.1', noDelay: true });
    // It is told that it was replaced, or hung up on.
    silent.on('error', () => {}).resume();
    silent.write(Buffer.concat([Buffer.from(lines('PATCH', url, { ...appended, 'Content-Length': size })), piece]));
    const progress = url.replace('/files/', '/progress/');
    while (JSON.parse((await ask('GET', progress, {})).body).received < sent);
    const began = performance.now();
    const answer = await ask('HEAD', url, asked);
    latencies.push(performance.now() - began);
    const offset = Number(answer.head.match(/\r\nupload-offset: *(\d+)/i)?.[1]);
    if (offset !== sent) throw new Error(`HEAD was answered ${answer.status} with the offset ${offset} of ${sent}`);
    silent.destroy();
    await ask('DELETE', url, asked);
  }
  return latencies;
}

async function runIdle({ port, method, path, count, size, sent, form, drip }) {
  const { before, after } = wrapping(form);
  const piece = Buffer.concat([before, randomFillSync(Buffer.alloc(sent))]);
  const length = before.length + size + after.length;
  for (let n = 0; n < count; n += 1) {
    const socket = net.connect({ port, host: '127.0.0.1' });
    socket.on('error', (error) => parentPort.postMessage({ error: error.message }));
    socket.on('data', (answer) => parentPort.postMessage({ error: `an idle upload was answered: ${answer.toString('latin1').slice(0, 200)}` }));
    await once(socket, 'connect');
    const headers = { 'X-Progress-ID': `idle${String(n).padStart(8, '0')}` };
    await new Promise((resolve) => socket.write(Buffer.concat([Buffer.from(head({ method, path, length, form, headers })), piece]), resolve));
    if (drip && n % 2) setInterval(() => socket.write('.'), drip);
  }
  return {};
}

function head({ method, path, length, form, headers }) {
  const type = form ? `multipart/form-data; boundary=${BOUNDARY}` : 'application/octet-stream';
  return lines(method, path, { Accept: 'application/json', ...headers, 'Content-Type': type, 'Content-Length': length, Connection: 'close' });
}

function lines(method, path, fields) {
  const all = Object.entries({ Host: '127.0.0.1', ...fields });
  return `${method} ${path} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

/** What stands around the file's bytes. */
function wrapping(form) {
  if (!form) return { before: Buffer.alloc(0), after: Buffer.alloc(0) };
  const disposition = 'Content-Disposition: form-data; name="file"; filename="bench.bin"';
  return {
    before: Buffer.from(`--${BOUNDARY}\r\n${disposition}\r\nContent-Type: application/octet-stream\r\n\r\n`),
    after: Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
  };
}

/** The answer on a connection that the server closes after it. */
function answerOf(socket) {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.once('error', (error) => (text ? finish() : reject(error)));
    socket.once('close', finish);
    function finish() {
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return reject(new Error('the connection was closed without an answer'));
      resolve({ status: Number(text.split(' ')[1]), head: text.slice(0, end), body: text.slice(end + 4) });
      socket.destroy();
    }
  });
}

/** One answer with a length or in chunks, on a connection that stays open. → its status */
function wholeAnswer(socket) {
  return new Promise((resolve, reject) => {
    let text = '';
    const hear = (chunk) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = text.slice(0, end).match(/\r\ncontent-length: *(\d+)/i)?.[1];
      const whole = length === undefined ? text.endsWith('\r\n0\r\n\r\n') : text.length >= end + 4 + Number(length);
      if (!whole) return;
      socket.off('data', hear).off('close', cut);
      resolve(Number(text.split(' ')[1]));
    };
    const cut = () => reject(new Error('a poll was cut off'));
    // Closed while nobody waited: the event is over.
    if (socket.destroyed) return cut();
    socket.on('data', hear).once('close', cut);
  });
}
