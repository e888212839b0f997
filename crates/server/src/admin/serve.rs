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
use crate::by_address::ByAddress;
use crate::overload::{Overload, Spare};
use crate::shared_accept::{AcceptBounds, Room, accept_until, unless_silent};
use crate::stall::Stallable;

/// The most bytes of a request's head.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// The most requests at once on one h2c connection.
const MAX_STREAMS: u32 = 128;
/// How often a silent h2c connection is asked whether it still lives.
const H2_PING: Duration = Duration::from_secs(30);
/// One in so many connections more than the bound is accepted for what has priority, and at least so many.
const SPARE_SHARE: usize = 4;
const MIN_SPARE: usize = 16;
/// How long such a connection may take for the head of its request.
const SPARE_PATIENCE: Duration = Duration::from_secs(1);
/// What the log calls this listener.
pub(super) const NAME: &str = "admin";

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
    let overload = state.overload.clone();
    let bounds = AcceptBounds {
        max_connections: options.max_connections,
        spare: (options.max_connections / SPARE_SHARE).max(MIN_SPARE),
        by_address: Some(ByAddress::new(options.max_connections_per_address, &[])),
        refused: state.metrics.admin.refused.clone(),
    };
    let router = router(state);
    let kept = Arc::new(Kept {
        usual: builder(options.header_timeout),
        spare: builder(options.header_timeout.min(SPARE_PATIENCE)),
        usual_patience: options.header_timeout,
        stall: options.stall_timeout,
        overload,
    });
    let graceful = GracefulShutdown::new();
    let serve = |stream, peer: SocketAddr, room| {
        connection(
            stream,
            Peer(peer.ip()),
            room,
            Arc::clone(&kept),
            router.clone(),
            graceful.watcher(),
        )
    };
    accept_until(&shutdown, &listener, NAME, &bounds, serve).await;
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

/// What all connections share.
struct Kept {
    usual: auto::Builder<TokioExecutor>,
    spare: auto::Builder<TokioExecutor>,
    /// How long a usual connection may take for a head.
    usual_patience: Duration,
    /// How long one may take nothing of its answer.
    stall: Duration,
    overload: Overload,
}

fn builder(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
    builder
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    room: Room,
    kept: Arc<Kept>,
    router: Router,
    watcher: Watcher,
) {
    let (builder, patience) = match room {
        Room::Enough => (&kept.usual, kept.usual_patience),
        Room::Spare => (&kept.spare, kept.usual_patience.min(SPARE_PATIENCE)),
    };
    let spoken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&spoken);
    let overload = kept.overload.clone();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        let extensions = request.extensions_mut();
        extensions.insert(peer);
        extensions.insert(overload.clone());
        if room == Room::Spare {
            extensions.insert(Spare);
        }
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let stream = TokioIo::new(Stallable::new(stream, kept.stall));
    let served = builder.serve_connection(stream, service);
    let served = watcher.watch(served.into_owned());
    // Until hyper knows which protocol is spoken its own header timeout does not run.
    let silence = patience + Duration::from_secs(1);
    unless_silent(served, &spoken, silence, NAME).await;
}
