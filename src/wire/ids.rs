//! Names for uploads. An id is parsed against a fixed grammar before anything else sees it, so no path, header or
//! query can hide in one (promise 6). Must never know how an id is stored or looked up.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Lowercase base32 of RFC 4648, section 6, without padding.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The server's name for one stored file: 128 random bits as 26 lowercase base32 letters. No dot, no slash, no
/// upper case, fixed length: it is safe as a file name, in a URL and in a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadId(String);

impl UploadId {
    /// Length of every upload id, in bytes.
    pub const LEN: usize = 26;

    /// The id that stands for these random bits.
    pub fn from_bits(bits: [u8; 16]) -> Self {
        let number = u128::from_be_bytes(bits);
        // 26 letters carry 130 bits: the last letter takes the three bits that are left, and two zeros.
        let letters = (0..Self::LEN).map(|i| {
            let quintet = if i == 25 { number << 2 } else { number >> (123 - 5 * i) };
            char::from(BASE32[(quintet & 31) as usize])
        });
        Self(letters.collect())
    }

    /// The id as it is written everywhere.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of nothing: random bits are never all zero.
impl Default for UploadId {
    fn default() -> Self {
        Self::from_bits([0; 16])
    }
}

impl FromStr for UploadId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = text.as_bytes();
        if bytes.len() != Self::LEN {
            return Err(IdError::Length);
        }
        if !bytes.iter().all(|b| BASE32.contains(b)) {
            return Err(IdError::Letter);
        }
        // One spelling for one id: the bits that the last letter has too many must be zero.
        if !matches!(bytes[25], b'a' | b'e' | b'i' | b'm' | b'q' | b'u' | b'y' | b'4') {
            return Err(IdError::Letter);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A client's own name for one upload, the `X-Progress-ID` of the nginx upload progress module:
/// 8 to 64 of `A-Z a-z 0-9 _ -`. An alias only; it never becomes part of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProgressId(String);

impl ProgressId {
    /// The id as it is written everywhere.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A progress id for these random bits, spelled like an upload id.
    pub fn from_bits(bits: [u8; 16]) -> Self {
        Self(UploadId::from_bits(bits).0)
    }

    /// The name of the upload that takes the place of this one's: `-2` at its end, then `-3`, and so on.
    pub fn successor(&self) -> Self {
        let numbered = self.0.rsplit_once('-').and_then(|(base, end)| Some((base, end.parse::<u32>().ok()?)));
        let (base, number) = numbered.unwrap_or((&self.0, 1));
        let end = ["-", &number.saturating_add(1).to_string()].concat();
        let base = &base[..base.len().min(64 - end.len())];
        // The rest may be shorter than an id once its old number is off.
        let fill = &"________"[base.len().min(8)..];
        Self([base, fill, &end].concat())
    }
}

impl FromStr for ProgressId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if !(8..=64).contains(&text.len()) {
            return Err(IdError::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(IdError::Letter);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// Too short or too long.
    Length,
    /// A character outside the grammar.
    Letter,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "an id of this length does not exist",
            Self::Letter => "an id does not contain such a character",
        })
    }
}

impl std::error::Error for IdError {}

macro_rules! text_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}
text_id!(UploadId);
text_id!(ProgressId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_are_ids_and_differ() {
        for text in ["a".repeat(26), "a".repeat(64), "-".repeat(8), "a-999999".to_owned()] {
            let first: ProgressId = text.parse().unwrap();
            let (second, third) = (first.successor(), first.successor().successor());
            for id in [&second, &third] {
                assert_eq!(id.as_str().parse().as_ref(), Ok(id));
            }
            assert!(first != second && second != third, "{text}");
        }
        let id: ProgressId = "abcdefgh".parse().unwrap();
        assert_eq!(id.successor().as_str(), "abcdefgh-2");
        assert_eq!(id.successor().successor().as_str(), "abcdefgh-3");
    }

    #[test]
    fn bits_and_text_agree() {
        assert_eq!(UploadId::from_bits([0; 16]).as_str(), "aaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(UploadId::from_bits([0xff; 16]).as_str(), "77777777777777777777777774");
        // RFC 4648 base32 of the bytes 00 01 … 0f, in lower case and without padding.
        let counting: [u8; 16] = std::array::from_fn(|i| i as u8);
        assert_eq!(UploadId::from_bits(counting).as_str(), "aaaqeayeaudaocajbifqydiob4");
        for bits in [[0; 16], [0xff; 16], counting] {
            let id = UploadId::from_bits(bits);
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
        }
    }

    #[test]
    fn nothing_but_an_id_is_an_id() {
        for hostile in [
            "",
            ".",
            "..",
            "/",
            "../../etc/passwd",
            "aaaaaaaaaaaaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "AAAAAAAAAAAAAAAAAAAAAAAAAA",
            "aaaaaaaaaaaaaaaaaaaaaaaaa\0",
            "aaaaaaaaaaaa/aaaaaaaaaaaaa",
            "aaaaaaaaaaaa.aaaaaaaaaaaaa",
            "aaaaaaaaaaaa%2faaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaaaaaab",
            "aaaaaaaaaaaaaaaaaaaaaaaaa1",
            "éééééééééééééé",
        ] {
            assert!(hostile.parse::<UploadId>().is_err(), "{hostile:?}");
        }
        for hostile in
            ["", "short", "has space", "has/slash/in-it", "has.dot.in.it", "nul\0nul\0nul", &"x".repeat(65)]
        {
            assert!(hostile.parse::<ProgressId>().is_err(), "{hostile:?}");
        }
        assert!("abc_DEF-12345678".parse::<ProgressId>().is_ok());
    }

    #[test]
    fn json_is_parsed_by_the_same_grammar() {
        assert!(serde_json::from_str::<UploadId>("\"../../../etc/passwd/shadow\"").is_err());
        let id = UploadId::from_bits([7; 16]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<UploadId>(&json).unwrap(), id);
    }
}
