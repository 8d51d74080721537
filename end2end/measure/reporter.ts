// Prints what the measurements found, one line for each, and writes all of it to bench/out/widget.json. Must never
// know what a figure means.

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FullResult, Reporter, TestCase, TestResult } from '@playwright/test/reporter';

const FILE = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../bench/out/widget.json');

export default class Table implements Reporter {
  private readonly found: Record<string, Record<string, string>> = {};

  onTestEnd(test: TestCase, result: TestResult): void {
    const figures = test.annotations.map(({ type, description }) => [type, description ?? ''] as const);
    if (result.status === 'skipped') figures.push(['not measured', test.annotations.find(({ type }) => type === 'skip')?.description ?? '']);
    else if (result.status !== 'passed') figures.push(['failed', result.error?.message?.split('\n')[0] ?? result.status]);
    this.found[test.title] = Object.fromEntries(figures);
    console.log(test.title);
    for (const [what, value] of figures) console.log(`    ${what.padEnd(44)} ${value}`);
  }

  onEnd(_result: FullResult): void {
    mkdirSync(path.dirname(FILE), { recursive: true });
    writeFileSync(FILE, `${JSON.stringify(this.found, null, 2)}\n`);
  }
}
