// The SHA-256 of files, in pieces beside their sending: how far each is hashed, and who hashes it. Loaded when the first
// file is sent whose digest is wanted. Must never know what a digest is compared with, nor read a byte of a file itself:
// it hands slices to the script at `url` (sha256.js), which a worker runs, and where a browser makes no worker from
// there (of another site's script, or against the page's policy) the page itself, piece by piece between other things.
// It fails by rejecting: what cannot be hashed cannot be compared.

// Bytes that are asked for at one time.
const STEP = 2 ** 24;
// Milliseconds without work after which the worker goes. It holds nothing that is not sent to it again.
const IDLE = 5_000;
// Milliseconds without an answer after which it is asked whether it lives, and again until it is taken for dead: browsers
// do not tell of every one that ends. One that waits for a slow disk is free to answer.
const PATIENCE = 15_000;
// The number of that question. It is one for the digest of nothing, which any worker can tell at once.
const ALIVE = 0;

/** How far each file is hashed, and how far it is to be; gone with the file. */
const jobs = new WeakMap();
/** Who waits for which answer of the worker. */
const waiting = new Map();
let worker, timer;
let number = 0;
/** Whether a worker was tried and could not do what the page could. */
let alone = false;

/**
 * Hashes a file up to this byte at the least, from where it was. Its digest in hexadecimal digits when that is beyond its
 * end, else nothing.
 */
export async function sha256(url, file, upto) {
  const address = new URL(url, document.baseURI);
  let job = jobs.get(file);
  if (!job) jobs.set(file, (job = { at: 0, upto: 0, state: undefined, run: undefined }));
  const end = Math.min(upto, file.size);
  job.upto = Math.max(job.upto, end);
  try {
    // One run at a time; one that has failed stays, and whoever asks is told.
    while (job.at < end) await (job.run ??= run(address, file, job).then(() => (job.run = undefined)));
    return upto > file.size ? await step(address, null, job.state) : undefined;
  } finally {
    // Asked again, it is asked of what the file is then.
    if (upto > file.size) jobs.delete(file);
  }
}

async function run(address, file, job) {
  while (job.at < job.upto) {
    const end = Math.min(job.upto, job.at + STEP);
    job.state = await step(address, file.slice(job.at, end), job.state);
    job.at = end;
  }
}

/** What is known after this slice; without a slice, the digest of all that came. */
async function step(address, slice, state) {
  const tries = !alone && address.origin === location.origin;
  if (tries) {
    try {
      return await inWorker(address, slice, state);
    } catch {
      // Perhaps the file cannot be read; then neither can the page.
    }
  }
  const known = await (await import(address.href)).step(slice, state);
  alone ||= tries;
  return known;
}

function inWorker(address, slice, state) {
  worker ??= start(address);
  const asked = ++number;
  return new Promise((done, failed) => {
    waiting.set(asked, { done, failed });
    if (waiting.size === 1) watch();
    worker.postMessage([asked, slice, state]);
  });
}

/** Waits for its next answer, or for nothing. */
function watch() {
  clearTimeout(timer);
  timer = waiting.size ? setTimeout(ask, PATIENCE) : setTimeout(stop, IDLE);
}

/** The page would be no faster than a worker that waits for the same disk, and could do nothing else meanwhile. */
function ask() {
  timer = setTimeout(fail, PATIENCE, 'It does not answer');
  worker.postMessage([ALIVE]);
}

function start(address) {
  const started = new Worker(address, { type: 'module' });
  started.onmessage = ({ data: [answered, state, error] }) => {
    // It was given up just before.
    if (started !== worker) return;
    // Nobody waits for the word that it lives.
    const asker = waiting.get(answered);
    waiting.delete(answered);
    if (error) asker?.failed(new Error(error));
    else asker?.done(state);
    watch();
  };
  // It did not load.
  started.onerror = (event) => {
    event.preventDefault();
    fail(event.message);
  };
  started.onmessageerror = () => fail('It cannot be understood');
  return started;
}

/** Nothing more is heard of it: whoever waits is told. */
function fail(why) {
  stop();
  for (const { failed } of waiting.values()) failed(new Error(why));
  waiting.clear();
}

function stop() {
  clearTimeout(timer);
  worker?.terminate();
  worker = undefined;
}
