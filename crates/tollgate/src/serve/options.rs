//! From the configuration to the options of each part.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tollgate_clicks::capture::{Addresses, Capture, Privacy};
use tollgate_clicks::spool::SpoolOptions;
use tollgate_config::{Attribute, Config, Hash, Redirect, Root, Secret, Strategy};
use tollgate_limit::policy::OnStoreFailure;
use tollgate_links::{
    CacheOptions, Domain, Domains, PasswordHasher, RedirectKind, SpecRules, StrategyKind,
    StrategyOptions, TargetRules, TargetUrl,
};
use tollgate_server::admin::AdminOptions;
use tollgate_server::compat::{CompatOptions, YourlsOptions};
use tollgate_server::edge::{EdgeOptions, LINGER, RootPage, TlsFiles};
use tollgate_server::grpc::GrpcOptions;
use tollgate_server::limits::{Attribute as Counted, AuditOptions, Forwarding};
use tollgate_server::overload::OverloadOptions;
use tollgate_server::proxy::ProxyOptions;
use tollgate_server::qr::Logo;
use tollgate_server::resp::{MAX_FRAME, RespOptions};

/// What QR codes can have in the middle.
pub(super) fn qr_logo(config: &Config) -> anyhow::Result<Option<Arc<Logo>>> {
    let Some(file) = &config.edge.qr_logo else {
        return Ok(None);
    };
    let logo = Logo::read(file);
    let logo = logo.with_context(|| format!("edge.qr_logo: {} is no logo", file.display()))?;
    Ok(Some(Arc::new(logo)))
}

/// The edge's.
pub(super) fn edge(config: &Config, qr_logo: Option<Arc<Logo>>) -> EdgeOptions {
    let edge = &config.edge;
    EdgeOptions {
        listen: edge.listen,
        threads: threads(edge.threads),
        default_redirect: redirect(config.links.redirect),
        header_timeout: edge.header_timeout,
        idle_timeout: edge.idle_timeout,
        drain: edge.drain,
        linger: LINGER.min(edge.drain / 2),
        max_header_bytes: size(edge.max_header_bytes),
        max_connections: size(edge.max_connections),
        max_connections_per_address: size(edge.max_connections_per_address),
        tls: tls(&edge.tls_cert, &edge.tls_key),
        root: match &edge.root {
            Root::Landing => RootPage::Landing,
            Root::Redirect(url) => RootPage::Redirect(TargetUrl::from_stored(url.as_str())),
        },
        trusted_proxies: edge.trusted_proxies.clone(),
        qr_logo,
    }
}

/// What captures clicks.
pub(super) fn capture(config: &Config, privacy: Privacy) -> Capture {
    Capture::new(privacy, size(config.clicks.queue_bytes))
}

/// What is kept of visitors. `key` is that of their hash.
pub(super) fn privacy(config: &Config, key: [u8; 16]) -> Privacy {
    let clicks = &config.clicks;
    Privacy {
        addresses: match clicks.addresses {
            tollgate_config::Addresses::Truncated => Addresses::Truncated,
            tollgate_config::Addresses::Full => Addresses::Full,
            tollgate_config::Addresses::None => Addresses::None,
        },
        respect_dnt: clicks.respect_dnt,
        key,
    }
}

/// The spool's; `identity` and `process` are random.
pub(super) fn spool(config: &Config, data_dir: &Path, identity: u64, process: u64) -> SpoolOptions {
    let clicks = &config.clicks;
    SpoolOptions {
        directory: config.spool_directory(data_dir),
        max_bytes: clicks.spool_max_bytes,
        sync: (!clicks.sync.is_zero()).then_some(clicks.sync),
        identity,
        process,
    }
}

/// The admin side's.
pub(super) fn admin(config: &Config, qr_logo: Option<Arc<Logo>>) -> AdminOptions {
    let admin = &config.admin;
    AdminOptions {
        max_body_bytes: size(admin.max_body),
        request_timeout: admin.request_timeout,
        header_timeout: admin.header_timeout,
        drain: admin.drain,
        max_connections: size(admin.max_connections),
        max_connections_per_address: size(admin.max_connections_per_address),
        stall_timeout: admin.stall_timeout,
        dashboard: admin.dashboard,
        qr_logo,
        compat: compat(config),
    }
}

/// What is let in at once.
pub(super) fn overload(config: &Config) -> OverloadOptions {
    let overload = &config.overload;
    OverloadOptions {
        latency: overload.latency,
        min: overload.min,
        max: overload.max,
        max_long: overload.max_long,
    }
}

