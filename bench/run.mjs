// `make bench`: what receiving a file costs the server, beside nginx when it is installed, in one run. Prints tables
// and ratios and writes bench/out/server.json; asserts nothing, because a time is true of one machine and one hour.
//
// Rounds are interleaved and medians taken, so that a slow minute hits all alike. Files are kept in memory, so that
// disks do not decide; what durability costs on the disk is shown by itself.
//
//   node bench/run.mjs [--size 1GiB] [--rounds 3]

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { idle, poll, takeOver, upload, watch } from './client.mjs';
import { cpuSeconds, forgetPeak, memory } from './proc.mjs';
import { killAll, nginx, plimsoll } from './servers.mjs';

const GIB = 1 << 30;
const MIB = 1 << 20;
/** Open uploads at the same time, for what one of them costs in memory. */
const OPEN = 1000;
/** Uploads at the same time, for the polls. */
const PARALLEL = 4;
/** Writers that are replaced, for each protocol. */
const TAKEOVERS = 200;
/** Pages that look on while a thousand uploads stall, how often in a second, and good uploads meanwhile. */
const PAGES = 100;
const LOOKS = 10;
const GOOD = 100;
/** Small files, one after the other, and their length in bytes: for what durability costs each. */
const SMALL_FILES = 200;
const SMALL = 4096;

const out = path.join(path.dirname(fileURLToPath(import.meta.url)), 'out');
const { values } = parseArgs({ options: { size: { type: 'string', default: '1GiB' }, rounds: { type: 'string', default: '3' } } });
const size = bytes(values.size);
const rounds = Math.max(1, Number(values.rounds));
const folders = new Set();

if (process.platform !== 'linux') {
  console.error('The server bench reads /proc, which only Linux has.');
  process.exit(1);
}
process.on('exit', () => {
  killAll();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));

const result = {
  machine: { cores: os.cpus().length, processor: os.cpus()[0]?.model, kernel: os.release(), node: process.version },
  size,
  rounds,
};
const inMemory = memoryFolder();
console.log(`${values.size} per upload, ${rounds} rounds, one connection, ${os.cpus().length} cores, files in ${inMemory ? 'memory' : 'the temporary folder'}`);
result.filesInMemory = inMemory !== undefined;

await throughput();
await polls();
await openUploads();
await crowd();
await takeovers();
await durability();
mkdirSync(out, { recursive: true });
writeFileSync(path.join(out, 'server.json'), `${JSON.stringify(result, null, 2)}\n`);
console.log('\nWritten to bench/out/server.json');

/** Processor time, speed and peak memory of one upload at a time. */
async function throughput() {
  const ours = await plimsoll(folder(inMemory));
  const theirs = await nginx(folder(inMemory));
  const cases = [
    { name: 'plimsoll POST', server: ours, ...ourPost() },
    { name: 'plimsoll POST + SHA-256', server: ours, ...ourPost('?digest=sha-256') },
    { name: 'plimsoll PUT', server: ours, method: 'PUT', path: '/files/bench.bin' },
    { name: 'plimsoll resumable', server: ours, ...ourResumable() },
  ];
  if (theirs) {
    const post = `nginx POST, proxied${theirs.hasProgress ? ', progress module' : ''}`;
    cases.push({ name: post, server: theirs, method: 'POST', path: '/post', form: true });
    cases.push({ name: 'nginx PUT', server: theirs, method: 'PUT', path: '/put/bench.bin' });
  } else {
    console.log('nginx is not installed: no ratios (Debian: apt-get install nginx libnginx-mod-http-uploadprogress)');
  }
  const measured = await measure(cases, size);
  await close(ours, theirs);

  heading('One upload at a time', ['MiB/s', 'CPU s/GiB', 'peak MiB']);
  for (const one of measured) row(one.name, [one.speed.toFixed(0), one.cpu.toFixed(2), mib(one.peak)]);
  const [post, digest, put, resumable, nginxPost, nginxPut] = measured;
  result.throughput = measured;
  if (!theirs) return;
  const against = (name, mine, other) => ({ name, cpu: mine.cpu / other.cpu, speed: mine.speed / other.speed });
  result.ratios = [against('POST', post, nginxPost), against('POST + SHA-256', digest, nginxPost), against('PUT', put, nginxPut), against('resumable', resumable, nginxPut)];
  heading('plimsoll / nginx', ['speed', 'CPU']);
  for (const one of result.ratios) row(one.name, [one.speed.toFixed(2), one.cpu.toFixed(2)]);
}

