//! From file, environment and flags to a valid [`Config`].

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{ConfigError, Place, Problem};
use crate::key::Section;
use crate::sections::{
    Access, Admin, Audit, Changes, ClickQueue, Clicks, ClicksClickHouse, ClicksKafka,
    ClicksPostgres, ClicksRedis, Compat, Dynamo, Edge, Engine, GlobalLimits, Grpc, Limits, Links,
    Log, MemoryCache, Oidc, Overload, Postgres, Proxy, Resp, SharedCache, Shutdown, Sweep,
    Webhooks,
};
use crate::source::Given;

/// A complete and valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[links]`
    pub links: Links,
    /// `[links.postgres]`
    pub postgres: Postgres,
    /// `[links.dynamodb]`
    pub dynamo: Dynamo,
    /// `[links.memory_cache]`
    pub memory_cache: MemoryCache,
    /// `[links.shared_cache]`
    pub shared_cache: SharedCache,
    /// `[links.sweep]`
    pub sweep: Sweep,
    /// `[access]`
    pub access: Access,
    /// `[edge]`
    pub edge: Edge,
    /// `[admin]`
    pub admin: Admin,
    /// `[admin.audit]`
    pub changes: Changes,
    /// `[admin.oidc]`
    pub oidc: Oidc,
    /// `[compat]`
    pub compat: Compat,
    /// `[clicks]`
    pub clicks: Clicks,
    /// `[clicks.clickhouse]`
    pub clicks_clickhouse: ClicksClickHouse,
    /// `[clicks.kafka]`
    pub clicks_kafka: ClicksKafka,
    /// `[clicks.postgres]`
    pub clicks_postgres: ClicksPostgres,
    /// `[clicks.redis]`
    pub clicks_redis: ClicksRedis,
    /// `[webhooks]`
    pub webhooks: Webhooks,
    /// `[limits]`
    pub limits: Limits,
    /// `[limits.global]`
    pub limits_global: GlobalLimits,
    /// `[limits.audit]`
    pub audit: Audit,
    /// `[resp]`
    pub resp: Resp,
    /// `[grpc]`
    pub grpc: Grpc,
    /// `[proxy]`
    pub proxy: Proxy,
    /// `[overload]`
    pub overload: Overload,
    /// `[shutdown]`
    pub shutdown: Shutdown,
    /// `[log]`
    pub log: Log,
}

