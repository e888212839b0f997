//! Accepting connections: HTTP/1.1 and h2c, each with its bounds, until the shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{AdminState, Peer, router};
use crate::shared_accept::{accept_until, unless_silent};

/// The most bytes of a request's head.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// The most requests at once on one h2c connection.
const MAX_STREAMS: u32 = 128;
/// How often a silent h2c connection is asked whether it still lives.
const H2_PING: Duration = Duration::from_secs(30);
/// What the log calls this listener.
const NAME: &str = "admin";

/// Answers requests on `listener` until `shutdown`, then lets those in flight finish within
/// [`super::AdminOptions::drain`].
///
/// # Errors
/// None at present: a connection that fails ends alone, and a failed accept is tried again.
pub async fn serve(
    listener: TcpListener,
    state: AdminState,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let options = state.options.clone();
    let health = state.health.clone();
    let router = router(state);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
    let builder = Arc::new(builder);
    let graceful = GracefulShutdown::new();
    let serve = |stream, peer: SocketAddr| {
        connection(
            stream,
            Peer(peer.ip()),
            Arc::clone(&builder),
            router.clone(),
            graceful.watcher(),
            options.header_timeout,
        )
    };
    accept_until(&shutdown, &listener, NAME, options.max_connections, serve).await;
    health.drain();
    drop(listener);
    if tokio::time::timeout(options.drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(drain = ?options.drain, "requests to the admin listener were cut off");
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    watcher: Watcher,
    header_timeout: Duration,
) {
    let spoken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&spoken);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let served = builder.serve_connection(TokioIo::new(stream), service);
    let served = watcher.watch(served.into_owned());
    // Until hyper knows which protocol is spoken its own header timeout does not run.
    let silence = header_timeout + Duration::from_secs(1);
    unless_silent(served, &spoken, silence, NAME).await;
}