/** How long a poll takes while the server receives as fast as it can. The clients share the machine with it. */
async function polls() {
  const servers = [await plimsoll(folder(inMemory)), await nginx(folder(inMemory))];
  const part = Math.ceil(size / 2);
  heading(`A poll during ${PARALLEL} uploads of ${Math.round(part / MIB)} MiB, ms`, ['count', 'p50', 'p99', 'max']);
  result.polls = [];
  for (const server of servers) {
    if (!server || server.hasProgress === false) continue;
    const [target, ask] = server.name === 'nginx' ? ['/post', '/progress?X-Progress-ID='] : ['/upload', '/progress/'];
    const ids = Array.from({ length: PARALLEL }, (_, n) => `bench-poll-${n}-${process.pid}`);
    const paths = ids.map((id) => ask + id);
    const calm = await poll({ port: server.port, paths, count: 300 });
    const until = new SharedArrayBuffer(4);
    const uploads = ids.map((id) => upload({ port: server.port, ...ourPost(), path: target, size: part, headers: { 'X-Progress-ID': id } }));
    const polling = poll({ port: server.port, paths, until });
    try {
      await Promise.all(uploads);
    } finally {
      Atomics.store(new Int32Array(until), 0, 1);
    }
    for (const [name, latencies] of [[`${server.name}, idle`, calm], [server.name, await polling]]) {
      result.polls.push(latency(name, latencies));
    }
  }
  await close(...servers);
}

/** What uploads cost that are open and say nothing. */
async function openUploads() {
  heading(`${OPEN} open uploads, 64 KiB of each received, MiB`, ['before', 'open', 'peak']);
  result.open = [];
  const servers = [await plimsoll(folder(inMemory), '--max-open-uploads', 'none'), await nginx(folder(inMemory))];
  for (const server of servers) {
    if (!server) continue;
    const path = server.name === 'nginx' ? '/post' : '/upload';
    const before = memory(server.pid).now;
    const clients = await idle({ port: server.port, ...ourPost(), path, count: OPEN, size: MIB, sent: 64 * 1024 });
    const after = await settled(server.pid);
    await clients.terminate();
    const figures = { name: server.name, before, open: after.now, peak: after.peak };
    result.open.push(figures);
    row(server.name, [mib(before), mib(figures.open), mib(figures.peak)]);
  }
  await close(...servers);
}

/** How a good upload fares while a thousand others stall or drip and a hundred pages look on. */
async function crowd() {
  const server = await plimsoll(folder(inMemory), '--max-open-uploads', 'none', '--min-rate', 'none');
  const port = server.port;
  const others = await idle({ port, ...ourPost(), count: OPEN, size: MIB, sent: 64 * 1024, drip: 1000 });
  const until = new SharedArrayBuffer(4);
  const paths = Array.from({ length: OPEN }, (_, n) => `/progress/idle${String(n).padStart(8, '0')}`);
  const looking = watch({ port, paths, count: PAGES, perSecond: LOOKS, until });
  const begun = [];
  const whole = [];
  try {
    for (let n = 0; n < GOOD; n += 1) {
      const { seconds } = await upload({ port, method: 'POST', path: '/files', headers: { 'Upload-Complete': '?0' }, size: 0 });
      begun.push(seconds * 1000);
      whole.push((await upload({ port, ...ourPost(), size: MIB })).seconds * 1000);
    }
  } finally {
    Atomics.store(new Int32Array(until), 0, 1);
  }
  const looks = await looking;
  await others.terminate();
  await close(server);
  heading(`Among ${OPEN} that stall or drip, ${PAGES} pages looking on, ms`, ['count', 'p50', 'p99', 'max']);
  result.crowd = [
    latency('a resumable upload is begun', begun),
    latency('a form with a file of 1 MiB is stored', whole),
    latency('a poll is answered', looks),
  ];
}

