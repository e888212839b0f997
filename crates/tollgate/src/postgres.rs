//! Links and statistics that instances share in a PostgreSQL.

use std::sync::Arc;

use anyhow::Context as _;
use tollgate_clicks::store::{
    PoolStats, PostgresAddress as ClickAddress, PostgresClickStore, PostgresOptions as ClickOptions,
};
use tollgate_clock::SystemClock;
use tollgate_config::{Config, Postgres, Replicas, Secret};
use tollgate_links::store::{
    PostgresAddress, PostgresLinkStore, PostgresOptions, PostgresStats, ReplicaReadStats,
    ReplicaReads, ReplicaStats, ShardAddress, ShardStats, ShardedLinkStore,
};
use tollgate_server::metrics::{Counter, Gauge, Metrics, WatchedReplica};

use crate::click_store::Clicks;
use crate::link_store::Links;

/// Connects to the store of links, and makes its tables if they are not there.
pub(crate) async fn open(url: &Secret, config: &Postgres) -> anyhow::Result<Links> {
    let address = PostgresAddress::parse(url.expose()).context("links.store")?;
    let options = PostgresOptions {
        replicas: replicas([&address], config)?,
        ..options(config)
    };
    let store = PostgresLinkStore::open(address, Arc::new(SystemClock::new()), &options).await;
    let store = Arc::new(store.context("links.store")?);
    if store.is_shard().await.context("links.store")? {
        anyhow::bail!(
            "links.store: {} is one of several shards: give an array that lists all of them",
            store.place()
        );
    }
    let mut links = Links::new(Arc::clone(&store), store.place().to_owned());
    links.register = Box::new(|metrics| {
        let own = Arc::clone(&store);
        register_replicas(move || own.replica_stats(), metrics);
        register(move || store.stats(), metrics);
    });
    Ok(links)
}

/// Connects to all shards of the links, and makes their tables if they are not there.
pub(crate) async fn open_shards(urls: &[Secret], config: &Postgres) -> anyhow::Result<Links> {
    let addresses = shard_addresses(urls)?;
    let clock = Arc::new(SystemClock::new());
    let options = PostgresOptions {
        replicas: replicas(addresses.iter().map(ShardAddress::address), config)?,
        ..options(config)
    };
    let store = ShardedLinkStore::open(addresses, clock, &options).await;
    let store = Arc::new(store.context("links.store")?);
    let mut links = Links::new(Arc::clone(&store), store.place());
    links.register = Box::new(move |metrics| register_shards(&store, metrics));
    Ok(links)
}

/// Where the shards are.
pub(crate) fn shard_addresses(urls: &[Secret]) -> anyhow::Result<Vec<ShardAddress>> {
    urls.iter()
        .map(|url| ShardAddress::parse(url.expose()).context("links.store"))
        .collect()
}

/// How each database of links is used.
pub(crate) fn options(config: &Postgres) -> PostgresOptions {
    PostgresOptions {
        connections: config.connections,
        deadline: config.deadline,
        ..PostgresOptions::default()
    }
}

/// How standbys are read, if they are.
fn replicas<'a>(
    addresses: impl IntoIterator<Item = &'a PostgresAddress>,
    config: &Postgres,
) -> anyhow::Result<Option<ReplicaReads>> {
    if config.replicas == Replicas::Off {
        return Ok(None);
    }
    let mut several = addresses
        .into_iter()
        .filter(|address| address.server_count() > 1)
        .peekable();
    anyhow::ensure!(
        several.peek().is_some(),
        "links.postgres.replicas: name the primary and its standbys in links.store, as in \
         \"postgres://user:password@one:5432,two:5432/database\""
    );
    anyhow::ensure!(
        several.all(PostgresAddress::finds_primary),
        "links.postgres.replicas: the primary has to be found: leave target_session_attrs out of links.store"
    );
    Ok(Some(ReplicaReads {
        max_lag: config.max_lag,
        absent_per_second: u32::try_from(config.absent_checks).unwrap_or(u32::MAX),
    }))
}

/// Connects to the store of statistics, and makes its tables if they are not there.
pub(crate) async fn open_clicks(url: &Secret, config: &Config) -> anyhow::Result<Clicks> {
    let address = ClickAddress::parse(url.expose()).context("clicks.store")?;
    let options = ClickOptions {
        connections: config.clicks_postgres.connections,
        deadline: config.clicks_postgres.deadline,
        retain_raw: config.clicks.retain_raw,
        archive: config.clicks.archive_dir.clone(),
    };
    let store = PostgresClickStore::open(address, Arc::new(SystemClock::new()), &options).await;
    let store = Arc::new(store.context("clicks.store")?);
    Ok(Clicks {
        store: store.clone(),
        place: store.place().to_owned(),
        is_shared: true,
        register: Box::new(|metrics| register_clicks(store, metrics)),
    })
}

