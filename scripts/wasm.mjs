// Takes out of a WebAssembly module what no page can use, and shortens the names it shares with its script. What is
// dropped by name becomes unreachable here; wasm-opt then removes what only that had needed.
// Must never know which module it works on, nor where it lies.
//
// Format: https://webassembly.github.io/spec/core/binary/ (sections, and the name section of the appendix).

/** The numbers of the sections. */
export const TYPE = 1, IMPORT = 2, FUNCTION = 3, TABLE = 4, MEMORY = 5, GLOBAL = 6, EXPORT = 7, ELEMENTS = 9, CODE = 10, DATA = 11;

/** A reader of one range of bytes. */
export class Reader {
  constructor(bytes, at = 0, end = bytes.length) {
    Object.assign(this, { bytes, at, end });
  }
  byte() {
    return this.bytes[this.at++];
  }
  /** LEB128, unsigned. All numbers of a module are below 2^32. */
  number() {
    let value = 0, shift = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 127) * shift;
      if (byte < 128) return value;
      shift *= 128;
    }
  }
  /** LEB128, signed, of 32 bits. */
  signed() {
    let value = 0, shift = 0;
    for (;;) {
      const byte = this.byte();
      value |= (byte & 127) << shift;
      shift += 7;
      if (byte < 128) return shift < 32 && byte & 64 ? value | (-1 << shift) : value;
    }
  }
  take(length) {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
  text() {
    return Buffer.from(this.take(this.number())).toString();
  }
  limits() {
    const flags = this.number();
    this.number();
    if (flags & 1) this.number();
  }
}

/** LEB128, unsigned. */
export function number(value) {
  const out = [];
  do {
    out.push((value & 127) | (value > 127 ? 128 : 0));
    value = Math.floor(value / 128);
  } while (value > 0);
  return Buffer.from(out);
}

export const vector = (items) => Buffer.concat([number(items.length), ...items]);
export const text = (string) => Buffer.concat([number(Buffer.byteLength(string)), Buffer.from(string)]);

/** The sections: `{ id, body }`, in order. */
export function split(module) {
  const reader = new Reader(module, 8);
  const sections = [];
  while (reader.at < reader.end) sections.push({ id: reader.byte(), body: Buffer.from(reader.take(reader.number())) });
  return sections;
}

/** The module again, of other sections. */
export function join(module, sections) {
  const parts = sections.flatMap(({ id, body }) => [Buffer.from([id]), number(body.length), body]);
  return Buffer.concat([module.subarray(0, 8), ...parts]);
}

/** What it imports, in order: `type` is its kind, and what goes with that. */
export function imports(sections) {
  const section = sections.find(({ id }) => id === IMPORT);
  const reader = new Reader(section.body);
  return Array.from({ length: reader.number() }, () => {
    const module = reader.text(), name = reader.text(), from = reader.at, kind = reader.byte();
    if (kind === 0) reader.number();
    else if (kind === 1) reader.byte(), reader.limits();
    else if (kind === 2) reader.limits();
    else reader.take(2);
    return { module, name, kind, type: reader.bytes.subarray(from, reader.at) };
  });
}

/** What it exports, in order: `what` is its kind and its index. */
export function exports(sections) {
  if (!sections.some(({ id }) => id === EXPORT)) return [];
  const reader = new Reader(sections.find(({ id }) => id === EXPORT).body);
  return Array.from({ length: reader.number() }, () => {
    const name = reader.text(), from = reader.at;
    reader.byte();
    reader.number();
    return { name, what: reader.bytes.subarray(from, reader.at) };
  });
}

/** Names of the functions by their index. */
export function names(sections) {
  const found = new Map();
  for (const { id, body } of sections) {
    const reader = new Reader(body);
    if (id !== 0 || reader.text() !== 'name') continue;
    while (reader.at < reader.end) {
      const kind = reader.byte(), length = reader.number(), end = reader.at + length;
      if (kind === 1) {
        for (let left = reader.number(); left > 0; left -= 1) found.set(reader.number(), reader.text());
      }
      reader.at = end;
    }
  }
  return found;
}

/**
 * Keeps only the exports that `keep` names.
 */
export function keepExports(module, keep) {
  const sections = split(module);
  const kept = exports(sections).filter(({ name }) => keep(name));
  sections.find(({ id }) => id === EXPORT).body = vector(kept.map(({ name, what }) => Buffer.concat([text(name), what])));
  return join(module, sections);
}

/** What may stand in the place of a function: no locals, then these instructions, then the end. */
export const BODIES = {
  /** `unreachable`: whoever comes here stops. */
  trap: [0x00],
  /** `i32.const 0`: an answer that says nothing; for a formatter, that all is written. */
  zero: [0x41, 0],
  /** Nothing, for a function without an answer. */
  nothing: [],
  /** Memory of its own for each call, in whole pages: `memory.grow((argument + 65535) >>> 16) << 16`. */
  pages: (argument) => [0x20, argument, 0x41, 0xff, 0xff, 0x03, 0x6a, 0x41, 16, 0x76, 0x40, 0, 0x41, 16, 0x74],
};

