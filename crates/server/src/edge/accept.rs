//! The threads of the edge: each accepts and serves its own connections, and drains them in the end.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_clock::Clock;
use tollgate_links::ServiceParts;
use tollgate_links::store::StoreError;

use super::activity::Patience;
use super::bind::BoundEdge;
use super::connection;
use super::password::PasswordGate;
use super::{EdgeOptions, EdgeState};
use crate::metrics::EdgeRecorder;

/// The waits after accepting failed, for example because no file descriptor is left: the first, and
/// the longest as it doubles.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Why the edge cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system gives no thread or no event queue.
    #[error("an edge thread cannot be started: {0}")]
    Thread(io::Error),
}

/// The running edge.
#[derive(Debug)]
pub struct EdgeHandle {
    threads: Vec<JoinHandle<()>>,
}

/// What all threads share.
pub(super) struct Shared {
    pub(super) options: EdgeOptions,
    pub(super) state: EdgeState,
    pub(super) passwords: PasswordGate,
    pub(super) tls: Option<TlsAcceptor>,
    /// Connections open on all threads.
    open: AtomicUsize,
}

/// What belongs to one thread.
pub(super) struct EdgeThread {
    pub(super) shared: Arc<Shared>,
    pub(super) recorder: Arc<EdgeRecorder>,
    pub(super) drain: Drain,
    pub(super) store_failures: FailureLog,
}

/// Tells connections that they shall end.
pub(super) struct Drain {
    begun: AtomicBool,
    token: CancellationToken,
}

impl BoundEdge {
    /// Starts the threads. When `shutdown` is cancelled they accept no more, finish what is in
    /// flight and end, at the latest after [`EdgeOptions::drain`].
    ///
    /// # Errors
    /// See [`ServeError`]; nothing runs then.
    pub fn serve(
        self,
        state: EdgeState,
        shutdown: CancellationToken,
    ) -> Result<EdgeHandle, ServeError> {
        let Self {
            options,
            listeners,
            tls,
            address: _,
        } = self;
        let hasher = state.service.parts().specs.passwords.clone();
        let shared = Arc::new(Shared {
            passwords: PasswordGate::new(hasher, listeners.len()),
            tls: tls.map(TlsAcceptor::from),
            open: AtomicUsize::new(0),
            options,
            state,
        });
        // Cancels the threads already started if a later one cannot be.
        let stop = shutdown.child_token();
        let undo = stop.clone().drop_guard();
        let mut threads = Vec::with_capacity(listeners.len());
        for (number, listener) in listeners.into_iter().enumerate() {
            let (runtime, listener) = prepared(listener).map_err(ServeError::Thread)?;
            let thread = Arc::new(EdgeThread {
                recorder: shared.state.metrics.edge_recorder(),
                shared: Arc::clone(&shared),
                drain: Drain {
                    begun: AtomicBool::new(false),
                    token: CancellationToken::new(),
                },
                store_failures: FailureLog::new(Arc::clone(&shared.parts().clock)),
            });
            let stop = stop.clone();
            let spawned = thread::Builder::new()
                .name(format!("edge-{number}"))
                .spawn(move || run(runtime, listener, thread, stop));
            threads.push(spawned.map_err(ServeError::Thread)?);
        }
        undo.disarm();
        Ok(EdgeHandle { threads })
    }
}

impl EdgeHandle {
    /// Waits until all threads have drained. It blocks: not for async tasks.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("an edge thread panicked");
            }
        }
    }
}

impl Shared {
    pub(super) fn parts(&self) -> &ServiceParts {
        self.state.service.parts()
    }

    pub(super) fn patience(&self) -> Patience {
        Patience {
            header: self.options.header_timeout,
            idle: self.options.idle_timeout,
        }
    }
}

impl Drain {
    /// Cheap, unlike [`Drain::token`]: connections ask whenever they wake.
    pub(super) fn begun(&self) -> bool {
        self.begun.load(Relaxed)
    }

    /// Wakes those that wait once draining has begun.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    fn begin(&self) {
        self.begun.store(true, Relaxed);
        self.token.cancel();
    }
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

fn run(
    runtime: Runtime,
    listener: tokio::net::TcpListener,
    thread: Arc<EdgeThread>,
    stop: CancellationToken,
) {
    runtime.block_on(async {
        let connections = TaskTracker::new();
        tokio::select! {
            () = accept_all(&listener, &thread, &connections) => {}
            () = stop.cancelled() => {}
        }
        // Closed first, so that the system sends new clients to somebody else.
        drop(listener);
        thread.drain.begin();
        connections.close();
        let drain = thread.shared.options.drain;
        if tokio::time::timeout(drain, connections.wait())
            .await
            .is_err()
        {
            let left = connections.len();
            tracing::warn!(left, ?drain, "connections were cut off at shutdown");
        }
    });
    // A password check may still run; its visitor is gone.
    runtime.shutdown_background();
}

async fn accept_all(
    listener: &tokio::net::TcpListener,
    thread: &Arc<EdgeThread>,
    connections: &TaskTracker,
) {
    let counters = &thread.recorder.connections;
    let mut wait = BACK_OFF.0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                wait = BACK_OFF.0;
                let Some(slot) = Slot::take(thread) else {
                    counters.refused.fetch_add(1, Relaxed);
                    continue;
                };
                connections.spawn(serve_one(stream, peer.ip(), Arc::clone(thread), slot));
            }
            // The client gave up while it was queued: nothing is wrong here.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                counters.accept_errors.fetch_add(1, Relaxed);
            }
            Err(error) => {
                counters.accept_errors.fetch_add(1, Relaxed);
                tracing::warn!(%error, ?wait, "the edge cannot accept connections");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(BACK_OFF.1);
            }
        }
    }
}

async fn serve_one(
    stream: TcpStream,
    peer: std::net::IpAddr,
    thread: Arc<EdgeThread>,
    _slot: Slot,
) {
    connection::serve(stream, peer, thread).await;
}

/// One of the connections that may be open at once.
struct Slot(Arc<EdgeThread>);

impl Slot {
    fn take(thread: &Arc<EdgeThread>) -> Option<Self> {
        let shared = &thread.shared;
        // Threads may overshoot for a moment, but each takes its own one back.
        if shared.open.fetch_add(1, Relaxed) >= shared.options.max_connections {
            shared.open.fetch_sub(1, Relaxed);
            return None;
        }
        thread.recorder.connections.opened.fetch_add(1, Relaxed);
        Some(Self(Arc::clone(thread)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.shared.open.fetch_sub(1, Relaxed);
        self.0.recorder.connections.closed.fetch_add(1, Relaxed);
    }
}

/// Writes store failures to the log, at most one a second: an outage fails every request.
pub(super) struct FailureLog {
    clock: Arc<dyn Clock>,
    last_second: AtomicI64,
}

impl FailureLog {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last_second: AtomicI64::new(i64::MIN),
        }
    }

    pub(super) fn log(&self, error: &StoreError) {
        let second = self.clock.now().as_millis() / 1000;
        if self.last_second.swap(second, Relaxed) != second {
            tracing::warn!(%error, "links cannot be read from the store");
        }
    }
}
