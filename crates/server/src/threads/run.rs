//! The threads: each accepts and serves its own connections, and drains them in the end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Drain;
use crate::by_address::{ByAddress, Entered};
use crate::metrics::Connections;

/// The waits after accepting failed, for example because no file descriptor is left: the first, and
/// the longest as it doubles.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Why a listener cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system gives no thread or no event queue.
    #[error("a thread of the listener {listener} cannot be started: {error}")]
    Thread {
        /// Whose thread.
        listener: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

/// The running threads of a listener.
#[derive(Debug)]
pub struct Handle {
    listener: &'static str,
    threads: Vec<JoinHandle<()>>,
}

/// What bounds the connections of a listener.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// The most at once, over all threads.
    pub(crate) max_connections: usize,
    /// The most at once of one address, if they are bounded.
    pub(crate) by_address: Option<Arc<ByAddress>>,
    /// How long they may take to end at shutdown.
    pub(crate) drain: Duration,
}

/// Serves the connections of one thread.
pub(crate) trait Speaker: Send + Sync + 'static {
    /// Where the thread's connections are counted.
    fn connections(&self) -> &Connections;

    /// What begins at shutdown.
    fn drain(&self) -> &Drain;

    /// Serves a connection to its end.
    fn speak(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send;

    /// Closes a connection for which there is no place.
    fn refuse(&self, stream: TcpStream) {
        drop(stream);
    }
}

/// Starts a thread for each listener, with a speaker that `make` makes for it. When `shutdown` is
/// cancelled they accept no more, finish what is in flight and end, at the latest after
/// [`Bounds::drain`].
pub(crate) fn start<S: Speaker>(
    name: &'static str,
    bounds: Bounds,
    listeners: Vec<TcpListener>,
    shutdown: &CancellationToken,
    mut make: impl FnMut() -> S,
) -> Result<Handle, ServeError> {
    let refuse = |error| ServeError::Thread {
        listener: name,
        error,
    };
    let open = Arc::new(AtomicUsize::new(0));
    // Cancels the threads already started if a later one cannot be.
    let stop = shutdown.child_token();
    let undo = stop.clone().drop_guard();
    let mut threads = Vec::with_capacity(listeners.len());
    for (number, listener) in listeners.into_iter().enumerate() {
        let (runtime, listener) = prepared(listener).map_err(refuse)?;
        let acceptor = Acceptor {
            name,
            bounds: bounds.clone(),
            speaker: Arc::new(make()),
            open: Arc::clone(&open),
        };
        let stop = stop.clone();
        let spawned = thread::Builder::new()
            .name(format!("{name}-{number}"))
            .spawn(move || run(runtime, listener, &acceptor, stop));
        threads.push(spawned.map_err(refuse)?);
    }
    undo.disarm();
    Ok(Handle {
        listener: name,
        threads,
    })
}

impl Handle {
    /// Waits until all threads have drained. It blocks: not for async tasks.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!(listener = self.listener, "a thread panicked");
            }
        }
    }
}

struct Acceptor<S> {
    name: &'static str,
    bounds: Bounds,
    speaker: Arc<S>,
    /// Connections open on all threads.
    open: Arc<AtomicUsize>,
}

fn prepared(listener: TcpListener) -> io::Result<(Runtime, tokio::net::TcpListener)> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let guard = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    drop(guard);
    Ok((runtime, listener))
}

fn run<S: Speaker>(
    runtime: Runtime,
    listener: tokio::net::TcpListener,
    acceptor: &Acceptor<S>,
    stop: CancellationToken,
) {
    runtime.block_on(async {
        let connections = TaskTracker::new();
        tokio::select! {
            () = acceptor.accept_all(&listener, &connections) => {}
            () = stop.cancelled() => {}
        }
        // Closed first, so that the system sends new clients to somebody else.
        drop(listener);
        acceptor.speaker.drain().begin();
        connections.close();
        let drain = acceptor.bounds.drain;
        if tokio::time::timeout(drain, connections.wait())
            .await
            .is_err()
        {
            let left = connections.len();
            tracing::warn!(
                listener = acceptor.name,
                left,
                ?drain,
                "connections were cut off at shutdown"
            );
        }
    });
    // A blocking task, such as a password check, may still run; its client is gone.
    runtime.shutdown_background();
}

impl<S: Speaker> Acceptor<S> {
    async fn accept_all(&self, listener: &tokio::net::TcpListener, connections: &TaskTracker) {
        let counters = self.speaker.connections();
        let mut wait = BACK_OFF.0;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    wait = BACK_OFF.0;
                    let slot = match self.take_slot(peer) {
                        Ok(slot) => slot,
                        Err(why) => {
                            match why {
                                Full::Listener => &counters.refused,
                                Full::Address => &counters.refused_by_address,
                            }
                            .fetch_add(1, Relaxed);
                            self.speaker.refuse(stream);
                            continue;
                        }
                    };
                    let speaker = Arc::clone(&self.speaker);
                    connections.spawn(async move {
                        let _slot = slot;
                        speaker.speak(stream, peer).await;
                    });
                }
                // The client gave up while it was queued: nothing is wrong here.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                    counters.accept_errors.fetch_add(1, Relaxed);
                }
                Err(error) => {
                    counters.accept_errors.fetch_add(1, Relaxed);
                    let listener = self.name;
                    tracing::warn!(%error, listener, ?wait, "connections cannot be accepted");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    fn take_slot(&self, peer: SocketAddr) -> Result<Slot<S>, Full> {
        let entered = match &self.bounds.by_address {
            Some(by_address) => Some(by_address.enter(peer.ip()).ok_or(Full::Address)?),
            None => None,
        };
        // Threads may overshoot for a moment, but each takes its own one back.
        if self.open.fetch_add(1, Relaxed) >= self.bounds.max_connections {
            self.open.fetch_sub(1, Relaxed);
            return Err(Full::Listener);
        }
        self.speaker.connections().opened.fetch_add(1, Relaxed);
        Ok(Slot {
            _entered: entered,
            speaker: Arc::clone(&self.speaker),
            open: Arc::clone(&self.open),
        })
    }
}

/// Why a connection is closed at once.
enum Full {
    /// The listener has as many as it may.
    Listener,
    /// Its address has.
    Address,
}

/// One of the connections that may be open at once.
struct Slot<S: Speaker> {
    _entered: Option<Entered>,
    speaker: Arc<S>,
    open: Arc<AtomicUsize>,
}

impl<S: Speaker> Drop for Slot<S> {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
        self.speaker.connections().closed.fetch_add(1, Relaxed);
    }
}
