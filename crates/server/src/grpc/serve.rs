//! Accepting connections, each with its bounds, until the shutdown.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::GrpcState;
use super::calls::Calls;
use super::routes::{end, not_serving, routes};
use crate::shared_accept::{AcceptBounds, accept_until, unless_silent};

/// The most bytes of a call's metadata.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// How often a silent connection is asked whether it still lives, and how long it may take to
/// answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How long a new connection may take to make its first call.
const FIRST_CALL: Duration = Duration::from_secs(60);
/// What the log calls this listener.
const NAME: &str = "gRPC";

/// Answers calls on `listener` until `shutdown`, then lets those in flight finish within
/// [`super::GrpcOptions::drain`].
///
/// # Errors
/// If the description of the protocol cannot be read. A connection that fails ends alone, and a
/// failed accept is tried again.
pub async fn serve(
    listener: TcpListener,
    state: GrpcState,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let (router, health) = routes(&state).await?;
    let GrpcState {
        options,
        metrics,
        draining,
        ..
    } = state;
    let graceful = GracefulShutdown::new();
    // Cuts off what is left in the end.
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    let serve = |stream, _, _| {
        let connection = connection(
            stream,
            options.max_streams,
            router.clone(),
            graceful.watcher(),
        );
        let (open, cut) = (metrics.opened(), cut.clone());
        async move {
            tokio::select! {
                () = connection => {}
                () = cut.cancelled() => {}
            }
            drop(open);
        }
    };
    let bounds = AcceptBounds {
        max_connections: options.max_connections,
        // Proxies have as many as they need: no bound by address.
        ..AcceptBounds::default()
    };
    let told = async {
        draining.cancelled().await;
        not_serving(&health).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = accept_until(&shutdown, &listener, NAME, &bounds, serve) => {}
        () = told => {}
    }
    drop(listener);
    end(health).await;
    if tokio::time::timeout(options.drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(drain = ?options.drain, "gRPC calls were cut off");
    }
    Ok(())
}

async fn connection(stream: TcpStream, max_streams: u32, router: Router, watcher: Watcher) {
    let spoken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&spoken);
    let service = service_fn(move |request: http::Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let calls = Calls::default();
    let served = http2::Builder::new(calls.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .max_concurrent_streams(max_streams)
        .max_header_list_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // Pings find out who is gone only once HTTP/2 is spoken.
    let driven = calls.drive(watcher.watch(served));
    unless_silent(driven, &spoken, FIRST_CALL, NAME).await;
}