/** How long it takes to replace a writer that has gone silent: until the newcomer is told where to go on, on the disk. */
async function takeovers() {
  mkdirSync(out, { recursive: true });
  const server = await plimsoll(folder(out));
  const sizes = { port: server.port, count: TAKEOVERS, size: MIB, sent: 64 * 1024 };
  const tus = { 'Tus-Resumable': '1.0.0' };
  const patch = (type) => ({ 'Upload-Offset': 0, 'Content-Type': `application/${type}` });
  const byTus = await takeOver({
    ...sizes,
    created: { ...tus, 'Upload-Length': MIB },
    appended: { ...tus, ...patch('offset+octet-stream') },
    asked: tus,
  });
  const complete = { 'Upload-Complete': '?0' };
  const byRufh = await takeOver({
    ...sizes,
    created: { ...complete, 'Upload-Length': MIB },
    appended: { ...complete, ...patch('partial-upload') },
    asked: {},
  });
  await close(server);
  heading('A silent writer is replaced, on the disk, ms', ['count', 'p50', 'p99', 'max']);
  result.takeovers = [latency('tus', byTus), latency('Resumable Uploads for HTTP', byRufh)];
}

/** Prints latencies and returns them as figures. */
function latency(name, all) {
  const figures = { name, count: all.length, p50: quantile(all, 0.5), p99: quantile(all, 0.99), max: quantile(all, 1) };
  row(name, [figures.count, figures.p50.toFixed(2), figures.p99.toFixed(2), figures.max.toFixed(2)]);
  return figures;
}

/** What it costs to be told "stored", or an offset, only when the disk has said so. */
async function durability() {
  mkdirSync(out, { recursive: true });
  const names = ['full', 'page-cache'];
  const servers = [];
  for (const name of names) servers.push(await plimsoll(folder(out), '--durability', name));
  const kinds = [['POST', ourPost()], ['resumable', ourResumable()]];
  const cases = kinds.flatMap(([kind, request]) =>
    servers.map((server, n) => ({ name: `plimsoll ${kind}, ${names[n]}`, server, ...request, sync: true })),
  );
  const measured = await measure(cases, size);
  // One after the other, in turns: what is waited for at the end of a file stands out where little comes before it.
  const waits = servers.map(() => []);
  for (let n = 0; n < SMALL_FILES; n += 1) {
    for (const [at, { port }] of servers.entries()) {
      const { seconds } = await upload({ port, method: 'PUT', path: `/files/small-${n}.bin`, size: SMALL });
      waits[at].push(seconds * 1000);
    }
  }
  await close(...servers);
  heading('On the disk, by durability', ['MiB/s', 'CPU s/GiB', 'peak MiB']);
  for (const one of measured) row(one.name, [one.speed.toFixed(0), one.cpu.toFixed(2), mib(one.peak)]);
  result.durability = measured;
  const [post, loosePost, resumable, looseResumable] = measured;
  heading('full / page-cache', ['speed', 'CPU']);
  for (const [name, safe, loose] of [['POST', post, loosePost], ['resumable', resumable, looseResumable]]) {
    row(name, [(safe.speed / loose.speed).toFixed(2), (safe.cpu / loose.cpu).toFixed(2)]);
  }
  heading(`A file of ${SMALL / 1024} KiB is stored, on the disk, ms`, ['count', 'p50', 'p99', 'max']);
  result.smallFiles = names.map((name, at) => latency(`plimsoll PUT, ${name}`, waits[at]));
}

