//! Options as HTML attributes: pairs of a name and a text in, [`Options`] out. Must never know an element, and never
//! pass over a value that cannot be read: who wrote `max-size="1OMB"` meant a limit, and must hear that there is none.

use std::fmt;

use super::{Dialect, Options, Protocol};

/// An attribute whose value means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeError {
    /// Its name.
    pub attribute: String,
    /// Its value, as it was written.
    pub value: String,
    /// What it would take.
    pub takes: &'static str,
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.attribute, "=\"", &self.value, "\" is not ", self.takes] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl std::error::Error for AttributeError {}

/// Reads options from attributes. Names that are none of ours are passed over, because every page and every framework
/// writes attributes of its own; an attribute that is not there leaves the default.
///
/// `home` is the address of the folder that a Plimsoll server answers in, with its slash at the end; the attribute
/// `server` names another. From there come `action`, `resumable` and `progress` where nothing else is said. An
/// `action` without `server` is the address of a form on somebody's server, of which nothing else is known: then all
/// files go as forms, and nobody is asked what was received unless `progress` says where; it may say in which words as
/// well: `/progress; dialect=nginx`.
///
/// What lines of `name: value` cannot hold, a name with a colon or a value with a line break or spaces around it, comes
/// as a pair of its own: the value of `header:NAME` or `field:NAME` is taken as it is.
///
/// # Errors
/// Every attribute whose value cannot be read.
pub fn options<'a>(
    attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    home: &str,
) -> Result<Options, Vec<AttributeError>> {
    let mut options = Options {
        action: String::new(),
        resumable: String::new(),
        progress: String::new(),
        ..Options::default()
    };
    options.languages = [home.trim_end_matches('/'), &options.languages].concat();
    let checksum = [home.trim_end_matches('/'), "/checksum.js"].concat();
    let (mut home, mut protocol, mut progress, mut dialect) = (home, None, None, None);
    let mut checks = false;
    let mut server = String::new();
    let mut wrong = Vec::new();
    for (name, given) in attributes {
        let value = given.trim();
        let read = match name {
            "server" => {
                home = value;
                text(&mut server, value)
            }
            "action" => text(&mut options.action, value),
            "resumable" => text(&mut options.resumable, value),
            "progress" => {
                let (url, word) = value.split_once(';').unwrap_or((value, ""));
                progress = Some(url.trim());
                let word = word.trim();
                let named = word.strip_prefix("dialect=").and_then(|word| Dialect::parse(word.trim()));
                dialect = named;
                if named.is_some() || word.is_empty() {
                    Ok(())
                } else {
                    Err(
                        "an address, or one with `; dialect=nginx`, `; dialect=django` or `; dialect=plimsoll`",
                    )
                }
            }
            "protocol" => Protocol::parse(value)
                .map(|word| protocol = Some(word))
                .ok_or("one of auto, form, resumable, tus"),
            "field" => text(&mut options.field, value),
            "accept" => text(&mut options.accept, value),
            "threshold" => size(value).map(|bytes| options.threshold = bytes),
            "slice" => size(value).map(|bytes| options.slice = Some(bytes)),
            "max-files" => number(value, 1, u32::MAX.into(), A_NUMBER)
                .map(|count| options.max_files = u32::try_from(count).ok()),
            "concurrency" => number(value, 1, Options::MAX_CONCURRENCY.into(), "a number from 1 to 4")
                .map(|count| options.concurrency = count as u8),
            "retries" => number(value, 0, u8::MAX.into(), "a number from 0 to 255")
                .map(|count| options.retries = count as u8),
            "max-size" => size(value).map(|bytes| options.max_size = Some(bytes)),
            "max-total" => size(value).map(|bytes| options.max_total = Some(bytes)),
            "capture" if !matches!(value, "user" | "environment") => Err("user or environment"),
            "capture" => text(&mut options.capture, value),
            "directory" => truth(&mut options.directory, name, value),
            "dotfiles" => truth(&mut options.dotfiles, name, value),
            "drop-anywhere" => truth(&mut options.drop_anywhere, name, value),
            "thumbnails" => truth(&mut options.thumbnails, name, value),
            "guard" => truth(&mut options.guard, name, value),
            "wake-lock" => truth(&mut options.wake_lock, name, value),
            // `title` is every element's own: the words of its tooltip.
            "tab-title" => truth(&mut options.title, name, value),
            "multiple" => truth(&mut options.multiple, name, value),
            "auto-start" => truth(&mut options.auto_start, name, value),
            "digest" => truth(&mut options.digest, name, value),
            "checksum" => truth(&mut checks, name, value),
            "downscale" => number(value, 1, u32::MAX.into(), A_NUMBER)
                .map(|pixels| options.downscale = u32::try_from(pixels).ok()),
            "remember" => truth(&mut options.remember, name, value),
            "credentials" => truth(&mut options.credentials, name, value),
            "headers" => pairs(&mut options.headers, value),
            "fields" => pairs(&mut options.fields, value),
            "labels" => pairs(&mut options.labels, value),
            _ => match name.split_once(':') {
                Some(("header", name)) => pair(&mut options.headers, name, given),
                Some(("field", name)) => pair(&mut options.fields, name, given),
                _ => Ok(()),
            },
        };
        if let Err(takes) = read {
            wrong.push(AttributeError { attribute: name.to_owned(), value: value.to_owned(), takes });
        }
    }
    let is_ours = !server.is_empty() || options.action.is_empty();
    let at_home = |path: &str| [home.trim_end_matches('/'), path].concat();
    options.protocol = match protocol {
        None if !is_ours && options.resumable.is_empty() => Protocol::Form,
        protocol => protocol.unwrap_or_default(),
    };
    options.dialect = match dialect {
        None if !is_ours && progress.is_none() => Dialect::Plain,
        dialect => dialect.unwrap_or_default(),
    };
    match progress {
        Some(url) => options.progress = url.to_owned(),
        None if is_ours => options.progress = at_home("/api/upload_progress"),
        None => {}
    }
    if checks {
        options.checksum = checksum;
    }
    if options.resumable.is_empty() {
        options.resumable = at_home("/files");
    }
    if options.action.is_empty() {
        options.action = at_home("/upload");
    }
    if wrong.is_empty() { Ok(options) } else { Err(wrong) }
}

