//! `multipart/form-data` (RFC 7578, RFC 2046, and what browsers really send) as a parser without I/O: chunks in,
//! events out. Linear in the length of the body whatever the body says, bounded in memory, and file bytes pass
//! through as slices of the chunks they came in. Must never know a socket, a store or a limit that is not its own.
//!
//! ```text
//! preamble → head → data → … → head → data → epilogue
//!            └── Part ── Data* ── PartEnd ──┘  End
//! ```
//!
//! A delimiter is `CRLF -- boundary`, then either `--` (the last one) or spaces and tabs up to CRLF. Whatever does
//! not match that to the last byte is data. Lines that end in a bare LF delimit nothing.

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

/// What a body may ask of the parser.
#[derive(Clone, Debug)]
pub struct ParserLimits {
    /// Parts in one body.
    pub max_parts: usize,
    /// Bytes of one part's header block.
    pub max_part_header: usize,
}

impl Default for ParserLimits {
    fn default() -> Self {
        Self { max_parts: 1000, max_part_header: 16 * 1024 }
    }
}

/// Bytes that may stand before the first delimiter, and as many after the last.
const MAX_MARGIN: usize = 64 * 1024;

/// Spaces and tabs that may stand between a boundary and its line end (RFC 2046 transport padding). With more of
/// them it is no delimiter.
const MAX_PADDING: usize = 256;

/// Characters of a display name; no file system that browsers run on knows longer ones.
const MAX_NAME_CHARS: usize = 255;

/// Longest path that is kept, in bytes; of a longer one nothing is.
const MAX_PATH: usize = 4096;

/// The display name of a file that came without one.
pub const UNNAMED: &str = "unnamed";

/// Why a body is not a form. `Truncated` may be the connection's fault; everything else is the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// The request's content type is not `multipart/form-data`.
    #[error("the content type is not multipart/form-data")]
    NotMultipart,
    /// The boundary is missing, given twice, or none by RFC 2046.
    #[error("the content type has no valid boundary")]
    BadBoundary,
    /// The first delimiter did not come.
    #[error("the body does not begin with its boundary")]
    NoDelimiter,
    /// More parts than [`ParserLimits::max_parts`].
    #[error("the form has too many parts")]
    TooManyParts,
    /// A header block larger than [`ParserLimits::max_part_header`].
    #[error("the header of a part is too large")]
    HeaderTooLarge,
    /// A header line without a colon, with a control character, or with an unfinished quote.
    #[error("the header of a part is malformed")]
    BadHeader,
    /// A part without `Content-Disposition: form-data; name=…`.
    #[error("a part of the form has no name")]
    NoName,
    /// A part in base64 or quoted-printable, which RFC 7578 did away with: storing it undecoded would be a lie.
    #[error("a part is in a transfer encoding that forms do not have")]
    TransferEncoding,
    /// More than a little text after the last delimiter.
    #[error("the body goes on after its last boundary")]
    LongEpilogue,
    /// The body ended before its closing delimiter.
    #[error("the body ended before its closing boundary")]
    Truncated,
}

/// The boundary of one body: 1 to 70 characters of RFC 2046, the last of them not a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// The boundary itself, without dashes.
    pub fn new(text: &str) -> Result<Self, MultipartError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
        if (1..=70).contains(&text.len()) && text.bytes().all(legal) && !text.ends_with(' ') {
            Ok(Self(text.to_owned()))
        } else {
            Err(MultipartError::BadBoundary)
        }
    }

    /// The boundary that a request's `Content-Type` names, quoted or not.
    pub fn from_content_type(value: &[u8]) -> Result<Self, MultipartError> {
        let text = std::str::from_utf8(value).map_err(|_| MultipartError::NotMultipart)?;
        let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
        if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(MultipartError::NotMultipart);
        }
        let mut found = None;
        for parameter in Parameters(parameters) {
            let (name, value) = parameter.map_err(|_| MultipartError::BadBoundary)?;
            if name.eq_ignore_ascii_case("boundary") && found.replace(value.decode(Backslash::Any)).is_some()
            {
                return Err(MultipartError::BadBoundary);
            }
        }
        Self::new(&found.ok_or(MultipartError::BadBoundary)?)
    }

    /// The text between the dashes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The header of one part, as far as forms have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHead {
    /// The field's name. Not unique: names may repeat.
    pub name: String,
    /// The file's display name when the part is a file: no path, no control characters, possibly empty.
    pub file_name: Option<String>,
    /// `Content-Type`, when the part has one that is clean ASCII.
    pub media_type: Option<String>,
}

/// What the parser found, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    Part(PartHead),
    /// The next bytes of the present part, never empty: a slice of the chunk that was fed, but for the few bytes
    /// that looked like a delimiter across the seam of two chunks.
    Data(Bytes),
    /// The present part is whole.
    PartEnd,
    /// The closing delimiter: no part follows. The body may still have an epilogue.
    End,
}

/// The parser of one body.
#[derive(Debug)]
pub struct Parser {
    state: State,
    /// What was fed and not yet looked at.
    input: Bytes,
    /// The bytes that `matcher` has taken: the beginning of a delimiter, perhaps. Empty while it is at rest; at
    /// most delimiter + padding + 2 long.
    held: BytesMut,
    matcher: Matcher,
    /// `CRLF -- boundary`. A carriage return stands at its beginning and nowhere else, so nothing but a new start
    /// can begin inside a failed match.
    delimiter: Box<[u8]>,
    finder: Finder<'static>,
    /// The header block of the present part, as far as it came in earlier chunks.
    header: Vec<u8>,
    /// How much of CRLF CRLF the header block ends in.
    header_end: usize,
    /// Bytes of preamble or epilogue.
    margin: usize,
    parts: usize,
    limits: ParserLimits,
    /// Bytes that were compared, to prove linear time.
    #[cfg(test)]
    work: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    Header,
    Data,
    /// A delimiter ended the data; `PartEnd` is due.
    PartEnd {
        last: bool,
    },
    /// The closing delimiter was seen; `End` is due.
    End,
    Epilogue,
}

