//! Connections to the upstream: plain or TLS, made in time, each knowing whether it was used.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Extensions, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{
    ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tower::{BoxError, Service};

use super::ProxyOptions;
use crate::tls::{self, TlsError};

/// What makes connections: address, connection and handshake together within a time.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

/// A connection took too long to be made.
#[derive(Debug, thiserror::Error)]
#[error("the connection took longer than {0:?} to be made")]
pub(super) struct ConnectTimeout(Duration);

/// Why nobody can vouch for the upstream.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The system trusts nobody.
    #[error("the system has no certificates of authorities: install them, or set upstream_ca: {0}")]
    System(io::Error),
    /// The file cannot be read, or holds nothing.
    #[error(transparent)]
    File(#[from] TlsError),
    /// One of its certificates is none of an authority.
    #[error("the certificates in {path} cannot be used: {error}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        error: rustls::Error,
    },
    /// rustls cannot be used as it was built.
    #[error("TLS to the upstream cannot be used: {0}")]
    Rustls(rustls::Error),
}

/// Whether a connection has carried an answer before.
#[derive(Debug, Clone, Default)]
pub(super) struct Used(Arc<AtomicBool>);

impl Used {
    /// The connection that these belong to has carried an answer.
    pub(super) fn note(extensions: &Extensions) {
        if let Some(used) = extensions.get::<Self>() {
            used.0.store(true, Relaxed);
        }
    }

    /// Whether this connection had.
    pub(super) fn of(connected: &Connected) -> bool {
        let mut extensions = Extensions::new();
        connected.get_extras(&mut extensions);
        let used = extensions.get::<Self>();
        used.is_some_and(|used| used.0.load(Relaxed))
    }
}

impl Connector {
    /// Makes connections for these options.
    pub(super) fn new(options: &ProxyOptions) -> Result<Self, TrustError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        Ok(Self {
            https: HttpsConnectorBuilder::new()
                .with_tls_config(client_config(options)?)
                .https_or_http()
                .enable_http1()
                .wrap_connector(http),
            timeout: options.connect_timeout,
        })
    }
}

impl Service<Uri> for Connector {
    type Response = UpstreamStream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<UpstreamStream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.https.call(to);
        let patience = self.timeout;
        Box::pin(async move {
            let connected = tokio::time::timeout(patience, connecting).await;
            let stream = connected.map_err(|_| ConnectTimeout(patience))??;
            Ok(UpstreamStream {
                stream,
                used: Used::default(),
            })
        })
    }
}

fn client_config(options: &ProxyOptions) -> Result<ClientConfig, TrustError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Rustls)?;
    let config = match &options.upstream_ca {
        Some(file) => config.with_root_certificates(roots(file)?),
        None if options.upstream.is_https() => {
            config.with_native_roots().map_err(TrustError::System)?
        }
        // Never asked.
        None => config.with_root_certificates(RootCertStore::empty()),
    };
    Ok(config.with_no_client_auth())
}

fn roots(file: &Path) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in tls::certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| TrustError::Unusable {
                path: file.to_owned(),
                error,
            })?;
    }
    Ok(roots)
}

/// A connection that knows whether it was used.
#[derive(Debug)]
pub(super) struct UpstreamStream {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    used: Used,
}

impl Connection for UpstreamStream {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.used.clone())
    }
}

impl Read for UpstreamStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for UpstreamStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