/// The APIs of other shorteners.
fn compat(config: &Config) -> CompatOptions {
    let compat = &config.compat;
    let guarded = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.guarded().clone());
    let yourls = YourlsOptions {
        signature: guarded(&compat.yourls_signature),
        key: guarded(&compat.yourls_key),
    };
    CompatOptions {
        shlink: compat.shlink,
        yourls: compat.yourls.then_some(yourls),
        bitly: compat.bitly,
        ..CompatOptions::default()
    }
}

/// The gRPC listener's.
pub(super) fn grpc(config: &Config) -> GrpcOptions {
    let grpc = &config.grpc;
    GrpcOptions {
        headers: grpc.headers,
        max_message_bytes: size(grpc.max_message),
        max_connections: size(grpc.max_connections),
        max_streams: grpc.max_streams,
        request_timeout: grpc.request_timeout,
        drain: grpc.drain,
    }
}

/// Those of the reverse proxy, if it is to listen and has something behind it.
pub(super) fn proxy(config: &Config) -> anyhow::Result<Option<ProxyOptions>> {
    let proxy = &config.proxy;
    let (Some(_), Some(upstream)) = (proxy.listen, &proxy.upstream) else {
        return Ok(None);
    };
    Ok(Some(ProxyOptions {
        upstream: upstream.parse().context("proxy.upstream")?,
        upstream_ca: proxy.upstream_ca.clone(),
        keep_host: proxy.keep_host,
        domain: proxy.domain.clone(),
        by: descriptors(&proxy.by),
        trusted_proxies: proxy.trusted_proxies.clone(),
        tls: tls(&proxy.tls_cert, &proxy.tls_key),
        max_waiting: size(proxy.max_waiting),
        max_connections: size(proxy.max_connections),
        max_connections_per_address: size(proxy.max_connections_per_address),
        max_header_bytes: size(proxy.max_header_bytes),
        header_timeout: proxy.header_timeout,
        idle_timeout: proxy.idle_timeout,
        connect_timeout: proxy.connect_timeout,
        response_timeout: proxy.response_timeout,
        keep_alive: proxy.keep_alive,
        drain: proxy.drain,
    }))
}

/// Both files or none: the configuration has been checked for that.
fn tls(cert: &Option<PathBuf>, key: &Option<PathBuf>) -> Option<TlsFiles> {
    let (cert, key) = cert.clone().zip(key.clone())?;
    Some(TlsFiles { cert, key })
}

/// How requests are counted that a proxy asks about.
pub(super) fn forwarding(config: &Config) -> Forwarding {
    let limits = &config.limits;
    Forwarding {
        domain: limits.authorize_domain.clone(),
        by: descriptors(&limits.authorize_by),
        without_key: limits.authorize_without_key,
        trusted_proxies: config.edge.trusted_proxies.clone(),
    }
}

/// The domain and the descriptors of requests: of those through the proxy, if there is one, or else of those
/// that a proxy asks about.
pub(crate) fn counted(config: &Config) -> (String, Vec<Vec<Counted>>) {
    let (domain, by) = match config.proxy.listen {
        Some(_) => (&config.proxy.domain, &config.proxy.by),
        None => (&config.limits.authorize_domain, &config.limits.authorize_by),
    };
    (domain.clone(), descriptors(by))
}

/// Where refusals are written, if they are.
pub(super) fn audit(config: &Config) -> Option<AuditOptions> {
    let audit = &config.audit;
    Some(AuditOptions {
        file: audit.file.clone()?,
        one_in: audit.one_in,
        max_bytes: size(audit.max_bytes),
        keep: audit.keep,
    })
}

/// What rules do on a failure of the store that do not say so themselves.
pub(super) const fn on_store_failure(config: &Config) -> OnStoreFailure {
    match config.limits.on_store_failure {
        tollgate_config::OnStoreFailure::Open => OnStoreFailure::Open,
        tollgate_config::OnStoreFailure::Closed => OnStoreFailure::Closed,
        tollgate_config::OnStoreFailure::Local => OnStoreFailure::Local,
    }
}

fn descriptors(by: &[Vec<Attribute>]) -> Vec<Vec<Counted>> {
    let one = |by: &Vec<Attribute>| by.iter().filter_map(attribute).collect();
    by.iter().map(one).collect()
}

