//! Accepting on the runtime that listeners share: admin, gRPC and the proxy. (The edge and the Redis protocol
//! accept on threads of their own.)

use std::collections::VecDeque;
use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::by_address::ByAddress;

/// How long to rest when accepting fails, which it does while file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What bounds the connections of a listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct AcceptBounds {
    /// The most at once.
    pub(crate) max_connections: usize,
    /// So many more are accepted, and served as those for which there is no room; when there are still more,
    /// the oldest of them is closed. Of none, they wait to be accepted.
    pub(crate) spare: usize,
    /// The most at once of one address, if they are bounded; more are closed at once.
    pub(crate) by_address: Option<Arc<ByAddress>>,
    /// How many were.
    pub(crate) refused: Counter,
}

/// Whether there is room for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// It is one of the spare ones.
    Spare,
}

/// Serves connections, as many at once as `bounds` say, in tasks of their own. Returns at `shutdown`,
/// with connections still open. `name` is what the log calls the listener.
pub(crate) async fn accept_until<F>(
    shutdown: &CancellationToken,
    listener: &TcpListener,
    name: &str,
    bounds: &AcceptBounds,
    serve: impl Fn(TcpStream, SocketAddr, Room) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = bounds.max_connections.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places));
    let mut spares = VecDeque::new();
    loop {
        let accepted = async {
            // Never closed, so this only waits.
            let place = match bounds.spare {
                0 => Arc::clone(&places).acquire_owned().await.ok(),
                _ => None,
            };
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection to the {name} listener was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let entered = match &bounds.by_address {
            Some(by_address) => match by_address.enter(peer.ip()) {
                Some(entered) => Some(entered),
                None => {
                    bounds.refused.inc();
                    continue;
                }
            },
            None => None,
        };
        // Answers are small and written whole: waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let place = place.or_else(|| Arc::clone(&places).try_acquire_owned().ok());
        if place.is_some() {
            let connection = serve(stream, peer, Room::Enough);
            tokio::spawn(async move {
                connection.await;
                drop((place, entered));
            });
            continue;
        }
        let give_way = CancellationToken::new();
        spares.push_back(give_way.clone());
        if spares.len() > bounds.spare
            && let Some(oldest) = spares.pop_front()
        {
            oldest.cancel();
        }
        let connection = serve(stream, peer, Room::Spare);
        tokio::spawn(async move {
            tokio::select! {
                () = connection => {}
                () = give_way.cancelled() => {}
            }
            drop(entered);
        });
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
