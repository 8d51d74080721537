// Cuts a WebAssembly module in two, of which the second is fetched and linked to the first while that is running: the
// functions whose names match, and what only they need. Memory, tables, globals and data stay with the first. What the
// first calls of the second it calls through a slot of the table of functions, which the second fills.
// Must never know why a function can wait, nor how the second is fetched.
//
// Format: https://webassembly.github.io/spec/core/binary/.

import { CODE, DATA, ELEMENTS, EXPORT, FUNCTION, GLOBAL, IMPORT, MEMORY, Reader, TABLE, TYPE, exports, imports, join, names, number, split, text, vector } from './wasm.mjs';

/** The kinds of what has an index, by the numbers that imports and exports give them. */
const KINDS = ['function', 'table', 'memory', 'global'];
const [FUNCTIONS, TABLES, MEMORIES, GLOBALS] = [0, 1, 2, 3];
const END = 0x0b;
/** A module whose table of functions begins before this cannot be told well: too many numbers look like places in it. */
const RARE = 4096;

/**
 * The two halves of a module. `waiting` are patterns; each must match a function. `need` is the import, of a function
 * without arguments, that has the second half there when it returns, and `link` the name by which the second half imports
 * the first. Also tells what went where: the names and sizes of
 * the functions of both halves, and those through which the first calls the second.
 */
export function cut(module, { waiting, need, link }) {
  const parts = take(module);
  const unmatched = waiting.filter((pattern) => ![...parts.names.values()].some((name) => pattern.test(name)));
  if (unmatched.length > 0) throw new Error(`no function is called like ${unmatched.join(', ')}`);

  const matches = (index) => waiting.some((pattern) => pattern.test(parts.names.get(index) ?? ''));
  const atOnce = reached(parts, matches);
  const defined = parts.functions.map((_, at) => parts.first + at);
  const second = defined.filter((index) => !atOnce.has(index));
  if (second.length === 0 || second.length === defined.length) throw new Error('one half is empty');
  const calls = (indices) => new Set(indices.flatMap((index) => parts.functions[index - parts.first].uses.filter((use) => use.kind === FUNCTIONS).map((use) => use.index)));
  const called = calls(defined.filter((index) => atOnce.has(index)));

  // A slot for each function of the second half that the first half knows.
  const slotOf = new Map();
  for (const [slot, index] of parts.slots) if (!slotOf.has(index)) slotOf.set(index, slot);
  const boundary = second.filter((index) => called.has(index));
  let grown = 0;
  for (const index of boundary) {
    if (!slotOf.has(index)) slotOf.set(index, parts.tables[parts.table].minimum + grown++);
  }
  const told = (indices) => indices.map((index) => ({ name: parts.names.get(index) ?? `${index}`, size: parts.functions[index - parts.first].body.length, listed: parts.slotted.has(index) }));
  const outward = outwardNames(parts, second);
  return {
    first: firstHalf(parts, new Set(second), slotOf, grown, outward, need),
    second: secondHalf(parts, second, slotOf, grown, outward, link),
    report: { first: told(defined.filter((index) => atOnce.has(index))), second: told(second), boundary: told(boundary), slots: second.filter((index) => slotOf.has(index)).length },
  };
}

/**
 * The functions that are reached from outside without passing one that waits: by a call, or by a slot of the table whose
 * number the code knows, or finds in the data. Data is taken in pieces, each from one address that is known to the next.
 * A number may look like an address or a slot and be none. Then a function is here that could have waited; or, should it
 * look like an address in the middle of a table of functions, one waits that is called too early, and is then had at once
 * (`need`), which no test of the pages has come upon.
 */
