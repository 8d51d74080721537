// Which browsers the tests run in: those that are installed, never a download. Must never know what is tested.

import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { chromium, firefox } from '@playwright/test';

/** How Playwright starts one engine. */
export interface Launch {
  executablePath: string;
  channel?: string;
  args?: string[];
}

/**
 * Chromium: `CHROMIUM_PATH`, else the first found on PATH, else Playwright's own.
 * Throws one sentence with the fix when there is none.
 */
export function chromiumLaunch(): Launch {
  return {
    executablePath: find('CHROMIUM_PATH', ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'], () => chromium.executablePath(), 'chromium'),
    args: [
      // Chromium refuses to run its sandbox as root, which is what containers are.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  };
}

/**
 * Firefox: `FIREFOX_PATH`, else the first found on PATH, else Playwright's own. A stock Firefox is driven over
 * WebDriver BiDi (channel `moz-firefox`); Playwright's own build speaks Playwright's own protocol, without a channel.
 */
export function firefoxLaunch(): Launch {
  const own = () => firefox.executablePath();
  const executablePath = find('FIREFOX_PATH', ['firefox-esr', 'firefox'], own, 'firefox-esr');
  return executablePath === safely(own) ? { executablePath } : { executablePath, channel: 'moz-firefox' };
}

function find(variable: string, names: string[], playwrights: () => string, packageName: string): string {
  const asked = process.env[variable];
  if (asked) {
    if (isProgram(asked)) return asked;
    throw new Error(`${variable} is set to ${asked}, which is not a program: correct or unset it.`);
  }
  for (const name of names) {
    for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
      const candidate = path.join(folder, name);
      if (folder && isProgram(candidate)) return candidate;
    }
  }
  const own = safely(playwrights);
  if (own && isProgram(own)) return own;
  throw new Error(`No ${names[0]} was found: install it (apt-get install ${packageName}) or set ${variable} to its path.`);
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function safely(path: () => string): string | undefined {
  try {
    return path();
  } catch {
    return undefined;
  }
}
