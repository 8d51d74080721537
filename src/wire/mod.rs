//! What crosses a boundary: the types that the browser, the server, the terminal client and other people's
//! programs agree on. Knows nothing but `std` and `serde`: no room of ours, no transport, no clock.

pub mod attributes;
pub mod error;
pub mod headers;
pub mod ids;
pub mod limits;
pub mod options;
pub mod progress;
pub mod receipt;

pub use error::{ErrorBody, ErrorCode};
pub use ids::{IdError, ProgressId, UploadId};
pub use limits::Limits;
pub use options::{Dialect, Options, Protocol};
pub use progress::{ProgressFrame, ProgressState};
pub use receipt::{Proof, Receipt, UploadAnswer};
