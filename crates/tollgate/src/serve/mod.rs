//! `tollgate serve`: puts everything together, runs it, and takes it down in order.

pub(crate) mod background;
#[cfg(feature = "redis")]
mod budgets;
#[cfg(not(feature = "redis"))]
#[path = "no_budgets.rs"]
mod budgets;
mod click_queue;
mod clicked;
mod clicks;
mod clickstats;
mod first_key;
mod grpc;
mod limits;
mod log;
pub(crate) mod options;
mod proxy;
mod service_manager;
#[cfg(feature = "redis")]
mod shared;
#[cfg(not(feature = "redis"))]
#[path = "not_shared.rs"]
mod shared;
#[cfg(feature = "redis")]
mod shared_links;
#[cfg(not(feature = "redis"))]
#[path = "not_shared_links.rs"]
mod shared_links;
pub(crate) mod sign_on;
mod signals;
mod spare_time;
mod start;
mod webhooks;

use tollgate_config::{Config, Sources};

use crate::args::ServeArgs;
use crate::config;

/// Runs until a signal ends it.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let config = config::load(&Sources {
        file: args.store.config.as_deref(),
        environment: config::environment(),
        flags: flags(args),
    })?;
    log::init(&config.log)?;
    raise_file_limit(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("admin")
        .build()?;
    let served = runtime.block_on(start::serve(
        &config,
        &args.store.data_dir,
        args.store.config.as_deref(),
    ));
    // What still runs is waiting for the network or a disk that does not answer: it would never
    // end, and nothing is left to save.
    runtime.shutdown_background();
    served
}

fn flags(args: &ServeArgs) -> Vec<(&'static str, &'static str, String)> {
    let text = |address: std::net::SocketAddr| address.to_string();
    [
        ("edge.listen", "--edge-listen", args.edge_listen.map(text)),
        (
            "admin.listen",
            "--admin-listen",
            args.admin_listen.map(text),
        ),
        ("resp.listen", "--resp-listen", args.resp_listen.map(text)),
        ("grpc.listen", "--grpc-listen", args.grpc_listen.map(text)),
        (
            "proxy.listen",
            "--proxy-listen",
            args.proxy_listen.map(text),
        ),
        (
            "proxy.upstream",
            "--proxy-upstream",
            args.proxy_upstream.clone(),
        ),
        ("links.base_url", "--base-url", args.base_url.clone()),
        ("log.format", "--log-format", args.log_format.clone()),
        ("log.level", "--log-level", args.log_level.clone()),
    ]
    .into_iter()
    .filter_map(|(key, flag, value)| Some((key, flag, value?)))
    .collect()
}

/// Every connection is an open file, and the usual limit of 1,024 is a fraction of what one core
/// serves.
fn raise_file_limit(config: &Config) {
    let resp = config
        .resp
        .listen
        .map_or(0, |_| config.resp.max_connections);
    let grpc = config
        .grpc
        .listen
        .map_or(0, |_| config.grpc.max_connections);
    // Each with one to the upstream.
    let proxy = config
        .proxy
        .listen
        .map_or(0, |_| config.proxy.max_connections * 2);
    // A quarter more is accepted for probes.
    let admin = config.admin.max_connections + config.admin.max_connections / 4;
    let listeners = config.edge.max_connections + admin + resp + grpc;
    let wanted = listeners + proxy + 256;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit < wanted => {
            tracing::info!(
                limit,
                wanted,
                "the limit of open files bounds the connections"
            );
        }
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}
