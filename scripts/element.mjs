// What <plimsoll-upload> needs in a site folder, made after the bundle: its style sheet, and the loader with the names
// of all three files in it; and what every widget computes digests with. All minified, and compressed as the server
// looks for them.
// Called with the site folder; with --watch as well it waits for a debug build, and makes them anew after each change.
// Must never know what is in the bundle.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, watchFile, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const own = fileURLToPath(import.meta.url);
const root = path.join(path.dirname(own), '..');
const { buildSync, transformSync } = createRequire(path.join(root, 'end2end/package.json'))('esbuild');
const [site, mode] = process.argv.slice(2);
if (mode === '--watch') {
  const built = ['js', 'wasm'].map((kind) => path.join(site, `pkg/plimsoll.${kind}`));
  const sheet = path.join(site, 'pkg/widget.css');
  const make = () => built.every((file) => existsSync(file)) && spawnSync(process.execPath, [own, site], { stdio: 'inherit' });
  for (const file of [...built, ...['style/widget.css', 'public/upload-widget.js', 'src/browser/sha256.js'].map((file) => path.join(root, file))]) watchFile(file, { interval: 300 }, make);
  // What clears the folder for a new build takes it away.
  watchFile(sheet, { interval: 300 }, () => existsSync(sheet) || make());
  make();
  await new Promise(() => undefined);
}
if (!site || !existsSync(path.join(site, 'pkg'))) {
  console.error('usage: node scripts/element.mjs FOLDER [--watch], where FOLDER holds the built site');
  process.exit(1);
}

// Where the build puts hashes into names it says so in this file; a debug build does not.
const list = path.join(site, 'plimsoll-hash.txt');
const hashed = existsSync(list);
const hashes = new Map(hashed ? readFileSync(list, 'utf8').trim().split('\n').map((line) => line.split(': ')) : []);
// The release build has a bundle for the element alone (scripts/site.mjs); a debug build has one for everything.
const bundle = (kind) => (hashed ? `pkg/element.${hashes.get(`element-${kind}`)}.${kind}` : `pkg/plimsoll.${kind}`);

const minified = (file, loader) => transformSync(readFileSync(path.join(root, file), 'utf8'), { loader, minify: true, target: 'es2022', legalComments: 'none' }).code;

const css = minified('style/widget.css', 'css');
const hash = createHash('sha256').update(css).digest('base64url').slice(0, 22);
const style = hashed ? `pkg/widget.${hash}.css` : 'pkg/widget.css';
for (const name of readdirSync(path.join(site, 'pkg'))) if (/^widget\..*css/.test(name)) rmSync(path.join(site, 'pkg', name));
put(style, css);

let loader = readFileSync(path.join(root, 'public/upload-widget.js'), 'utf8');
for (const [before, after] of [['pkg/plimsoll.js', bundle('js')], ['pkg/plimsoll.wasm', bundle('wasm')], ['pkg/widget.css', style]]) {
  if (loader.split(`'${before}'`).length !== 2) throw new Error(`public/upload-widget.js should name '${before}' once`);
  if (!existsSync(path.join(site, after))) throw new Error(`there is no ${after} in ${site}`);
  loader = loader.replace(`'${before}'`, `'${after}'`);
}
put('upload-widget.js', transformSync(loader, { loader: 'js', minify: true, target: 'es2022' }).code);

// What hashes comes from npm, and brings its licence along.
if (!existsSync(path.join(root, 'end2end/node_modules/hash-wasm'))) {
  console.error('hash-wasm is missing: run scripts/setup.sh npm');
  process.exit(1);
}
const checksum = buildSync({
  entryPoints: [path.join(root, 'src/browser/sha256.js')], nodePaths: [path.join(root, 'end2end/node_modules')],
  bundle: true, minify: true, format: 'esm', target: 'es2022', write: false, logLevel: 'warning',
  banner: { js: `/*! hash-wasm, ${readFileSync(path.join(root, 'end2end/node_modules/hash-wasm/LICENSE'), 'utf8')}*/` },
});
put('checksum.js', checksum.outputFiles[0].text);

function put(name, text) {
  const file = path.join(site, name);
  mkdirSync(path.dirname(file), { recursive: true });
  const bytes = Buffer.from(text);
  writeFileSync(file, bytes);
  writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }));
  writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }));
}
