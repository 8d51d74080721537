//! Names of header fields and query arguments that are not in HTTP's own registry. Must never know their values'
//! grammar beyond what the name says; parsers live with the types they make.

/// The client's own id of an upload: header and query argument, as in the nginx upload progress module.
pub const PROGRESS_ID: &str = "X-Progress-ID";

/// Which try of one upload this request is: 1, 2, … A higher number than that of a running request with the same
/// progress id, from the same owner, takes its place; an equal or lower one does not.
pub const ATTEMPT: &str = "Plimsoll-Attempt";

/// The size in bytes of the one file that a form carries, known before the body is read. Lets the server refuse
/// early and report a file's own progress; checked against what arrives.
pub const FILE_SIZE: &str = "Plimsoll-File-Size";

/// RFC 9530, section 4: asks for the digest of what was stored. `sha-256` is the one algorithm that is served.
pub const WANT_REPR_DIGEST: &str = "Want-Repr-Digest";

/// RFC 9530, section 3: the digest of the stored file, in the answer.
pub const REPR_DIGEST: &str = "Repr-Digest";
