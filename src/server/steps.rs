//! The named steps of an upload's life, at which a test lets the program die or a call fail. They cost nothing unless
//! the build has fail points, which only tests do. Must never know what a step does.
//!
//! What happens at a step is said by the variable `FAILPOINTS` (see the crate `fail`):
//! `sync=return(die)` ends the program where it stands, `write=3*off->return(full)` makes the fourth write fail for
//! want of space, and `return` alone with an input or output error.

use std::io;

/// A staged file is there, and empty.
pub const STAGED: &str = "staged";
/// The row of an upload is in the catalog.
pub const BEGUN: &str = "begun";
/// A writer is entered in the catalog as the one that may write.
pub const TAKEN_UP: &str = "taken-up";
/// Before bytes are written. Can fail.
pub const WRITE: &str = "write";
/// After they were written.
pub const WRITTEN: &str = "written";
/// Before bytes are forced to the medium. Can fail.
pub const SYNC: &str = "sync";
/// After they were.
pub const SYNCED: &str = "synced";
/// Before a checkpoint is committed.
pub const CHECKPOINT: &str = "checkpoint";
/// After it was: from here on its offset may be told.
pub const CHECKPOINTED: &str = "checkpointed";
/// After an upload was sealed: its end is settled.
pub const SEALED: &str = "sealed";
/// Before a whole file is given its final name. Can fail.
pub const RENAME: &str = "rename";
/// After it was.
pub const RENAMED: &str = "renamed";
/// After that name was forced to the medium.
pub const STORED: &str = "stored";
/// All of a request has come and is durable; what becomes of it is still open.
pub const RECEIVED: &str = "received";
/// Before files are entered as complete.
pub const COMPLETE: &str = "complete";
/// After they were: from here on they may be told.
pub const COMPLETED: &str = "completed";
/// Before a finish event is delivered.
pub const DELIVER: &str = "deliver";
/// After it was, and before the catalog knows.
pub const DELIVERED: &str = "delivered";
/// After an upload that will not be complete has ended in the catalog, and before its bytes are removed.
pub const ENDED: &str = "ended";

/// All steps, in the order of an upload's life.
pub const ALL: [&str; 19] = [
    BEGUN,
    TAKEN_UP,
    STAGED,
    WRITE,
    WRITTEN,
    SYNC,
    SYNCED,
    CHECKPOINT,
    CHECKPOINTED,
    SEALED,
    RENAME,
    RENAMED,
    STORED,
    RECEIVED,
    COMPLETE,
    COMPLETED,
    DELIVER,
    DELIVERED,
    ENDED,
];

/// Comes by a step that cannot fail.
pub(super) fn pass(step: &str) {
    let _ = provoked(step);
}

/// Comes by a step that can.
pub(super) fn attempt(step: &str) -> io::Result<()> {
    provoked(step).map_or(Ok(()), Err)
}

fn provoked(step: &str) -> Option<io::Error> {
    // In a build without fail points the next statement is none.
    let _ = step;
    fail::fail_point!(step, |how: Option<String>| Some(match how.as_deref() {
        // No destructor runs, nothing is flushed: what kill -9 does.
        Some("die") => std::process::abort(),
        Some("full") => io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()),
        _ => io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()),
    }));
    None
}

/// Reads from the environment what is to happen at which step, in a build with fail points. To be held as long as it
/// is to happen.
pub fn set_up() -> Option<fail::FailScenario<'static>> {
    fail::has_failpoints().then(fail::FailScenario::setup)
}
