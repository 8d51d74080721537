//! Names of header fields and query arguments that are not in HTTP's own registry. Must never know their values'
//! grammar beyond what the name says; parsers live with the types they make.

/// The client's own id of an upload: header and query argument, as in the nginx upload progress module.
pub const PROGRESS_ID: &str = "X-Progress-ID";

/// Which try of one upload this request is: 1, 2, … A higher number than that of a running request with the same
/// progress id, from the same owner, takes its place; an equal or lower one does not. A request that begins a resumable
/// upload and carries it is answered with the one that an earlier try has begun, as long as that holds nothing.
pub const ATTEMPT: &str = "Plimsoll-Attempt";

/// The size in bytes of the one file that a form carries, known before the body is read. Lets the server refuse
/// early and report a file's own progress; checked against what arrives.
pub const FILE_SIZE: &str = "Plimsoll-File-Size";

/// RFC 9530, section 4: asks for the digest of what was stored. `sha-256` is the one algorithm that is served.
pub const WANT_REPR_DIGEST: &str = "Want-Repr-Digest";

/// RFC 9530, section 3: the digest of the stored file, in the answer; in a request that begins an upload, what it has
/// to be.
pub const REPR_DIGEST: &str = "Repr-Digest";

/// RFC 9530, section 2: the digest of one request's content.
pub const CONTENT_DIGEST: &str = "Content-Digest";

/// tus and resumable uploads: how many bytes of an upload the server has.
pub const UPLOAD_OFFSET: &str = "Upload-Offset";

/// tus and resumable uploads: how many bytes an upload will have.
pub const UPLOAD_LENGTH: &str = "Upload-Length";

/// Resumable uploads: whether a request, or an upload, is the whole.
pub const UPLOAD_COMPLETE: &str = "Upload-Complete";

/// Resumable uploads: what the server allows.
pub const UPLOAD_LIMIT: &str = "Upload-Limit";

/// Resumable uploads: which version of the draft a client speaks.
pub const UPLOAD_DRAFT_INTEROP_VERSION: &str = "Upload-Draft-Interop-Version";

/// tus: the version that is spoken, in every request and answer.
pub const TUS_RESUMABLE: &str = "Tus-Resumable";

/// tus: the versions that a server speaks.
pub const TUS_VERSION: &str = "Tus-Version";

/// tus: the extensions that a server has.
pub const TUS_EXTENSION: &str = "Tus-Extension";

/// tus: the largest upload.
pub const TUS_MAX_SIZE: &str = "Tus-Max-Size";

/// tus: the algorithms of [`UPLOAD_CHECKSUM`].
pub const TUS_CHECKSUM_ALGORITHM: &str = "Tus-Checksum-Algorithm";

/// tus: `1`, as long as the length is not known.
pub const UPLOAD_DEFER_LENGTH: &str = "Upload-Defer-Length";

/// tus: what a client says of an upload, told back as it came. Resumable uploads here take it as well, in the same
/// notation: the draft has no place of its own for a path or for fields.
pub const UPLOAD_METADATA: &str = "Upload-Metadata";

/// tus: whether an upload is a part of another, or made of parts.
pub const UPLOAD_CONCAT: &str = "Upload-Concat";

/// tus: the checksum of one request's content, as header or trailer.
pub const UPLOAD_CHECKSUM: &str = "Upload-Checksum";

/// tus: when an unfinished upload will be given up.
pub const UPLOAD_EXPIRES: &str = "Upload-Expires";

/// tus: the method that is meant, from clients that can send `GET` and `POST` only.
pub const METHOD_OVERRIDE: &str = "X-HTTP-Method-Override";

/// RFC 5789, section 3.1: the media types that `PATCH` takes here.
pub const ACCEPT_PATCH: &str = "Accept-Patch";

/// A file's path inside the folder that was picked, with `/`: the form field before the file, and the key in
/// [`UPLOAD_METADATA`]. Words for a person; the server makes no folders of it.
pub const RELATIVE_PATH: &str = "relativePath";
