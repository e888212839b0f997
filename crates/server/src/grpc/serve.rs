//! Accepting connections, each with its bounds, until the shutdown.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::GrpcState;
use super::routes::{end, routes};

/// The most bytes of a call's metadata.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// How often a silent connection is asked whether it still lives, and how long it may take to
/// answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How long a new connection may take to make its first call.
const FIRST_CALL: Duration = Duration::from_secs(60);
/// How long to rest when accepting fails, which it does while file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
        options, metrics, ..
    } = state;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .max_concurrent_streams(options.max_streams)
        .max_header_list_size(MAX_HEADER_BYTES);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(options.max_connections));
    // Cuts off what is left in the end.
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    loop {
        let accepted = async {
            // Never closed, so this only waits.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the gRPC listener was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(stream, builder.clone(), router.clone(), graceful.watcher());
        let (open, cut) = (metrics.opened(), cut.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection => {}
                () = cut.cancelled() => {}
            }
            drop((place, open));
        });
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

async fn connection(
    stream: TcpStream,
    builder: http2::Builder<TokioExecutor>,
    router: Router,
    watcher: Watcher,
) {
    // Answers are small and written whole: waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let spoken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&spoken);
    let service = service_fn(move |request: http::Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let served = builder.serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(watcher.watch(served));
    // Pings find out who is gone only once HTTP/2 is spoken.
    let silence = tokio::time::sleep(FIRST_CALL);
    let result = tokio::select! {
        result = &mut served => result,
        () = silence => {
            if !spoken.load(Ordering::Relaxed) {
                return;
            }
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the gRPC listener ended early");
    }
}
