// Fetches the second half of a bundle and links it to the first: what the release build puts in the place of
// src/browser/rest.js (scripts/site.mjs). Once for the page, whoever asks for it. Must never know what is in it.

import { firstHalf } from 'SCRIPT';

const url = new URL('SECOND', import.meta.url);
/** Milliseconds between two tries: from the first to the longest. The network's return ends any. */
const PAUSE = 500, LONGEST = 30_000;
/** Milliseconds after which it is said that nothing has come. */
const PATIENCE = 10_000;
/** How a server says that it has other files by now. Another of them, or one that goes back, may still have these. */
const GONE = [404, 410];

let linked = false, hinted = false;
let coming;

/** What it is linked to: what the script has for both, and what the first half has for the second. */
const imports = () => ({ ...firstHalf.imports(), LINK: firstHalf.exports() });

async function load() {
  // By a connection from before that, nothing may come any more.
  const old = new AbortController(), back = () => old.abort();
  addEventListener('online', back);
  try {
    const answer = await fetch(url, { signal: old.signal });
    if (!answer.ok) throw Object.assign(new Error(`${answer.status} ${url}`), { gone: GONE.includes(answer.status) });
    await firstHalf.load(answer, imports());
    linked = true;
  } finally {
    removeEventListener('online', back);
  }
}

/** After a failure the next call tries again. */
function loaded() {
  coming ??= load();
  coming.catch(() => (coming = undefined));
  return coming;
}

/**
 * Resolves to `true` when the bundle is whole. `failed` is called whenever it could not be had, or is long in coming, and
 * told whether the server does not have it any more; it tells whether anybody waits still, and if not, there is no other
 * try. Without it there is one try, because a file may be coming.
 */
export async function rest(failed) {
  if (!failed) {
    // What could not be had at the first sign is had with the first file.
    if (!hinted) loaded().catch(() => undefined);
    hinted = true;
    return linked;
  }
  for (let pause = PAUSE; ; pause = Math.min(2 * pause, LONGEST)) {
    const late = setTimeout(failed, PATIENCE, false);
    try {
      await loaded();
      return true;
    } catch (error) {
      if (!failed(error.gone === true)) return false;
    } finally {
      clearTimeout(late);
    }
    await rested(pause);
  }
}

/** After so many milliseconds, or when the network is back, or when what `early` is given is called. */
export function rested(ms, early) {
  return new Promise((done) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener('online', over);
      done();
    };
    const timer = setTimeout(over, ms);
    addEventListener('online', over);
    early?.(over);
  });
}

/**
 * Something of the second half is called. Whoever calls it has seen to its being there; should that ever be forgotten
 * somewhere, the page waits for it here, and says so.
 */
export function need() {
  if (linked) return;
  console.warn(`Plimsoll waits for ${url}`);
  const request = new XMLHttpRequest();
  request.open('GET', url, false);
  // A request that is waited for gives texts only: this makes each byte one character.
  request.overrideMimeType('text/plain; charset=x-user-defined');
  request.send();
  const bytes = Uint8Array.from(request.responseText, (character) => character.charCodeAt(0) & 255);
  new WebAssembly.Instance(new WebAssembly.Module(bytes), imports());
  linked = true;
}
