//! A listener to ask, with a clock that stands still.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::policy::PolicySet;
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{LimitStore, MemoryOptions, MemoryStore};
use tollgate_server::metrics::Metrics;
use tollgate_server::resp::{MAX_FRAME, RespHandle, RespOptions, RespState, bind};

use crate::client::Client;
use crate::naive_store::NaiveStore;

/// Longer than anything that works takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What `TG.CHECK` asks.
const POLICIES: &str = "\
domain: shop
descriptors:
  - key: user
    rate_limit: {name: per_user, unit: minute, requests_per_unit: 2}
  - key: user
    value: admin
    rate_limit: {name: admins, unlimited: true}
  - key: user
    value: nobody
    rate_limit: {name: none, unit: minute, requests_per_unit: 0}
  - key: job
    rate_limit: {name: spread, unit: second, requests_per_unit: 2, burst: 3, on_exceed: delay}
  - key: safe
    rate_limit: {unit: minute, requests_per_unit: 5, on_store_failure: closed}
";

pub struct Server {
    pub address: SocketAddr,
    pub clock: Arc<ManualClock>,
    pub store: Arc<NaiveStore>,
    pub metrics: Arc<Metrics>,
    pub shutdown: CancellationToken,
    handle: Option<RespHandle>,
}

pub fn options() -> RespOptions {
    RespOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        threads: 2,
        max_connections: 1_000,
        idle_timeout: PATIENCE,
        max_frame: MAX_FRAME,
        password: None,
        drain: PATIENCE,
    }
}

impl Server {
    pub fn start() -> Self {
        Self::with(options())
    }

    pub fn with_password(password: &str) -> Self {
        Self::with(RespOptions {
            password: Some(password.into()),
            ..options()
        })
    }

    pub fn with(options: RespOptions) -> Self {
        Self::deciding_by(options, |_, store| store)
    }

    /// With the store that is used in earnest.
    pub fn in_memory() -> Self {
        Self::deciding_by(options(), |clock, _| {
            Arc::new(MemoryStore::new(MemoryOptions::with_seed(7), clock))
        })
    }

    fn deciding_by(
        options: RespOptions,
        choose: impl FnOnce(Arc<ManualClock>, Arc<NaiveStore>) -> Arc<dyn LimitStore>,
    ) -> Self {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_800_000_000_000)));
        // A moment before which there was time.
        clock.advance(Duration::from_secs(1_000));
        let store = Arc::new(NaiveStore::new(clock.clone()));
        let metrics = Arc::new(Metrics::new());
        let deciding = choose(clock.clone(), store.clone());
        let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
        let service = LimitService::new(policies, Arc::clone(&deciding), store.clone());
        let state = RespState {
            store: deciding,
            service: Arc::new(service),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
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

    /// Whether the metrics say so; counts may follow the answer.
    pub fn expect_metric(&self, line: &str) {
        let line = format!("\n{line}\n");
        eventually(&format!("{line:?} is measured"), || {
            self.metrics.encode().contains(&line)
        });
    }

    /// Asks to stop and waits for it.
    pub fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(handle) = self.handle.take() {
            handle.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.store.release();
        self.stop();
    }
}

/// Waits until something is so.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happened that {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
