// Where unfinished uploads outlive the page: records in IndexedDB, apart from them the files, and a lock for each as
// long as a page works on it. Loaded when the first is to be remembered or looked for. Must never know what is done with
// them, nor show anything. It fails by rejecting: what cannot be remembered is uploaded all the same.

const DATABASE = 'plimsoll';
// Apart: a record is written again without copying its file.
const RECORDS = 'uploads';
const FILES = 'files';

// Files up to this many bytes are kept by the browser itself, which copies them: half a gibibyte takes a second.
const MOST_KEPT = 2 ** 29;
// Bytes of files that are kept in all, and never more than half of what the browser still grants.
const MOST_KEPT_IN_ALL = 2 ** 31;
// Records in all: the oldest make room.
const MOST_RECORDS = 200;
// Milliseconds for which an upload is remembered that nobody goes on with, unless the server has told that it keeps it
// for longer: two weeks.
const MOST_AGE = 14 * 86_400_000;

/**
 * Writes a record anew, as used just now, and with it the file where there is room for it and it is not there yet.
 * `null` stands for what is not known.
 */
export async function write([id, scope, url, name, path, type, size, modified, digest, sample, expires, handle, file]) {
  const record = { id, scope, url, name, path, type, size, modified, digest, sample, expires, handle, used: Date.now(), kept: 0 };
  // First without the file: copying it takes a while, and the page may go away meanwhile.
  const kept = await within('readwrite', async (records, files) => {
    record.kept = (await done(files.count(id))) ? size : 0;
    await done(records.put(record, id));
    return record.kept;
  });
  if (!file || kept || !(await hasRoomFor(size))) return;
  record.kept = size;
  // Both or neither.
  await within('readwrite', (records, files) => {
    records.put(record, id);
    return done(files.put(file, id));
  });
}

/** The record with this id, with its `file` where that is kept; `undefined` when there is none. */
export async function read(id) {
  return within('readonly', async (records, files) => {
    const [record, file] = await Promise.all([done(records.get(id)), done(files.get(id))]);
    return record && { ...record, file };
  });
}

/** Takes a record away, with its file. */
export async function strike(id) {
  await within('readwrite', (records, files) => Promise.all([done(records.delete(id)), done(files.delete(id))]));
}

/**
 * Forgets what is too old, and the oldest of too many: here alone, the server has its own time for what it holds. The
 * ids of what was begun in this scope.
 */
export async function sweep(scope) {
  const all = (await every()).sort((one, other) => other.used - one.used);
  const old = ({ used, expires }) => Date.now() > Math.max(used + MOST_AGE, expires ?? 0);
  const kept = all.slice(0, MOST_RECORDS).filter((record) => !old(record));
  for (const record of all) if (!kept.includes(record)) await strike(record.id);
  return kept.filter((record) => record.scope === scope).map(({ id }) => id);
}

/**
 * Waits until no other page works on this upload: a function that lets the next one have it. `undefined` where a browser
 * has no locks, which is outside of secure contexts: nobody can tell there. The lock of a page that closes or crashes
 * goes by itself.
 */
export async function lock(id) {
  return new Promise((granted) => {
    const held = () => new Promise(granted);
    // One that ends in an error, because the page goes away, is of no interest.
    navigator.locks?.request(`${DATABASE}-${id}`, held).catch(() => granted(undefined)) ?? granted(undefined);
  });
}

/** The file behind a handle; `ask` asks the person for leave where that is needed. `true`: leave is needed. */
export async function open(handle, ask) {
  const mode = { mode: 'read' };
  const leave = await (ask ? handle.requestPermission(mode) : handle.queryPermission(mode));
  return leave === 'granted' ? handle.getFile() : leave === 'prompt';
}

async function every() {
  return within('readonly', (records) => done(records.getAll()));
}

async function hasRoomFor(size) {
  const kept = (await every()).reduce((sum, record) => sum + record.kept, size);
  if (size > MOST_KEPT || kept > MOST_KEPT_IN_ALL) return false;
  const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
  return quota === undefined || 2 * size <= quota - usage;
}

async function within(mode, work) {
  // The first version had files in the records, and no ages.
  const opening = indexedDB.open(DATABASE, 2);
  opening.onupgradeneeded = () => {
    const database = opening.result;
    for (const store of database.objectStoreNames) database.deleteObjectStore(store);
    for (const store of [RECORDS, FILES]) database.createObjectStore(store);
  };
  const database = await done(opening);
  const transaction = database.transaction([RECORDS, FILES], mode);
  // Closed once the transaction is over; an open connection would only stand in the way of others.
  database.close();
  const over = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
  const [result] = await Promise.all([work(transaction.objectStore(RECORDS), transaction.objectStore(FILES)), over]);
  return result;
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