const A_NUMBER: &str = "a whole number from 1 on";

type Read = Result<(), &'static str>;

fn text(place: &mut String, value: &str) -> Read {
    value.clone_into(place);
    if value.is_empty() { Err("a text that says something") } else { Ok(()) }
}

/// As HTML has it: there or not; and `="false"`, for what is true when nothing is said.
fn truth(place: &mut bool, name: &str, value: &str) -> Read {
    match value {
        "false" => *place = false,
        "" | "true" => *place = true,
        _ if value == name => *place = true,
        _ => return Err("true or false"),
    }
    Ok(())
}

fn number(value: &str, least: u64, most: u64, takes: &'static str) -> Result<u64, &'static str> {
    // `parse` alone would take a sign.
    let is_number = value.bytes().all(|digit| digit.is_ascii_digit());
    let number = value.parse().ok().filter(|number| is_number && (least..=most).contains(number));
    number.ok_or(takes)
}

/// Lines of a name, a colon and a value.
fn pairs(place: &mut Vec<(String, String)>, value: &str) -> Read {
    for line in value.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or_default();
        pair(place, name.trim_end(), value.trim_start())?;
    }
    Ok(())
}

fn pair(place: &mut Vec<(String, String)>, name: &str, value: &str) -> Read {
    if name.is_empty() {
        return Err("lines of `name: value`");
    }
    place.push((name.to_owned(), value.to_owned()));
    Ok(())
}

