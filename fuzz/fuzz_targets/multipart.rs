//! Any body, cut into chunks of any size, must be read as the same events as in one piece, or fail the same way; and
//! a name must never be more than words. The first byte is the chunk size, the rest the body, its boundary `fuzz`.
//! Must never know the server around the parser.
#![no_main]

#[expect(dead_code, reason = "the parser's whole interface is here, and the target drives a part of it")]
#[path = "../../src/server/multipart.rs"]
mod multipart;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use multipart::{Boundary, Event, MultipartError, Parser, ParserLimits};

fuzz_target!(|data: &[u8]| {
    let Some((&size, body)) = data.split_first() else { return };
    let _ = Boundary::from_content_type(body);
    let whole = parse(body, body.len().max(1));
    let chunked = parse(body, usize::from(size).max(1));
    assert_eq!(whole, chunked);
    for event in whole.into_iter().flatten() {
        if let Event::Part(head) = event {
            let name = head.file_name.unwrap_or_default();
            assert!(!name.contains(['/', '\\', '\0', '\r', '\n']) && name != "." && name != "..");
        }
    }
});

/// The events, with the data of one part joined: where it was cut says nothing.
fn parse(body: &[u8], size: usize) -> Result<Vec<Event>, MultipartError> {
    let boundary = Boundary::new("fuzz")?;
    let mut parser = Parser::new(&boundary, ParserLimits { max_parts: 20, max_part_header: 200 });
    let mut events: Vec<Event> = Vec::new();
    for chunk in body.chunks(size) {
        parser.feed(Bytes::copy_from_slice(chunk));
        while let Some(event) = parser.next_event()? {
            match (event, events.last_mut()) {
                (Event::Data(more), Some(Event::Data(data))) => *data = [&data[..], &more[..]].concat().into(),
                (event, _) => events.push(event),
            }
        }
    }
    parser.finish().map(|()| events)
}
