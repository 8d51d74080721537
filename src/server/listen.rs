//! The accept loop: connections in, a graceful end. Ours rather than axum's own because a server for strangers needs
//! a limit on how long a request's head may take, and a read buffer of a known size. Must never know a route.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower::ServiceExt;

use super::Server;

/// Most bytes that a connection reads ahead of its handler, and so the largest piece a body arrives in. Large enough
/// that a system call is worth its price, small enough that a thousand connections stay cheap.
const READ_BUFFER: usize = 128 * 1024;

/// How long answers under way (downloads, event streams) may take to end once all uploads have ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Connections that may wait to be accepted: enough that a thousand clients who come at once are not turned away.
const BACKLOG: u32 = 4096;

/// Listens on this address.
///
/// # Errors
/// When the address is taken or not ours.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Or a restart would have to wait for the connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop` resolves; then takes no more connections or uploads, lets the uploads under way end within the
/// configured grace, and closes the server.
pub async fn serve(listener: TcpListener, app: Router, server: Arc<Server>, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => connection(stream, peer, &app, &server, &graceful),
                Err(error) => after_accept_error(&error).await,
            },
            () = &mut stop => break,
        }
    }
    drop(listener);
    tracing::info!(uploads = server.tasks().len(), "stopping: no new uploads, those under way may end");
    let grace = server.config().shutdown_grace;
    // Both at once: connections end as their uploads do.
    let ((), answered) =
        tokio::join!(server.close(grace), tokio::time::timeout(grace + LAST_ANSWERS, graceful.shutdown()),);
    if answered.is_err() {
        tracing::warn!("some connections had to be cut");
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    app: &Router,
    server: &Arc<Server>,
    graceful: &GracefulShutdown,
) {
    // Answers are small and awaited: no waiting for more to send. Without it the connection works as well.
    let _ = stream.set_nodelay(true);
    let app = app.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let app = app.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            Ok::<_, Infallible>(app.oneshot(request).await.unwrap_or_else(|never| match never {}))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.config().header_timeout)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Clients go away all the time; what it meant for an upload is logged by the upload itself.
            tracing::debug!(%peer, %error, "connection ended");
        }
    });
}

/// A connection that failed in the backlog is nothing; but out of file descriptors, accepting again at once would
/// only spin.
async fn after_accept_error(error: &io::Error) {
    let of_one_connection = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::Interrupted,
    ];
    if !of_one_connection.contains(&error.kind()) {
        tracing::error!(%error, "cannot accept connections; trying again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Resolves at SIGTERM or SIGINT.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
