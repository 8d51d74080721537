// SHA-256 in steps that know nothing of each other: what one leaves the next is given, so that files take turns, wait as
// long as they like, and outlive whoever hashes. A worker runs it, or a page that may have none. scripts/element.mjs
// makes it, with the implementation of hash-wasm, one file at a stable address: checksum.js in the site folder. Must
// never know which file it hashes, and never hold more of it than one piece.

import { createSHA256 } from 'hash-wasm';

// Bytes in memory at one time; some milliseconds on a page that does nothing else meanwhile.
const PIECE = 2 ** 20;

let making;

/** What is known after these bytes, as `state` was what was known before; of no bytes the digest, in hexadecimal digits. */
export async function step(blob, state) {
  const hash = await (making ??= createSHA256());
  const resume = () => (state ? hash.load(state) : hash.init());
  if (!blob) return resume().digest();
  for (let at = 0; at < blob.size; at += PIECE) {
    const piece = new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer());
    // Another file may have had its turn while this one was read.
    state = resume().update(piece).save();
  }
  return state;
}

if (typeof document === 'undefined') {
  self.onmessage = async ({ data: [asked, blob, state] }) => {
    try {
      self.postMessage([asked, await step(blob, state)]);
    } catch (error) {
      self.postMessage([asked, undefined, String(error)]);
    }
  };
}
