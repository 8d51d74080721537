// What a visitor downloads before the widget is alive: scripts, bundle and styles of the release build, as they are
// and compressed with brotli at its best, which is how the server sends them. Writes bench/out/weight.json.
// Must never know what is inside.

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants } from 'node:zlib';

const here = path.dirname(fileURLToPath(import.meta.url));
const folder = path.join(here, '../target/site/pkg');
if (!existsSync(folder)) {
  console.error('There is no target/site/pkg: run make build.');
  process.exit(1);
}

const kinds = { '.wasm': 'bundle', '.js': 'script', '.css': 'style' };
const files = readdirSync(folder, { recursive: true })
  .filter((name) => kinds[path.extname(name)])
  .map((name) => {
    const bytes = readFileSync(path.join(folder, name));
    return { kind: kinds[path.extname(name)], name: name.replace(/\.[\w-]{22}\./, '.'), raw: bytes.length, brotli: brotli(bytes) };
  })
  .sort((a, b) => b.brotli - a.brotli);
const total = files.reduce((sum, file) => ({ raw: sum.raw + file.raw, brotli: sum.brotli + file.brotli }), { raw: 0, brotli: 0 });

const kib = (bytes) => (bytes / 1024).toFixed(1).padStart(11);
console.log(`${'KiB'.padEnd(46)}${'as it is'.padStart(11)}${'brotli'.padStart(11)}`);
console.log('-'.repeat(68));
for (const file of files) console.log(`${file.kind.padEnd(8)}${file.name.padEnd(38)}${kib(file.raw)}${kib(file.brotli)}`);
console.log(`${'together'.padEnd(46)}${kib(total.raw)}${kib(total.brotli)}`);

const out = path.join(here, 'out');
mkdirSync(out, { recursive: true });
writeFileSync(path.join(out, 'weight.json'), `${JSON.stringify({ files, total }, null, 2)}\n`);

function brotli(bytes) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length, [constants.BROTLI_PARAM_LGWIN]: 22 };
  return brotliCompressSync(bytes, { params }).length;
}
