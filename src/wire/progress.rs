//! The server's count of one upload, as it is told to whoever asks. Absolute totals with a sequence number, never
//! increments: a lost or late frame does no harm. Must never know who counts or who asks.

use serde::{Deserialize, Serialize};

use super::{ErrorBody, ProgressId, Receipt};

/// What the server knows of one upload at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressFrame {
    /// The client's id of the upload.
    pub id: ProgressId,
    /// Which try this is, 1, 2, …, as the client said in `Plimsoll-Attempt` (1 when it said nothing). 0 when the
    /// server has heard of no try.
    pub attempt: u32,
    /// Grows with every change, over all tries: of two frames with one id the greater is the newer.
    pub seq: u64,
    /// Where the upload stands.
    pub state: ProgressState,
    /// Bytes of files that the server has counted in this try. Goes back only when the same try was sent again.
    pub received: u64,
    /// Bytes of files that were announced, when the client said so (`Plimsoll-File-Size`, or the length of a raw
    /// body).
    pub size: Option<u64>,
    /// Bytes of the whole request body counted so far, with everything that is not a file.
    pub body_received: u64,
    /// Bytes of the whole request body, when `Content-Length` said so.
    pub body_size: Option<u64>,
    /// Why it failed; present in `failed` and `cancelled` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// What was stored; filled in `done` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
}

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgressState {
    /// The server has not heard of it, or not yet.
    Unknown,
    /// Bytes are being received.
    Receiving,
    /// Everything was received; it is being checked and stored.
    Processing,
    /// Stored: the receipts say what.
    Done,
    /// Ended without being stored: the error says why.
    Failed,
    /// Stopped by its owner.
    Cancelled,
    /// Was given up after its time.
    Expired,
}

impl ProgressState {
    /// Whether nothing more will come for this try.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Expired)
    }
}

impl ProgressFrame {
    /// The answer about an upload that the server has not heard of.
    pub fn unknown(id: ProgressId) -> Self {
        Self {
            id,
            attempt: 0,
            seq: 0,
            state: ProgressState::Unknown,
            received: 0,
            size: None,
            body_received: 0,
            body_size: None,
            error: None,
            receipts: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_json() {
        let frame = ProgressFrame {
            attempt: 1,
            seq: 9,
            state: ProgressState::Receiving,
            received: 1_245_184,
            size: Some(3_000_000),
            body_received: 1_245_300,
            body_size: Some(3_000_195),
            ..ProgressFrame::unknown("abcdefgh12345678".parse().unwrap())
        };
        let json = concat!(
            r#"{"id":"abcdefgh12345678","attempt":1,"seq":9,"state":"receiving","received":1245184,"#,
            r#""size":3000000,"body_received":1245300,"body_size":3000195}"#
        );
        assert_eq!(serde_json::to_string(&frame).unwrap(), json);
        assert_eq!(serde_json::from_str::<ProgressFrame>(json).unwrap(), frame);
    }

    #[test]
    fn terminal_states_are_the_four_ends() {
        use ProgressState::*;
        let ends = [Unknown, Receiving, Processing, Done, Failed, Cancelled, Expired]
            .map(ProgressState::is_terminal);
        assert_eq!(ends, [false, false, false, true, true, true, true]);
    }
}
