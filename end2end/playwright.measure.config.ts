// What `make bench` asks of the widget: the scenarios other widgets were measured in, in Chromium, one after the other.
// Nothing here decides whether a change is good; the tests do.

import { defineConfig } from '@playwright/test';
import { chromiumLaunch } from './browsers';
import type { Options } from './fixtures/test';

export default defineConfig<object, Options>({
  testDir: './measure',
  globalSetup: './fixtures/setup.ts',
  outputDir: './out/measure',
  workers: 1,
  fullyParallel: false,
  timeout: 180_000,
  expect: { timeout: 30_000 },
  retries: 0,
  reporter: [['./measure/reporter.ts']],
  use: { trace: 'off', video: 'off', screenshot: 'off', browserName: 'chromium', launchOptions: chromiumLaunch() },
});
