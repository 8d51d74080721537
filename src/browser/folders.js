// Walks folders that were dropped, whole: directories are read until nothing more comes, because browsers give their
// entries in portions of a hundred. Loaded when the first folder is dropped. Must never know what is done with the files.
// What cannot be read is told and left out; the walk goes on.

/**
 * Walks these entries and hands over what it finds, portion by portion: `tell(files, paths, troubles)`, where each
 * trouble is a path and the reason, `unreadable` or `empty-folder`. `false` from it ends the walk. Names that begin with
 * a dot are passed over unless `dotfiles`.
 */
export async function walk(entries, dotfiles, tell) {
  const folders = [...entries];
  while (folders.length > 0) {
    const folder = folders.shift();
    const reader = folder.createReader();
    for (let count = 0, more = true; more; ) {
      const files = [];
      const paths = [];
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
            files.push(file);
            paths.push(path(entry));
          });
        // Of one portion all at once: their order is that of the answers, which is theirs in the folder.
        await Promise.all(wanted.filter((entry) => entry.isFile).map(read));
      } catch {
        more = false;
        troubles.push([path(folder), 'unreadable']);
      }
      if (tell(files, paths, troubles) === false) return;
    }
  }
}

function path(entry) {
  return entry.fullPath.replace(/^\/+/, '');
}
