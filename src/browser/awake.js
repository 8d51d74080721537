// Keeps the screen on while something is sent, where a browser can: a machine that falls asleep sends nothing. Loaded
// when that is wanted first. Must never know what is sent.

let wanted = 0;
let lock = null;
/** The last of what was done about it: one after the other, or two would ask, and the lock of one would be lost. */
let last = Promise.resolve();

/** One more wants the screen on, or one fewer. Browsers take the lock away while the page is out of sight. */
export async function awake(on) {
  wanted = Math.max(0, wanted + (on ? 1 : -1));
  if (on && wanted === 1) document.addEventListener('visibilitychange', hold);
  if (wanted === 0) document.removeEventListener('visibilitychange', hold);
  await hold();
}

function hold() {
  // A browser may refuse it: of a battery that is nearly empty for one.
  return (last = last.then(settle).catch(() => {}));
}

async function settle() {
  if (wanted === 0) {
    const held = lock;
    lock = null;
    await held?.release();
  } else if (document.visibilityState === 'visible' && (!lock || lock.released)) {
    lock = (await navigator.wakeLock?.request('screen')) ?? null;
  }
}