/** All cases, round by round; the first round only warms up. Medians of the others, and the highest peak. */
async function measure(cases, size) {
  const samples = cases.map(() => []);
  for (let round = 0; round <= rounds; round += 1) {
    for (const [n, { server, method, path, form, headers, sync }] of cases.entries()) {
      // What the round before left to be written must not slow this one.
      if (sync) spawnSync('sync');
      forgetPeak(server.pid);
      const before = cpuSeconds(server.pid);
      const { seconds, head, body } = await upload({ port: server.port, method, path, form, headers, size: round ? size : Math.min(size, 64 * MIB) });
      await settled(server.pid);
      const sample = { seconds, cpu: cpuSeconds(server.pid) - before, peak: memory(server.pid).peak };
      if (round) samples[n].push(sample);
      await tidyUp(server, path, head, body);
    }
  }
  return cases.map(({ name }, n) => ({
    name,
    speed: size / MIB / median(samples[n].map((one) => one.seconds)),
    cpu: (median(samples[n].map((one) => one.cpu)) * GIB) / size,
    peak: Math.max(...samples[n].map((one) => one.peak)),
    samples: samples[n],
  }));
}

/** Removes what was stored, so that memory does not fill with it. */
async function tidyUp(server, path, head, body) {
  if (server.name === 'nginx') {
    if (path.startsWith('/put/')) await fetch(`http://127.0.0.1:${server.port}${path}`, { method: 'DELETE' });
    return;
  }
  const cookie = head.match(/\r\nset-cookie: *([^;\r]*)/i)?.[1];
  const url = body.match(/"url": *"([^"]+)"/)?.[1];
  const answer = url && (await fetch(`http://127.0.0.1:${server.port}${url}`, { method: 'DELETE', headers: cookie ? { cookie } : {} }));
  if (answer?.status !== 204) throw new Error(`DELETE ${url} was answered ${answer?.status}`);
}

/** Waits until the process rests: what it does after its answer belongs to the upload as well. → its memory */
async function settled(pid) {
  for (let last = -1, now = cpuSeconds(pid); now !== last; last = now, now = cpuSeconds(pid)) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return memory(pid);
}

function ourPost(query = '') {
  return { method: 'POST', path: `/upload${query}`, form: true };
}

/** An upload that could be gone on with (Resumable Uploads for HTTP), in one request: checkpoints on the way. */
function ourResumable() {
  return { method: 'POST', path: '/files', headers: { 'Upload-Complete': '?1' } };
}

/** A memory-backed folder with room for what one round stores, or none. */
function memoryFolder() {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    return readdirSync('/dev/shm') && bavail * bsize > 4 * size + GIB ? '/dev/shm' : undefined;
  } catch {
    return undefined;
  }
}

/** A new folder, removed at the end however the end comes. */
function folder(within) {
  const made = mkdtempSync(path.join(within ?? os.tmpdir(), 'plimsoll-bench-'));
  folders.add(made);
  return made;
}

/** Stops servers and removes what they stored, so that the next ones find room. */
async function close(...servers) {
  await Promise.all(servers.map((server) => server?.stop()));
  for (const made of folders) rmSync(made, { recursive: true, force: true });
  folders.clear();
}

function bytes(text) {
  const [, number, unit] = /^(\d+)(MiB|GiB)$/.exec(text) ?? [];
  if (!number) throw new Error(`--size ${text} is no size: 64MiB and 1GiB are.`);
  return Number(number) * (unit === 'GiB' ? GIB : MIB);
}

function median(numbers) {
  return quantile(numbers, 0.5);
}

function quantile(numbers, q) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

function mib(bytes) {
  return (bytes / MIB).toFixed(1);
}

function heading(title, columns) {
  console.log();
  row(title, columns);
  console.log('-'.repeat(46 + 11 * columns.length));
}

function row(name, columns) {
  console.log(name.padEnd(46) + columns.map((column) => String(column).padStart(11)).join(''));
}
