use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

use super::EdgeOptions;
use crate::threads::listeners;
use crate::tls::{self, TlsError};

/// Why the edge cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be had.
    #[error("the edge cannot listen on {address}: {error}")]
    Listen {
        /// The wanted address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Listeners that are bound, so that the address is known and taken, but serve nobody yet.
pub struct BoundEdge {
    pub(super) options: EdgeOptions,
    pub(super) address: SocketAddr,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// Binds one listener for each thread and reads the TLS files.
///
/// # Errors
/// See [`BindError`].
pub fn bind(options: EdgeOptions) -> Result<BoundEdge, BindError> {
    let tls = options.tls.as_ref().map(tls::server_config).transpose()?;
    let refuse = |error| BindError::Listen {
        address: options.listen,
        error,
    };
    let (address, listeners) = listeners(options.listen, options.threads.max(1)).map_err(refuse)?;
    Ok(BoundEdge {
        options,
        address,
        listeners,
        tls,
    })
}

impl BoundEdge {
    /// The address, with the port the system chose if port 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}
