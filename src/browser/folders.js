// Hands over very many files slice by slice, and walks folders that were dropped, whole: directories are read until
// nothing more comes, because browsers give their entries in portions of a hundred. Loaded when the first folder is
// dropped, or that many files. Must never know what is done with the files. What cannot be read is told and left out; the
// walk goes on.

/**
 * Hands over these files, and then what it finds in these entries, portion by portion: `tell(files, paths, troubles)`,
 * where single files have no paths, and each trouble is a path and the reason, `unreadable` or `empty-folder`. `false`
 * from it ends the walk. Names in folders that begin with a dot are passed over unless `dotfiles`.
 */
export async function walk(files, entries, dotfiles, tell) {
  if (!(await slices(files, [], tell))) return;
  const folders = [...entries];
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
        // Of one portion all at once: their order is that of the answers, which is theirs in the folder.
        await Promise.all(wanted.filter((entry) => entry.isFile).map(read));
      } catch {
        more = false;
        troubles.push([path(folder), 'unreadable']);
      }
      if (!(await slices([...found.keys()], [...found.values()], tell))) return;
      if (troubles.length > 0 && tell([], [], troubles) === false) return;
    }
  }
}

/** Hands files over in slices of a few milliseconds each, and lets the page live in between; `false` ends it. */
async function slices(files, paths, tell) {
  for (let at = 0, many = 16; at < files.length; ) {
    await turn();
    const end = at + many;
    const began = performance.now();
    if (tell(files.slice(at, end), paths.slice(at, end), []) === false) return false;
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