/// Where to read a configuration from. What comes later wins.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// The file, if there is one.
    pub file: Option<&'a Path>,
    /// The environment; variables that are none of ours are left alone.
    pub environment: Vec<(String, String)>,
    /// Key, name of the flag and its value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Config {
    pub(crate) const SECTIONS: &'static [Section] = &[
        Links::SECTION,
        Postgres::SECTION,
        Dynamo::SECTION,
        MemoryCache::SECTION,
        SharedCache::SECTION,
        Sweep::SECTION,
        Access::SECTION,
        Edge::SECTION,
        Admin::SECTION,
        Changes::SECTION,
        Oidc::SECTION,
        Compat::SECTION,
        Clicks::SECTION,
        ClicksClickHouse::SECTION,
        ClicksPostgres::SECTION,
        ClicksRedis::SECTION,
        ClicksKafka::SECTION,
        Webhooks::SECTION,
        Limits::SECTION,
        GlobalLimits::SECTION,
        Audit::SECTION,
        Resp::SECTION,
        Grpc::SECTION,
        Proxy::SECTION,
        Overload::SECTION,
        Shutdown::SECTION,
        Log::SECTION,
    ];

    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let text = match sources.file {
            Some(file) => Some((file, read(file)?)),
            None => None,
        };
        let mut given = Given::default();
        if let Some((file, text)) = &text {
            given.add_file(file, text);
        }
        given.add_environment(sources.environment.iter().cloned());
        for (key, flag, value) in &sources.flags {
            given.add_flag(key, flag, value);
        }
        Self::read(given)
    }

    pub(crate) fn read(mut given: Given) -> Result<Self, ConfigError> {
        let mut reader = given.reader();
        // All sections are read before any is missed, so that every problem is told.
        let links = Links::read(&mut reader);
        let postgres = Postgres::read(&mut reader);
        let dynamo = Dynamo::read(&mut reader);
        let memory_cache = MemoryCache::read(&mut reader);
        let shared_cache = SharedCache::read(&mut reader);
        let sweep = Sweep::read(&mut reader);
        let access = Access::read(&mut reader);
        let edge = Edge::read(&mut reader);
        let admin = Admin::read(&mut reader);
        let changes = Changes::read(&mut reader);
        let oidc = Oidc::read(&mut reader);
        let compat = Compat::read(&mut reader);
        let clicks = Clicks::read(&mut reader);
        let clicks_clickhouse = ClicksClickHouse::read(&mut reader);
        let clicks_postgres = ClicksPostgres::read(&mut reader);
        let clicks_redis = ClicksRedis::read(&mut reader);
        let clicks_kafka = ClicksKafka::read(&mut reader);
        let webhooks = Webhooks::read(&mut reader);
        let limits = Limits::read(&mut reader);
        let limits_global = GlobalLimits::read(&mut reader);
        let audit = Audit::read(&mut reader);
        let resp = Resp::read(&mut reader);
        let grpc = Grpc::read(&mut reader);
        let proxy = Proxy::read(&mut reader);
        let overload = Overload::read(&mut reader);
        let shutdown = Shutdown::read(&mut reader);
        let log = Log::read(&mut reader);
        if let Some(links) = &links {
            check_hosts(links, &mut given);
        }
        if let Some(admin) = &admin {
            check_private(admin, &mut given);
        }
        if let Some(oidc) = &oidc {
            check_provider(oidc, &mut given);
        }
        if let Some(clicks) = &clicks {
            check_queue(clicks, &mut given);
        }
        if let (Some(clicks), Some(kafka)) = (&clicks, &clicks_kafka) {
            check_brokers(&clicks.queue, kafka, &mut given);
        }
        if let Some(overload) = &overload {
            check_range(overload, &mut given);
        }
        if let Some(compat) = &compat {
            check_signature(compat, &mut given);
        }
        if let Some(edge) = &edge {
            let files = [&edge.tls_cert, &edge.tls_key].map(Option::is_some);
            check_tls("edge.tls_cert", "edge.tls_key", files, &mut given);
        }
        if let Some(proxy) = &proxy {
            let files = [&proxy.tls_cert, &proxy.tls_key].map(Option::is_some);
            check_tls("proxy.tls_cert", "proxy.tls_key", files, &mut given);
            check_upstream(proxy, &mut given);
        }
        let config = (|| {
            Some(Self {
                links: links?,
                postgres: postgres?,
                dynamo: dynamo?,
                memory_cache: memory_cache?,
                shared_cache: shared_cache?,
                sweep: sweep?,
                access: access?,
                edge: edge?,
                admin: admin?,
                changes: changes?,
                oidc: oidc?,
                compat: compat?,
                clicks: clicks?,
                clicks_clickhouse: clicks_clickhouse?,
                clicks_postgres: clicks_postgres?,
                clicks_redis: clicks_redis?,
                clicks_kafka: clicks_kafka?,
                webhooks: webhooks?,
                limits: limits?,
                limits_global: limits_global?,
                audit: audit?,
                resp: resp?,
                grpc: grpc?,
                proxy: proxy?,
                overload: overload?,
                shutdown: shutdown?,
                log: log?,
            })
        })();
        match config {
            Some(config) if given.problems.is_empty() => Ok(config),
            _ => {
                given.problems.sort_by(|a, b| a.place.cmp(&b.place));
                Err(ConfigError(given.problems))
            }
        }
    }

    /// The file the links are kept in; `None` if they are kept in no file.
    #[must_use]
    pub fn links_file(&self, data_dir: &Path) -> Option<PathBuf> {
        file_of(&self.links.store, data_dir, "links.db")
    }

    /// Where clicks wait to be counted.
    #[must_use]
    pub fn spool_directory(&self, data_dir: &Path) -> PathBuf {
        file_or(self.clicks.spool.as_deref(), data_dir, "spool")
    }

    /// The file the statistics of clicks are kept in; `None` if they are kept in no file.
    #[must_use]
    pub fn clicks_file(&self, data_dir: &Path) -> Option<PathBuf> {
        file_of(&self.clicks.store, data_dir, "clicks.db")
    }

    /// Where webhooks and their messages are kept.
    #[must_use]
    pub fn webhooks_file(&self, data_dir: &Path) -> PathBuf {
        file_or(self.webhooks.store.as_deref(), data_dir, "webhooks.db")
    }

    /// Where it is kept who changed what.
    #[must_use]
    pub fn audit_file(&self, data_dir: &Path) -> PathBuf {
        file_or(self.changes.store.as_deref(), data_dir, "audit.db")
    }

    /// Where the API keys are kept.
    #[must_use]
    pub fn keys_file(&self, data_dir: &Path) -> PathBuf {
        file_or(self.access.store.as_deref(), data_dir, "keys.db")
    }
}

fn file_of(store: &Engine, data_dir: &Path, name: &str) -> Option<PathBuf> {
    match store {
        Engine::Sqlite(file) => Some(file_or(file.as_deref(), data_dir, name)),
        Engine::Postgres(_) | Engine::Shards(_) | Engine::Dynamo(_) | Engine::ClickHouse(_) => None,
    }
}

fn file_or(file: Option<&Path>, data_dir: &Path, name: &str) -> PathBuf {
    file.map_or_else(|| data_dir.join(name), Path::to_owned)
}

/// Bounds what a wrong path (a device, a database) can make us read.
const MAX_FILE_BYTES: u64 = 1 << 20;

