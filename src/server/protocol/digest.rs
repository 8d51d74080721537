//! Digests and checksums that a client sends along: `Upload-Checksum` of tus, `Content-Digest`, `Repr-Digest` and
//! `Want-Repr-Digest` of RFC 9530. Must never know where the bytes come from or go to.

use axum::http::{HeaderMap, HeaderName, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use md5::Md5;
use sfv::{BareItem, ListEntry};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::fields;
use crate::{
    server::Refusal,
    wire::{ErrorCode, headers},
};

/// How a checksum of tus can be made. Of RFC 9530 only `sha-256` is served; the others are not safe enough for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The one that tus demands of every server.
    Sha1,
    /// SHA-256.
    Sha256,
    /// MD5.
    Md5,
    /// The CRC of zlib and PNG, four bytes, the highest first.
    Crc32,
}

impl Algorithm {
    /// All of them, as `Tus-Checksum-Algorithm` lists them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Md5, Self::Crc32];

    /// Its name in tus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
            Self::Crc32 => "crc32",
        }
    }

    /// Bytes of one digest.
    fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Md5 => 16,
            Self::Crc32 => 4,
        }
    }

    fn hasher(self) -> Hasher {
        match self {
            Self::Sha1 => Hasher::Sha1(Sha1::new()),
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
            Self::Md5 => Hasher::Md5(Md5::new()),
            Self::Crc32 => Hasher::Crc32(crc32fast::Hasher::new()),
        }
    }
}

/// What some bytes must agree with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    /// As many as the algorithm makes.
    bytes: Vec<u8>,
}

impl Checksum {
    /// The value of `Upload-Checksum`: a name of [`Algorithm`], a space, base64.
    ///
    /// # Errors
    /// [`ErrorCode::Malformed`]: the algorithm is unknown, or what follows is no digest of it.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed =
            |why: &str| Err(Refusal::new(ErrorCode::Malformed, format!("Upload-Checksum {why}.")));
        let Some((name, encoded)) = text.trim().split_once(' ') else {
            return malformed("takes the name of an algorithm, a space, and the digest in base64");
        };
        let Some(algorithm) = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name) else {
            return malformed("names an algorithm that is not served here");
        };
        match BASE64_STANDARD.decode(encoded.trim()) {
            Ok(bytes) if bytes.len() == algorithm.size() => Ok(Self { algorithm, bytes }),
            _ => malformed("holds no digest of its algorithm"),
        }
    }
}

/// What the content of one request has to agree with before anything of it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ChunkDigest {
    /// Nothing: the client sent no digest.
    #[default]
    None,
    /// Told before the content.
    Header(Checksum),
    /// Told after the content, in the trailer field `Upload-Checksum`, with an algorithm that only then is known.
    Trailer,
}

impl ChunkDigest {
    /// The one that will check the content; `None` where there is nothing to check.
    pub fn verifier(&self) -> Option<Verifier> {
        let (hashers, expected) = match self {
            Self::None => return None,
            Self::Header(checksum) => (vec![checksum.algorithm.hasher()], Some(checksum.clone())),
            Self::Trailer => (Algorithm::ALL.map(Algorithm::hasher).into(), None),
        };
        Some(Verifier { hashers, expected })
    }
}

/// Checks the content of one request as it passes by.
pub struct Verifier {
    /// One for a digest told beforehand, one for each algorithm where a trailer will name it.
    hashers: Vec<Hasher>,
    expected: Option<Checksum>,
}

impl Verifier {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for hasher in &mut self.hashers {
            match hasher {
                Hasher::Sha1(hash) => hash.update(bytes),
                Hasher::Sha256(hash) => hash.update(bytes),
                Hasher::Md5(hash) => hash.update(bytes),
                Hasher::Crc32(hash) => hash.update(bytes),
            }
        }
    }

    /// Whether all the bytes together agree. `trailers` are those of the request, where it had any.
    ///
    /// # Errors
    /// [`ErrorCode::ChecksumMismatch`] when they do not; [`ErrorCode::Malformed`] when the announced trailer did not
    /// come or cannot be read.
    pub fn finish(self, trailers: Option<&HeaderMap>) -> Result<(), Refusal> {
        let expected = match self.expected {
            Some(expected) => expected,
            None => {
                let value = trailers.and_then(|trailers| trailers.get(headers::UPLOAD_CHECKSUM));
                let text = value.and_then(|value| value.to_str().ok());
                let missing = "The trailer with the Upload-Checksum that was announced did not come.";
                Checksum::parse(text.ok_or_else(|| Refusal::new(ErrorCode::Malformed, missing))?)?
            }
        };
        let hasher = self.hashers.into_iter().find(|hasher| hasher.algorithm() == expected.algorithm);
        if hasher.is_some_and(|hasher| hasher.finish() == expected.bytes) {
            return Ok(());
        }
        let message = "What arrived differs from the checksum sent with it; nothing of it was kept.";
        Err(Refusal::new(ErrorCode::ChecksumMismatch, message).with_detail(expected.algorithm.name()))
    }
}

enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
    Md5(Md5),
    Crc32(crc32fast::Hasher),
}

impl Hasher {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha1(_) => Algorithm::Sha1,
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Md5(_) => Algorithm::Md5,
            Self::Crc32(_) => Algorithm::Crc32,
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(hash) => hash.finalize().to_vec(),
            Self::Sha256(hash) => hash.finalize().to_vec(),
            Self::Md5(hash) => hash.finalize().to_vec(),
            Self::Crc32(hash) => hash.finalize().to_be_bytes().to_vec(),
        }
    }
}

/// What `Upload-Checksum` (tus, "Checksum") says of this request's content, in its header or by the announcement of
/// its trailer. A digest in the header goes before one in the trailer: it can be checked earlier.
///
/// # Errors
/// As [`Checksum::parse`].
pub fn upload_checksum(headers: &HeaderMap) -> Result<ChunkDigest, Refusal> {
    if let Some(value) = headers.get(headers::UPLOAD_CHECKSUM) {
        return Checksum::parse(value.to_str().unwrap_or_default()).map(ChunkDigest::Header);
    }
    let announced = headers.get_all(header::TRAILER).iter().filter_map(|value| value.to_str().ok());
    let told_later = announced
        .flat_map(|line| line.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(headers::UPLOAD_CHECKSUM));
    Ok(if told_later { ChunkDigest::Trailer } else { ChunkDigest::None })
}

/// `Content-Digest` (RFC 9530, section 2): the digest of this request's content. Algorithms that we do not serve
/// are ignored, as the RFC has it.
///
/// # Errors
/// [`ErrorCode::Malformed`] for a `sha-256` that is none: whoever sends it wants it checked.
pub fn content_digest(headers: &HeaderMap) -> Result<ChunkDigest, Refusal> {
    let bytes = sha256_of(headers, headers::CONTENT_DIGEST)?;
    Ok(bytes.map_or(ChunkDigest::None, |bytes| {
        ChunkDigest::Header(Checksum { algorithm: Algorithm::Sha256, bytes: bytes.into() })
    }))
}

