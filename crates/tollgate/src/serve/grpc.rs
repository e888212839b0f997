//! The gRPC listener, if there is one.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tollgate_config::Config;
use tollgate_limit::service::LimitService;
use tollgate_server::grpc::{self, GrpcState};
use tollgate_server::metrics::Metrics;

use super::options;

/// A listener that is bound, so that the address is known and taken, but serves nobody yet.
pub(super) struct Bound {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

/// Binds the listener; none if the configuration has no address for it.
pub(super) fn bind(config: &Config) -> anyhow::Result<Option<Bound>> {
    let Some(wanted) = config.grpc.listen else {
        return Ok(None);
    };
    let listener = tollgate_server::listen(wanted)
        .with_context(|| format!("the gRPC side cannot listen on {wanted}"))?;
    let address = listener.local_addr()?;
    Ok(Some(Bound { listener, address }))
}

impl Bound {
    /// Decides by this service until the shutdown.
    pub(super) async fn serve(
        self,
        state: GrpcState,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let served = grpc::serve(self.listener, state, shutdown).await;
        served.context("the gRPC side failed")
    }
}

/// What the listener works with.
pub(super) fn state(
    config: &Config,
    service: Arc<LimitService>,
    metrics: &Metrics,
    draining: CancellationToken,
) -> GrpcState {
    GrpcState {
        service,
        draining,
        metrics: metrics.register_grpc(),
        options: options::grpc(config),
    }
}