impl Parser {
    /// A parser at the beginning of a body.
    pub fn new(boundary: &Boundary, limits: ParserLimits) -> Self {
        let delimiter: Box<[u8]> = format!("\r\n--{}", boundary.as_str()).into_bytes().into();
        Self {
            state: State::Preamble,
            input: Bytes::new(),
            // The first delimiter may stand at the very beginning, as if a line had ended just before.
            held: BytesMut::from(&b"\r\n"[..]),
            matcher: Matcher { matched: 2, tail: Tail::Start },
            finder: Finder::new(&delimiter).into_owned(),
            delimiter,
            header: Vec::new(),
            header_end: 0,
            margin: 0,
            parts: 0,
            limits,
            #[cfg(test)]
            work: 0,
        }
    }

    /// Hands over the next chunk. Take events until there are none before the next one.
    pub fn feed(&mut self, chunk: Bytes) {
        if self.input.is_empty() {
            self.input = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(self.input.len() + chunk.len());
            joined.extend_from_slice(&self.input);
            joined.extend_from_slice(&chunk);
            self.input = joined.freeze();
        }
    }

    /// The next event, or none until more is fed. After an error the parser is of no more use.
    pub fn next_event(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            match self.state {
                State::PartEnd { last } => {
                    self.state = if last { State::End } else { State::Header };
                    return Ok(Some(Event::PartEnd));
                }
                State::End => {
                    self.state = State::Epilogue;
                    self.margin = 0;
                    return Ok(Some(Event::End));
                }
                _ if self.input.is_empty() => return Ok(None),
                State::Epilogue => {
                    self.margin += self.input.len();
                    self.input.clear();
                    if self.margin > MAX_MARGIN {
                        return Err(MultipartError::LongEpilogue);
                    }
                }
                State::Header if self.parts > self.limits.max_parts => {
                    return Err(MultipartError::TooManyParts);
                }
                State::Header => {
                    if let Some(head) = self.header_block()? {
                        self.state = State::Data;
                        return Ok(Some(Event::Part(head)));
                    }
                }
                State::Preamble => {
                    if let Some(skipped) = self.content() {
                        self.margin += skipped.len();
                        if self.margin > MAX_MARGIN {
                            return Err(MultipartError::NoDelimiter);
                        }
                    }
                }
                State::Data => {
                    if let Some(data) = self.content() {
                        return Ok(Some(Event::Data(data)));
                    }
                }
            }
        }
    }

    /// The body has ended: whether it was a whole form.
    pub fn finish(&self) -> Result<(), MultipartError> {
        match self.state {
            State::End | State::Epilogue => Ok(()),
            // As long as all of it was the beginning of a delimiter, it was cut and not wrong.
            State::Preamble if self.margin > 0 => Err(MultipartError::NoDelimiter),
            _ => Err(MultipartError::Truncated),
        }
    }

    /// Looks for the next delimiter. Returns content that comes before it, or none when the state has changed or
    /// the input is used up.
    fn content(&mut self) -> Option<Bytes> {
        if self.held.is_empty() { self.content_in_chunk() } else { self.content_at_seam() }
    }

    /// The fast path: nothing is held, so the chunk is searched where it lies.
    fn content_in_chunk(&mut self) -> Option<Bytes> {
        let mut from = 0;
        loop {
            let found = self.finder.find(&self.input[from..]).map(|at| from + at);
            // Without a whole delimiter line, the chunk may still end in the beginning of one.
            let seam = self.input.len().saturating_sub(self.delimiter.len() - 1).max(from);
            let start = found.or_else(|| memchr::memrchr(b'\r', &self.input[seam..]).map(|at| seam + at));
            self.count(found.map_or(self.input.len(), |at| at + self.delimiter.len()) - from);
            let Some(start) = start else {
                return Some(std::mem::take(&mut self.input));
            };

            let mut matcher = Matcher::default();
            let mut end = start;
            let verdict = loop {
                let Some(&byte) = self.input.get(end) else { break Verdict::More };
                match matcher.push(byte, &self.delimiter) {
                    Verdict::More => end += 1,
                    Verdict::No => break Verdict::No,
                    verdict => {
                        end += 1;
                        break verdict;
                    }
                }
            };
            self.count(end - start);
            match verdict {
                // A look-alike. What follows is searched in the same chunk, so that it does not fall to pieces.
                Verdict::No => from = if found.is_some() { start + self.delimiter.len() } else { end },
                Verdict::More => {
                    let content = self.input.split_to(start);
                    self.held.extend_from_slice(&self.input);
                    self.input.clear();
                    self.matcher = matcher;
                    return (!content.is_empty()).then_some(content);
                }
                Verdict::Delimiter { last } => {
                    let content = self.input.split_to(start);
                    drop(self.input.split_to(end - start));
                    self.delimited(last);
                    return (!content.is_empty()).then_some(content);
                }
            }
            if from >= self.input.len() {
                return Some(std::mem::take(&mut self.input));
            }
        }
    }

    /// The slow path, for the few bytes after a seam: an earlier chunk ended in what may be a delimiter.
    fn content_at_seam(&mut self) -> Option<Bytes> {
        let mut taken = 0;
        let verdict = loop {
            let Some(&byte) = self.input.get(taken) else { break Verdict::More };
            match self.matcher.push(byte, &self.delimiter) {
                Verdict::More => taken += 1,
                Verdict::No => break Verdict::No,
                verdict => {
                    taken += 1;
                    break verdict;
                }
            }
        };
        self.count(taken + 1);
        self.held.extend_from_slice(&self.input.split_to(taken));
        match verdict {
            Verdict::More => None,
            Verdict::Delimiter { last } => {
                self.held.clear();
                self.delimited(last);
                None
            }
            Verdict::No => {
                // The last byte held can itself begin a delimiter, when it was taken for the end of the padding.
                let restart = self.matcher.tail == Tail::Return;
                let keep = self.held.len() - usize::from(restart);
                let content = self.held.split_to(keep).freeze();
                self.matcher = Matcher { matched: usize::from(restart), tail: Tail::Start };
                (!content.is_empty()).then_some(content)
            }
        }
    }

    fn delimited(&mut self, last: bool) {
        self.matcher = Matcher::default();
        self.header.clear();
        // The line end of the delimiter counts: a part without any header has one more and no third.
        self.header_end = 2;
        self.parts += usize::from(!last);
        self.state = match (self.state, last) {
            (State::Preamble, false) => State::Header,
            (State::Preamble, true) => State::End,
            (_, last) => State::PartEnd { last },
        };
    }

    /// Takes header bytes up to the empty line. None while it has not come.
    fn header_block(&mut self) -> Result<Option<PartHead>, MultipartError> {
        let mut taken = 0;
        while self.header_end < 4 && taken < self.input.len() {
            self.header_end = match (self.input[taken], self.header_end) {
                (b'\r', 2) => 3,
                (b'\r', _) => 1,
                (b'\n', 1) => 2,
                (b'\n', 3) => 4,
                _ => 0,
            };
            taken += 1;
            if self.header.len() + taken > self.limits.max_part_header {
                return Err(MultipartError::HeaderTooLarge);
            }
        }
        self.count(taken);
        let block = self.input.split_to(taken);
        if self.header_end < 4 {
            self.header.extend_from_slice(&block);
            return Ok(None);
        }
        if self.header.is_empty() {
            return PartHead::parse(&block).map(Some);
        }
        self.header.extend_from_slice(&block);
        PartHead::parse(&std::mem::take(&mut self.header)).map(Some)
    }

    #[cfg(test)]
    fn count(&mut self, bytes: usize) {
        self.work += bytes;
    }

    #[cfg(not(test))]
    fn count(&mut self, _bytes: usize) {}
}

