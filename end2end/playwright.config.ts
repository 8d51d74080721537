// What runs where: the specs in Chromium and in Firefox, the scriptless ones in both without scripts, a smoke run in
// WebKit, and other people's clients in none.

import { defineConfig } from '@playwright/test';
import { chromiumLaunch, firefoxLaunch } from './browsers';
import type { Options } from './fixtures/test';

const chromium = chromiumLaunch();
const firefox = firefoxLaunch();
const scriptless = /noscript\.spec/;

export default defineConfig<object, Options>({
  testDir: './tests',
  globalSetup: './fixtures/setup.ts',
  outputDir: './out/results',
  // The tests measure what one browser sees of one server: side by side they would measure each other.
  workers: 1,
  fullyParallel: false,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  forbidOnly: !!process.env.CI,
  // A test that passes at the second try is a bug that shows now and then.
  retries: 0,
  reporter: [['list'], ['./fixtures/last-words.ts']],
  use: { trace: 'off', video: 'off', screenshot: 'only-on-failure' },
  projects: [
    // Clients that are no browsers.
    { name: 'clients', testDir: './clients' },
    // Through its own driver.
    { name: 'webkit', testDir: './webkit' },
    { name: 'chromium', testIgnore: scriptless, use: { browserName: 'chromium', launchOptions: chromium } },
    { name: 'firefox', testIgnore: scriptless, use: { browserName: 'firefox', launchOptions: firefox } },
    {
      name: 'chromium-nojs',
      testMatch: scriptless,
      use: { browserName: 'chromium', launchOptions: chromium, javaScriptEnabled: false },
    },
    {
      // Over BiDi `javaScriptEnabled` is ignored; the preference does the same.
      name: 'firefox-nojs',
      testMatch: scriptless,
      use: { browserName: 'firefox', launchOptions: { ...firefox, firefoxUserPrefs: { 'javascript.enabled': false } } },
    },
  ],
});
