// What of the bundle is fetched with the first file. A bundle that is whole, as in a debug build and in other people's
// applications, has nothing to fetch; the release build puts scripts/rest.js in the place of this. Must never know what
// is in it.

/**
 * Resolves when the bundle is whole; `failed` is called after each try that failed, and told whether the server does not
 * have it any more. Without it there is one try, because a file may be coming.
 */
export async function rest(_failed) {}
