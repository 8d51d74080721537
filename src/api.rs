//! Server functions: questions, never bytes. Bodies of one line; the answers are the server's. Must never decide
//! anything.

use leptos::{
    prelude::*,
    server_fn::{codec::GetUrl, codec::JsonEncoding, error::ServerFnErrorErr},
};

use crate::wire::{ErrorBody, ErrorCode, Limits, ProgressFrame, Receipt, UploadId};
#[cfg(feature = "ssr")]
use crate::{app::serve::ask, server::questions};

/// The server's own count of these uploads (separated by commas): one frame for each, `unknown` for what nobody has
/// heard of yet.
#[server(prefix = "/api", endpoint = "upload_progress", input = GetUrl)]
pub async fn upload_progress(
    /// The progress ids, at most 64.
    ids: String,
) -> Result<Vec<ProgressFrame>, ErrorBody> {
    ask(async |server, visitor| questions::progress(&server, &visitor, &ids).await).await
}

/// What this server allows.
#[server(prefix = "/api", endpoint = "upload_limits", input = GetUrl)]
pub async fn upload_limits() -> Result<Limits, ErrorBody> {
    ask(async |server, _| Ok(questions::limits(&server))).await
}

/// One's own stored uploads, newest first.
#[server(prefix = "/api", endpoint = "list_uploads", input = GetUrl)]
pub async fn list_uploads() -> Result<Vec<Receipt>, ErrorBody> {
    ask(async |server, visitor| questions::uploads(&server, &visitor).await).await
}

/// Deletes one of one's own uploads, for good.
#[server(prefix = "/api", endpoint = "delete_upload")]
pub async fn delete_upload(
    /// Which one.
    id: UploadId,
) -> Result<(), ErrorBody> {
    ask(async |server, visitor| questions::delete(&server, &visitor, &id).await).await
}

impl FromServerFnError for ErrorBody {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        let code = match error {
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) => ErrorCode::Malformed,
            ServerFnErrorErr::Request(_) => ErrorCode::Network,
            ServerFnErrorErr::Deserialization(_) => ErrorCode::BadAnswer,
            _ => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}