/// `Repr-Digest` (RFC 9530, section 3): the digest of the whole file.
///
/// # Errors
/// As [`content_digest`].
pub fn repr_digest(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Refusal> {
    sha256_of(headers, headers::REPR_DIGEST)
}

fn sha256_of(headers: &HeaderMap, name: &'static str) -> Result<Option<[u8; 32]>, Refusal> {
    let Some(member) = fields::dictionary(headers, name).and_then(|mut all| all.shift_remove("sha-256"))
    else {
        return Ok(None);
    };
    let bytes = match member {
        ListEntry::Item(item) => match item.bare_item {
            BareItem::ByteSequence(bytes) => <[u8; 32]>::try_from(bytes).ok(),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    };
    let malformed = || Refusal::new(ErrorCode::Malformed, format!("The sha-256 in {name} is no digest."));
    bytes.map(Some).ok_or_else(malformed)
}

/// Whether `Want-Repr-Digest` (RFC 9530, section 4) asks for what we serve: algorithms with weights from 1 to 10; 0
/// means no.
pub fn wants_sha256(headers: &HeaderMap) -> bool {
    let wanted = fields::dictionary(headers, headers::WANT_REPR_DIGEST);
    match wanted.as_ref().and_then(|wanted| wanted.get("sha-256")) {
        Some(ListEntry::Item(item)) => {
            matches!(item.bare_item, BareItem::Integer(weight) if (1..=10).contains(&i64::from(weight)))
        }
        _ => false,
    }
}

/// The field that tells this digest of a stored file, written as 64 hexadecimal digits: name and value.
pub fn repr_digest_field(sha256: &str) -> Option<(HeaderName, String)> {
    let digit = |at: usize| u8::from_str_radix(sha256.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..sha256.len()).step_by(2).map(digit).collect();
    let name = headers::REPR_DIGEST.parse().ok()?;
    Some((name, format!("sha-256=:{}:", BASE64_STANDARD.encode(bytes?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of `hello`, by other programs (coreutils, zlib).
    const HELLO: [(&str, &str); 4] = [
        ("sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00="),
        ("sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="),
        ("md5", "XUFAKrxLKna5cZ2REBfFkg=="),
        ("crc32", "NhCmhg=="),
    ];

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap())
        };
        fields.iter().map(pair).collect()
    }

    fn check(digest: &ChunkDigest, content: &str, trailers: Option<&HeaderMap>) -> Result<(), ErrorCode> {
        let mut verifier = digest.verifier().unwrap();
        for byte in content.as_bytes() {
            verifier.update(&[*byte]);
        }
        verifier.finish(trailers).map_err(|refusal| refusal.code())
    }

    #[test]
    fn each_algorithm_agrees_with_other_programs_in_header_and_in_trailer() {
        for (name, digest) in HELLO {
            let fields = head(&[("upload-checksum", &format!("{name} {digest}"))]);
            let announced = upload_checksum(&fields).unwrap();
            assert_eq!(check(&announced, "hello", None), Ok(()), "{name}");
            assert_eq!(check(&announced, "hellp", None), Err(ErrorCode::ChecksumMismatch), "{name}");
            assert_eq!(check(&announced, "", None), Err(ErrorCode::ChecksumMismatch), "{name}");
            let trailer = upload_checksum(&head(&[("trailer", "Expires, Upload-Checksum")])).unwrap();
            assert_eq!(check(&trailer, "hello", Some(&fields)), Ok(()), "{name}");
            assert_eq!(check(&trailer, "hell", Some(&fields)), Err(ErrorCode::ChecksumMismatch), "{name}");
        }
    }

    #[test]
    fn a_trailer_that_was_announced_has_to_come() {
        for trailers in [None, Some(head(&[])), Some(head(&[("upload-checksum", "sha1 x")]))] {
            let result = check(&ChunkDigest::Trailer, "hello", trailers.as_ref());
            assert_eq!(result, Err(ErrorCode::Malformed), "{trailers:?}");
        }
        assert_eq!(upload_checksum(&head(&[("trailer", "Expires")])).unwrap(), ChunkDigest::None);
        assert!(ChunkDigest::None.verifier().is_none());
    }

    #[test]
    fn what_is_no_checksum_is_refused() {
        for wrong in [
            "",
            "sha1",
            "sha1 ",
            "sha1 hello",
            "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ0",
            "sha1 XUFAKrxLKna5cZ2REBfFkg==",
            "SHA1 qvTGHdzF6KLavt4PO0gs2a6pQ00=",
            "sha512 qvTGHdzF6KLavt4PO0gs2a6pQ00=",
            "sha1:qvTGHdzF6KLavt4PO0gs2a6pQ00=",
        ] {
            let result = upload_checksum(&head(&[("upload-checksum", wrong)]));
            assert_eq!(result.unwrap_err().code(), ErrorCode::Malformed, "{wrong:?}");
        }
    }

    #[test]
    fn digests_of_rfc_9530() {
        let hello = HELLO[1].1;
        let content = |value: &str| content_digest(&head(&[("content-digest", value)]));
        let right = content(&format!("md5=:XUFAKrxLKna5cZ2REBfFkg==:, sha-256=:{hello}:;p=1")).unwrap();
        assert_eq!(check(&right, "hello", None), Ok(()));
        // No structured field, or none of an algorithm that is served: ignored.
        for ignored in ["", "sha-256", "md5=:XUFAKrxLKna5cZ2REBfFkg==:", "sha-256=:%:", "sha-512=:AA==:"] {
            let digest = content(ignored);
            let as_true = ignored == "sha-256";
            assert_eq!(digest.is_err(), as_true, "{ignored:?}");
            assert!(as_true || digest.unwrap() == ChunkDigest::None, "{ignored:?}");
        }
        for wrong in ["sha-256=:AA==:", "sha-256=1", "sha-256=(1 2)", "sha-256=\"x\""] {
            assert_eq!(content(wrong).unwrap_err().code(), ErrorCode::Malformed, "{wrong}");
        }
        let whole = repr_digest(&head(&[("repr-digest", &format!("sha-256=:{hello}:"))])).unwrap().unwrap();
        let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(repr_digest_field(&hex).unwrap().1, format!("sha-256=:{hello}:"));
        assert!(repr_digest_field("é").is_none() && repr_digest_field("abc").is_none());
    }

    #[test]
    fn a_digest_is_wanted_by_weight() {
        let wants = |field: &str| wants_sha256(&head(&[("want-repr-digest", field)]));
        assert!(wants("sha-256=1"));
        assert!(wants("sha-512=3, sha-256=10, md5=0"));
        for not in ["sha-256=0", "sha-256", "sha-512=3", "", "sha-256=11", "sha-256=x", "sha-256=1.5"] {
            assert!(!wants(not), "{not:?}");
        }
    }
}