/**
 * Replaces the functions whose names match: `rules` are pairs of a pattern and a body. Returns the module, and the
 * names that each rule has found.
 */
export function replace(module, rules) {
  const sections = split(module);
  const named = names(sections);
  const first = imports(sections).filter(({ kind }) => kind === 0).length;
  const code = sections.find(({ id }) => id === CODE);
  const reader = new Reader(code.body);
  const found = rules.map(() => []);
  const bodies = Array.from({ length: reader.number() }, (_, index) => {
    const body = reader.take(reader.number());
    const name = named.get(first + index) ?? '';
    const rule = rules.findIndex(([pattern]) => pattern.test(name));
    if (rule < 0) return Buffer.concat([number(body.length), body]);
    found[rule].push(name);
    const instructions = rules[rule][1];
    return Buffer.from([instructions.length + 2, 0, ...instructions, 0x0b]);
  });
  code.body = vector(bodies);
  return { module: join(module, sections), found };
}

/**
 * Blanks the places in the source (`core::panic::Location`: a file's name, a line, a column) that panics would tell.
 * Returns the module and how many there were.
 */
export function blankLocations(module) {
  const sections = split(module);
  const data = sections.find(({ id }) => id === DATA);
  const reader = new Reader(data.body);
  // Segments at fixed addresses; where each lies in memory and here.
  const segments = Array.from({ length: reader.number() }, () => {
    if (reader.number() !== 0 || reader.byte() !== 0x41) throw new Error('a data segment without a fixed address');
    const start = reader.number();
    reader.byte();
    const length = reader.number();
    return { start, bytes: reader.take(length) };
  });
  const at = (address, length) => {
    const segment = segments.find(({ start, bytes }) => start <= address && address + length <= start + bytes.length);
    return segment?.bytes.subarray(address - segment.start, address - segment.start + length);
  };
  const files = new Set();
  let found = 0;
  for (const { start, bytes } of segments) {
    for (let place = (4 - (start % 4)) % 4; place + 16 <= bytes.length; place += 4) {
      const [address, length, line, column] = [0, 4, 8, 12].map((offset) => bytes.readUInt32LE(place + offset));
      if (length < 4 || length > 4096 || line < 1 || line > 1e6 || column < 1 || column > 1e4) continue;
      const name = at(address, length);
      if (!name?.toString('latin1').endsWith('.rs')) continue;
      files.add(name);
      bytes.fill(0, place, place + 16);
      found += 1;
    }
  }
  for (const name of files) name.fill(0);
  return { module: join(module, sections), found };
}

/** A short name for each place in a list: a, b, … z, A, … Z, aa, … */
function short(index) {
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const rest = Math.floor(index / letters.length);
  return (rest > 0 ? short(rest - 1) : '') + letters[index % letters.length];
}

/**
 * Gives the imports from `from`, and all exports, short names; and, of two halves of one module, what the second imports
 * from the first, as `link`. Returns the modules, and the new names by the old ones.
 */
export function shorten(modules, from, to, link) {
  const all = modules.map(split);
  const inward = all.map(imports), outward = all.map(exports);
  const renamed = (names) => new Map([...new Set(names)].map((name, index) => [name, short(index)]));
  const imported = renamed(inward.flat().filter((item) => item.module === from).map(({ name }) => name));
  const exported = renamed(outward.flat().map(({ name }) => name));
  const known = (names, name) => {
    if (!names.has(name)) throw new Error(`nobody exports ${name}`);
    return names.get(name);
  };
  const shortened = modules.map((module, index) => {
    const sections = all[index];
    const entry = ({ module: other, name, type }) => {
      if (other === from) return [text(to), text(imported.get(name)), type];
      return [text(other), text(other === link ? known(exported, name) : name), type];
    };
    sections.find(({ id }) => id === IMPORT).body = vector(inward[index].map((item) => Buffer.concat(entry(item))));
    const section = sections.find(({ id }) => id === EXPORT);
    if (section) section.body = vector(outward[index].map(({ name, what }) => Buffer.concat([text(exported.get(name)), what])));
    return join(module, sections);
  });
  return { modules: shortened, imported, exported };
}

/** Takes away what is only told to people. */
export function withoutNames(module) {
  return join(module, split(module).filter(({ id }) => id !== 0));
}

/** The size of each section, by its name. */
export function sectionSizes(module) {
  const known = ['custom', 'types', 'imports', 'functions', 'tables', 'memory', 'globals', 'exports', 'start', 'elements', 'code', 'data'];
  return split(module).map(({ id, body }) => ({ name: known[id] ?? `section ${id}`, body }));
}
