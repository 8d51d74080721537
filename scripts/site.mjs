// The last step of the release build: makes what a browser downloads as small as it can be, after `cargo leptos build`
// has laid out target/site. From the same bundle it takes what can never run or be seen, gives script and bundle
// short names for what they share, makes a file of its own of each part that is loaded only when it is needed, and
// puts all of it, named by content and compressed, in the place of cargo-leptos's own. At the end it weighs the page
// and fails when that is over its budget.
// Must never know what the bundle does.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { blankLocations, keepExports, replace, shorten } from './wasm.mjs';
import { BUDGET, print, weigh } from './weight.mjs';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const site = path.join(root, 'target/site'), pkg = path.join(site, 'pkg');
const work = path.join(root, 'target/front/site');
const { buildSync } = createRequire(path.join(root, 'end2end/package.json'))('esbuild');

// A panic ends the bundle: on this target nobody unwinds, and what it would say goes nowhere. So whatever leads
// there may stop at once, and what only panics and debug lines print need not be told apart. Only functions of the
// standard library and of wasm-bindgen itself: a function of ours that is called `…_failed` handles a failure.
const PANICS = new RegExp([
  String.raw`^core(\[\w+\])?::panicking::`, String.raw`^std(\[\w+\])?::panicking::`, 'rust_begin_unwind',
  String.raw`^core(\[\w+\])?::(result|option)::\w+_failed`, String.raw`^<?(core|alloc)(\[\w+\])?::.*_fail(ed)?(_rt|_inner)?(::<|::h[0-9a-f]{16}$|$)`, '^wasm_bindgen::__rt::borrow_fail',
  String.raw`^alloc(\[\w+\])?::alloc::handle_alloc_error`, String.raw`^alloc(\[\w+\])?::raw_vec::(handle_error|capacity_overflow)`,
].map((part) => `(?:${part})`).join('|'));
const OURS = /^<?plimsoll\b/;
const DEBUGGING = / as core(\[\w+\])?::fmt::Debug>::fmt/;
// Streams of server functions, which come along with the framework and are used by none of ours.
const STREAMS = /^export class (IntoUnderlying\w+) \{[\s\S]*?^\}\n(?:if \(Symbol\.dispose\).*\n)?/gm;

rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
run('wasm-bindgen', ['--target=web', '--no-typescript', '--keep-debug', '--split-linked-modules', '--out-name=plimsoll', `--out-dir=${work}`,
  path.join(root, 'target/front/wasm32-unknown-unknown/wasm-release/plimsoll.wasm')]);
let glue = readFileSync(path.join(work, 'plimsoll.js'), 'utf8');
const before = readFileSync(path.join(work, 'plimsoll_bg.wasm'));

// The script, without what nobody calls.
const streams = [...glue.matchAll(STREAMS)].map((match) => match[1]);
glue = glue.replace(STREAMS, '');
for (const name of streams) {
  glue = glue.replace(new RegExp(`^const ${name}Finalization = [^;]*;\\n`, 'm'), '');
  if (glue.includes(name)) throw new Error(`${name} is used after all`);
}
const called = new Set([...glue.matchAll(/\bwasm\.(\w+)/g)].map((match) => match[1]));

// The bundle, without what that leaves unused.
const replaced = replace(keepExports(before, (name) => called.has(name)), { traps: PANICS, empty: DEBUGGING });
const blanked = blankLocations(replaced.module);
const wrong = replaced.trapped.filter((name) => OURS.test(name));
if (wrong.length > 0) throw new Error(`these would no longer run: ${wrong.join(', ')}`);
if (replaced.found.traps < 10 || blanked.found < 100) throw new Error('panics are no longer found: their names have changed');
const input = path.join(work, 'in.wasm'), output = path.join(work, 'out.wasm');
writeFileSync(input, blanked.module);
run('wasm-opt', [...wasmOptFlags(), input, '-o', output]);
const { module, imported, exported } = shorten(readFileSync(output), './plimsoll_bg.js', 'w');