fn register_clicks(store: Arc<PostgresClickStore>, metrics: &Metrics) {
    let gauges: [Gauge<PoolStats>; 2] = [
        (
            "tollgate_clicks_postgres_connections",
            "Open connections to the store of statistics",
            |stats| stats.connections,
        ),
        (
            "tollgate_clicks_postgres_connections_idle",
            "Open connections to the store of statistics that wait for work",
            |stats| stats.idle,
        ),
    ];
    let counters: [Counter<PoolStats>; 2] = [
        (
            "tollgate_clicks_postgres_connections_opened",
            "Connections to the store of statistics that were opened",
            |stats| stats.opened,
        ),
        (
            "tollgate_clicks_postgres_failures",
            "Batches and queries that the store of statistics did not do, or not in time",
            |stats| stats.failed,
        ),
    ];
    let stats = move || store.stats();
    metrics.register_gauges(gauges, stats.clone());
    metrics.register_counters(counters, stats);
}

fn register_shards(store: &Arc<ShardedLinkStore>, metrics: &Metrics) {
    let gauges: [Gauge<ShardStats>; 3] = [
        (
            "tollgate_shards",
            "Databases that links are spread over",
            |stats| stats.shards,
        ),
        (
            "tollgate_shards_map_version",
            "The version of the map of the shards that this instance goes by: the same everywhere, but for a moment",
            |stats| stats.version,
        ),
        (
            "tollgate_shards_moving",
            "Whether links are being moved to other shards",
            |stats| u64::from(stats.moving),
        ),
    ];
    let counters: [Counter<ShardStats>; 2] = [
        (
            "tollgate_shards_links_moved",
            "Links that this instance moved to another shard because it wrote to them during a rebalance",
            |stats| stats.moved,
        ),
        (
            "tollgate_shards_retries",
            "Reads and writes that were begun anew because the map of the shards had changed",
            |stats| stats.again,
        ),
    ];
    let own = Arc::clone(store);
    let stats = move || own.stats();
    metrics.register_gauges(gauges, stats.clone());
    metrics.register_counters(counters, stats);
    let own = Arc::clone(store);
    register(move || own.stats().postgres, metrics);
    let own = Arc::clone(store);
    register_replicas(move || own.replica_stats(), metrics);
}

fn register(stats: impl Fn() -> PostgresStats + Clone + Send + Sync + 'static, metrics: &Metrics) {
    let gauges: [Gauge<PostgresStats>; 3] = [
        (
            "tollgate_postgres_connections",
            "Open connections to the store of links",
            |stats| stats.pool.connections,
        ),
        (
            "tollgate_postgres_connections_idle",
            "Open connections to the store of links that wait for work",
            |stats| stats.pool.idle,
        ),
        (
            "tollgate_postgres_listening",
            "Whether the store tells of edits by other instances: 0 while they are only looked for",
            |stats| u64::from(stats.listening),
        ),
    ];
    let counters: [Counter<PostgresStats>; 2] = [
        (
            "tollgate_postgres_connections_opened",
            "Connections to the store of links that were opened",
            |stats| stats.pool.opened,
        ),
        (
            "tollgate_postgres_failures",
            "Reads and writes that the store of links did not do, or not in time",
            |stats| stats.pool.failed,
        ),
    ];
    metrics.register_gauges(gauges, stats.clone());
    metrics.register_counters(counters, stats);
}

/// Shows how standbys do, if any are read.
fn register_replicas(
    stats: impl Fn() -> Option<ReplicaReadStats> + Clone + Send + Sync + 'static,
    metrics: &Metrics,
) {
    let Some(first) = stats() else {
        return;
    };
    let counters: [Counter<ReplicaReadStats>; 3] = [
        (
            "tollgate_postgres_primary_reads",
            "Visitors' links and listings that were read from the primary, with standbys to read",
            |stats| stats.primary,
        ),
        (
            "tollgate_postgres_absent_checks",
            "Links that a standby did not have and that were looked for on the primary",
            |stats| stats.absent,
        ),
        (
            "tollgate_postgres_absent_checks_refused",
            "Links that a standby did not have and that were not looked for on the primary, so that visitors were told 503",
            |stats| stats.refused,
        ),
    ];
    let stats = move || stats().unwrap_or_else(|| first.clone());
    metrics.register_counters(counters, stats.clone());
    metrics.register_replicas(move || watched(stats().servers));
}

/// What is shown of servers: one that has several databases is one.
fn watched(stats: Vec<ReplicaStats>) -> Vec<WatchedReplica> {
    let mut watched: Vec<WatchedReplica> = Vec::new();
    for one in stats {
        let (lag_seconds, lag_bytes) = (one.lag.map(|lag| lag.as_secs_f64()), one.lag_bytes);
        let known = watched.iter_mut().find(|known| known.server == one.server);
        match known {
            Some(known) => {
                known.readable &= one.readable;
                known.lag_seconds = known
                    .lag_seconds
                    .into_iter()
                    .chain(lag_seconds)
                    .reduce(f64::max);
                known.lag_bytes = known.lag_bytes.max(lag_bytes);
                known.reads += one.reads;
                known.failures += one.failed;
            }
            None => watched.push(WatchedReplica {
                server: one.server,
                readable: one.readable,
                lag_seconds,
                lag_bytes,
                reads: one.reads,
                failures: one.failed,
            }),
        }
    }
    watched
}
