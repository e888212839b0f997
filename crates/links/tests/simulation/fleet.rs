//! Instances, and the store that they lease from.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};
use tollgate_clock::UnixMillis;
use tollgate_links::store::{Block, LeaseStore, MemoryStore, PoolCode, StoreError, WorkerLease};
use tollgate_links::{
    Code, CodeFilter, Domain, Strategies, StrategyError, StrategyKind, StrategyOptions, TargetUrl,
};

use crate::world::{Faults, Process, Way, World, random, some_moment, some_span};

/// How long all goes wrong.
const TROUBLE: Duration = Duration::from_secs(20);
/// By then all is well again.
const QUIET: Duration = Duration::from_secs(40);
/// How long an answer of the store is waited for.
const DEADLINE: Duration = Duration::from_millis(200);
/// How long a worker number is leased, which is renewed at half of it.
const WORKER_TTL: Duration = Duration::from_secs(6);
const TEND: Duration = Duration::from_secs(1);
/// Within this each instance makes a code in the end: messages may still be lost, one in five, and each may be
/// that for a block of one.
const SOON: Duration = Duration::from_secs(10);
/// Longer than any code may take.
const FOR_EVER: Duration = Duration::from_secs(30);
/// By how much clocks are wrong, in milliseconds.
const WRONG_BY: i64 = 3_000;

pub struct Fleet {
    world: Arc<World>,
    store: Arc<MemoryStore>,
    seed: u64,
    instances: usize,
    clocks: Vec<i64>,
    running: Mutex<Vec<Process>>,
    notes: Arc<Notes>,
}

/// Codes, with who made each and when.
#[derive(Default)]
struct Notes {
    made: Mutex<HashMap<String, (Duration, usize)>>,
    wrong: Mutex<Vec<String>>,
    /// The last code of each instance.
    last: Mutex<HashMap<usize, Duration>>,
}

impl Fleet {
    pub fn new(seed: u64) -> Self {
        let mut random = random(seed, 0);
        let instances = random.random_range(2..=5);
        let world = World::new(seed, faults(&mut random, instances));
        let clocks = (0..instances).map(|_| random.random_range(-WRONG_BY..=WRONG_BY));
        Self {
            store: Arc::new(MemoryStore::new(world.right_clock())),
            clocks: clocks.collect(),
            world,
            seed,
            instances,
            running: Mutex::default(),
            notes: Arc::default(),
        }
    }

    /// Which codes were made, when, and by whom.
    pub async fn run(&self) -> Result<Vec<(Duration, usize, String)>, String> {
        for node in 0..self.instances {
            let process = self.start(node);
            self.running.lock().push(process);
        }
        let restart = |node: usize| {
            self.running.lock()[node].kill();
            let process = self.start(node);
            self.running.lock()[node] = process;
        };
        self.world.kills(restart).await;
        self.world.until(QUIET).await;
        if let Some(wrong) = self.notes.wrong.lock().first() {
            return Err(wrong.clone());
        }
        for node in 0..self.instances {
            let last = self
                .notes
                .last
                .lock()
                .get(&node)
                .copied()
                .unwrap_or_default();
            if last + SOON < QUIET {
                return Err(format!("instance {node} makes no codes since {last:?}"));
            }
        }
        let made = self.notes.made.lock();
        let mut made: Vec<_> = made
            .iter()
            .map(|(code, (at, node))| (*at, *node, code.clone()))
            .collect();
        made.sort();
        Ok(made)
    }

    fn start(&self, node: usize) -> Process {
        let begun = self.world.now().as_millis() as u64;
        let mut random = random(self.seed, 1_000 + node as u64 + (begun << 16));
        let options = StrategyOptions {
            length: 7,
            case_insensitive: false,
            // Few, so that many are leased.
            block_size: random.random_range(1..20),
            sha256: false,
            worker_ttl: WORKER_TTL,
            pool_target: 0,
            quarantine: Duration::from_secs(60),
        };
        let remote = Arc::new(Remote {
            store: Arc::clone(&self.store),
            way: self.world.way(node, "store", DEADLINE),
        });
        let clock = self.world.clock(node, self.clocks[node]);
        let strategies = Strategies::new(options, remote, Arc::new(CodeFilter::default()), clock);
        let strategies = Arc::new(strategies);
        let process = Process::new(&self.world, node);
        let tended = Arc::clone(&strategies);
        process.spawn(async move {
            loop {
                // The store may be away; then it is tried again.
                let _ = tended.tend().await;
                sleep(TEND).await;
            }
        });
        for kind in [StrategyKind::Counter, StrategyKind::Snowflake] {
            let maker = Maker {
                world: Arc::clone(&self.world),
                notes: Arc::clone(&self.notes),
                strategies: Arc::clone(&strategies),
                node,
                kind,
            };
            let random = crate::world::random(random.random(), 0);
            process.spawn(async move { maker.work(random).await });
        }
        process
    }
}

struct Maker {
    world: Arc<World>,
    notes: Arc<Notes>,
    strategies: Arc<Strategies>,
    node: usize,
    kind: StrategyKind,
}

