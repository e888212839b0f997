//! What the threads share, and what each has of its own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::request::FrameLimits;
use super::session::{Password, Session};
use super::{MAX_ELEMENTS, RespOptions, RespState, connection};
use crate::metrics::{Connections, RespRecorder};
use crate::threads::{self, Bounds, Drain, FailureLog, Handle, ServeError, Speaker, listeners};

/// The most words of a client that has yet to say the password, as in Redis.
const MAX_ELEMENTS_UNAUTHENTICATED: usize = 10;
/// The most bytes of such a client's command, as in Redis.
const MAX_BYTES_UNAUTHENTICATED: usize = 16 * 1024;

/// Why the listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the Redis protocol cannot listen on {address}: {error}")]
pub struct BindError {
    /// The wanted address.
    pub address: SocketAddr,
    /// What the system says.
    pub error: std::io::Error,
}

/// Listeners that are bound, so that the address is known and taken, but serve nobody yet.
pub struct BoundResp {
    options: RespOptions,
    address: SocketAddr,
    listeners: Vec<TcpListener>,
}

/// Binds one listener for each thread.
///
/// # Errors
/// See [`BindError`].
pub fn bind(options: RespOptions) -> Result<BoundResp, BindError> {
    let (address, listeners) =
        listeners(options.listen, options.threads.max(1)).map_err(|error| BindError {
            address: options.listen,
            error,
        })?;
    Ok(BoundResp {
        options,
        address,
        listeners,
    })
}

/// What all threads share.
pub(super) struct Shared {
    pub(super) options: RespOptions,
    pub(super) state: RespState,
    pub(super) password: Option<Password>,
    /// When it was, by the monotonic clock.
    pub(super) started: Duration,
    /// The number of the next connection.
    next_id: AtomicI64,
}

/// What belongs to one thread.
pub(super) struct RespThread {
    pub(super) shared: Arc<Shared>,
    pub(super) recorder: Arc<RespRecorder>,
    pub(super) drain: Drain,
    pub(super) store_failures: FailureLog,
}

impl BoundResp {
    /// The address, with the port the system chose if port 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts the threads. When `shutdown` is cancelled they accept no more, answer what has
    /// arrived and end, at the latest after [`RespOptions::drain`].
    ///
    /// # Errors
    /// See [`ServeError`]; nothing runs then.
    pub fn serve(
        self,
        state: RespState,
        shutdown: CancellationToken,
    ) -> Result<Handle, ServeError> {
        let bounds = Bounds {
            max_connections: self.options.max_connections,
            // Pools of clients are as large as they are.
            by_address: None,
            drain: self.options.drain,
        };
        let shared = Arc::new(Shared::new(self.options, state));
        threads::start("resp", bounds, self.listeners, &shutdown, || {
            RespThread::new(&shared)
        })
    }
}

impl RespThread {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            recorder: shared.state.metrics.resp_recorder(),
            drain: Drain::default(),
            store_failures: FailureLog::new(
                "limits cannot be decided by the store",
                Arc::clone(&shared.state.clock),
            ),
            shared: Arc::clone(shared),
        }
    }
}

impl Shared {
    pub(super) fn new(options: RespOptions, state: RespState) -> Self {
        Self {
            password: options.password.as_ref().map(Password::new),
            started: state.clock.monotonic(),
            next_id: AtomicI64::new(1),
            options,
            state,
        }
    }

    pub(super) fn session(&self) -> Session {
        let id = self.next_id.fetch_add(1, Relaxed);
        Session::new(id, self.password.as_ref())
    }

    pub(super) fn limits(&self, session: &Session) -> FrameLimits {
        let bytes = self.options.max_frame;
        match session.authenticated {
            true => FrameLimits {
                elements: MAX_ELEMENTS,
                bytes,
                unauthenticated: false,
            },
            false => FrameLimits {
                elements: MAX_ELEMENTS_UNAUTHENTICATED,
                bytes: bytes.min(MAX_BYTES_UNAUTHENTICATED),
                unauthenticated: true,
            },
        }
    }
}

impl Speaker for RespThread {
    fn connections(&self) -> &Connections {
        &self.recorder.connections
    }

    fn drain(&self) -> &Drain {
        &self.drain
    }

    async fn speak(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        connection::serve(stream, peer.ip(), self).await;
    }

    fn refuse(&self, stream: TcpStream) {
        // If the system does not take the few bytes at once, the client learns it by the end alone.
        if let Ok(mut stream) = stream.into_std() {
            let _ = std::io::Write::write(&mut stream, b"-ERR max number of clients reached\r\n");
        }
    }
}
