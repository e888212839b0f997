//! What the threads of the edge share, and what each has of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tollgate_clicks::capture::ClickQueue;
use tollgate_links::ServiceParts;

use super::aside::Aside;
use super::bind::BoundEdge;
use super::connection;
use super::password::PasswordGate;
use super::{EdgeOptions, EdgeState};
use crate::activity::Patience;
use crate::by_address::ByAddress;
use crate::metrics::{Connections, EdgeRecorder};
use crate::threads::{self, Bounds, Drain, FailureLog, Handle, ServeError, Speaker};

/// What all threads share.
pub(super) struct Shared {
    pub(super) options: EdgeOptions,
    pub(super) state: EdgeState,
    pub(super) passwords: PasswordGate,
    /// Draws QR codes.
    pub(super) drawing: Aside,
    pub(super) tls: Option<TlsAcceptor>,
}

/// What belongs to one thread.
pub(super) struct EdgeThread {
    pub(super) shared: Arc<Shared>,
    pub(super) recorder: Arc<EdgeRecorder>,
    /// Where its clicks go, if they are captured.
    pub(super) clicks: Option<ClickQueue>,
    pub(super) drain: Drain,
    pub(super) store_failures: FailureLog,
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
    ) -> Result<Handle, ServeError> {
        let Self {
            options,
            listeners,
            tls,
            address: _,
        } = self;
        let hasher = state.service.parts().specs.passwords.clone();
        let bounds = Bounds {
            max_connections: options.max_connections,
            by_address: Some(ByAddress::new(
                options.max_connections_per_address,
                &options.trusted_proxies,
            )),
            drain: options.drain,
        };
        let shared = Arc::new(Shared {
            passwords: PasswordGate::new(hasher, listeners.len()),
            drawing: Aside::new(listeners.len()),
            tls: tls.map(TlsAcceptor::from),
            options,
            state,
        });
        threads::start("edge", bounds, listeners, &shutdown, || EdgeThread {
            recorder: shared.state.metrics.edge_recorder(),
            clicks: shared.state.clicks.as_ref().map(|clicks| clicks.queue()),
            drain: Drain::default(),
            store_failures: FailureLog::new(
                "links cannot be read from the store",
                Arc::clone(&shared.parts().clock),
            ),
            shared: Arc::clone(&shared),
        })
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

impl Speaker for EdgeThread {
    fn connections(&self) -> &Connections {
        &self.recorder.connections
    }

    fn drain(&self) -> &Drain {
        &self.drain
    }

    async fn speak(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        connection::serve(stream, peer.ip(), self).await;
    }
}