/// Compares one byte after another with a delimiter line.
#[derive(Clone, Copy, Debug, Default)]
struct Matcher {
    /// Bytes of the delimiter that were seen.
    matched: usize,
    /// What was seen after the whole delimiter.
    tail: Tail,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tail {
    #[default]
    Start,
    Dash,
    Padding(usize),
    Return,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// So far, so good.
    More,
    /// That byte completed a delimiter line.
    Delimiter { last: bool },
    /// That byte does not belong to a delimiter; it was not taken.
    No,
}

impl Matcher {
    fn push(&mut self, byte: u8, delimiter: &[u8]) -> Verdict {
        if let Some(&expected) = delimiter.get(self.matched) {
            if byte != expected {
                return Verdict::No;
            }
            self.matched += 1;
            return Verdict::More;
        }
        self.tail = match (self.tail, byte) {
            (Tail::Start, b'-') => Tail::Dash,
            (Tail::Dash, b'-') => return Verdict::Delimiter { last: true },
            (Tail::Start, b' ' | b'\t') => Tail::Padding(1),
            (Tail::Padding(n), b' ' | b'\t') if n < MAX_PADDING => Tail::Padding(n + 1),
            (Tail::Start | Tail::Padding(_), b'\r') => Tail::Return,
            (Tail::Return, b'\n') => return Verdict::Delimiter { last: false },
            _ => return Verdict::No,
        };
        Verdict::More
    }
}

impl PartHead {
    /// Reads a header block that ends in an empty line.
    fn parse(block: &[u8]) -> Result<Self, MultipartError> {
        let mut disposition = None;
        let mut media_type = None;
        for line in header_lines(block)? {
            // Pages in an old encoding send names in it; what is not UTF-8 is shown as such and does no harm.
            let line = String::from_utf8_lossy(&line);
            let (name, value) = line.split_once(':').ok_or(MultipartError::BadHeader)?;
            let (name, value) = (name.trim_end(), value.trim());
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(MultipartError::BadHeader);
            }
            if name.eq_ignore_ascii_case("content-disposition") {
                if disposition.replace(Disposition::parse(value)?).is_some() {
                    return Err(MultipartError::BadHeader);
                }
            } else if name.eq_ignore_ascii_case("content-type") {
                media_type = clean_media_type(value);
            } else if name.eq_ignore_ascii_case("content-transfer-encoding")
                && !["binary", "8bit", "7bit"].iter().any(|known| value.eq_ignore_ascii_case(known))
            {
                return Err(MultipartError::TransferEncoding);
            }
        }
        let Disposition { name, file_name } = disposition.ok_or(MultipartError::NoName)?;
        Ok(Self { name, file_name, media_type })
    }
}

/// The media type as it may be stored and sent back: visible ASCII with a slash, at most 255 bytes.
pub fn clean_media_type(value: &str) -> Option<String> {
    let clean = value.len() <= 255
        && value.contains('/')
        && !value.starts_with('/')
        && value.bytes().all(|b| (b' '..=b'~').contains(&b));
    clean.then(|| value.to_owned())
}

/// What is left of a client's file name when it is only words (promise 6): the last component of a DOS or UNIX
/// path, without control characters and without the marks that turn the direction of text around, at most 255
/// characters. Empty when nothing is left.
pub fn display_name(raw: &str) -> String {
    let last = raw.rsplit(['/', '\\']).next().unwrap_or_default();
    let harmless = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let name: String = last.chars().filter(harmless).take(MAX_NAME_CHARS).collect();
    let name = name.trim();
    if name == "." || name == ".." { String::new() } else { name.to_owned() }
}

