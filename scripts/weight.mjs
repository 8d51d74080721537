// What a visitor downloads before the widget is alive: script, bundle and style of the release build, and the loader
// for other pages, as they are and compressed with brotli at its best, which is how the server sends them; and what
// comes later, only when it is needed. Must never know what is inside.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';
import { sectionSizes } from './wasm.mjs';

/** Bytes that a page with the widget may weigh, compressed. */
export const BUDGET = 125.6 * 1024;

const KINDS = { '.wasm': 'bundle', '.js': 'script', '.css': 'style', '.json': 'labels' };

/** The files of a site, heaviest first; the sections of the bundle; the sum of what a page needs at once. */
export function weigh(site) {
  const pkg = path.join(site, 'pkg');
  const names = [
    ...readdirSync(pkg).map((name) => path.join('pkg', name)),
    ...['upload-widget.js'].filter((name) => existsSync(path.join(site, name))),
    ...(existsSync(path.join(site, 'labels')) ? readdirSync(path.join(site, 'labels')).map((name) => path.join('labels', name)) : []),
  ];
  const files = names
    .filter((name) => KINDS[path.extname(name)])
    .map((name) => {
      const bytes = readFileSync(path.join(site, name));
      const later = path.basename(name).startsWith('part.') || path.extname(name) === '.json';
      const sections = path.extname(name) !== '.wasm' ? [] : sectionSizes(bytes).map(({ name: section, body }) => ({ name: section, raw: body.length, brotli: brotli(body) }));
      return { kind: KINDS[path.extname(name)], name: path.basename(name).replace(/\.[\w-]{22}\./, '.'), later, raw: bytes.length, brotli: brotli(bytes), sections };
    })
    .sort((a, b) => b.brotli - a.brotli);
  const total = files.filter(({ later }) => !later).reduce((sum, file) => ({ raw: sum.raw + file.raw, brotli: sum.brotli + file.brotli }), { raw: 0, brotli: 0 });
  return { files, total, budget: BUDGET };
}

/** The weight as a table. */
export function print({ files, total }) {
  const row = (name, { raw, brotli: small }) => console.log(name.padEnd(46) + kib(raw) + kib(small));
  console.log(`${'KiB'.padEnd(46)}${'as it is'.padStart(11)}${'brotli'.padStart(11)}\n${'-'.repeat(68)}`);
  for (const file of files.filter(({ later }) => !later)) {
    row(file.kind.padEnd(8) + file.name, file);
    for (const section of file.sections.filter(({ raw }) => raw > 512)) row(`          ${section.name}`, section);
  }
  row('together', total);
  for (const file of files.filter(({ later }) => later)) row(`later   ${file.name}`, file);
}

function kib(bytes) {
  return (bytes / 1024).toFixed(1).padStart(11);
}

function brotli(bytes) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length, [constants.BROTLI_PARAM_LGWIN]: 22 };
  return brotliCompressSync(bytes, { params }).length;
}