impl Maker {
    async fn work(self, mut random: StdRng) {
        let target = TargetUrl::from_stored("https://a.example/");
        let domain = Domain::default_domain();
        while self.world.now() < QUIET {
            sleep(Duration::from_millis(random.random_range(1..400))).await;
            // Sometimes more than a millisecond has room for.
            let burst = if random.random_range(0..30) == 0 {
                3
            } else {
                1
            };
            for _ in 0..burst {
                let begun = self.world.now();
                let code = self.strategies.propose(self.kind, &domain, &target, 0);
                match timeout(FOR_EVER, code).await {
                    Ok(Ok(code)) => self.made(code.code.as_str()),
                    // Its clock was set back too far, all numbers are taken, or the store is away: it has to end.
                    Ok(Err(
                        StrategyError::Store(_)
                        | StrategyError::ClockBackwards { .. }
                        | StrategyError::NoWorker { .. },
                    )) => {}
                    Ok(Err(error)) => self.wrong(format!("{:?} at {begun:?}: {error}", self.kind)),
                    Err(_) => self.wrong(format!("a code of {begun:?} never comes")),
                }
            }
        }
    }

    fn made(&self, code: &str) {
        let now = self.world.now();
        let before = self
            .notes
            .made
            .lock()
            .insert(code.to_owned(), (now, self.node));
        if let Some((at, node)) = before {
            let (kind, this) = (self.kind, self.node);
            self.wrong(format!(
                "{kind:?} makes {code} at {node}, {at:?}, and at {this}, {now:?}"
            ));
        }
        self.notes.last.lock().insert(self.node, now);
    }

    fn wrong(&self, what: String) {
        self.notes.wrong.lock().push(what);
    }
}

/// An instance's way to the store.
struct Remote {
    store: Arc<MemoryStore>,
    way: Way,
}

impl Remote {
    async fn call<T: Send + 'static>(
        &self,
        about: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let away = || StoreError::Unavailable("no answer".to_owned());
        self.way.call(about, work).await.ok_or_else(away)?
    }
}

#[async_trait]
impl LeaseStore for Remote {
    async fn secret(&self, name: &str, _: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let (store, name) = (Arc::clone(&self.store), name.to_owned());
        // The first one is by chance otherwise, and so were all codes.
        self.call("secret", async move { store.secret(&name, [7; 32]).await })
            .await
    }

    async fn lease_block(&self, counter: &str, size: u64) -> Result<Block, StoreError> {
        let (store, name) = (Arc::clone(&self.store), counter.to_owned());
        self.call("block", async move { store.lease_block(&name, size).await })
            .await
    }

    async fn acquire_worker(
        &self,
        _: u16,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let store = Arc::clone(&self.store);
        // So few that numbers go from hand to hand.
        self.call(
            "acquire",
            async move { store.acquire_worker(3, now, ttl).await },
        )
        .await
    }

    async fn renew_worker(
        &self,
        lease: WorkerLease,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let store = Arc::clone(&self.store);
        self.call(
            "renew",
            async move { store.renew_worker(lease, now, ttl).await },
        )
        .await
    }

    async fn release_worker(
        &self,
        lease: WorkerLease,
        free_from: UnixMillis,
    ) -> Result<(), StoreError> {
        let store = Arc::clone(&self.store);
        self.call("release", async move {
            store.release_worker(lease, free_from).await
        })
        .await
    }

    async fn pool_add(&self, codes: &[Code], available_at: UnixMillis) -> Result<(), StoreError> {
        let (store, codes) = (Arc::clone(&self.store), codes.to_vec());
        self.call("pool add", async move {
            store.pool_add(&codes, available_at).await
        })
        .await
    }

    async fn pool_take(
        &self,
        count: usize,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Vec<PoolCode>, StoreError> {
        let store = Arc::clone(&self.store);
        self.call("pool take", async move {
            store.pool_take(count, now, ttl).await
        })
        .await
    }

    async fn pool_remove(&self, codes: &[PoolCode]) -> Result<(), StoreError> {
        let (store, codes) = (Arc::clone(&self.store), codes.to_vec());
        self.call(
            "pool remove",
            async move { store.pool_remove(&codes).await },
        )
        .await
    }

    async fn pool_available(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let store = Arc::clone(&self.store);
        self.call(
            "pool available",
            async move { store.pool_available(now).await },
        )
        .await
    }
}

fn faults(random: &mut StdRng, instances: usize) -> Faults {
    let mut faults = Faults {
        loses_one_in: [0, 20, 5][random.random_range(0..3)],
        delays_one_in: [0, 10, 3][random.random_range(0..3)],
        ..Faults::default()
    };
    // Longer than a lease lasts, some of them.
    let longest = Duration::from_secs(12);
    for _ in 0..random.random_range(0..4) {
        let node = random.random_range(0..instances);
        faults
            .pauses
            .push((node, some_span(random, TROUBLE, longest)));
    }
    for _ in 0..random.random_range(0..4) {
        let node = random.random_range(0..instances);
        faults.kills.push((node, some_moment(random, TROUBLE)));
    }
    for _ in 0..random.random_range(0..3) {
        let node = random.random_range(0..instances);
        faults
            .partitions
            .push((node, "store", some_span(random, TROUBLE, longest)));
    }
    for _ in 0..random.random_range(0..4) {
        let node = random.random_range(0..instances);
        let by = random.random_range(-WRONG_BY..=WRONG_BY);
        faults.steps.push((node, some_moment(random, TROUBLE), by));
    }
    faults
}
