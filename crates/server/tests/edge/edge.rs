//! An edge to ask, with a clock that stands still.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tollgate_clicks::capture::Capture;
use tollgate_clock::{Clock, ManualClock, UnixMillis};
use tollgate_limit::policy::PolicySet;
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{MemoryOptions, MemoryStore as LimitMemory};
use tollgate_links::store::{Insert, Inserted, LinkStore};
use tollgate_links::{
    CacheOptions, Code, CodeFilter, CodeRules, Domain, Domains, Link, LinkCache, LinkKey,
    LinkService, LinkSpec, Origin, PasswordHasher, RedirectKind, ServiceParts, SpecRules,
    StoreSource, Strategies, StrategyKind, StrategyOptions, TargetRules, TargetUrl,
};
use tollgate_server::edge::{EdgeHandle, EdgeOptions, EdgeState, RootPage, bind};
use tollgate_server::limits::{BUILT_IN, Guard};
use tollgate_server::metrics::Metrics;
use tollgate_server::overload::{Admitting, Overload, OverloadOptions};

use crate::client::Client;
use crate::kept_store::KeptStore;

pub const NOW: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);
/// How long a link is fresh in the cache.
pub const TTL: Duration = Duration::from_secs(60);
/// Longer than anything that works takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Edge {
    pub address: SocketAddr,
    pub clock: Arc<ManualClock>,
    pub store: Arc<KeptStore>,
    pub metrics: Arc<Metrics>,
    pub shutdown: CancellationToken,
    handle: Option<EdgeHandle>,
}

pub fn options() -> EdgeOptions {
    EdgeOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        threads: 2,
        default_redirect: RedirectKind::Found,
        header_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        drain: PATIENCE,
        linger: Duration::ZERO,
        max_header_bytes: 16 * 1024,
        max_connections: 1_000,
        max_connections_per_address: 1_000,
        tls: None,
        root: RootPage::Landing,
        trusted_proxies: Vec::new(),
        qr_logo: None,
    }
}

impl Edge {
    pub fn start() -> Self {
        Self::with(options())
    }

    pub fn with(options: EdgeOptions) -> Self {
        Self::capturing(options, None)
    }

    /// One whose clicks go there.
    pub fn capturing(options: EdgeOptions, clicks: Option<Arc<Capture>>) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let store = KeptStore::new(clock.clone());
        let metrics = Arc::new(Metrics::new());
        let overload = overload(&clock);
        metrics.register_overload(overload.clone());
        let service = service(&clock, &store, &overload);
        metrics.register_cache(Arc::clone(&service.parts().cache));
        let state = EdgeState {
            service,
            guard: guard(&clock),
            metrics: Arc::clone(&metrics),
            clicks,
            counted: Arc::clone(&overload.counted),
            visitor_key: [7; 16],
        };
        let bound = bind(options).unwrap();
        let address = bound.local_addr();
        let shutdown = CancellationToken::new();
        let handle = bound.serve(state, shutdown.clone()).unwrap();
        Self {
            address,
            clock,
            store,
            metrics,
            shutdown,
            handle: Some(handle),
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A link `/{code}` to `https://example.com/{code}`, changed by `change`.
    pub fn link(&self, code: &str, change: impl FnOnce(&mut LinkSpec)) -> LinkKey {
        self.link_on(Domain::default_domain(), code, change)
    }

    pub fn link_on(
        &self,
        domain: Domain,
        code: &str,
        change: impl FnOnce(&mut LinkSpec),
    ) -> LinkKey {
        let mut spec = LinkSpec::to(TargetUrl::from_stored(format!(
            "https://example.com/{code}"
        )));
        change(&mut spec);
        let key = LinkKey {
            domain,
            code: Code::from_stored(code),
        };
        let link = Link {
            key: key.clone(),
            spec,
            origin: Origin::Alias,
            created_at: NOW,
            updated_at: NOW,
            created_by: "test".to_owned(),
            version: 1,
            clicks_used: 0,
        };
        let insert = Insert {
            link,
            reuse: false,
            idempotency: None,
        };
        let inserted = block_on(self.store.insert(vec![insert])).unwrap();
        assert!(matches!(inserted[..], [Inserted::Created(_)]));
        key
    }

    /// Asks to stop and waits for it.
    pub fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(handle) = self.handle.take() {
            handle.join();
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.store.release();
        self.stop();
    }
}

fn guard(clock: &Arc<ManualClock>) -> Guard {
    let policies = PolicySet::parse("built_in.yaml", BUILT_IN).unwrap();
    let store = Arc::new(LimitMemory::new(MemoryOptions::with_seed(1), clock.clone()));
    Guard::new(Arc::new(LimitService::new(policies, store.clone(), store)))
}

/// At most three of each kind at once.
fn overload(clock: &Arc<ManualClock>) -> Overload {
    let options = OverloadOptions {
        min: 3,
        max: 3,
        ..OverloadOptions::default()
    };
    let clock: Arc<dyn Clock> = clock.clone();
    Overload::new(options, &clock).unwrap()
}

fn service(clock: &Arc<ManualClock>, store: &Arc<KeptStore>, overload: &Overload) -> LinkService {
    let domains = Domains::new(
        "https://go.example.com",
        &["https://other.example".to_owned()],
    )
    .unwrap();
    let filter = Arc::new(CodeFilter::default());
    let strategies = Strategies::new(
        StrategyOptions {
            length: 7,
            case_insensitive: false,
            block_size: 100,
            sha256: false,
            worker_ttl: Duration::from_secs(60),
            pool_target: 0,
            quarantine: Duration::ZERO,
        },
        Arc::new(tollgate_links::store::MemoryStore::new(clock.clone())),
        Arc::clone(&filter),
        clock.clone(),
    );
    let source = StoreSource(store.clone());
    let source = Admitting::new(Arc::new(source), Arc::clone(&overload.reads));
    let cache = LinkCache::over(
        CacheOptions {
            max_bytes: 1 << 20,
            ttl: TTL,
            negative_ttl: Duration::from_secs(1),
            stale_if_error: Duration::from_secs(3600),
            early_refresh: 0.0,
            seed: 1,
        },
        Arc::new(source),
        clock.clone(),
    );
    LinkService::new(ServiceParts {
        store: store.clone(),
        feed: Arc::new(tollgate_links::store::MemoryStore::new(clock.clone())),
        cache,
        strategies: Arc::new(strategies),
        default_strategy: StrategyKind::Random,
        codes: CodeRules::default(),
        filter,
        specs: SpecRules {
            targets: TargetRules {
                schemes: vec!["https".to_owned()],
                allow_credentials: false,
                own_hosts: domains.own_hosts(),
            },
            passwords: PasswordHasher::default(),
        },
        domains,
        clock: clock.clone(),
    })
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Waits until something is so.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happened that {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
