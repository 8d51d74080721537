// What stands in the place of the part that walks folders (src/browser/folders.js) while that cannot be loaded: files are
// handed over without it, and each folder is told to be outside, and opened as soon as it can be. Only the release build
// has it: in any other all parts are there at once. Must never know what is done with what it hands over.

import { rested } from 'REST';

/** An answer to whether something is to come: perhaps at another time. */
const NOT_NOW = -2;
/** Milliseconds between two tries, at the most. */
const LONGEST = 30_000;

let ms = 500;
/** What all that is outside waits for, and what ends it when a person wants that. */
let rest, end;
/** Whether a person wanted that while a try was under way: what would be waited for next is over already. */
let hurried = false;

const nextTry = () => (rest ??= (hurried ? Promise.resolve() : rested(ms, (over) => (end = over))).then(() => {
  rest = end = undefined;
  hurried = false;
  ms = Math.min(2 * ms, LONGEST);
}));

/** The same as that part has, which `load` loads. */
export const outside = (load) => ({
  again: async () => (end ? end() : (hurried = true)),
  async walk(files, entries, place, dotfiles, tell) {
    const loaded = () => load().catch(() => undefined);
    let part = await loaded();
    if (part) return part.walk(files, entries, place, dotfiles, tell);
    const plain = [], shut = [...entries];
    // Of a place it is known what is a folder there.
    const folder = ({ name }) => new Promise((told) => place.root.getDirectory(name, {}, told, () => told()));
    for (const file of files) (place && (await folder(file)) ? shut : plain).push(file);
    tell(plain, []);
    await Promise.all(shut.map(async (one) => {
      const row = tell([], [one.name], 'outside');
      for (let answer = NOT_NOW; row >= 0 && answer === NOT_NOW; ) {
        await nextTry();
        // What nobody wants any more is not asked for.
        answer = tell([], [], row);
        part = answer === NOT_NOW && (await loaded());
        if (part) answer = tell([], [one.name], row);
        if (answer < 0) continue;
        await part.walk(place ? [one] : [], place ? [] : [one], place, dotfiles, tell);
        tell([], [], null);
      }
    }));
  },
});
