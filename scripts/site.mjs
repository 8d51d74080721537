// The last step of the release build: makes what a browser downloads as small as it can be, after `cargo leptos build`
// has laid out target/site. From the same bundle it takes what can never run or be seen, gives script and bundle
// short names for what they share, makes a file of its own of each part that is loaded only when it is needed, and
// puts all of it, named by content and compressed, in the place of cargo-leptos's own.
// Must never know what the bundle does.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { cut } from './split.mjs';
import { BODIES, blankLocations, keepExports, replace, shorten, withoutNames } from './wasm.mjs';

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
  String.raw`^<std(\[\w+\])?::panicking::panic_handler::\w+Payload as `,
  String.raw`^alloc(\[\w+\])?::alloc::handle_alloc_error`, String.raw`^alloc(\[\w+\])?::raw_vec::(handle_error|capacity_overflow)`,
].map((part) => `(?:${part})`).join('|'));
const OURS = /plimsoll/;
const DEBUGGING = new RegExp([
  String.raw` as core(\[\w+\])?::fmt::Debug>::fmt`, String.raw`fmt::builders::PadAdapter as core(\[\w+\])?::fmt::Write>::write_(str|char|fmt)`,
  String.raw`<core(\[\w+\])?::cell::Borrow(Mut)?Error as core(\[\w+\])?::fmt::Display>::fmt`,
].map((part) => `(?:${part})`).join('|'));
// What comes along with the framework and is used by none of ours: its listeners at the window for all elements, with
// their table of names, which this build switches off, and what drives the streams of server functions, whose classes
// are dropped below.
const UNUSED = new RegExp([
  String.raw`\btachys(\[\w+\])?::renderer::dom::Dom::add_event_listener_delegated\b`, String.raw`\bwasm_streams(\[\w+\])?::`,
  String.raw`^js_sys(\[\w+\])?::futures::future_to_promise::`, String.raw`^futures_util(\[\w+\])?::abortable::`,
  String.raw`^<core(\[\w+\])?::panic::unwind_safe::AssertUnwindSafe<F> as core(\[\w+\])?::future::future::Future>::poll`,
].map((part) => `(?:${part})`).join('|'));
// The standard library keeps an allocator of its own beside ours, for one thing only: the record of the one thread.
const ALLOCATE = /Dlmalloc<.*>>?::malloc$/, ALIGNED = /Dlmalloc<.*>>?::memalign$/, FREE = /Dlmalloc<.*>>?::free$/;
// What is needed only when there is a file: with all that only these reach it makes a half of its own, which pages fetch
// with the first file (src/browser/rest.rs). Each is called where that half is known to be there, and nowhere else.
const WAITING = named([
  'browser::Inner::add_now', 'browser::Runtime::room', 'browser::Runtime::takes', 'browser::again::take_over_all',
  'controller::Shared::deliver_now', 'controller::Shared::redraw', 'controller::Shared::seen', 'controller::Shared::sum',
  'controller::Controller::sort', 'controller::Controller::wish_now', 'rows::Rows::draw', 'text::status', 'text::sum',
]);
const TELLING = named(['controller::Shared::views', 'element::questions', 'element::values::event', 'element::values::row']);
// Streams of server functions, which come along with the framework and are used by none of ours.
const STREAMS = /^IntoUnderlying/;
/** The import that has the second half there, and the module whose exports the second half imports. */
const NEED = 'plimsoll_need', LINK = 'p';
const EXPORTED = /^(?:\/\*\*\n(?: \*.*\n)+)?export (?:class|function) (\w+)[\s\S]*?^\}\n(?:if \(Symbol\.dispose\).*\n)?/gm;

// The same code makes two bundles: one that brings our own pages to life, which cargo-leptos has compiled, and one for
// the tag on other people's pages, which hydrates nothing and lists nothing stored. Neither carries what only the other
// needs; taking it out here would leave behind whatever a table of functions names.
const BUNDLES = [
  { name: 'plimsoll', told: (kind) => kind, waiting: WAITING },
  { name: 'element', told: (kind) => `element-${kind}`, features: 'tag', waiting: [...WAITING, ...TELLING] },
];

const compiled = path.join(root, 'target/front/wasm32-unknown-unknown/wasm-release/plimsoll.wasm');
for (const name of readdirSync(pkg)) if (!/\.css(\.br|\.gz)?$/.test(name)) rmSync(path.join(pkg, name), { recursive: true });
// Where the pages find the files.
const hashes = path.join(site, 'plimsoll-hash.txt');
const told = new Map(readFileSync(hashes, 'utf8').trim().split('\n').map((line) => line.split(': ')));
for (const bundle of BUNDLES) make(bundle);
writeFileSync(hashes, [...told].map(([kind, hashed]) => `${kind}: ${hashed}\n`).join(''));
for (const ending of ['.br', '.gz']) rmSync(hashes + ending, { force: true });