/// A number of bytes, or of kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (of 1024); not zero.
fn size(value: &str) -> Result<u64, &'static str> {
    const TAKES: &str = "a size such as 1000000, 500kB or 10MiB";
    let unit_at = value.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    let (digits, unit) = value.split_at(unit_at);
    let unit = unit.trim_start().as_bytes();
    let (power, thousand) = match unit {
        [] | [b'b' | b'B'] => (0, 1000_u64),
        [prefix, rest @ ..] => {
            let power = b"kmgt".iter().position(|known| known.eq_ignore_ascii_case(prefix)).ok_or(TAKES)?;
            let thousand = match rest {
                [b'b' | b'B'] => 1000,
                [b'i' | b'I', b'b' | b'B'] => 1024,
                _ => return Err(TAKES),
            };
            (power as u32 + 1, thousand)
        }
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(thousand.pow(power)));
    bytes.filter(|bytes| *bytes > 0).ok_or(TAKES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "https://files.example/up/";

    fn read(attributes: &[(&str, &str)]) -> Options {
        options(attributes.iter().copied(), HOME).unwrap()
    }

    fn wrong(name: &str, value: &str) -> String {
        let errors = options([(name, value)], HOME).unwrap_err();
        assert_eq!(errors.len(), 1);
        errors[0].to_string()
    }

    #[test]
    fn nothing_said_is_the_server_that_the_script_came_from() {
        let options = read(&[]);
        assert_eq!(
            options,
            Options {
                action: "https://files.example/up/upload".to_owned(),
                resumable: "https://files.example/up/files".to_owned(),
                progress: "https://files.example/up/api/upload_progress".to_owned(),
                languages: "https://files.example/up/labels".to_owned(),
                ..Options::default()
            }
        );
        let elsewhere = read(&[("server", "/plimsoll")]);
        assert_eq!(elsewhere.action, "/plimsoll/upload");
        assert_eq!(elsewhere.progress, "/plimsoll/api/upload_progress");
        assert_eq!(read(&[("server", "/")]).resumable, "/files");
        let named = read(&[("server", "."), ("action", "upload?from=here")]);
        assert_eq!((named.action.as_str(), named.resumable.as_str()), ("upload?from=here", "./files"));
        assert_eq!(named.protocol, Protocol::Auto, "its server is known");
    }

    #[test]
    fn an_action_alone_is_a_form_of_somebody_elses() {
        let options = read(&[("action", "/photos/")]);
        assert_eq!((options.protocol, options.progress.as_str()), (Protocol::Form, ""));
        let options = read(&[("action", "/photos/"), ("resumable", "/tus"), ("protocol", "tus")]);
        assert_eq!((options.protocol, options.resumable.as_str()), (Protocol::Tus, "/tus"));
        assert_eq!(read(&[("action", "/photos/"), ("resumable", "/more")]).protocol, Protocol::Auto);
        assert_eq!(read(&[("action", "/a"), ("progress", "/p")]).progress, "/p");
        assert_eq!(read(&[("progress", "")]).progress, "", "nobody is to be asked");
        assert_eq!(read(&[("action", "/a")]).dialect, Dialect::Plain);
        assert_eq!(read(&[("action", "/a"), ("progress", "/p")]).dialect, Dialect::Plimsoll);
        let nginx = read(&[("action", "/a"), ("progress", "/p?x=1 ; dialect=nginx")]);
        assert_eq!((nginx.progress.as_str(), nginx.dialect), ("/p?x=1", Dialect::Nginx));
    }

    #[test]
    fn every_attribute_reaches_its_option() {
        let options = read(&[
            ("protocol", "resumable"),
            ("field", "photo"),
            ("accept", "image/*, .pdf"),
            ("threshold", "1MiB"),
            ("slice", "10 MB"),
            ("max-files", "3"),
            ("max-size", "10MB"),
            ("max-total", "1GiB"),
            ("capture", "user"),
            ("directory", ""),
            ("dotfiles", "false"),
            ("drop-anywhere", "true"),
            ("thumbnails", "false"),
            ("guard", "false"),
            ("wake-lock", ""),
            ("tab-title", ""),
            ("concurrency", "2"),
            ("retries", "0"),
            ("multiple", "false"),
            ("auto-start", "false"),
            ("digest", ""),
            ("checksum", ""),
            ("downscale", "2048"),
            ("remember", "false"),
            ("credentials", "credentials"),
            ("headers", "X-CSRFToken: a:b; c\n  X-Other :2\n"),
            ("fields", "album: holidays"),
            ("labels", ""),
            ("class", "wide"),
            ("data-max-files", "many"),
        ]);
        let expected = Options {
            protocol: Protocol::Resumable,
            field: "photo".to_owned(),
            accept: "image/*, .pdf".to_owned(),
            threshold: 1 << 20,
            slice: Some(10_000_000),
            max_files: Some(3),
            max_size: Some(10_000_000),
            max_total: Some(1 << 30),
            capture: "user".to_owned(),
            directory: true,
            dotfiles: false,
            drop_anywhere: true,
            thumbnails: false,
            guard: false,
            wake_lock: true,
            title: true,
            concurrency: 2,
            retries: 0,
            multiple: false,
            auto_start: false,
            digest: true,
            checksum: "https://files.example/up/checksum.js".to_owned(),
            downscale: Some(2048),
            remember: false,
            credentials: true,
            headers: vec![
                ("X-CSRFToken".to_owned(), "a:b; c".to_owned()),
                ("X-Other".to_owned(), "2".to_owned()),
            ],
            fields: vec![("album".to_owned(), "holidays".to_owned())],
            ..read(&[])
        };
        assert_eq!(options, expected);
    }

    /// Told as lines they were cut at the first colon, and at the end of the first line.
    #[test]
    fn single_pairs_are_taken_as_they_are() {
        let options = read(&[
            ("field:form1:token", "a: b"),
            ("fields", "album: sea"),
            ("field:note", " first \n\tsecond\n"),
            ("field:note", ""),
            ("header:X-Note", " two "),
            ("fields:note", "none of ours"),
        ]);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let fields =
            [("form1:token", "a: b"), ("album", "sea"), ("note", " first \n\tsecond\n"), ("note", "")];
        assert_eq!(options.fields, fields.map(owned));
        assert_eq!(options.headers, [("X-Note", " two ")].map(owned));
        wrong("field:", "nameless");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1", 1),
            ("5b", 5),
            ("10MB", 10_000_000),
            ("10mb", 10_000_000),
            ("1KiB", 1024),
            ("2 GiB", 2 << 30),
            ("3tib", 3 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "0",
            "0kB",
            "MB",
            "1OMB",
            "-1",
            "+1",
            "1.5GB",
            "1 0",
            "1M",
            "1MiBs",
            "18446744073709551616",
            "99999999TB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_and_never_a_default() {
        assert_eq!(wrong("slice", "1OMB"), r#"slice="1OMB" is not a size such as 1000000, 500kB or 10MiB"#);
        assert_eq!(wrong("concurrency", "5"), r#"concurrency="5" is not a number from 1 to 4"#);
        assert_eq!(wrong("multiple", "no"), r#"multiple="no" is not true or false"#);
        for (name, value) in [
            ("protocol", "Form"),
            ("max-files", "0"),
            ("max-files", "+3"),
            ("downscale", "2048px"),
            ("max-files", "4294967296"),
            ("retries", "256"),
            ("concurrency", "0"),
            ("action", " "),
            ("field", ""),
            ("auto-start", "auto"),
            ("capture", "selfie"),
            ("max-size", "0"),
            ("headers", "X-CSRFToken"),
            ("fields", ": nameless"),
            ("progress", "/p; dialect=esperanto"),
            ("progress", "/p; nginx"),
        ] {
            wrong(name, value);
        }
        let all = options([("retries", "x"), ("field", "f"), ("slice", "y")], HOME).unwrap_err();
        assert_eq!(all.len(), 2, "all of them at once: {all:?}");
    }
}
