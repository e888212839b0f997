//! Regions that share a budget, each on another side of the network.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::sleep;
use tollgate_limit::budget::{BudgetOptions, BudgetStats, Budgets, Report, SharedTotals, Total};
use tollgate_limit::policy::{Descriptor, PolicySet};
use tollgate_limit::service::{CheckRequest, LimitService};
use tollgate_limit::store::{MemoryOptions, MemoryStore, StoreError};

use crate::totals::Totals;
use crate::world::{Faults, Process, START, Way, World, random, some_moment, some_span};

/// How long requests come.
const TRAFFIC: Duration = Duration::from_secs(6);
/// Nothing goes wrong any more that has gone wrong by then, and the window is another one.
const QUIET: Duration = Duration::from_secs(12);
/// How long an answer is waited for before totals count as away.
const DEADLINE: Duration = Duration::from_millis(50);

pub struct Regions {
    pub count: usize,
    pub budget: u64,
    window: Duration,
    every: Duration,
    seed: u64,
    world: Arc<World>,
    totals: Arc<Totals>,
    running: Mutex<Vec<Region>>,
    /// What every process did, those included that were killed.
    lives: Mutex<Vec<Arc<Mutex<Life>>>>,
}

/// What one process did, by the time of the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// Units that it admitted, and when.
    pub admitted: Vec<(Duration, u64)>,
    /// When reports were sent that were answered, and when they were.
    answered: Vec<(Duration, Duration)>,
}

#[derive(Clone)]
struct Region {
    process: Process,
    service: Arc<LimitService>,
    budgets: Arc<Budgets>,
    life: Arc<Mutex<Life>>,
}

/// The totals, on the other side of the network.
struct Remote {
    totals: Arc<Totals>,
    world: Arc<World>,
    way: Way,
    life: Arc<Mutex<Life>>,
}

#[async_trait]
impl SharedTotals for Remote {
    async fn report(&self, reports: &[Report]) -> Vec<Result<Total, StoreError>> {
        let sent = self.world.now();
        let (totals, asked) = (Arc::clone(&self.totals), reports.to_vec());
        let work = async move { asked.iter().map(|report| totals.count(report)).collect() };
        match self.way.call("report", work).await {
            Some(answers) => {
                let answered = (sent, self.world.now());
                self.life.lock().answered.push(answered);
                answers
            }
            None => {
                let away = || Err(StoreError::Unavailable("no answer".to_owned()));
                reports.iter().map(|_| away()).collect()
            }
        }
    }
}

impl Regions {
    pub fn new(seed: u64) -> Self {
        let mut random = random(seed, 0);
        let count = random.random_range(1..=5);
        let world = World::new(seed, faults(&mut random, count));
        Self {
            count,
            budget: random.random_range(20..400),
            window: Duration::from_millis([1_000, 2_000, 3_500][random.random_range(0..3)]),
            every: Duration::from_millis([60, 200, 500][random.random_range(0..3)]),
            seed,
            totals: Arc::new(Totals::new(world.right_clock())),
            world,
            running: Mutex::default(),
            lives: Mutex::default(),
        }
    }

    /// Has requests come until all is quiet.
    pub async fn run(&self) -> Vec<Life> {
        for node in 0..self.count {
            let region = self.start(node);
            self.running.lock().push(region);
        }
        let restart = |node: usize| {
            let killed = self.running.lock()[node].clone();
            killed.process.kill();
            let region = self.start(node);
            self.running.lock()[node] = region;
        };
        self.world.kills(restart).await;
        self.world.until(QUIET).await;
        let lives = self.lives.lock();
        lives.iter().map(|life| life.lock().clone()).collect()
    }

    pub fn stats(&self) -> Vec<BudgetStats> {
        let running = self.running.lock();
        running.iter().map(|it| it.budgets.stats()).collect()
    }

    /// The bound of every window: the budget, and what each process admitted in it from when a report was
    /// sent until the next one was answered. Processes that were alone from the beginning to the end
    /// admit the budget at most.
    pub fn hold(&self, lives: &[Life]) -> Result<(), String> {
        let number = |at: Duration| {
            let epoch = Duration::from_millis(START.as_millis().unsigned_abs());
            (epoch + at).as_nanos() / self.window.as_nanos()
        };
        let mut windows: Vec<u128> = lives
            .iter()
            .flat_map(|life| life.admitted.iter().map(|(at, _)| number(*at)))
            .collect();
        windows.sort_unstable();
        windows.dedup();
        for window in windows {
            let of_window = |life: &Life, from: Duration, to: Duration| -> u64 {
                let within = life
                    .admitted
                    .iter()
                    .filter(|(at, _)| number(*at) == window && (from..=to).contains(at));
                within.map(|(_, units)| units).sum()
            };
            let all: u64 = lives
                .iter()
                .map(|life| of_window(life, Duration::ZERO, Duration::MAX))
                .sum();
            let more: u64 = if lives.len() == 1 {
                0
            } else {
                lives.iter().map(|life| between(life, of_window)).sum()
            };
            if all > self.budget + more {
                return Err(format!(
                    "{all} of {} and {more} in window {window}, {} regions",
                    self.budget, self.count
                ));
            }
        }
        Ok(())
    }

