// Loads a part of the bundle at its first call, and asks for it again at the next when it could not be had: what the release
// build puts between the bundle and each of its parts (scripts/site.mjs). Must never know what is in one.

/** What loads the part at this address, which lies beside this. */
export function part(address) {
  // Some browsers never ask again for what failed once under a name. The server does not see what is behind the sign.
  let failures = 0;
  return () => import(`${address}#${failures}`).catch((error) => {
    failures += 1;
    throw error;
  });
}
