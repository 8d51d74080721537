// The weight of the page, printed and written to bench/out/weight.json. Must never know how it is found.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { print, weigh } from '../scripts/weight.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const site = path.join(here, '../target/site');
if (!existsSync(path.join(site, 'pkg'))) {
  console.error('There is no target/site/pkg: run make build.');
  process.exit(1);
}
const weight = weigh(site);
print(weight);
const out = path.join(here, 'out');
mkdirSync(out, { recursive: true });
writeFileSync(path.join(out, 'weight.json'), `${JSON.stringify(weight, null, 2)}\n`);
