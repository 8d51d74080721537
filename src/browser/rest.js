// What of the bundle is fetched with the first file. A bundle that is whole, as in a debug build and in other people's
// applications, has nothing to fetch; the release build puts scripts/rest.js in the place of this. Must never know what
// is in it.

/**
 * Resolves to `true` when the bundle is whole. `failed` is called whenever it could not be had, or is long in coming, and
 * told whether the server does not have it any more; it tells whether anybody waits still, and if not, there is no other
 * try. Without it there is one try, because a file may be coming.
 */
export async function rest(_failed) {
  return true;
}
