//! Accepting connections, and ending them at shutdown.

use crate::{
    listener::{Acceptor, Listener},
    metrics::Metrics,
    session::{self, Closing, Door},
    settings::Settings,
};
use socket2::{SockRef, TcpKeepalive};
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use wasmilter_message::{body::BodyStore, judge::Judge};

/// Waits between attempts to accept while the system has no descriptors or memory for another connection.
const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
const LAST_BACK_OFF: Duration = Duration::from_secs(1);

/// For a temporary failure to reach the mail server when a message was still judged at the end of [`Settings::drain`].
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A peer that is silently gone is noticed after this, and a few probes.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// [`serve_doors`] with one door that is never replaced.
///
/// # Errors
/// As there.
pub async fn serve(
    listener: Listener,
    judge: Arc<dyn Judge>,
    store: Arc<dyn BodyStore>,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (_never_again, doors) = watch::channel(Arc::new(Door { judge, store, settings, metrics }));
    let (opening, seen) = watch::channel(Opening::Open);
    let served = serve_doors(listener, doors, seen);
    tokio::pin!(served, shutdown);
    select! {
        ended = &mut served => return ended,
        () = shutdown => {}
    }
    opening.send_replace(Opening::Closed);
    served.await
}

/// Serves one connection that somebody else accepted, to its end.
pub async fn serve_connection<S>(stream: S, door: Door)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (_never_again, doors) = watch::channel(Arc::new(door));
    let (_never, closing) = watch::channel(Closing::Not);
    serve_one(stream, doors, closing).await;
}

/// Whether a door takes mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Connections are accepted.
    Open,
    /// Another process accepts from the same listener. Here sessions go on to their own end.
    HandedOver,
    /// Nothing is accepted, and transactions under way are the last.
    Closed,
}

/// Accepts connections and serves each in a task of the current runtime, for as long as `opening` says (its end closes the door).
/// Several runtimes may serve clones of one listener.
///
/// Every connection takes the door of now, and a newer one between two transactions as soon as it can (see [`Door`]).
///
/// There is no limit on connections: an MTA that is refused one defers mail, and waiting ones cost little. Messages that
/// are judged at once are bounded by the judge.
///
/// When it was handed over, it ends with the last session, or is closed. When it is closed, connections without a transaction are closed, the others end after theirs, or
/// after [`Settings::drain`]: a message that is judged then is a temporary failure, others get no answer any more.
///
/// # Errors
/// When the listener can not be used in this runtime. Errors while accepting do not end it.
pub async fn serve_doors(
    listener: Listener,
    doors: watch::Receiver<Arc<Door>>,
    mut opening: watch::Receiver<Opening>,
) -> io::Result<()> {
    let address = listener.address().clone();
    let acceptor = listener.into_acceptor()?;
    let (close, closing) = watch::channel(Closing::Not);
    let mut sessions = JoinSet::new();
    loop {
        select! {
            () = no_longer(&mut opening, &[Opening::Open]) => break,
            stream = acceptor.accept() => match stream {
                Stream::Inet(stream) => { sessions.spawn(serve_one(stream, doors.clone(), closing.clone())); }
                Stream::Unix(stream) => { sessions.spawn(serve_one(stream, doors.clone(), closing.clone())); }
            },
            Some(ended) = sessions.join_next() => note_panic(ended, &doors),
        }
    }
    drop(acceptor);
    select! {
        () = all_ended(&mut sessions, &doors) => {}
        () = no_longer(&mut opening, &[Opening::Open, Opening::HandedOver]) => {}
    }
    // Nobody listens any more only when all sessions are gone: then there is nobody to tell either.
    close.send_replace(Closing::Draining);
    let drain = doors.borrow().settings.drain;
    if timeout(drain, all_ended(&mut sessions, &doors)).await.is_err() {
        tracing::warn!(%address, connections = sessions.len(), ?drain, "transactions did not end in time: closing");
        close.send_replace(Closing::Now);
        if timeout(LAST_WORDS, all_ended(&mut sessions, &doors)).await.is_err() {
            sessions.shutdown().await;
        }
    }
    Ok(())
}

/// Waits until the door is in none of these states. When nobody is left to say so, it is closed.
async fn no_longer(opening: &mut watch::Receiver<Opening>, states: &[Opening]) {
    let _changed_or_nobody = opening.wait_for(|now| !states.contains(now)).await.is_ok();
}

async fn all_ended(sessions: &mut JoinSet<()>, doors: &watch::Receiver<Arc<Door>>) {
    while let Some(ended) = sessions.join_next().await {
        note_panic(ended, doors);
    }
}

async fn serve_one<S>(stream: S, doors: watch::Receiver<Arc<Door>>, closing: watch::Receiver<Closing>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let _open = Open::new(Arc::clone(&doors.borrow().metrics));
    session::run(stream, doors, closing).await;
}

/// Panics over an event are caught in the session; this would be one between two of them.
fn note_panic(ended: Result<(), tokio::task::JoinError>, doors: &watch::Receiver<Arc<Door>>) {
    if let Err(error) = ended {
        doors.borrow().metrics.session_panics.inc();
        tracing::error!(%error, "session of the milter door failed");
    }
}

/// Counts a connection for as long as it is open, however it ends.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections.inc();
        metrics.connections_total.inc();
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

enum Stream {
    Inet(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Acceptor {
    /// The next connection, however long it takes to have the means for one.
    async fn accept(&self) -> Stream {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let error = match self.try_accept().await {
                Ok(stream) => return stream,
                Err(error) => error,
            };
            // A client that gave up meanwhile is no trouble of ours.
            if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                continue;
            }
            tracing::error!(%error, "could not accept a connection of the mail server, trying again");
            sleep(back_off).await;
            back_off = back_off.saturating_mul(2).min(LAST_BACK_OFF);
        }
    }

    async fn try_accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Unix(listener, _) => Stream::Unix(listener.accept().await?.0),
            Self::Inet(listener) => {
                let (stream, _) = listener.accept().await?;
                // Replies are small and waited for: Nagle's algorithm makes them 15 times slower.
                let tuned = stream.set_nodelay(true).and_then(|()| {
                    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))
                });
                if let Err(error) = tuned {
                    tracing::debug!(%error, "could not set options of a connection");
                }
                Stream::Inet(stream)
            }
        })
    }
}
