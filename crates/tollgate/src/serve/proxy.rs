//! The reverse proxy, if there is one.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tollgate_config::Config;
use tollgate_limit::service::LimitService;
use tollgate_server::metrics::Metrics;
use tollgate_server::proxy::{Proxy, ProxyOptions};

use super::options;

/// A listener that is bound, so that the address is known and taken, but serves nobody yet.
pub(super) struct Bound {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    options: ProxyOptions,
}

/// Binds the listener; none if the configuration has no address for it.
pub(super) fn bind(config: &Config) -> anyhow::Result<Option<Bound>> {
    let (Some(wanted), Some(options)) = (config.proxy.listen, options::proxy(config)?) else {
        return Ok(None);
    };
    let listener = tollgate_server::listen(wanted)
        .with_context(|| format!("the proxy cannot listen on {wanted}"))?;
    Ok(Some(Bound {
        address: listener.local_addr()?,
        listener,
        options,
    }))
}

impl Bound {
    /// How addresses of it begin.
    pub(super) const fn scheme(&self) -> &'static str {
        if self.options.tls.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// Makes the proxy, which asks this service, and answers what serves until the shutdown.
    pub(super) fn serve(
        self,
        service: Arc<LimitService>,
        metrics: &Metrics,
        shutdown: CancellationToken,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + 'static> {
        let proxy = Proxy::new(self.options, service, metrics.register_proxy())?;
        let listener = self.listener;
        Ok(async move {
            proxy.serve(listener, shutdown).await;
            Ok(())
        })
    }
}
