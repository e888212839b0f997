//! Accepting on the runtime that listeners share: admin, gRPC and the proxy. (The edge and the Redis protocol
//! accept on threads of their own.)

use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How long to rest when accepting fails, which it does while file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections, at most `max_connections` at once, in tasks of their own; others wait to be
/// accepted. Returns at `shutdown`, with connections still open. `name` is what the log calls the
/// listener.
pub(crate) async fn accept_until<F>(
    shutdown: &CancellationToken,
    listener: &TcpListener,
    name: &str,
    max_connections: usize,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(max_connections));
    loop {
        let accepted = async {
            // Never closed, so this only waits.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Answers are small and written whole: waiting to fill a segment only delays them.
                let _ = stream.set_nodelay(true);
                let connection = serve(stream, peer);
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the {name} listener was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Runs a connection to its end, or closes it if nothing was `spoken` for so long: hyper has no
/// bound of its own for that.
pub(crate) async fn unless_silent<E: Display>(
    connection: impl Future<Output = Result<(), E>>,
    spoken: &AtomicBool,
    silence: Duration,
    name: &str,
) {
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = tokio::time::sleep(silence) => {
            if !spoken.load(Ordering::Relaxed) {
                return;
            }
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the {name} listener ended early");
    }
}