function reached(parts, matches) {
  // As it will lie in memory: what is zero stands in no segment.
  const low = Math.min(...parts.data.map(({ start }) => start)), high = Math.max(...parts.data.map(({ start, bytes }) => start + bytes.length));
  const memory = Buffer.alloc(high - low + 4);
  for (const { start, bytes } of parts.data) memory.set(bytes, start - low);
  const words = new Map();
  for (let at = low + ((4 - (low % 4)) % 4); at < high; at += 4) words.set(at, memory.readUInt32LE(at - low));
  const inData = (address) => low <= address && address < high;
  const known = [...new Set([...parts.functions.flatMap(({ numbers }) => [...numbers]), ...words.values()].filter(inData))].sort((a, b) => a - b);
  const seen = new Set(), pieces = new Set();
  const open = [];
  const reach = (index) => {
    if (seen.has(index)) return;
    seen.add(index);
    open.push(index);
  };
  const slot = (number) => {
    const index = parts.slots.get(number);
    if (index !== undefined && !matches(index)) reach(index);
  };
  const piece = (address) => {
    if (pieces.has(address) || !inData(address)) return;
    pieces.add(address);
    const next = known[after(known, address)] ?? Infinity;
    for (let at = address + ((4 - (address % 4)) % 4); at < next && words.has(at); at += 4) slot(words.get(at)), piece(words.get(at));
  };
  for (const { kind, index } of parts.exports) if (kind === FUNCTIONS) reach(index);
  parts.globalReferences.forEach(reach);
  while (open.length > 0) {
    const index = open.pop();
    if (index < parts.first) continue;
    const { uses, numbers, constants } = parts.functions[index - parts.first];
    constants.forEach(slot);
    for (const use of uses) if (use.kind === FUNCTIONS && !matches(use.index)) reach(use.index);
    numbers.forEach(piece);
  }
  return seen;
}

/** The place of the first number in a sorted list that is larger. */
function after(sorted, number) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= number) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A module as lists of what has an index. */
function take(module) {
  const sections = split(module);
  const body = (id) => sections.find((section) => section.id === id)?.body ?? Buffer.from([0]);
  const list = (id, one) => {
    const reader = new Reader(body(id));
    return Array.from({ length: reader.number() }, () => one(reader));
  };
  const types = list(TYPE, (reader) => {
    if (reader.byte() !== 0x60) throw new Error('a type that is none of a function');
    const parameters = reader.number();
    reader.take(parameters);
    reader.take(reader.number());
    return { parameters };
  });
  const inward = imports(sections);
  const limited = (reader, from) => {
    const flags = reader.number(), minimum = reader.number(), maximum = flags & 1 ? reader.number() : undefined;
    return { flags, minimum, maximum, type: reader.bytes.subarray(from, reader.at) };
  };
  if (inward.some(({ kind }) => kind !== FUNCTIONS)) throw new Error('it imports more than functions');
  const tables = list(TABLE, (reader) => {
    const from = reader.at, of = reader.byte();
    return { of, ...limited(reader, from) };
  });
  const memories = list(MEMORY, (reader) => limited(reader, reader.at));
  const globalReferences = [];
  const globals = list(GLOBAL, (reader) => {
    const type = reader.take(2);
    globalReferences.push(...expression(reader).uses.filter(({ kind }) => kind === FUNCTIONS).map(({ index }) => index));
    return { type };
  });
  const slots = new Map();
  let table;
  for (const { at, functions, of } of list(ELEMENTS, segment)) {
    if (table !== undefined && of !== table) throw new Error('functions in two tables');
    table = of;
    functions.forEach((index, place) => {
      if (slots.has(at + place)) throw new Error(`slot ${at + place} is filled twice`);
      slots.set(at + place, index);
    });
  }
  const data = list(DATA, (reader) => {
    if (reader.number() !== 0 || reader.byte() !== 0x41) throw new Error('data without a fixed address');
    const start = reader.number();
    reader.byte();
    return { start, bytes: reader.take(reader.number()) };
  });
  if (Math.min(...slots.keys()) < RARE) throw new Error('the table of functions begins where small numbers are (build.rs)');
  const functionTypes = list(FUNCTION, (reader) => reader.number());
  const first = inward.length;
  const functions = list(CODE, (reader) => {
    const body = reader.take(reader.number());
    const inside = new Reader(body);
    for (let left = inside.number(); left > 0; left -= 1) inside.number(), inside.byte();
    return { body, ...expression(inside) };
  }).map((taken, at) => ({ ...taken, type: functionTypes[at] }));
  const outward = exports(sections).map(({ name, what }) => ({ name, kind: what[0], index: new Reader(what, 1).number() }));
  if (sections.some(({ id }) => id === 8)) throw new Error('it has a start function');
  return {
    module, sections, types, data, imports: inward, tables, table, memories, globals, globalReferences, slots, first, functions, exports: outward,
    slotted: new Set(slots.values()), names: names(sections),
  };
}

