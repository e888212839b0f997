//! The shared cache with Redis servers of the tests' own, and a store that counts its reads.

mod cluster;
mod edits;
mod entries;
mod failures;
mod simulation;
mod stampede;

#[path = "../../../../../redis/tests/private/commands.rs"]
mod commands;
#[path = "../../../../../redis/tests/private/failover.rs"]
mod failover;
#[path = "../../../../../redis/tests/private/free_port.rs"]
mod free_port;
#[allow(dead_code, reason = "shared with the tests of limits in Redis")]
#[path = "../../../../../redis/tests/private/private_cluster.rs"]
mod private_cluster;
#[allow(dead_code, reason = "shared with the tests of limits in Redis")]
#[path = "../../../../../redis/tests/private/private_redis.rs"]
mod private_redis;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tollgate_clock::{Clock as _, ManualClock, UnixMillis};

use self::commands::{PATIENCE, send};
use self::private_cluster::eventually;
use self::private_redis::PrivateRedis;
use super::*;
use crate::cache::probe_store::ProbeStore;
use crate::cache::{CacheOptions, Lookup};
use crate::store::{Delete, Insert, Update};
use crate::{Code, Domain, LinkSpec, Origin, TargetUrl};

const MEMORY_TTL: Duration = Duration::from_secs(300);
const TTL: Duration = Duration::from_secs(3_600);

/// Servers on one store and one Redis. Their clock is set by hand; that of Redis is not.
struct Fleet {
    clock: Arc<ManualClock>,
    store: Arc<ProbeStore>,
    servers: Vec<Server>,
}

struct Server {
    shared: Arc<SharedCache>,
    cache: Arc<LinkCache>,
    writes: WriteThrough,
    runs: Option<JoinHandle<()>>,
}

/// Nothing ends but by the test: no call, no lock, and nobody's patience, which is by the clock of the test.
fn options(seed: u64) -> SharedCacheOptions {
    SharedCacheOptions {
        ttl: TTL,
        negative_ttl: Duration::from_secs(600),
        early_refresh: 0.0,
        deadline: PATIENCE,
        lock: 2 * PATIENCE,
        ..SharedCacheOptions::with_seed(seed)
    }
}

impl Fleet {
    async fn of(servers: usize, url: &str) -> Self {
        Self::with(servers, url, |_| {}).await
    }

    async fn with(servers: usize, url: &str, change: impl Fn(&mut SharedCacheOptions)) -> Self {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_000_000)));
        let store = Arc::new(ProbeStore::new(clock.clone()));
        let mut fleet = Self {
            clock,
            store,
            servers: Vec::new(),
        };
        for seed in 0..servers {
            let mut options = options(seed as u64 + 1);
            change(&mut options);
            let server = fleet.server(url, options).await;
            fleet.servers.push(server);
        }
        fleet
    }

    async fn server(&self, url: &str, options: SharedCacheOptions) -> Server {
        let memory = CacheOptions {
            max_bytes: 1 << 20,
            ttl: MEMORY_TTL,
            negative_ttl: Duration::from_secs(600),
            stale_if_error: Duration::ZERO,
            early_refresh: 0.0,
            seed: options.seed,
        };
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let shared = SharedCache::connect(url, options, store, clock.clone());
        let shared = shared.await.unwrap();
        Server {
            cache: LinkCache::over(memory, shared.clone(), clock),
            writes: WriteThrough::new(shared.clone()),
            shared,
            runs: None,
        }
    }

    /// Lets all servers hear of each other.
    async fn listen(&mut self) {
        for server in &mut self.servers {
            server.run();
        }
        eventually("all listen", async || {
            self.servers
                .iter()
                .all(|server| server.shared.stats().listening)
        })
        .await;
    }

    /// Lets all that is in the memory of servers end.
    fn forget_memory(&self) {
        self.clock.advance(MEMORY_TTL);
    }

    /// Makes a link in the store, of which no server knows.
    async fn insert(&self, code: &str) {
        self.store.insert(vec![insert(code)]).await.unwrap();
    }

    fn update(&self, code: &str, version: u64, target: &str) -> Update {
        Update {
            key: key(code),
            expected_version: version,
            spec: LinkSpec::to(TargetUrl::from_stored(target)),
            actor: String::new(),
            at: self.clock.now(),
            idempotency: None,
        }
    }

    fn delete(&self, code: &str) -> Delete {
        Delete {
            key: key(code),
            expected_version: None,
            actor: String::new(),
            at: self.clock.now(),
            idempotency: None,
        }
    }
}

impl Server {
    fn run(&mut self) {
        let (shared, cache) = (self.shared.clone(), self.cache.clone());
        let run = async move { shared.run(&cache, std::future::pending()).await };
        self.runs = Some(tokio::spawn(run));
    }

    async fn get(&self, code: &str) -> Lookup {
        self.cache.get(key(code)).await.unwrap()
    }

    /// Who knows whether there is this link.
    async fn tier(&self, code: &str) -> (bool, Tier) {
        let lookup = self.get(code).await;
        (lookup.link.is_some(), lookup.tier)
    }

    /// Where the link leads.
    async fn target(&self, code: &str) -> Option<String> {
        let link = self.get(code).await.link?;
        Some(link.target().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runs) = &self.runs {
            runs.abort();
        }
    }
}

fn key(code: &str) -> LinkKey {
    LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored(code),
    }
}

/// The name of its entry.
fn entry(code: &str) -> String {
    format!(
        "tollgate:link:{{{}/{code}}}",
        Domain::default_domain().as_str()
    )
}

fn insert(code: &str) -> Insert {
    insert_spec(
        code,
        LinkSpec::to(TargetUrl::from_stored("https://example.com/first")),
    )
}

fn insert_spec(code: &str, spec: LinkSpec) -> Insert {
    let at = UnixMillis::from_millis(0);
    Insert {
        link: Link {
            key: key(code),
            spec,
            origin: Origin::Alias,
            created_at: at,
            updated_at: at,
            created_by: "key".to_owned(),
            version: 1,
            clicks_used: 0,
        },
        reuse: false,
        idempotency: None,
    }
}
