// What a visitor downloads before the widget is alive, as it is and compressed with brotli at its best, which is how the
// server sends it: on a page with the tag (loader, script, bundle, style) and on our own; what both fetch with the first
// file; and what comes later, only when it is needed. Called with a site folder it prints all this, and fails when the tag
// is over one of its budgets.
// Must never know what is inside.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';
import { sectionSizes } from './wasm.mjs';

/** Bytes that a page with the tag may load at once, compressed. */
export const BUDGET = 82 * 1024;
/** The same with what it loads with the first file. */
export const WITH_A_FILE = 144 * 1024;

const KINDS = { '.wasm': 'bundle', '.js': 'script', '.css': 'style', '.json': 'labels' };
/** Which page loads a file, by how its name begins: at once, or with the first file. */
const PAGES = { 'upload-widget': 'tag', element: 'tag', widget: 'tag', plimsoll: 'own', 'element-rest': 'tag, first file', 'plimsoll-rest': 'own, first file' };

/** The files of a site, heaviest first, with the sections of the bundles; the sums of what each page needs at once. */
export function weigh(site) {
  const names = ['', 'pkg', 'labels']
    .filter((folder) => existsSync(path.join(site, folder)))
    .flatMap((folder) => readdirSync(path.join(site, folder)).map((name) => path.join(folder, name)))
    .filter((name) => KINDS[path.extname(name)] && (path.dirname(name) !== '.' || ['upload-widget.js', 'checksum.js'].includes(name)));
  const files = names
    .map((name) => {
      const bytes = readFileSync(path.join(site, name));
      const sections = path.extname(name) === '.wasm' ? sectionSizes(bytes).map(({ name: section, body }) => ({ name: section, ...sizes(body) })) : [];
      const base = path.basename(name);
      return { page: PAGES[base.split('.')[0]] ?? 'later', kind: KINDS[path.extname(name)], name: base.replace(/\.[\w-]{22}\./, '.'), ...sizes(bytes), sections };
    })
    .sort((a, b) => b.brotli - a.brotli);
  const sum = (page) => files.filter((file) => file.page === page).reduce((total, { raw, brotli }) => ({ raw: total.raw + raw, brotli: total.brotli + brotli }), { raw: 0, brotli: 0 });
  const both = (one, other) => ({ raw: one.raw + other.raw, brotli: one.brotli + other.brotli });
  const [tag, own] = [sum('tag'), sum('own')];
  return { files, tag, own, tagWithFile: both(tag, sum('tag, first file')), ownWithFile: both(own, sum('own, first file')), budget: BUDGET, budgetWithFile: WITH_A_FILE };
}

/** The weight as a table. */
export function print({ files, tag, own, tagWithFile, ownWithFile }) {
  const row = (name, { raw, brotli }) => console.log(name.padEnd(46) + kib(raw) + kib(brotli));
  const part = (page) => {
    for (const file of files.filter((one) => one.page === page)) {
      row(`${file.kind.padEnd(8)}${file.name}`, file);
      for (const section of file.sections.filter(({ raw }) => raw > 512)) row(`          ${section.name}`, section);
    }
  };
  console.log(`${'KiB'.padEnd(46)}${'as it is'.padStart(11)}${'brotli'.padStart(11)}\n${'-'.repeat(68)}`);
  part('tag');
  row('a page with the tag', tag);
  part('tag, first file');
  row('a page with the tag, with its first file', tagWithFile);
  console.log();
  part('own');
  row('our own page', own);
  part('own, first file');
  row('our own page, with its first file', ownWithFile);
  console.log('\nloaded when needed');
  part('later');
}

function kib(bytes) {
  return (bytes / 1024).toFixed(1).padStart(11);
}

function sizes(bytes) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return { raw: bytes.length, brotli: brotliCompressSync(bytes, { params }).length };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const weight = weigh(process.argv[2]);
  print(weight);
  const over = [[weight.tag, BUDGET, 'A page with the tag'], [weight.tagWithFile, WITH_A_FILE, 'A page with the tag and its first file']].filter(([{ brotli }, budget]) => brotli > budget);
  for (const [, budget, what] of over) {
    console.error(`\n${what} weighs more than its budget of ${(budget / 1024).toFixed(1)} KiB (scripts/weight.mjs).`);
    process.exitCode = 1;
  }
}