    /// The whole budget is there in a new window.
    pub async fn recovers(&self) -> Result<(), String> {
        let region = self.running.lock()[0].clone();
        let mut passed = 0;
        for _ in 0..self.budget + 10 {
            passed += u64::from(ask(&region.service, 1).await);
        }
        match passed == self.budget {
            true => Ok(()),
            false => Err(format!("only {passed} of {} in the end", self.budget)),
        }
    }

    fn start(&self, node: usize) -> Region {
        let now = self.world.now();
        let mut random = random(
            self.seed,
            1_000 + node as u64 + ((now.as_millis() as u64) << 16),
        );
        let yaml = format!(
            "domain: d\ndescriptors:\n  - key: k\n    rate_limit: {{window: {}ms, \
             requests_per_unit: {}, global_budget: {}}}\n",
            self.window.as_millis(),
            self.budget,
            self.budget
        );
        // Each has a time of its own, but its store, which is as another server.
        let clock = self.world.clock(node, 10_300 * node as i64);
        let store = MemoryStore::new(
            MemoryOptions::with_seed(self.seed),
            self.world.right_clock(),
        );
        let store = Arc::new(store);
        let options = BudgetOptions {
            every: self.every,
            max_keys: 10,
        };
        let budgets = Arc::new(Budgets::new(options, clock));
        let policies = PolicySet::parse("limits.yaml", &yaml).unwrap();
        let service = LimitService::new(policies, store.clone(), store);
        let region = Region {
            process: Process::new(&self.world, node),
            service: Arc::new(service.with_budgets(Arc::clone(&budgets))),
            budgets,
            life: Arc::default(),
        };
        self.lives.lock().push(Arc::clone(&region.life));
        let remote = Remote {
            totals: Arc::clone(&self.totals),
            world: Arc::clone(&self.world),
            way: self.world.way(node, "totals", DEADLINE),
            life: Arc::clone(&region.life),
        };
        let budgets = Arc::clone(&region.budgets);
        region
            .process
            .spawn(async move { budgets.run(&remote, std::future::pending()).await });
        let (world, service) = (Arc::clone(&self.world), Arc::clone(&region.service));
        let life = Arc::clone(&region.life);
        let busy = random.random_range(2..25);
        region.process.spawn(async move {
            while world.now() < TRAFFIC {
                // Sometimes nobody comes for a while, so that windows pass.
                let pause = match random.random_range(0..80) {
                    0 => 2_500,
                    _ => busy,
                };
                sleep(Duration::from_millis(random.random_range(0..=pause))).await;
                let hits = random.random_range(1..4);
                if ask(&service, hits).await {
                    life.lock().admitted.push((world.now(), hits));
                }
            }
        });
        region
    }
}

/// The most that a process admitted from one report until the answer to the next: the first one begins
/// with it, and the last one never ends.
fn between(life: &Life, admitted: impl Fn(&Life, Duration, Duration) -> u64) -> u64 {
    let sent = life.answered.iter().map(|(sent, _)| *sent);
    let from = std::iter::once(Duration::ZERO).chain(sent);
    let told = life.answered.iter().map(|(_, answered)| *answered);
    let to = told.chain([Duration::MAX]);
    let spans = from.zip(to).map(|(from, to)| admitted(life, from, to));
    spans.max().unwrap_or(0)
}

/// Whether so many hits pass. Nothing here waits.
async fn ask(service: &LimitService, hits: u64) -> bool {
    let request = CheckRequest {
        domain: "d".to_owned(),
        descriptors: vec![Descriptor::of([("k", "v")])],
        hits,
    };
    service.check(&request).await.unwrap().allowed
}

fn faults(random: &mut StdRng, count: usize) -> Faults {
    let mut faults = Faults {
        loses_one_in: [0, 20, 5][random.random_range(0..3)],
        delays_one_in: [0, 10, 3][random.random_range(0..3)],
        ..Faults::default()
    };
    for _ in 0..random.random_range(0..4) {
        let node = random.random_range(0..count);
        let span = some_span(random, TRAFFIC, Duration::from_millis(1_500));
        faults.pauses.push((node, span));
    }
    for _ in 0..random.random_range(0..3) {
        let node = random.random_range(0..count);
        faults.kills.push((node, some_moment(random, TRAFFIC)));
    }
    for _ in 0..random.random_range(0..3) {
        let node = random.random_range(0..count);
        let span = some_span(random, TRAFFIC, Duration::from_millis(2_500));
        faults.partitions.push((node, "totals", span));
    }
    faults
}
