//! Instances with their requests, and the store behind the network.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};
use tollgate_limit::store::{
    Charge, LeaseOptions, LeaseStats, Leased, LimitKey, LimitStore, MemoryOptions, MemoryStore,
    Refund, StoreError,
};
use tollgate_limit::{AlgorithmKind, Limiter, Quota, Shaped};

use crate::world::{Faults, Process, START, Way, World, random, some_moment, some_span};

/// How long requests come.
const TRAFFIC: Duration = Duration::from_secs(2);
/// Nothing goes wrong any more that has gone wrong by then.
const QUIET: Duration = Duration::from_secs(4);
/// How long an answer is waited for before the store counts as away.
const DEADLINE: Duration = Duration::from_millis(50);
/// Longer than any request may take: one that does waits for ever.
const FOR_EVER: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// What the store charged for the request of this task: when, and how much.
    static ASKED: Cell<Option<(Duration, u64)>>;
}

/// Units that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// By the clock of the store, since the epoch: when they were charged, or taken from a lease.
    pub at: Duration,
    pub units: u64,
}

pub struct Fleet {
    pub limiter: Limiter,
    pub instances: usize,
    world: Arc<World>,
    store: Arc<MemoryStore>,
    seed: u64,
    passed: Arc<Mutex<Vec<Passed>>>,
    stuck: Arc<Mutex<Vec<String>>>,
    running: Mutex<Vec<Instance>>,
}

#[derive(Clone)]
struct Instance {
    process: Process,
    leased: Arc<Leased<Remote>>,
}

/// The store, on the other side of the network.
struct Remote {
    store: Arc<MemoryStore>,
    world: Arc<World>,
    way: Way,
}

impl Fleet {
    pub fn new(seed: u64) -> Self {
        let mut random = random(seed, 0);
        let instances = random.random_range(2..=5);
        let world = World::new(seed, faults(&mut random, instances));
        let options = MemoryOptions {
            max_keys: 100,
            ..MemoryOptions::with_seed(seed)
        };
        let store = MemoryStore::new(options, world.right_clock());
        Self {
            limiter: limiter(&mut random),
            instances,
            world,
            store: Arc::new(store),
            seed,
            passed: Arc::default(),
            stuck: Arc::default(),
            running: Mutex::default(),
        }
    }

    /// Has requests come until all is quiet. What passed, in its order.
    pub async fn run(&self) -> Result<Vec<Passed>, String> {
        for node in 0..self.instances {
            let instance = self.start(node);
            self.running.lock().push(instance);
        }
        let restart = |node: usize| {
            let killed = self.running.lock()[node].clone();
            killed.process.kill();
            let instance = self.start(node);
            self.running.lock()[node] = instance;
        };
        self.world.kills(restart).await;
        self.world.until(QUIET).await;
        let stuck = self.stuck.lock().clone();
        if let Some(request) = stuck.first() {
            return Err(format!(
                "{} requests are never decided: {request}",
                stuck.len()
            ));
        }
        for stats in self.stats() {
            let known = stats.used + stats.returned + stats.lost + stats.held;
            if stats.leased != known {
                return Err(format!(
                    "of {} leased tokens {known} are known: {stats:?}",
                    stats.leased
                ));
            }
        }
        let mut passed = self.passed.lock().clone();
        passed.sort_by_key(|it| it.at);
        Ok(passed)
    }

    /// What became of the tokens of those that run.
    pub fn stats(&self) -> Vec<LeaseStats> {
        self.running
            .lock()
            .iter()
            .map(|instance| instance.leased.stats())
            .collect()
    }

    /// Now that nothing goes wrong any more, the whole limit is there.
    pub async fn recovers(&self) -> Result<(), String> {
        // What is lost of a lease comes back with the next window, or by draining.
        let window = self.limiter.quota().window();
        sleep(
            2 * window
                + window.mul_f64(self.limiter.most() as f64 / self.limiter.quota().limit() as f64),
        )
        .await;
        let instance = self.running.lock()[0].clone();
        let mut most = 0;
        // One of the two does not begin a window within.
        for _ in 0..2 {
            sleep(2 * window).await;
            let mut passed = 0;
            // All at one moment, as all that the store decides.
            let charges = Charge {
                leased: false,
                ..charge(self.limiter, 1)
            };
            for _ in 0..self.limiter.most() + 10 {
                let answer = self.store.decide(std::slice::from_ref(&charges)).await;
                passed += u64::from(answer.unwrap()[0].decision.allowed());
            }
            most = most.max(passed);
        }
        drop(instance);
        if most < self.limiter.most() {
            return Err(format!(
                "only {most} of {} pass in the end",
                self.limiter.most()
            ));
        }
        Ok(())
    }