/// `None` never: the names of headers were checked as they were read.
fn attribute(attribute: &Attribute) -> Option<Counted> {
    Some(match attribute {
        Attribute::RemoteAddress => Counted::RemoteAddress,
        Attribute::Method => Counted::Method,
        Attribute::Host => Counted::Host,
        Attribute::Path => Counted::Path,
        Attribute::ApiKey => Counted::ApiKey,
        Attribute::Header(name) => Counted::header(name)?,
    })
}

/// Those of the Redis protocol, if it is to listen.
pub(super) fn resp(config: &Config) -> Option<RespOptions> {
    let resp = &config.resp;
    Some(RespOptions {
        listen: resp.listen?,
        threads: threads(resp.threads),
        max_connections: size(resp.max_connections),
        idle_timeout: resp.idle_timeout,
        max_frame: MAX_FRAME,
        password: resp
            .password
            .as_ref()
            .map(|secret| secret.guarded().clone()),
        drain: resp.drain,
    })
}

/// The cache's.
pub(super) fn cache(config: &Config, seed: u64) -> CacheOptions {
    let cache = &config.memory_cache;
    CacheOptions {
        max_bytes: cache.max_bytes,
        ttl: cache.ttl,
        negative_ttl: cache.negative_ttl,
        stale_if_error: cache.stale_if_error,
        early_refresh: cache.early_refresh,
        seed,
    }
}

/// The code strategies'.
pub(super) fn strategies(config: &Config) -> StrategyOptions {
    let links = &config.links;
    StrategyOptions {
        length: links.code_length,
        case_insensitive: links.case_insensitive,
        block_size: links.counter_block,
        sha256: links.hash == Hash::Sha256,
        worker_ttl: links.worker_lease,
        pool_target: links.pool_target,
        quarantine: links.quarantine,
    }
}

/// The strategy of drafts that name none.
pub(super) fn strategy(config: &Config) -> StrategyKind {
    match config.links.strategy {
        Strategy::Counter => StrategyKind::Counter,
        Strategy::Hash => StrategyKind::Hash,
        Strategy::Snowflake => StrategyKind::Snowflake,
        Strategy::Pool => StrategyKind::Pool,
        Strategy::Random => StrategyKind::Random,
    }
}

/// What a link's fields have to keep. `edge` is where short links are answered.
pub(super) fn specs(config: &Config, domains: &Domains, edge: SocketAddr) -> SpecRules {
    let mut own_hosts = domains.own_hosts();
    own_hosts.extend(names_of(edge));
    SpecRules {
        targets: TargetRules {
            schemes: config.links.schemes.clone(),
            allow_credentials: config.links.allow_credentials,
            own_hosts,
        },
        passwords: PasswordHasher::default(),
    }
}

/// The hosts by which a browser on this machine finds a listener, whatever the domains are.
fn names_of(listener: SocketAddr) -> Vec<(Domain, Option<u16>)> {
    let ip = listener.ip().to_canonical();
    let mut hosts = vec![match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }];
    if ip.is_loopback() || ip.is_unspecified() {
        hosts.extend(["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]"].map(str::to_owned));
    }
    let port = Some(listener.port());
    hosts
        .iter()
        .filter_map(|host| Domain::parse(host).ok())
        .map(|host| (host, port))
        .collect()
}

fn redirect(redirect: Redirect) -> RedirectKind {
    match redirect {
        Redirect::MovedPermanently => RedirectKind::MovedPermanently,
        Redirect::Found => RedirectKind::Found,
        Redirect::Temporary => RedirectKind::Temporary,
        Redirect::Permanent => RedirectKind::Permanent,
    }
}

/// As many as are wanted, or one for each core.
fn threads(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        wanted => wanted,
    }
}

/// A bound that is beyond this machine's address space is none.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_do_not_lead_back_to_the_listener() {
        let refused = |listen: &str, target: &str| {
            let rules = TargetRules {
                schemes: vec!["http".to_owned()],
                allow_credentials: false,
                own_hosts: names_of(listen.parse().unwrap()),
            };
            rules.parse(target).is_err()
        };
        for listen in [
            "127.0.0.1:8080",
            "0.0.0.0:8080",
            "[::]:8080",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:8080",
        ] {
            for host in ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"] {
                let target = format!("http://{host}:8080/x");
                assert!(refused(listen, &target), "{target} on {listen}");
            }
            assert!(!refused(listen, "http://localhost:3000/"));
        }
        assert!(refused("192.0.2.7:80", "http://192.0.2.7/x"));
        assert!(!refused("192.0.2.7:80", "http://localhost/x"));
    }
}