fn read(file: &Path) -> Result<String, ConfigError> {
    let refuse = |message: String| {
        ConfigError(vec![Problem {
            place: Place::File(file.to_owned()),
            key: String::new(),
            message,
        }])
    };
    let unreadable = |error: std::io::Error| refuse(format!("cannot be read: {error}"));
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(
        &mut std::io::Read::take(opened, MAX_FILE_BYTES + 1),
        &mut bytes,
    )
    .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refuse(format!(
            "longer than {MAX_FILE_BYTES} bytes: this is no configuration"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        refuse(format!(
            "not UTF-8 at byte {}",
            error.utf8_error().valid_up_to()
        ))
    })
}

/// A host names one domain, so no two base URLs may share one.
fn check_hosts(links: &Links, given: &mut Given) {
    let mut seen = HashSet::new();
    let hosts = links.base_url.iter().chain(&links.domains);
    for host in hosts.filter_map(|base| Url::parse(base).ok()?.host_str().map(str::to_owned)) {
        if !seen.insert(host.clone()) {
            let place = given.place("links.domains");
            given.problem(
                place,
                "links.domains",
                format!("the host {host:?} is given twice"),
            );
        }
    }
}

/// How far a spool is counted has to be known to whoever counts it.
fn check_queue(clicks: &Clicks, given: &mut Given) {
    let is_shared = clicks.queue != ClickQueue::Local;
    if is_shared && matches!(clicks.store, Engine::Sqlite(_)) {
        let place = given.place("clicks.queue");
        let what = "servers that share a queue have to share the statistics: set clicks.store to a \
                    PostgreSQL or a ClickHouse as well";
        given.problem(place, "clicks.queue", what.to_owned());
    }
}

/// Files for TLS need TLS.
fn check_brokers(queue: &ClickQueue, kafka: &ClicksKafka, given: &mut Given) {
    let ClickQueue::Kafka(url) = queue else {
        return;
    };
    let pair = [&kafka.client_cert, &kafka.client_key].map(Option::is_some);
    check_tls(
        "clicks.kafka.client_cert",
        "clicks.kafka.client_key",
        pair,
        given,
    );
    if url.expose().starts_with("kafkas:") {
        return;
    }
    let files = [
        ("clicks.kafka.ca_file", &kafka.ca_file),
        ("clicks.kafka.client_cert", &kafka.client_cert),
    ];
    for (key, _) in files.into_iter().filter(|(_, file)| file.is_some()) {
        let place = given.place(key);
        let what = "clicks.queue is without TLS: begin it with kafkas:// instead of kafka://";
        given.problem(place, key, what.to_owned());
    }
}

fn check_range(overload: &Overload, given: &mut Given) {
    if overload.min > overload.max {
        let place = given.place("overload.min");
        let what = format!("it is more than overload.max, which is {}", overload.max);
        given.problem(place, "overload.min", what);
    }
}

fn check_signature(compat: &Compat, given: &mut Given) {
    if compat.yourls_key.is_some() && compat.yourls_signature.is_none() {
        let place = given.place("compat.yourls_key");
        let what =
            "a key needs a signature that stands for it: set compat.yourls_signature as well";
        given.problem(place, "compat.yourls_key", what.to_owned());
    }
}

/// The admin side speaks no TLS: on an address that strangers reach, somebody has to say that this is meant.
fn check_private(admin: &Admin, given: &mut Given) {
    if admin.allow_public || is_private(admin.listen.ip()) {
        return;
    }
    let place = given.place("admin.listen");
    let what = format!(
        "strangers may reach {}, and the admin side speaks no TLS: listen on 127.0.0.1 or an address of a private \
         network, with a proxy with TLS in front where others need it; or set admin.allow_public (in a container, or \
         behind a firewall)",
        admin.listen
    );
    given.problem(place, "admin.listen", what);
}

/// Whether only this machine and its own network reach an address.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn check_provider(oidc: &Oidc, given: &mut Given) {
    if oidc.issuer.is_none() {
        return;
    }
    let missing = [
        ("admin.oidc.client_id", oidc.client_id.is_none()),
        ("admin.oidc.url", oidc.url.is_none()),
        ("admin.oidc.grants", oidc.grants.is_empty()),
    ];
    for (key, _) in missing.into_iter().filter(|(_, missing)| *missing) {
        let place = given.place("admin.oidc.issuer");
        let what = format!("nobody can sign in there without {key}: set it as well");
        given.problem(place, "admin.oidc.issuer", what);
    }
}

fn check_upstream(proxy: &Proxy, given: &mut Given) {
    if proxy.listen.is_some() && proxy.upstream.is_none() {
        let place = given.place("proxy.listen");
        let what =
            "a proxy needs a server behind it: set proxy.upstream (--proxy-upstream) as well";
        given.problem(place, "proxy.listen", what.to_owned());
    }
}

fn check_tls(
    cert: &'static str,
    key: &'static str,
    [has_cert, has_key]: [bool; 2],
    given: &mut Given,
) {
    let (present, missing) = match (has_cert, has_key) {
        (true, false) => (cert, key),
        (false, true) => (key, cert),
        _ => return,
    };
    let place = given.place(present);
    given.problem(
        place,
        present,
        format!("TLS needs both files: set {missing} as well"),
    );
}