/// What is left of a client's path inside a folder when it is only words: its parts as [`display_name`] leaves them,
/// with `/` between, at most 4096 bytes. Empty when no folder is named: some clients write `null` for none.
pub fn display_path(raw: &str) -> String {
    let parts = raw.split(['/', '\\']).map(display_name).filter(|part| !part.is_empty());
    let parts: Vec<_> = parts.take(MAX_PATH / 2).collect();
    let path = parts.join("/");
    if parts.len() < 2 || path.len() > MAX_PATH { String::new() } else { path }
}

/// The file name in a request's own `Content-Disposition` (RFC 6266), as words; None when there is none, or none that
/// can be read.
pub fn disposition_file_name(value: &str) -> Option<String> {
    let (_kind, parameters) = value.split_once(';')?;
    let (mut plain, mut extended) = (None, None);
    for parameter in Parameters(parameters) {
        let (key, value) = parameter.ok()?;
        if key.eq_ignore_ascii_case("filename") {
            plain = Some(value.decode(Backslash::Any));
        } else if key.eq_ignore_ascii_case("filename*") {
            extended = extended_value(value.raw);
        }
    }
    extended.or(plain).map(|raw| display_name(&raw)).filter(|name| !name.is_empty())
}

struct Disposition {
    name: String,
    file_name: Option<String>,
}

impl Disposition {
    fn parse(value: &str) -> Result<Self, MultipartError> {
        let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(MultipartError::NoName);
        }
        let (mut name, mut plain, mut extended) = (None, None, None);
        for parameter in Parameters(parameters) {
            let (key, value) = parameter?;
            let seen_before = if key.eq_ignore_ascii_case("name") {
                name.replace(without_controls(&undo_form_escapes(&value.decode(Backslash::Quote)))).is_some()
            } else if key.eq_ignore_ascii_case("filename") {
                plain.replace(undo_form_escapes(&value.decode(Backslash::Quote))).is_some()
            } else if key.eq_ignore_ascii_case("filename*") {
                extended.replace(extended_value(value.raw)).is_some()
            } else {
                false
            };
            // Two of one kind: whoever looks at the request before us may have taken the other one.
            if seen_before {
                return Err(MultipartError::BadHeader);
            }
        }
        let file_name = extended.flatten().or(plain).map(|raw| display_name(&raw));
        Ok(Self { name: name.ok_or(MultipartError::NoName)?, file_name })
    }
}

/// `; key=value; key="value"` one by one.
struct Parameters<'a>(&'a str);

/// A parameter's value as it stands in the header.
struct Value<'a> {
    /// Without the quotes, if there were any.
    raw: &'a str,
    quoted: bool,
}

/// What a backslash in a quoted value makes literal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backslash {
    /// Any character, as HTTP has it.
    Any,
    /// Quotes and backslashes only: browsers send the backslashes of DOS paths as they are.
    Quote,
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<(&'a str, Value<'a>), MultipartError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            self.0 = "";
            return None;
        }
        let parsed = parameter(rest);
        self.0 = parsed.as_ref().map_or("", |(_, _, rest)| rest);
        Some(parsed.map(|(key, value, _)| (key, value)))
    }
}

fn parameter(text: &str) -> Result<(&str, Value<'_>, &str), MultipartError> {
    let (key, rest) = text.split_once('=').ok_or(MultipartError::BadHeader)?;
    let (key, rest) = (key.trim_end(), rest.trim_start());
    if key.is_empty() || !key.bytes().all(is_token) {
        return Err(MultipartError::BadHeader);
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let (raw, rest) = rest.split_once(';').unwrap_or((rest, ""));
        return Ok((key, Value { raw: raw.trim_end(), quoted: false }, rest));
    };
    let close = closing_quote(quoted).ok_or(MultipartError::BadHeader)?;
    let (raw, rest) = (&quoted[..close], quoted[close + 1..].trim_start());
    if rest.is_empty() || rest.starts_with(';') {
        Ok((key, Value { raw, quoted: true }, rest))
    } else {
        Err(MultipartError::BadHeader)
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    // Browsers do not escape backslashes, so the last quote of the line may follow one and still be the end.
    text.ends_with("\\\"").then(|| text.len() - 1)
}

impl Value<'_> {
    fn decode(&self, backslash: Backslash) -> String {
        if !self.quoted {
            return self.raw.to_owned();
        }
        let mut decoded = String::with_capacity(self.raw.len());
        let mut characters = self.raw.chars().peekable();
        while let Some(c) = characters.next() {
            let literal = |next: &char| backslash == Backslash::Any || matches!(next, '"' | '\\');
            match (c, characters.next_if(|next| c == '\\' && literal(next))) {
                (_, Some(escaped)) => decoded.push(escaped),
                (c, None) => decoded.push(c),
            }
        }
        decoded
    }
}

/// Browsers write quotes and line ends in names as `%22`, `%0D` and `%0A` and nothing else (HTML, "multipart/
/// form-data encoding algorithm").
fn undo_form_escapes(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    text.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
        .replace("%0d", "\r")
        .replace("%0a", "\n")
}

