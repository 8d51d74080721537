// What a process and its children cost, read from Linux's /proc. Must never know what they do.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';

const ticks = Number(execFileSync('getconf', ['CLK_TCK']));

/** Seconds of processor time that the process and its living children have used, in user and kernel mode. */
export function cpuSeconds(pid) {
  return sum(family(pid).map((one) => (Number(stat(one)?.[11] ?? 0) + Number(stat(one)?.[12] ?? 0)) / ticks));
}

/** Resident memory now and at its peak, in bytes, of the process and its children together. */
export function memory(pid) {
  const field = (name) => sum(family(pid).map((one) => Number(status(one).match(`${name}:\\s+(\\d+) kB`)?.[1] ?? 0) * 1024));
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

/** Starts the peak anew, so that it belongs to what comes. Not every kernel lets one: the peak then covers all. */
export function forgetPeak(pid) {
  for (const one of family(pid)) {
    try {
      writeFileSync(`/proc/${one}/clear_refs`, '5');
    } catch {
      // The peak stays what it was, which only ever makes a figure worse.
    }
  }
}

function family(pid) {
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) && Number(stat(name)?.[1]);
    if (parent) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const all = [pid];
  for (const one of all) all.push(...(children.get(one) ?? []));
  return all;
}

/** The fields of /proc/PID/stat behind the name, which may hold spaces: state, parent, … */
function stat(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ');
  } catch {
    return undefined;
  }
}

function status(pid) {
  try {
    return readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch {
    return '';
  }
}

function sum(numbers) {
  return numbers.reduce((total, one) => total + one, 0);
}