/** An active segment of functions: where it begins, and which. */
function segment(reader) {
  const kind = reader.number();
  const of = kind === 2 ? reader.number() : 0;
  if (kind !== 0 && kind !== 2) throw new Error(`a segment of functions of the kind ${kind}`);
  if (reader.byte() !== 0x41) throw new Error('a segment of functions without a fixed place');
  const at = reader.number();
  if (reader.byte() !== END) throw new Error('a segment of functions without a fixed place');
  if (kind === 2) reader.byte();
  return { at, of, functions: Array.from({ length: reader.number() }, () => reader.number()) };
}

/**
 * Reads an expression to its end: what it names by index, and where the index stands; and all whole numbers in it that
 * may be addresses or slots.
 */
function expression(reader) {
  const uses = [], numbers = new Set(), constants = new Set();
  const use = (kind) => {
    const from = reader.at, index = reader.number();
    uses.push({ kind, index, from, to: reader.at });
  };
  const skip = () => {
    while (reader.byte() >= 128);
  };
  for (let depth = 1; depth > 0; ) {
    const code = reader.byte();
    if (code === END) depth -= 1;
    else if (code >= 0x02 && code <= 0x04) depth += 1, skip();
    else if (code === 0x0c || code === 0x0d) skip();
    else if (code === 0x0e) for (let left = reader.number(); left >= 0; left -= 1) skip();
    else if (code === 0x10 || code === 0x12 || code === 0xd2) use(FUNCTIONS);
    else if (code === 0x11 || code === 0x13) skip(), use(TABLES);
    else if (code === 0x1c) reader.take(reader.number());
    else if (code >= 0x20 && code <= 0x22) skip();
    else if (code === 0x23 || code === 0x24) use(GLOBALS);
    else if (code === 0x25 || code === 0x26) use(TABLES);
    else if (code >= 0x28 && code <= 0x3e) {
      if (reader.number() & 64) throw new Error('more than one memory');
      numbers.add(reader.number());
    } else if (code === 0x41) {
      const constant = reader.signed();
      numbers.add(constant);
      constants.add(constant);
    } else if (code === 0x3f || code === 0x40 || code === 0x42 || code === 0xd0) skip();
    else if (code === 0x43) reader.take(4);
    else if (code === 0x44) reader.take(8);
    else if (code === 0xfc) {
      const more = reader.number();
      if (more === 10) skip(), skip();
      else if (more === 11) skip();
      else if (more === 14) use(TABLES), use(TABLES);
      else if (more >= 15 && more <= 17) use(TABLES);
      else if (more > 7) throw new Error(`an instruction that is not known: fc ${more}`);
    } else if (code > 0x05 && code < 0x0b || code > 0x11 && code < 0x1a || code > 0x1c && code < 0x20 || code === 0x27 || code > 0xc4 && code !== 0xd1) throw new Error(`an instruction that is not known: ${code.toString(16)}`);
  }
  return { uses, numbers, constants };
}

/** The names under which the first half exports what the second needs, by kind and index. */
function outwardNames(parts, second) {
  const outward = KINDS.map(() => new Map());
  for (const { name, kind, index } of parts.exports) if (!outward[kind].has(index)) outward[kind].set(index, name);
  const moved = new Set(second);
  const wanted = second.flatMap((index) => parts.functions[index - parts.first].uses).concat({ kind: TABLES, index: parts.table }, parts.memories.map((_, index) => ({ kind: MEMORIES, index })));
  for (const { kind, index } of wanted) {
    const elsewhere = kind !== FUNCTIONS || (index >= parts.first && !moved.has(index));
    if (elsewhere && !outward[kind].has(index)) outward[kind].set(index, `half_${KINDS[kind]}_${index}`);
  }
  return outward;
}