    fn start(&self, node: usize) -> Instance {
        let mut random = random(
            self.seed,
            1_000 + node as u64 + ((self.world.now().as_millis() as u64) << 16),
        );
        // Each has a time of its own.
        let clock = self.world.clock(node, 10_300 * node as i64);
        let remote = Remote {
            store: Arc::clone(&self.store),
            world: Arc::clone(&self.world),
            way: self.world.way(node, "store", DEADLINE),
        };
        let instance = Instance {
            process: Process::new(&self.world, node),
            leased: Arc::new(Leased::new(remote, LeaseOptions::default(), clock)),
        };
        let leased = Arc::clone(&instance.leased);
        instance
            .process
            .spawn(async move { leased.run(std::future::pending()).await });

        let (process, leased) = (instance.process.clone(), Arc::clone(&instance.leased));
        let (world, limiter) = (Arc::clone(&self.world), self.limiter);
        let (passed, stuck) = (Arc::clone(&self.passed), Arc::clone(&self.stuck));
        let busy = random.random_range(4..25);
        instance.process.spawn(async move {
            while world.now() < TRAFFIC {
                // Sometimes nobody comes for a while, and what is held is given back.
                let pause = if random.random_range(0..50) == 0 {
                    400
                } else {
                    busy
                };
                sleep(Duration::from_millis(random.random_range(0..=pause))).await;
                for _ in 0..random.random_range(1..4) {
                    let cost = if random.random_range(0..4) == 0 {
                        random.random_range(2..6)
                    } else {
                        1
                    };
                    let request = ask(
                        Arc::clone(&world),
                        Arc::clone(&leased),
                        limiter,
                        cost,
                        Arc::clone(&passed),
                    );
                    let (stuck, world) = (Arc::clone(&stuck), Arc::clone(&world));
                    process.spawn(async move {
                        let begun = world.now();
                        if timeout(FOR_EVER, request).await.is_err() {
                            stuck.lock().push(format!("one of {begun:?}"));
                        }
                    });
                }
            }
        });
        instance
    }
}

/// One request.
async fn ask(
    world: Arc<World>,
    leased: Arc<Leased<Remote>>,
    limiter: Limiter,
    cost: u64,
    passed: Arc<Mutex<Vec<Passed>>>,
) {
    let begun = world.now();
    let work = async {
        let answer = leased.decide(&[charge(limiter, cost)]).await;
        (answer, ASKED.with(Cell::get))
    };
    let (answer, asked) = ASKED.scope(Cell::new(None), work).await;
    // A store that is away is for the policy to decide about.
    let Ok(answer) = answer else { return };
    if !answer[0].decision.allowed() {
        return;
    }
    let epoch = Duration::from_millis(START.as_millis().unsigned_abs());
    let mut passed = passed.lock();
    let (charged, exact) = asked.unwrap_or_default();
    if exact > 0 {
        passed.push(Passed {
            at: epoch + charged,
            units: exact,
        });
    }
    if exact < cost {
        passed.push(Passed {
            at: epoch + begun,
            units: cost - exact,
        });
    }
}

#[async_trait]
impl LimitStore for Remote {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        let (store, world, charges) = (
            Arc::clone(&self.store),
            Arc::clone(&self.world),
            charges.to_vec(),
        );
        let asked = charges.iter().map(|charge| charge.cost).sum();
        let work = async move { (world.now(), store.decide(&charges).await) };
        let (at, answer) = self.way.call("decide", work).await.ok_or_else(away)?;
        // Leases are not fetched by the task of a request.
        let _ = ASKED.try_with(|it| it.set(Some((at, asked))));
        answer
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        let (store, refunds) = (Arc::clone(&self.store), refunds.to_vec());
        let work = async move { store.refund(&refunds).await };
        self.way.call("refund", work).await.ok_or_else(away)?
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("no answer".to_owned())
}

fn charge(limiter: Limiter, cost: u64) -> Charge {
    Charge {
        key: LimitKey::new(b"domain|key=k|").unwrap(),
        limiter,
        cost,
        binds: true,
        leased: true,
    }
}

fn limiter(random: &mut StdRng) -> Limiter {
    let kinds = AlgorithmKind::ALL
        .into_iter()
        .filter(|kind| *kind != AlgorithmKind::LeakyQueue);
    let kinds: Vec<_> = kinds.collect();
    let kind = kinds[random.random_range(0..kinds.len())];
    let limit = random.random_range(64..800);
    let window = [200, 500, 1_000, 3_000][random.random_range(0..4)];
    let quota = Quota::new(limit, Duration::from_millis(window)).unwrap();
    let burst = random
        .random::<bool>()
        .then(|| random.random_range(64..800));
    Limiter::new(kind, quota, burst).unwrap()
}

fn faults(random: &mut StdRng, instances: usize) -> Faults {
    let mut faults = Faults {
        loses_one_in: [0, 20, 5][random.random_range(0..3)],
        delays_one_in: [0, 10, 3][random.random_range(0..3)],
        ..Faults::default()
    };
    for _ in 0..random.random_range(0..4) {
        let node = random.random_range(0..instances);
        faults.pauses.push((
            node,
            some_span(random, TRAFFIC, Duration::from_millis(1_500)),
        ));
    }
    for _ in 0..random.random_range(0..3) {
        let node = random.random_range(0..instances);
        faults.kills.push((node, some_moment(random, TRAFFIC)));
    }
    for _ in 0..random.random_range(0..3) {
        let node = random.random_range(0..instances);
        let span = some_span(random, TRAFFIC, Duration::from_millis(1_500));
        faults.partitions.push((node, "store", span));
    }
    faults
}
