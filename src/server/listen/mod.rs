//! The accept loop: connections in, a graceful end. Ours rather than axum's own because a server for strangers needs
//! bounds: on connections, on how long a request's head may take, on what is read ahead and on how long an answer may
//! wait to be taken. Must never know a route.

mod connection;
pub mod interim;
mod line;
mod tls;

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::TaskTracker;

use self::{connection::Shared, tls::Tls};
use super::{Server, config::Config};

/// Tasks that a thread runs before it looks again at which connections have something to say. Each of an upload's takes
/// as long as copying a hundred kilobytes: of tokio's own 61 of them, a poll would notice.
const LOOK_AFTER: u32 = 8;

/// How long answers under way (downloads, event streams) may take to end once all uploads have ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Connections that may wait to be accepted: enough that a thousand clients who come at once are not turned away.
const BACKLOG: u32 = 4096;

/// A port that is listened on, and what connections to it must speak.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
    /// One permit for each connection that may be open.
    slots: Arc<Semaphore>,
}

impl Listener {
    /// Listens where the configuration says, with its certificate if it names one.
    ///
    /// # Errors
    /// When the address is taken or not ours, or the certificate cannot be used.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let tls = config.tls.clone().map(Tls::open).transpose()?;
        let tcp = bind(config.addr).with_context(|| format!("cannot listen on {}", config.addr))?;
        let most = config.max_connections.map_or(Semaphore::MAX_PERMITS, |most| most as usize);
        let slots = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Ok(Self { tcp, tls: tls.map(Arc::new), slots })
    }

    /// The address it listens on, with the port that it was given.
    ///
    /// # Errors
    /// When the system does not know, which it always does.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// What a person types to get here.
    ///
    /// # Errors
    /// As [`Self::local_addr`].
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.local_addr()?))
    }

    /// The next connection. While as many are open as may be, the next ones wait in the backlog: they are served
    /// late, not turned away.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = self.tcp.accept().await?;
        Ok((stream, peer, slot))
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Or a restart would have to wait for the connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop` resolves; then takes no more connections or uploads, lets the uploads under way end within the
/// configured grace, and closes the server.
pub async fn serve(listener: Listener, app: Router, server: Arc<Server>, stop: impl Future<Output = ()>) {
    let shared = Arc::new(Shared::new(app, server.clone(), listener.tls.clone()));
    let connections = TaskTracker::new();
    let mut hangup = Hangup::listen(listener.tls.clone());
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer, slot)) => {
                    let shared = shared.clone();
                    connections.spawn(async move {
                        shared.serve(stream, peer).await;
                        drop(slot);
                    });
                }
                Err(error) => after_accept_error(&error).await,
            },
            () = hangup.next() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    tracing::info!(uploads = server.tasks().len(), "stopping: no new uploads, those under way may end");
    let grace = server.config().shutdown_grace;
    connections.close();
    shared.leave();
    // Both at once: connections end as their uploads do.
    let ((), ended) =
        tokio::join!(server.close(grace), tokio::time::timeout(grace + LAST_ANSWERS, connections.wait()));
    if ended.is_err() {
        tracing::warn!(connections = connections.len(), "some connections had to be cut");
        shared.cut();
        connections.wait().await;
    }
}

/// SIGHUP: the certificate has been renewed. Only where there is one; elsewhere the signal keeps its meaning.
struct Hangup(Option<(Signal, Arc<Tls>)>);

impl Hangup {
    fn listen(tls: Option<Arc<Tls>>) -> Self {
        let heard = tls.and_then(|tls| match signal(SignalKind::hangup()) {
            Ok(signal) => Some((signal, tls)),
            Err(error) => {
                tracing::warn!(%error, "SIGHUP cannot be heard: a new certificate needs a restart");
                None
            }
        });
        Self(heard)
    }

    /// Waits for the signal and does what it says.
    async fn next(&mut self) {
        let Some((signal, tls)) = &mut self.0 else { return std::future::pending().await };
        if signal.recv().await.is_none() {
            return std::future::pending().await;
        }
        match tls.reload() {
            Ok(()) => tracing::info!("the certificate was read again; new connections get it"),
            Err(error) => tracing::error!("the certificate stays as it was: {error:#}"),
        }
    }
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

/// The threads that a server runs on. Any other runtime of tokio does as well; on this one polls are answered sooner
/// while uploads come as fast as they can.
///
/// # Errors
/// When the system has no threads for it.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().event_interval(LOOK_AFTER).enable_all().build()
}

/// Lets this process have as many files and connections open as the system allows it at all. What it is given at
/// first (often 1024) is meant for programs that hand file handles to `select`; an upload takes two.
///
/// # Errors
/// When the system does not allow what it says that it allows.
pub fn raise_file_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// Where the system bounds the size of this process's files, what goes beyond is refused as on a full volume, and does
/// not end the process.
///
/// # Errors
/// When the signal cannot be listened for.
pub fn outlive_file_size_limit() -> io::Result<()> {
    // Once it is listened for, it has lost its power; nobody needs to hear it.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// Resolves at SIGTERM or SIGINT.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