function firstHalf(parts, moved, slotOf, grown, outward, need) {
  // The new import is the last, and what is defined here moves on by one.
  const at = (index) => (index < parts.first ? index : index + 1);
  const maps = [at, same, same, same];
  const bodies = parts.functions.map(({ body, uses, type }, place) => {
    const index = parts.first + place;
    if (!moved.has(index)) return sized(rewritten(body, uses, maps));
    if (!slotOf.has(index)) return sized(Buffer.from([0, 0x00, END]));
    const handed = Array.from({ length: parts.types[type].parameters }, (_, local) => Buffer.concat([Buffer.from([0x20]), number(local)]));
    return sized(Buffer.concat([
      Buffer.from([0, 0x10]), number(parts.first), ...handed, Buffer.from([0x41]), signed(slotOf.get(index)),
      Buffer.from([0x11]), number(type), number(parts.table), Buffer.from([END]),
    ]));
  });
  const known = parts.sections.find(({ id }) => id === TYPE).body;
  const types = withType(known, parts.types.length);
  const inward = [...parts.imports.map(entry), Buffer.concat([text(need.module), text(need.name), Buffer.from([FUNCTIONS]), number(parts.types.length)])];
  const kept = parts.exports.map(({ name, kind, index }) => ({ name, kind, index }));
  outward.forEach((byIndex, kind) => byIndex.forEach((name, index) => {
    if (!kept.some((other) => other.kind === kind && other.index === index)) kept.push({ name, kind, index });
  }));
  const changed = new Map([
    [TYPE, types],
    [IMPORT, vector(inward)],
    [TABLE, vector(parts.tables.map((table, index) => tableType(table, index === parts.table ? grown : 0)))],
    [GLOBAL, globalsMoved(parts)],
    [EXPORT, vector(kept.map(({ name, kind, index }) => Buffer.concat([text(name), Buffer.from([kind]), number(maps[kind](index))])))],
    [ELEMENTS, vector(runs([...parts.slots].map(([slot, index]) => [slot, at(index)])).map((run) => segmentOf(parts.table, run)))],
    [CODE, vector(bodies)],
  ]);
  const sections = parts.sections.filter(({ id }) => id !== 0).map(({ id, body }) => ({ id, body: changed.get(id) ?? body }));
  sections.push(nameSection([...parts.names].map(([index, name]) => [at(index), name])));
  return join(parts.module, sections);
}