fn without_controls(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// `UTF-8'en'percent-encoded` of RFC 8187. None when it is something else: the plain name is used then.
fn extended_value(raw: &str) -> Option<String> {
    let (charset, rest) = raw.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(encoded).collect();
    if charset.eq_ignore_ascii_case("utf-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case("iso-8859-1") {
        Some(bytes.into_iter().map(char::from).collect())
    } else {
        None
    }
}

/// The lines of a header block, folded ones joined.
fn header_lines(block: &[u8]) -> Result<Vec<Vec<u8>>, MultipartError> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut rest = block;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n").ok_or(MultipartError::BadHeader)?;
        let (line, after) = (&rest[..end], &rest[end + 2..]);
        rest = after;
        if line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(MultipartError::BadHeader);
        }
        match (line.first(), lines.last_mut()) {
            (None, _) => {}
            (Some(b' ' | b'\t'), Some(folded)) => folded.extend_from_slice(line),
            (Some(b' ' | b'\t'), None) => return Err(MultipartError::BadHeader),
            _ => lines.push(line.to_vec()),
        }
    }
    Ok(lines)
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const B: &str = "----WebKitFormBoundaryx0y1z2";

    fn boundary() -> Boundary {
        Boundary::new(B).unwrap()
    }

    #[test]
    fn the_file_name_of_a_request() {
        let check = |value: &str| disposition_file_name(value);
        assert_eq!(check("inline; filename=a.txt").as_deref(), Some("a.txt"));
        assert_eq!(check(r#"attachment; filename="a \"b\".txt""#).as_deref(), Some("a \"b\".txt"));
        assert_eq!(check("inline; filename=\"x\"; filename*=UTF-8''%C3%A9.txt").as_deref(), Some("é.txt"));
        assert_eq!(check("inline; filename=../../etc/passwd").as_deref(), Some("passwd"));
        for none in [
            "",
            "inline",
            "inline;",
            "inline; filename=",
            "inline; filename=\"",
            "inline; =x",
            "inline; filename=..",
            "inline; filename*=UTF-8''%2e%2e%2f%00",
        ] {
            assert_eq!(check(none), None, "{none:?}");
        }
    }

    /// Feeds the chunks and joins the data, so that where the chunks were cut must not matter.
    fn parse_chunks<'a>(
        parser: &mut Parser,
        chunks: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<Event>, MultipartError> {
        let mut events: Vec<Event> = Vec::new();
        for chunk in chunks {
            parser.feed(Bytes::copy_from_slice(chunk));
            while let Some(event) = parser.next_event()? {
                match (event, events.last_mut()) {
                    (Event::Data(more), Some(Event::Data(data))) => {
                        assert!(!more.is_empty());
                        *data = [data.as_ref(), &more].concat().into();
                    }
                    (event, _) => events.push(event),
                }
            }
        }
        parser.finish().map(|()| events)
    }

    fn parse(body: &[u8]) -> Result<Vec<Event>, MultipartError> {
        parse_chunks(&mut Parser::new(&boundary(), ParserLimits::default()), std::iter::once(body))
    }

    fn head(name: &str, file_name: Option<&str>, media_type: Option<&str>) -> PartHead {
        PartHead {
            name: name.to_owned(),
            file_name: file_name.map(str::to_owned),
            media_type: media_type.map(str::to_owned),
        }
    }

    fn part(head: PartHead, data: &[u8]) -> Vec<Event> {
        let data = (!data.is_empty()).then(|| Event::Data(Bytes::copy_from_slice(data)));
        [Event::Part(head)].into_iter().chain(data).chain([Event::PartEnd]).collect()
    }

    fn form(parts: &[Vec<Event>]) -> Vec<Event> {
        let mut events = parts.concat();
        events.push(Event::End);
        events
    }

    /// A body with one part of this data.
    fn body_of(data: &[u8]) -> Vec<u8> {
        let open = format!("--{B}\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n");
        [open.as_bytes(), data, format!("\r\n--{B}--\r\n").as_bytes()].concat()
    }

    fn header_of(line: &str) -> Result<PartHead, MultipartError> {
        PartHead::parse(format!("{line}\r\n\r\n").as_bytes())
    }

    fn file_name_of(parameters: &str) -> Option<String> {
        header_of(&format!("Content-Disposition: form-data; name=\"f\"; {parameters}")).unwrap().file_name
    }

    #[test]
    fn a_form_as_browsers_send_it_split_at_every_byte() {
        let body = format!(
            "--{B}\r\nContent-Disposition: form-data; name=\"before\"\r\n\r\nfirst\r\n\
             --{B}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"ä b.bin\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n\r\n--\r\n--{B}\rX\r\n--{B}-X\r\n\r\n--{B} \t\r\r\n\
             --{B}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"empty\"\r\n\r\n\r\n\
             --{B} \t \r\nContent-Disposition: form-data; name=\"after\"\r\n\r\nlast\r\n--{B}--\r\nepilogue"
        );
        let look_alikes = format!("\r\n--\r\n--{B}\rX\r\n--{B}-X\r\n\r\n--{B} \t\r");
        let expected = form(&[
            part(head("before", None, None), b"first"),
            part(head("file", Some("ä b.bin"), Some("application/octet-stream")), look_alikes.as_bytes()),
            part(head("file", Some("empty"), None), b""),
            part(head("after", None, None), b"last"),
        ]);
        let body = body.as_bytes();
        assert_eq!(parse(body).unwrap(), expected);
        let parser = || Parser::new(&boundary(), ParserLimits::default());
        for at in 0..=body.len() {
            let halves = [&body[..at], &body[at..]];
            assert_eq!(parse_chunks(&mut parser(), halves.into_iter()).unwrap(), expected, "cut at {at}");
        }
        for size in 1..80 {
            assert_eq!(parse_chunks(&mut parser(), body.chunks(size)).unwrap(), expected, "chunks of {size}");
        }
    }

    #[test]
    fn data_is_a_slice_of_the_chunk_it_came_in() {
        let mut parser = Parser::new(&boundary(), ParserLimits::default());
        let chunk = Bytes::from(body_of(&[b'x'; 5000]));
        parser.feed(chunk.clone());
        let mut found = None;
        while let Some(event) = parser.next_event().unwrap() {
            if let Event::Data(data) = event {
                found = Some(data);
            }
        }
        let (data, whole) = (found.unwrap().as_ptr_range(), chunk.as_ptr_range());
        assert!(whole.start < data.start && data.end < whole.end);
    }

    #[test]
    fn every_body_cut_short_is_truncated_and_none_is_whole() {
        let body = body_of(b"data\r\n--not the boundary");
        let end = body.len() - 2;
        for cut in 0..end {
            assert_eq!(parse(&body[..cut]).unwrap_err(), MultipartError::Truncated, "cut at {cut}");
        }
        assert!(parse(&body[..end]).is_ok(), "the line end after the last boundary may be missing");
    }

    #[test]
    fn a_preamble_and_an_epilogue_are_skipped_and_bounded() {
        let whole = parse(&body_of(b"data")).unwrap();
        let around = |before: &str, after: &str| {
            parse(&[before.as_bytes(), &body_of(b"data"), after.as_bytes()].concat())
        };
        assert_eq!(around("This is a message with parts.\r\n", "More.\r\n").unwrap(), whole);
        assert_eq!(around("\r\n", "").unwrap(), whole);
        let long = "x".repeat(MAX_MARGIN + 1);
        assert_eq!(around(&format!("{long}\r\n"), "").unwrap_err(), MultipartError::NoDelimiter);
        assert_eq!(around("", &long).unwrap_err(), MultipartError::LongEpilogue);
    }

    #[test]
    fn a_form_without_parts_is_a_form() {
        assert_eq!(parse(format!("--{B}--\r\n").as_bytes()).unwrap(), [Event::End]);
    }

    #[test]
    fn line_feeds_alone_delimit_nothing() {
        let unix = String::from_utf8(body_of(b"data")).unwrap().replace("\r\n", "\n");
        assert_eq!(parse(unix.as_bytes()).unwrap_err(), MultipartError::NoDelimiter);
        // Only the first delimiter is right: the rest is its header.
        let half = unix.replacen('\n', "\r\n", 1);
        assert!(parse(half.as_bytes()).is_err());
        let lone = header_of("Content-Disposition: form-data; name=\"f\"\nX-Smuggled: 1");
        assert_eq!(lone.unwrap_err(), MultipartError::BadHeader);
    }

    #[test]
    fn a_body_that_is_no_form_is_wrong_and_not_cut() {
        assert_eq!(parse(b"name=value&other=value").unwrap_err(), MultipartError::NoDelimiter);
        assert_eq!(parse(&vec![0; 3 * MAX_MARGIN]).unwrap_err(), MultipartError::NoDelimiter);
        assert_eq!(parse(b"").unwrap_err(), MultipartError::Truncated);
    }

    #[test]
    fn boundaries_follow_the_grammar() {
        let found = |value: &str| Boundary::from_content_type(value.as_bytes()).map(|b| b.0);
        let ok = [
            ("multipart/form-data; boundary=abc", "abc"),
            ("Multipart/Form-Data;BOUNDARY=\"a b:c\"", "a b:c"),
            ("multipart/form-data; charset=utf-8; boundary=----x/y=z", "----x/y=z"),
            ("multipart/form-data; boundary=\"with \\\"q\"; x=1", ""),
            ("multipart/form-data ; boundary = abc ;", "abc"),
        ];
        for (value, expected) in ok {
            match expected {
                "" => assert_eq!(found(value), Err(MultipartError::BadBoundary), "{value}"),
                expected => assert_eq!(found(value).as_deref(), Ok(expected), "{value}"),
            }
        }
        let (longest, longer) = ("x".repeat(70), "x".repeat(71));
        assert!(found(&format!("multipart/form-data; boundary={longest}")).is_ok());
        for wrong in [
            "multipart/form-data",
            "multipart/form-data; boundary",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"\"",
            "multipart/form-data; boundary=\"trailing \"",
            "multipart/form-data; boundary=\"open",
            "multipart/form-data; boundary=a\"b",
            "multipart/form-data; boundary=ä",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; boundary=\"a\"b",
            &format!("multipart/form-data; boundary={longer}"),
        ] {
            assert_eq!(found(wrong), Err(MultipartError::BadBoundary), "{wrong}");
        }
        for other in ["", "text/plain", "multipart/mixed; boundary=a", "application/x-www-form-urlencoded"] {
            assert_eq!(found(other), Err(MultipartError::NotMultipart), "{other}");
        }
    }

    #[test]
    fn names_as_browsers_write_them() {
        for (parameter, expected) in [
            ("filename=\"plain.txt\"", "plain.txt"),
            ("FileName=token.txt", "token.txt"),
            ("filename=\"hello é 世界 🚢.txt\"", "hello é 世界 🚢.txt"),
            ("filename=\"semi;colon=1.txt\"", "semi;colon=1.txt"),
            // Chromium, Firefox and WebKit today; Firefox before 2021 and curl.
            ("filename=\"say %22hi%22.txt\"", "say \"hi\".txt"),
            ("filename=\"say \\\"hi\\\".txt\"", "say \"hi\".txt"),
            ("filename=\"100%25 %41.txt\"", "100%25 %41.txt"),
            ("filename=\"ends in a backslash\\\"", ""),
            // Paths, as some browsers and clients send them.
            ("filename=\"C:\\Users\\x\\a.txt\"", "a.txt"),
            ("filename=\"\\\\server\\share\\a.txt\"", "a.txt"),
            ("filename=\"folder/sub/a.txt\"", "a.txt"),
            ("filename=\"../../etc/passwd\"", "passwd"),
            ("filename=\"..\"", ""),
            ("filename=\".\"", ""),
            ("filename=\"\"", ""),
            ("filename=", ""),
            ("filename=\".hidden\"", ".hidden"),
            // What would break a header, a terminal or a person's eye.
            ("filename=\"a%0D%0ASet-Cookie: x%0d%0a\"", "aSet-Cookie: x"),
            ("filename=\"a\u{7}\u{1b}[31mb\"", "a[31mb"),
            ("filename=\"invoice\u{202e}fdp.exe\"", "invoicefdp.exe"),
            // RFC 8187, preferred when it is sound.
            ("filename=\"x.txt\"; filename*=UTF-8''na%C3%AFve%20file.txt", "naïve file.txt"),
            ("filename*=utf-8'en'%2e%2e%2fa.txt; filename=\"x\"", "a.txt"),
            ("filename*=iso-8859-1''%A3.txt", "£.txt"),
            ("filename=\"x.txt\"; filename*=UTF-8''%FF", "x.txt"),
            ("filename=\"x.txt\"; filename*=koi8-r''a", "x.txt"),
            ("filename=\"x.txt\"; filename*=broken", "x.txt"),
        ] {
            assert_eq!(file_name_of(parameter).as_deref(), Some(expected), "{parameter}");
        }
        let long = file_name_of(&format!("filename=\"{}\"", "é".repeat(4000))).unwrap();
        assert_eq!(long.chars().count(), MAX_NAME_CHARS);
        assert_eq!(file_name_of("x=1"), None);
    }

    #[test]
    fn headers_as_clients_write_them() {
        let block = b"content-type : text/plain; charset=utf-8\r\nX-Other: \xff\r\nContent-Transfer-Encoding: 8bit\r\n\
            CONTENT-DISPOSITION: form-data;\r\n name=\"folded\r\n header\"; filename=a\r\n\r\n";
        let expected = head("folded header", Some("a"), Some("text/plain; charset=utf-8"));
        assert_eq!(PartHead::parse(block).unwrap(), expected);
        let ty = |value: &str| {
            let line = format!("Content-Disposition: form-data; name=f\r\nContent-Type: {value}");
            header_of(&line).unwrap().media_type
        };
        assert_eq!(ty("image/png").as_deref(), Some("image/png"));
        for odd in
            ["", "nonsense", "/x", "text/\u{e4}", "text/plain\u{7f}", &format!("a/{}", "b".repeat(300))]
        {
            assert_eq!(ty(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn headers_that_are_none() {
        use MultipartError as E;
        for (line, error) in [
            ("no colon", E::BadHeader),
            (": value", E::BadHeader),
            ("spaced name: value", E::BadHeader),
            (" folded: first", E::BadHeader),
            ("Content-Disposition: form-data; name=\"a\rb\"", E::BadHeader),
            ("Content-Disposition: form-data; name=\"a\0b\"", E::BadHeader),
            ("Content-Disposition: form-data; name=\"open", E::BadHeader),
            ("Content-Disposition: form-data; name=\"a\"b", E::BadHeader),
            ("Content-Disposition: form-data; name=\"a\"; name=\"b\"", E::BadHeader),
            ("Content-Disposition: form-data; name=a; filename=b; filename=c", E::BadHeader),
            (
                "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
                E::BadHeader,
            ),
            ("Content-Disposition: form-data", E::NoName),
            ("Content-Disposition: attachment; name=\"a\"", E::NoName),
            ("Content-Type: text/plain", E::NoName),
            (
                "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
                E::TransferEncoding,
            ),
        ] {
            assert_eq!(header_of(line), Err(error), "{line:?}");
        }
        assert_eq!(PartHead::parse(b"\r\n"), Err(E::NoName));
    }

    #[test]
    fn giant_headers_are_refused_before_they_are_kept() {
        let start = format!("--{B}\r\nContent-Disposition: form-data; name=\"");
        let fill = "n".repeat(1000);
        for size in [7, 1000, 1 << 20] {
            let mut parser = Parser::new(&boundary(), ParserLimits::default());
            let body = start.bytes().chain(fill.bytes().cycle().take(1 << 20)).collect::<Vec<_>>();
            let refused = parse_chunks(&mut parser, body.chunks(size));
            assert_eq!(refused.unwrap_err(), MultipartError::HeaderTooLarge);
            assert!(parser.header.capacity() <= 64 << 10);
        }
        let limit = ParserLimits::default().max_part_header;
        let exact = |len: usize| {
            let line = "Content-Disposition: form-data; name=\"\"\r\n\r\n";
            let body = format!("{start}{}\"\r\n\r\n\r\n--{B}--", "n".repeat(len - line.len()));
            parse(body.as_bytes())
        };
        assert!(exact(limit).is_ok());
        assert_eq!(exact(limit + 1).unwrap_err(), MultipartError::HeaderTooLarge);
    }

    #[test]
    fn twenty_thousand_parts_are_refused_at_the_thousand_and_first() {
        let parts = |n: usize| {
            let part = format!("--{B}\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nv\r\n");
            part.repeat(n) + &format!("--{B}--\r\n")
        };
        for size in [100, 1 << 22] {
            let mut parser = Parser::new(&boundary(), ParserLimits::default());
            let body = parts(20_000);
            let refused = parse_chunks(&mut parser, body.as_bytes().chunks(size));
            assert_eq!(refused.unwrap_err(), MultipartError::TooManyParts);
            assert_eq!(parser.parts, 1001);
        }
        let events = parse(parts(1000).as_bytes()).unwrap();
        assert_eq!(events.iter().filter(|event| **event == Event::PartEnd).count(), 1000);
    }

    #[test]
    fn no_body_makes_the_work_more_than_linear() {
        let repeated = |pattern: &str| pattern.bytes().cycle().take(50_000).collect::<Vec<u8>>();
        let padding = " ".repeat(MAX_PADDING);
        let traps = [
            repeated("\r"),
            repeated("\r\n"),
            repeated("\r\n--"),
            repeated(&format!("\r\n--{}", &B[..B.len() - 1])),
            repeated(&format!("\r\n--{B}.")),
            repeated(&format!("\r\n--{B}-")),
            repeated(&format!("\r\n--{B}\r")),
            repeated(&format!("\r\n--{B}{padding}.")),
            repeated(&format!("\r\n--{B}{padding}\r")),
            repeated("-"),
        ];
        for trap in traps {
            let body = body_of(&trap);
            for size in [1, 2, 31, 33, 300, 4096, usize::MAX] {
                let mut parser = Parser::new(&boundary(), ParserLimits::default());
                let events = parse_chunks(&mut parser, body.chunks(size.min(body.len()))).unwrap();
                assert_eq!(events, form(&[part(head("f", None, None), &trap)]));
                let per_byte = parser.work as f64 / body.len() as f64;
                assert!(per_byte < 3.0, "{per_byte} looks per byte in chunks of {size}");
                assert!(parser.held.capacity() <= 4096, "{}", parser.held.capacity());
            }
        }
    }

    #[test]
    fn look_alikes_do_not_chop_the_data_up() {
        let data = format!("\r\n--{B}x").repeat(1000);
        let mut parser = Parser::new(&boundary(), ParserLimits::default());
        parser.feed(Bytes::from(body_of(data.as_bytes())));
        let mut pieces = 0;
        while let Some(event) = parser.next_event().unwrap() {
            pieces += usize::from(matches!(event, Event::Data(_)));
        }
        assert_eq!(pieces, 1);
    }

    /// One part as a client would write it, with what must be read from it.
    fn any_part() -> impl Strategy<Value = (Vec<u8>, Vec<Event>)> {
        let name = prop_oneof!["[a-z\\[\\] ]{1,12}", "[^\\p{Cc}\"\\\\%]{1,20}"];
        let file = proptest::option::of("[^\\p{Cc}\"\\\\/%\u{2028}-\u{202e}\u{2066}-\u{2069}]{0,30}");
        let media_type = proptest::option::of("[a-z]{1,9}/[a-z.+-]{1,9}");
        (name, file, media_type, any_data(), any::<bool>()).prop_map(
            |(name, file, media_type, data, lower)| {
                let mut block = format!("Content-Disposition: form-data; name=\"{name}\"");
                if let Some(file) = &file {
                    block += &format!("; filename=\"{file}\"");
                }
                if let Some(media_type) = &media_type {
                    block += &format!("\r\nContent-Type: {media_type}");
                }
                if lower {
                    block = block.replacen("Content-Disposition", "content-disposition", 1);
                }
                let shown = file.map(|file| display_name(&file));
                let head = PartHead { name, file_name: shown, media_type };
                let raw = [block.as_bytes(), b"\r\n\r\n", &data].concat();
                (raw, part(head, &data))
            },
        )
    }

    /// Data made of what a delimiter is made of, which is where a parser goes wrong; never a whole delimiter.
    fn any_data() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n--".to_vec()),
            (0..B.len()).prop_map(|n| format!("\r\n--{}", &B[..n]).into_bytes()),
            Just(format!("\r\n--{B}X").into_bytes()),
            Just(format!("\r\n--{B}-x").into_bytes()),
            Just(format!("\r\n--{B} \t \rx").into_bytes()),
            Just(format!("\r\n--{B}{}x", " ".repeat(MAX_PADDING + 1)).into_bytes()),
        ];
        // A piece of another kind after each one, so that two of them cannot complete a delimiter.
        proptest::collection::vec(piece, 0..12)
            .prop_map(|pieces| pieces.join(&b'.'))
            .prop_filter("holds a delimiter", |data| !holds_delimiter(data))
    }

    fn holds_delimiter(data: &[u8]) -> bool {
        memchr::memmem::find(&[data, b"\r\n"].concat(), format!("\r\n--{B}\r\n").as_bytes()).is_some()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_however_it_is_cut(
            parts in proptest::collection::vec(any_part(), 0..5),
            preamble in prop_oneof![Just(""), Just("\r\n"), Just("preamble\r\n")],
            cuts in proptest::collection::vec(1_usize..200, 1..40),
        ) {
            let mut body = preamble.as_bytes().to_vec();
            for (raw, _) in &parts {
                body.extend_from_slice(format!("--{B}\r\n").as_bytes());
                body.extend_from_slice(raw);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(format!("--{B}--\r\n").as_bytes());
            let expected = form(&parts.into_iter().map(|(_, events)| events).collect::<Vec<_>>());
            prop_assert_eq!(&parse(&body).unwrap(), &expected);

            let mut rest = body.as_slice();
            let mut sizes = cuts.iter().cycle();
            let chunks = std::iter::from_fn(|| {
                let size = (*sizes.next()?).min(rest.len());
                let (chunk, after) = rest.split_at(size);
                rest = after;
                (!chunk.is_empty()).then_some(chunk)
            });
            let mut parser = Parser::new(&boundary(), ParserLimits::default());
            prop_assert_eq!(parse_chunks(&mut parser, chunks).unwrap(), expected);
        }

        #[test]
        fn any_bytes_give_the_same_answer_however_they_are_cut(
            body in proptest::collection::vec(any::<u8>(), 0..300).prop_map(|noise| {
                let mut body = body_of(&noise);
                for (at, byte) in noise.iter().enumerate().filter(|(_, byte)| **byte < 8) {
                    let len = body.len();
                    body[(at * 7) % len] = *byte;
                }
                body
            }),
            size in 1_usize..50,
        ) {
            let mut parser = Parser::new(&boundary(), ParserLimits::default());
            prop_assert_eq!(parse_chunks(&mut parser, body.chunks(size)), parse(&body));
        }

        #[test]
        fn no_header_makes_a_name_more_than_words(raw in "\\PC{0,60}", hidden in any::<Vec<u8>>()) {
            for name in [display_name(&raw), display_name(&String::from_utf8_lossy(&hidden))] {
                prop_assert!(!name.contains(['/', '\\', '\0', '\r', '\n']) && name != "." && name != "..");
            }
            let _ = PartHead::parse(&[&hidden[..], b"\r\n\r\n"].concat());
        }
    }
}
