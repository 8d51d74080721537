// Keeps the screen on while something is sent, where a browser can: a machine that falls asleep sends nothing. Loaded
// when that is wanted first. Must never know what is sent.

let wanted = 0;
let lock = null;

/** One more wants the screen on, or one fewer. Browsers take the lock away while the page is out of sight. */
export async function awake(on) {
  wanted = Math.max(0, wanted + (on ? 1 : -1));
  if (on && wanted === 1) document.addEventListener('visibilitychange', hold);
  if (wanted === 0) document.removeEventListener('visibilitychange', hold);
  await hold();
}

async function hold() {
  if (wanted === 0) {
    const held = lock;
    lock = null;
    await held?.release();
  } else if (document.visibilityState === 'visible' && (!lock || lock.released)) {
    lock = (await navigator.wakeLock?.request('screen')) ?? null;
    // It may have ended meanwhile.
    if (wanted === 0) await hold();
  }
}
