//! Accepting connections until the shutdown.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Proxy, connection};
use crate::by_address::ByAddress;
use crate::shared_accept::{AcceptBounds, accept_until};

/// What the log calls this listener.
const NAME: &str = "proxy";

impl Proxy {
    /// Serves connections on `listener` until `shutdown`, then lets requests in flight finish
    /// within [`super::ProxyOptions::drain`]. What is left then, such as tunnels, is cut off.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let Self { shared, tls } = self;
        let connections = TaskTracker::new();
        let drain = CancellationToken::new();
        // Cuts off what is left in the end.
        let cut = CancellationToken::new();
        let _cut = cut.clone().drop_guard();
        let options = &shared.options;
        let serve = |stream, peer: SocketAddr, _| {
            let open = shared.metrics.opened();
            let (shared, tls) = (Arc::clone(&shared), tls.clone());
            let (drain, cut) = (drain.clone(), cut.clone());
            connections.track_future(async move {
                tokio::select! {
                    () = connection::serve(stream, peer.ip(), shared, tls, drain) => {}
                    () = cut.cancelled() => {}
                }
                drop(open);
            })
        };
        let bounds = AcceptBounds {
            max_connections: options.max_connections,
            spare: 0,
            by_address: Some(ByAddress::new(
                options.max_connections_per_address,
                &options.trusted_proxies,
            )),
            refused: shared.metrics.refused.clone(),
        };
        accept_until(&shutdown, &listener, NAME, &bounds, serve).await;
        drop(listener);
        drain.cancel();
        connections.close();
        if tokio::time::timeout(options.drain, connections.wait())
            .await
            .is_err()
        {
            let left = connections.len();
            tracing::warn!(left, drain = ?options.drain, "connections to the proxy were cut off");
        }
    }
}
