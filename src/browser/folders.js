// Hands over very many files slice by slice, and walks folders that were dropped, whole: directories are read until
// nothing more comes, because browsers give their entries in portions of a hundred. Loaded when the first folder is
// dropped, or that many files; as long as it cannot be had, scripts/outside.js stands in its place. Must never know what
// is done with the files. What cannot be read is told and left out; the walk goes on.

/** Nobody waits for this: it is here. */
export async function again() {}

/**
 * Hands over these files, and then what it finds in these entries, portion by portion: `tell(files, paths)`, where single
 * files have no paths, or `tell([], paths, trouble)`, where that is `unreadable` or `empty-folder`. A negative number from
 * it ends the walk. Names in folders that begin with a dot are passed over unless `dotfiles`. Folders of a
 * `place`, if there is one, are among the files, and are walked instead.
 */
export async function walk(files, entries, place, dotfiles, tell) {
  const among = place ? await foldersAmong(files, place.root) : new Map();
  const folders = [...entries, ...among.values()];
  if (!(await slices(files.filter((file) => !among.has(file)), [], tell))) return;
  while (folders.length > 0) {
    const folder = folders.shift();
    const reader = folder.createReader();
    for (let count = 0, more = true; more; ) {
      const found = new Map();
      const troubles = [];
      try {
        const portion = await new Promise((done, failed) => reader.readEntries(done, failed));
        more = portion.length > 0;
        count += portion.length;
        if (count === 0) troubles.push([path(folder), 'empty-folder']);
        const wanted = portion.filter((entry) => dotfiles || !entry.name.startsWith('.'));
        folders.push(...wanted.filter((entry) => entry.isDirectory));
        const read = (entry) =>
          new Promise((done) => entry.file(done, () => done(null))).then((file) => {
            if (!file) return troubles.push([path(entry), 'unreadable']);
            found.set(file, path(entry));
          });
        // Many at once: their order is that of the answers, which is theirs in the folder. Not all, for the browser hands
        // over in one turn whatever has been answered, and of a thousand that is a long one.
        const asked = wanted.filter((entry) => entry.isFile);
        for (let at = 0; at < asked.length; at += 100) await Promise.all(asked.slice(at, at + 100).map(read));
      } catch {
        more = false;
        troubles.push([path(folder), 'unreadable']);
      }
      if (!(await slices([...found.keys()], [...found.values()], tell))) return;
      for (const [at, trouble] of troubles) if (tell([], [at], trouble) < 0) return;
    }
  }
}

/** Of files that were dropped here those that stand for folders, each with its folder. */
async function foldersAmong(files, root) {
  const listed = await everythingIn(root);
  if (listed.length === files.length && listed.every((entry) => entry.isFile)) return new Map();
  // Not by what was listed: things of one name, dropped from different places, all have it there, and lead to the first.
  // The list of files gives each a name of its own, by which it is found.
  const ask = (file) => new Promise((done) => root.getDirectory(file.name, {}, (folder) => done([file, folder]), () => done(null)));
  const found = [];
  for (let at = 0; at < files.length; at += 100) found.push(...(await Promise.all(files.slice(at, at + 100).map(ask))));
  return new Map(found.filter(Boolean));
}

/** What this folder is told to hold; what cannot be told is left out. */
async function everythingIn(folder) {
  const found = [];
  const reader = folder.createReader();
  try {
    for (let portion; portion?.length !== 0; found.push(...portion)) {
      portion = await new Promise((done, failed) => reader.readEntries(done, failed));
    }
  } catch {
    // Whoever misses something asks for it.
  }
  return found;
}

/** Hands files over in slices of a few milliseconds each, and lets the page live in between; `false` when it was ended. */
async function slices(files, paths, tell) {
  for (let at = 0, many = 16; at < files.length; ) {
    await turn();
    const end = at + many;
    const began = performance.now();
    if (tell(files.slice(at, end), paths.slice(at, end)) < 0) return false;
    at = end;
    const took = performance.now() - began;
    many = took > 12 ? Math.max(8, many >> 1) : took < 6 ? Math.min(256, many * 2) : many;
  }
  return true;
}

/** The page's next turn. A message, for it comes at once in pages out of sight as well, where timers come late. */
function turn() {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });
}

function path(entry) {
  return entry.fullPath.replace(/^\/+/, '');
}
