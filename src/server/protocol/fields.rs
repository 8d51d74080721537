//! Values of header fields: whole numbers as tus and HTTP write them, structured fields of RFC 9651. Must never know
//! what a field means.

use axum::http::{HeaderMap, HeaderValue};
use sfv::{BareItem, Dictionary, Item, Parser};

use crate::{server::Refusal, wire::ErrorCode};

/// The largest number that a structured field can hold (RFC 9651, section 3.3.1).
pub const MAX_INTEGER: u64 = 999_999_999_999_999;

/// No file, and so no offset, is larger: what a database and a file system can count.
pub const MAX_BYTES: u64 = i64::MAX as u64;

/// A field that holds one whole number in digits.
///
/// # Errors
/// [`ErrorCode::Malformed`] for anything else, and for a field that comes twice: whoever looks at the request before
/// us may have taken the other one.
pub fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Refusal> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let digits = value
        .to_str()
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|_| all.next().is_none());
    let malformed = || Refusal::new(ErrorCode::Malformed, format!("{name} takes one whole number."));
    digits.and_then(|text| text.parse().ok()).map(Some).ok_or_else(malformed)
}

/// A field that is one Boolean. Parameters are ignored, and so is a field that is something else.
pub fn boolean(headers: &HeaderMap, name: &str) -> Option<bool> {
    match item(headers, name)? {
        BareItem::Boolean(value) => Some(value),
        _ => None,
    }
}

/// A field that is one Integer, not below zero. Otherwise as [`boolean`].
pub fn natural(headers: &HeaderMap, name: &str) -> Option<u64> {
    match item(headers, name)? {
        BareItem::Integer(value) => u64::try_from(i64::from(value)).ok(),
        _ => None,
    }
}

/// A field that is a Dictionary; one that is something else is ignored.
pub fn dictionary(headers: &HeaderMap, name: &str) -> Option<Dictionary> {
    Parser::new(&combined(headers, name)?).parse().ok()
}

fn item(headers: &HeaderMap, name: &str) -> Option<BareItem> {
    Parser::new(&combined(headers, name)?).parse::<Item>().ok().map(|item| item.bare_item)
}

/// All lines of a field as one (RFC 9110, section 5.3). An Item in two lines is none, then.
fn combined(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let lines: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[&str]) -> HeaderMap {
        let name = axum::http::HeaderName::from_static("n");
        lines.iter().map(|line| (name.clone(), HeaderValue::from_bytes(line.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn a_number_is_digits_only_and_comes_once() {
        let check = |lines: &[&str]| number(&fields(lines), "n").map_err(|refusal| refusal.code());
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&["0"]), Ok(Some(0)));
        assert_eq!(check(&["18446744073709551615"]), Ok(Some(u64::MAX)));
        for bad in ["", "-1", "+1", "1.0", "18446744073709551616", "0x10", "1, 2", "é"] {
            assert_eq!(check(&[bad]), Err(ErrorCode::Malformed), "{bad:?}");
        }
        assert_eq!(check(&["1", "1"]), Err(ErrorCode::Malformed));
    }

    #[test]
    fn a_structured_field_of_another_type_is_not_there() {
        let boolean = |lines: &[&str]| boolean(&fields(lines), "n");
        assert_eq!(boolean(&["?0"]), Some(false));
        assert_eq!(boolean(&[" ?1;foo=bar;baz "]), Some(true));
        for ignored in ["", "1", "?2", "true", "?1, ?1", "\"?1\"", "?1;", ":AA==:", "?1 x", "é"] {
            assert_eq!(boolean(&[ignored]), None, "{ignored:?}");
        }
        assert_eq!(boolean(&["?1", "?1"]), None);
        assert_eq!(boolean(&[]), None);

        let natural = |lines: &[&str]| natural(&fields(lines), "n");
        assert_eq!(natural(&["0"]), Some(0));
        assert_eq!(natural(&["007;a=1"]), Some(7));
        assert_eq!(natural(&["999999999999999"]), Some(MAX_INTEGER));
        for ignored in ["", "-1", "1.0", "?1", "1000000000000000", "1, 2", "(1)", "@1", "0x10"] {
            assert_eq!(natural(&[ignored]), None, "{ignored:?}");
        }
    }

    #[test]
    fn a_dictionary_may_come_in_several_lines() {
        let keys = |lines: &[&str]| {
            dictionary(&fields(lines), "n").map(|all| all.keys().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(keys(&["a=1, b=?0", "c=(1 2)"]).unwrap(), ["a", "b", "c"]);
        assert_eq!(keys(&[""]).unwrap(), [""; 0]);
        assert_eq!(keys(&["a=1,"]), None);
        assert_eq!(keys(&["A=1"]), None);
        assert_eq!(keys(&[]), None);
    }
}
