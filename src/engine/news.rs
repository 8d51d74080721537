//! What the page around a widget is told of its files: everything that is worth telling, once each, in the order in
//! which it happened. Recorded only where somebody listens. Must never know who that is.

use crate::wire::{ErrorBody, Receipt};

use super::{
    event::FileId,
    item::{Item, Phase},
    queue::Queue,
};

/// What is known of a file, for whoever is told of it or asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its number in the widget.
    pub id: FileId,
    /// Its name, as it is sent.
    pub name: String,
    /// Its path inside the folder that was picked, with `/`; empty when a single file was picked.
    pub path: String,
    /// Length in bytes, as it is sent.
    pub size: u64,
    /// Length in bytes of the picture that was picked, where it was made smaller
    /// ([`crate::wire::Options::downscale`]); not known any more of an upload from before the page was opened.
    pub original: Option<u64>,
    /// Media type as the browser guesses it; may be empty.
    pub media_type: String,
    /// SHA-256 of its bytes as the browser computed it, 64 lowercase hexadecimal digits, where digests are compared
    /// ([`crate::wire::Options::checksum`]) and from the comparison on. Of a stored file whose receipt tells a digest
    /// the two are equal.
    pub sha256: Option<String>,
}

/// Something that happened to a file, or to all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadEvent {
    /// Files were handed over before everything that works on files was there: so many wait to be taken in, and are
    /// then told of one by one; 0 once none waits any more. Not told where they are taken in at once.
    Waiting {
        /// Files and folders.
        files: u32,
    },
    /// It has entered the list.
    Added {
        /// The file.
        file: FileInfo,
    },
    /// It will not be sent: the rules of the widget, the server's limits or the page itself forbid it.
    Rejected {
        /// The file.
        file: FileInfo,
        /// Why.
        error: ErrorBody,
    },
    /// Its first request is on its way; once more after each time a person had it tried again.
    Started {
        /// The file.
        file: FileInfo,
    },
    /// One of the two counts has changed. Of several changes at one moment the last is told.
    Progress {
        /// The file.
        file: FileInfo,
        /// Bytes that the browser has handed over.
        sent: u64,
        /// Bytes that the server has counted.
        received: u64,
    },
    /// The server has said that it is stored.
    Stored {
        /// The file.
        file: FileInfo,
        /// What the server stored.
        receipt: Receipt,
    },
    /// It failed for good, unless a person has it tried again.
    Failed {
        /// The file.
        file: FileInfo,
        /// Why.
        error: ErrorBody,
    },
    /// It is held.
    Paused {
        /// The file.
        file: FileInfo,
    },
    /// It goes on after it was held.
    Resumed {
        /// The file.
        file: FileInfo,
    },
    /// It was stopped.
    Cancelled {
        /// The file.
        file: FileInfo,
    },
    /// It was taken off the list.
    Removed {
        /// The file.
        file: FileInfo,
    },
    /// It was taken off the list, and is back as it was.
    Restored {
        /// The file.
        file: FileInfo,
        /// What the server stored, if it is stored.
        receipt: Option<Receipt>,
    },
    /// Nothing is left to do.
    Ended {
        /// Stored files, of those still listed.
        done: u32,
        /// Failed, refused or cancelled files, of those still listed.
        failed: u32,
    },
}

impl Queue {
    /// Records what happens from now on, for [`Self::take_news`].
    pub fn listen(&mut self) {
        self.listening = true;
    }

    /// What has happened since the last call. Nothing unless [`Self::listen`] was called.
    pub fn take_news(&mut self) -> Vec<UploadEvent> {
        std::mem::take(&mut self.news)
    }

    /// Tells something of a file.
    pub(super) fn tell(&mut self, at: usize, event: impl FnOnce(FileInfo, &Item) -> UploadEvent) {
        if self.listening {
            let item = &self.items[at];
            self.news.push(event(info(item), item));
        }
    }

    /// What a change of phase is worth telling.
    pub(super) fn tell_phase(&mut self, at: usize, old: &Phase) {
        if !self.listening {
            return;
        }
        let item = &mut self.items[at];
        let file = info(item);
        if *old == Phase::Paused && !item.phase.has_ended() && item.phase != Phase::Paused {
            self.news.push(UploadEvent::Resumed { file: file.clone() });
        }
        let event = match &item.phase {
            Phase::Creating { .. } | Phase::Sending { .. } if !std::mem::replace(&mut item.started, true) => {
                UploadEvent::Started { file }
            }
            Phase::Done { receipt } => UploadEvent::Stored { file, receipt: receipt.clone() },
            Phase::Failed { error, .. } => UploadEvent::Failed { file, error: error.clone() },
            Phase::Rejected { reason } => UploadEvent::Rejected { file, error: reason.clone() },
            Phase::Paused => UploadEvent::Paused { file },
            // What has ended is only taken off the list.
            Phase::Cancelled if !old.has_ended() => UploadEvent::Cancelled { file },
            _ => return,
        };
        if item.phase.has_ended() {
            item.started = false;
        }
        self.news.push(event);
    }

    /// Tells that the counts of a file have changed. Several changes in a row are one.
    pub(super) fn tell_progress(&mut self, at: usize) {
        if !self.listening || self.items[at].phase.request().is_none() {
            return;
        }
        let item = &self.items[at];
        if let Some(UploadEvent::Progress { file, .. }) = self.news.last()
            && file.id == item.id
        {
            self.news.pop();
        }
        let (sent, received) = (item.tally.sent, item.tally.received);
        self.news.push(UploadEvent::Progress { file: info(item), sent, received });
    }
}

pub(super) fn info(item: &Item) -> FileInfo {
    FileInfo {
        id: item.id,
        name: item.meta.name.clone(),
        path: item.meta.path.clone(),
        size: item.meta.size,
        original: item.meta.original,
        media_type: item.meta.media_type.clone(),
        sha256: item.sha256.clone(),
    }
}