// What they share, by its short names on both sides.
glue = glue.replace('"./plimsoll_bg.js": import0', '"w": import0');
const shared = /^ {8}(\w+): function\([\s\S]*?(?=^ {8}\w+: function\(|^ {4}\};)/gm;
const present = new Set();
glue = glue.replace(shared, (text, name) => {
  if (!imported.has(name)) return '';
  present.add(name);
  return text.replace(name, imported.get(name));
});
for (const name of imported.keys()) if (!present.has(name)) throw new Error(`the script does not have ${name}`);
glue = glue.replace(/\bwasm\.(\w+)/g, (_, name) => `wasm.${exported.get(name)}`);
const wasmName = `plimsoll.${hash(module)}.wasm`;
glue = glue.replace('plimsoll_bg.wasm', wasmName);
writeFileSync(path.join(work, 'plimsoll.js'), glue);

// Each module that the bundle calls is loaded at the first call.
for (const [, names, file] of glue.matchAll(/^import \{ (.*) \} from '(\.\/snippets\/.*)';$/gm)) {
  const at = path.join(work, file), real = at.replace(/\.js$/, '.part.js');
  writeFileSync(real, readFileSync(at));
  const functions = names.split(', ').map((name) => name.split(' as ')[0]);
  const load = `const load = () => import('./${path.basename(real)}');\n`;
  writeFileSync(at, load + functions.map((name) => `export const ${name} = (...args) => load().then((part) => part.${name}(...args));\n`).join(''));
}

// One script, and the parts.
const open = ['default', ...[...glue.matchAll(/^export (?:class|function) (\w+)/gm)].map((match) => match[1])];
writeFileSync(path.join(work, 'entry.js'), `export { ${open.join(', ')} } from './plimsoll.js';\n`);
const { outputFiles } = buildSync({
  entryPoints: [path.join(work, 'entry.js')], outdir: work, chunkNames: 'part.[hash]',
  bundle: true, splitting: true, minify: true, format: 'esm', target: 'es2021', legalComments: 'none', write: false, logLevel: 'warning',
});
for (const name of readdirSync(pkg)) if (!/\.css(\.br|\.gz)?$/.test(name)) rmSync(path.join(pkg, name), { recursive: true });
const script = Buffer.from(outputFiles.find((file) => path.basename(file.path) === 'entry.js').contents);
const scriptName = `plimsoll.${hash(script)}.js`;
put(scriptName, script);
put(wasmName, module);
for (const file of outputFiles) if (path.basename(file.path) !== 'entry.js') put(path.basename(file.path), Buffer.from(file.contents));

// Where the pages find them.
const hashes = path.join(site, 'plimsoll-hash.txt');
const told = readFileSync(hashes, 'utf8').replace(/^js: .*$/m, `js: ${scriptName.split('.')[1]}`).replace(/^wasm: .*$/m, `wasm: ${wasmName.split('.')[1]}`);
writeFileSync(hashes, told);
for (const ending of ['.br', '.gz']) rmSync(hashes + ending, { force: true });

const weight = weigh(site);
print(weight);
if (weight.total.brotli > BUDGET) {
  console.error(`\nThe page weighs more than its budget of ${(BUDGET / 1024).toFixed(1)} KiB (scripts/weight.mjs).`);
  process.exit(1);
}

function run(program, args) {
  execFileSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** The flags of wasm-opt stand in Cargo.toml, for cargo-leptos. */
function wasmOptFlags() {
  const [, list] = readFileSync(path.join(root, 'Cargo.toml'), 'utf8').match(/^wasm-opt-features = \[([^\]]*)\]/m);
  return [...list.matchAll(/"([^"]+)"/g)].map((match) => match[1]);
}

function hash(bytes) {
  return createHash('md5').update(bytes).digest('base64url');
}

function put(name, bytes) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  writeFileSync(path.join(pkg, name), bytes);
  writeFileSync(path.join(pkg, `${name}.br`), brotliCompressSync(bytes, { params }));
  writeFileSync(path.join(pkg, `${name}.gz`), gzipSync(bytes, { level: 9 }));
}