function make({ name: bundle, told: kindOf, features, waiting }) {
  const folder = path.join(work, bundle);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  if (features) {
    // What only the other bundle uses is nothing to warn of.
    run('cargo', ['rustc', '--locked', '--lib', '--target=wasm32-unknown-unknown', '--profile=wasm-release', '--no-default-features',
      `--features=${features}`, `--target-dir=${path.join(root, 'target/front')}`, '--', '-Adead_code', '-Aunused_imports']);
  }
  run('wasm-bindgen', ['--target=web', '--no-typescript', '--keep-debug', `--out-name=${bundle}`, `--out-dir=${folder}`, compiled]);
  let glue = readFileSync(path.join(folder, `${bundle}.js`), 'utf8');
  const original = readFileSync(path.join(folder, `${bundle}_bg.wasm`));

  // The script, without what nobody calls.
  glue = glue.replace(EXPORTED, (text, name) => (STREAMS.test(name) ? '' : text));
  glue = glue.replace(/^const (\w+)Finalization = [^;]*;\n/gm, (text, name) => (glue.includes(`export class ${name} `) ? text : ''));
  const called = new Set([...glue.matchAll(/\bwasm\.(\w+)/g)].map((match) => match[1]));

  // The bundle, without what that leaves unused.
  const replaced = replace(keepExports(original, (name) => called.has(name)), [
    [PANICS, BODIES.trap], [DEBUGGING, BODIES.zero], [ALLOCATE, BODIES.pages(0)], [ALIGNED, BODIES.pages(1)], [FREE, BODIES.nothing], [UNUSED, BODIES.trap],
  ]);
  const wrong = [...replaced.found[0], ...replaced.found[5]].filter((name) => OURS.test(name));
  if (wrong.length > 0) throw new Error(`these would no longer run: ${wrong.join(', ')}`);
  const blanked = blankLocations(replaced.module);
  const counts = replaced.found.map((list) => list.length);
  if (counts.some((count, rule) => count < (rule < 2 ? 10 : 1)) || blanked.found < 100) throw new Error(`names have changed: found ${counts}, ${blanked.found}`);
  const input = path.join(folder, 'in.wasm'), output = path.join(folder, 'out.wasm');
  writeFileSync(input, blanked.module);
  // Until nothing becomes smaller any more: 1 KiB. Functions whose names are alike are alike, and compress better side by
  // side: 0.9 KiB.
  const optimise = () => run('wasm-opt', [...wasmOptFlags(), '--converge', '--reorder-functions-by-name', '-g', input, '-o', output]);
  optimise();
  const halves = cut(readFileSync(output), { waiting, need: { module: `./${bundle}_bg.js`, name: NEED }, link: LINK });
  // Each by itself once more: what one half alone needs it need not have as the other would.
  const { modules, imported, exported } = shorten([halves.first, halves.second].map((half) => {
    writeFileSync(input, half);
    optimise();
    return withoutNames(readFileSync(output));
  }), `./${bundle}_bg.js`, 'w', LINK);
  // Says where, should one of them not be what it must.
  for (const half of modules) new WebAssembly.Module(half);
  const [module, second] = modules;
  writeFileSync(path.join(folder, 'halves.json'), JSON.stringify(halves.report, null, 1));

  // What they share, by its short names on both sides.
  glue = glue.replace(/^ {4}const import0 = \{\n {8}__proto__: null,\n/m, (text) => `${text}        ${NEED}: function() {\n            need();\n        },\n`);
  glue = glue.replace(`"./${bundle}_bg.js": import0`, '"w": import0');
  const shared = /^ {8}(\w+): function\([\s\S]*?(?=^ {8}\w+: function\(|^ {4}\};)/gm;
  const present = new Set();
  glue = glue.replace(shared, (text, name) => {
    if (!imported.has(name)) return '';
    present.add(name);
    return text.replace(name, imported.get(name));
  });
  for (const name of imported.keys()) if (!present.has(name)) throw new Error(`the script does not have ${name}`);
  glue = glue.replace(/\bwasm\.(\w+)/g, (_, name) => `wasm.${exported.get(name)}`);
  const wasmName = `${bundle}.${hash(module)}.wasm`;
  // A script is imported whole where nothing stands between it and the bundle; by name it is loaded as late as the others.
  glue = glue.replace(/^import \* as (\w+) from "(\.\/snippets\/.*)";?$/gm, (_, whole, file) => {
    const functions = [...readFileSync(path.join(folder, file), 'utf8').matchAll(/^export async function (\w+)/gm)].map((match) => match[1]);
    return `import { ${functions.map((name) => `${name} as ${whole}_${name}`).join(', ')} } from '${file}';\n`
      + `const ${whole} = { ${functions.map((name) => `${name}: ${whole}_${name}`).join(', ')} };`;
  });
  glue = glue.replace(`${bundle}_bg.wasm`, wasmName);
  // The second half is fetched by a script that stands in the place of one that has nothing to fetch.
  const secondName = `${bundle}-rest.${hash(second)}.wasm`;
  const [, place] = glue.match(/^import \{ .* \} from '(\.\/snippets\/.*\/rest\.js)';$/m) ?? [];
  if (!place) throw new Error('nobody asks for the second half');
  const fetching = readFileSync(path.join(root, 'scripts/rest.js'), 'utf8').replace('SECOND', secondName).replace('LINK', LINK)
    .replace('SCRIPT', `${'../'.repeat(place.split('/').length - 2)}${bundle}.js`);
  writeFileSync(path.join(folder, place), fetching);
  glue += `\nimport { need } from '${place}';\nexport const firstHalf = { load: __wbg_load, imports: __wbg_get_imports, exports: () => wasm };\n`;
  writeFileSync(path.join(folder, `${bundle}.js`), glue);

  // Each module that the bundle calls is loaded at the first call, by what loads it again where that fails.
  for (const name of ['part.js', 'outside.js']) writeFileSync(path.join(folder, name), readFileSync(path.join(root, 'scripts', name), 'utf8').replace('REST', place));
  const parts = [];
  const wanted = new Map();
  for (const [, names, file] of glue.matchAll(/^import \{ (.*) \} from '(\.\/snippets\/.*)';$/gm)) {
    if (file !== place) wanted.set(file, new Set([...(wanted.get(file) ?? []), ...names.split(', ').map((name) => name.split(' as ')[0])]));
  }
  for (const [file, names] of wanted) {
    const at = path.join(folder, file), real = at.replace(/\.js$/, '.part.js');
    writeFileSync(real, readFileSync(at));
    const functions = [...names];
    parts.push(real);
    const up = '../'.repeat(file.split('/').length - 2);
    const load = `import { part } from '${up}part.js';\nconst load = part('./${path.basename(real)}');\n`;
    // What opens folders is stood in for until it is there.
    writeFileSync(at, load + (path.basename(file) === 'folders.js'
      ? `import { outside } from '${up}outside.js';\nexport const { ${functions.join(', ')} } = outside(load);\n`
      : functions.map((name) => `export const ${name} = (...args) => load().then((part) => part.${name}(...args));\n`).join('')));
  }

  const early = glue.match(/^import (?!\{ .* \} from '\.\/snippets\/).*$/m);
  if (early) throw new Error(`loaded at once: ${early[0]}`);

  // One script, and the parts.
  const names = ['default', ...[...glue.matchAll(/^export (?:class|function) (\w+)/gm)].map((match) => match[1])];
  writeFileSync(path.join(folder, 'entry.js'), `export { ${names.join(', ')} } from './${bundle}.js';\n`);
  const { outputFiles } = buildSync({
    entryPoints: [path.join(folder, 'entry.js'), ...parts], outdir: folder, chunkNames: 'part.[hash]',
    bundle: true, splitting: true, minify: true, format: 'esm', target: 'es2021', legalComments: 'none', write: false, logLevel: 'warning',
  });
  const texts = new Map(outputFiles.map((file) => [path.basename(file.path), file.text]));
  // By its content alone, so that both bundles have the same; so what a part loads itself is named before it.
  while (texts.size > 1) {
    const named = [...texts].find(([name, text]) => name !== 'entry.js' && [...texts.keys()].every((other) => other === name || !text.includes(other)));
    if (!named) throw new Error('parts that load each other');
    const [name, text] = named, partName = `part.${hash(text)}.js`;
    texts.delete(name);
    for (const [other, loading] of texts) texts.set(other, loading.replaceAll(name, partName));
    put(partName, Buffer.from(text));
  }
  const script = texts.get('entry.js');
  told.set(kindOf('js'), hash(script));
  told.set(kindOf('wasm'), hash(module));
  put(`${bundle}.${hash(script)}.js`, Buffer.from(script));
  put(wasmName, module);
  put(secondName, second);
}

/** Patterns of functions of ours, by their paths from some room on; not of what is made of them, as what drops a closure is. */
function named(paths) {
  return paths.map((name) => new RegExp(String.raw`^plimsoll(\[\w+\])?::(\w+::)*${name}\b`));
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