function secondHalf(parts, second, slotOf, grown, outward, link) {
  const moved = new Set(second);
  const uses = second.flatMap((index) => parts.functions[index - parts.first].uses);
  const used = (kind) => [...new Set(uses.filter((use) => use.kind === kind).map(({ index }) => index))].sort((a, b) => a - b);
  const functions = used(FUNCTIONS).filter((index) => !moved.has(index));
  const tables = [...new Set([...used(TABLES), parts.table])].sort((a, b) => a - b);
  const globals = used(GLOBALS);
  const from = (kind, index, type) => Buffer.concat([text(link), text(outward[kind].get(index)), Buffer.from([kind]), type]);
  const typeOf = (index) => number(parts.functions[index - parts.first].type);
  const inward = [
    ...functions.map((index) => (index < parts.first ? entry(parts.imports[index]) : from(FUNCTIONS, index, typeOf(index)))),
    ...tables.map((index) => from(TABLES, index, tableType(parts.tables[index], index === parts.table ? grown : 0))),
    ...parts.memories.map(({ type }, index) => from(MEMORIES, index, type)),
    ...globals.map((index) => from(GLOBALS, index, parts.globals[index].type)),
  ];
  const order = [...functions, ...second];
  const maps = [order, tables, parts.memories.map((_, index) => index), globals].map((indices) => {
    const places = new Map(indices.map((index, place) => [index, place]));
    return (index) => {
      if (!places.has(index)) throw new Error(`the second half does not have ${index}`);
      return places.get(index);
    };
  });
  const filled = [...parts.slots].filter(([, index]) => moved.has(index));
  for (const index of second) {
    if (slotOf.has(index) && !parts.slotted.has(index)) filled.push([slotOf.get(index), index]);
  }
  if (new Set(filled.map(([slot]) => slot)).size !== filled.length) throw new Error('a slot is filled twice');
  const sections = [
    { id: TYPE, body: parts.sections.find(({ id }) => id === TYPE).body },
    { id: IMPORT, body: vector(inward) },
    { id: FUNCTION, body: vector(second.map(typeOf)) },
    { id: ELEMENTS, body: vector(runs(filled.map(([slot, index]) => [slot, maps[FUNCTIONS](index)])).map((run) => segmentOf(maps[TABLES](parts.table), run))) },
    { id: CODE, body: vector(second.map((index) => sized(rewritten(parts.functions[index - parts.first].body, parts.functions[index - parts.first].uses, maps)))) },
    nameSection(order.filter((index) => parts.names.has(index)).map((index) => [maps[FUNCTIONS](index), parts.names.get(index)])),
  ];
  return join(parts.module, sections);
}

const same = (index) => index;
const sized = (body) => Buffer.concat([number(body.length), body]);
const entry = ({ module, name, type }) => Buffer.concat([text(module), text(name), type]);

/** LEB128, signed, of a number that is not negative. */
function signed(value) {
  const bytes = [...number(value)];
  if (bytes.at(-1) & 64) bytes.push(0), (bytes[bytes.length - 2] |= 128);
  return Buffer.from(bytes);
}

/** A body whose indices have changed. */
function rewritten(body, uses, maps) {
  const pieces = [];
  let at = 0;
  for (const { kind, index, from, to } of uses) {
    pieces.push(body.subarray(at, from), number(maps[kind](index)));
    at = to;
  }
  return Buffer.concat([...pieces, body.subarray(at)]);
}

/** The list of types and one more, of a function that takes and gives nothing. */
function withType(body, count) {
  const reader = new Reader(body);
  reader.number();
  return Buffer.concat([number(count + 1), body.subarray(reader.at), Buffer.from([0x60, 0, 0])]);
}

function tableType({ of, flags, minimum, maximum }, grown) {
  return Buffer.concat([Buffer.from([of]), number(flags), number(minimum + grown), maximum === undefined ? Buffer.alloc(0) : number(maximum + grown)]);
}

/** The globals, as they are: what they begin with names no function that could have moved. */
function globalsMoved(parts) {
  if (parts.globalReferences.length > 0) throw new Error('a global that is a function');
  return parts.sections.find(({ id }) => id === GLOBAL)?.body;
}

/** Pairs of a slot and a function, as runs of neighbours. */
function runs(filled) {
  const found = [];
  for (const [slot, index] of filled.sort(([a], [b]) => a - b)) {
    const last = found.at(-1);
    if (last && last.at + last.functions.length === slot) last.functions.push(index);
    else found.push({ at: slot, functions: [index] });
  }
  return found;
}

function segmentOf(table, { at, functions }) {
  const place = Buffer.concat([Buffer.from([0x41]), signed(at), Buffer.from([END])]);
  const listed = vector(functions.map(number));
  return table === 0 ? Buffer.concat([Buffer.from([0]), place, listed]) : Buffer.concat([Buffer.from([2]), number(table), place, Buffer.from([0]), listed]);
}

function nameSection(named) {
  const functions = vector(named.sort(([a], [b]) => a - b).map(([index, name]) => Buffer.concat([number(index), text(name)])));
  return { id: 0, body: Buffer.concat([text('name'), Buffer.from([1]), number(functions.length), functions]) };
}
