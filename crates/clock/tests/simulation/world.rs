//! A world in which time, the network and bad luck come from one number: nodes that are paused and killed, and
//! messages that are late, lost, overtake each other, or arrive when nobody waits for them any more.
//!
//! It runs on one thread, on tokio's paused time, which jumps to the next moment at which something happens. What
//! nodes do in it is the code of production.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tollgate_clock::{Clock, UnixMillis};

/// 2026-01-01T00:00:00Z.
pub const START: UnixMillis = UnixMillis::from_millis(1_767_225_600_000);

/// How many seeds a test tries that everybody runs, and one that takes its time.
pub const SOME: u64 = 40;
pub const MANY: u64 = 1_500;

/// Runs a simulation with one seed after the other: `SIMULATION_SEED` alone, or so many of them, or as many as
/// `SIMULATION_SEEDS` says, always the same ones. A seed that fails is told.
pub fn each_seed<F: Future<Output = Result<(), String>>>(
    name: &str,
    count: u64,
    simulate: impl Fn(u64) -> F,
) {
    let number = |name: &str| -> Option<u64> {
        let value = std::env::var(name).ok()?;
        Some(value.parse().expect("a number"))
    };
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(count),
    };
    let begun = std::time::Instant::now();
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        if let Err(why) = run(simulate(seed)) {
            println!("SIMULATION_SEED={seed} ({name}): {why}");
            failed.push(seed);
            // The first ones tell enough.
            if failed.len() == 5 {
                break;
            }
        }
    }
    println!("{name}: {} seeds in {:?}", seeds.count(), begun.elapsed());
    assert!(
        failed.is_empty(),
        "{name} fails with SIMULATION_SEED={}",
        failed[0]
    );
}

/// Runs one simulation to its end.
pub fn run<T>(simulation: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(simulation)
}

/// Times from the beginning of the world.
pub type Span = std::ops::Range<Duration>;

/// What goes wrong, and when.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Nodes that stand still, as if by SIGSTOP.
    pub pauses: Vec<(usize, Span)>,
    /// Nodes that are killed. They may be started again.
    pub kills: Vec<(usize, Duration)>,
    /// Nodes whose messages to a service, and back, are all lost.
    pub partitions: Vec<(usize, &'static str, Span)>,
    /// Of so many messages one is lost; 0 for none.
    pub loses_one_in: u32,
    /// Of so many messages one is late; 0 for none.
    pub delays_one_in: u32,
    /// Nodes whose clock on the wall is set, by so many milliseconds.
    pub steps: Vec<(usize, Duration, i64)>,
}

/// One world.
#[derive(Debug)]
pub struct World {
    seed: u64,
    begun: Instant,
    pub faults: Faults,
}

impl World {
    pub fn new(seed: u64, faults: Faults) -> Arc<Self> {
        Arc::new(Self {
            seed,
            begun: Instant::now(),
            faults,
        })
    }

    /// Time since the beginning.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub async fn until(&self, moment: Duration) {
        sleep_until(self.begun + moment).await;
    }

    /// Has nodes killed and started again when they are to be.
    pub async fn kills(&self, mut restart: impl FnMut(usize)) {
        let mut kills = self.faults.kills.clone();
        kills.sort_by_key(|(_, at)| *at);
        for (node, at) in kills {
            self.until(at).await;
            restart(node);
        }
    }

    /// The clock of the services, which is right, and which only time moves.
    pub fn right_clock(self: &Arc<Self>) -> Arc<dyn Clock> {
        Arc::new(SimulatedClock {
            world: Arc::clone(self),
            node: usize::MAX,
            wrong_by: 0,
        })
    }

    /// The clock of a node, which is wrong by so many milliseconds from the beginning.
    pub fn clock(self: &Arc<Self>, node: usize, wrong_by: i64) -> Arc<dyn Clock> {
        Arc::new(SimulatedClock {
            world: Arc::clone(self),
            node,
            wrong_by,
        })
    }

    /// A way from a node to a service, by which answers are waited for as long as `patience`.
    pub fn way(self: &Arc<Self>, node: usize, service: &'static str, patience: Duration) -> Way {
        Way {
            world: Arc::clone(self),
            node,
            service,
            patience,
            sent: Arc::default(),
        }
    }

    /// When a node goes on that stands still now.
    fn paused_until(&self, node: usize) -> Option<Duration> {
        let now = self.now();
        let pauses = self.faults.pauses.iter();
        let until = pauses.filter(|(its, span)| *its == node && span.contains(&now));
        until.map(|(_, span)| span.end).max()
    }

    fn is_cut_off(&self, node: usize, service: &str) -> bool {
        let now = self.now();
        let mut partitions = self.faults.partitions.iter();
        partitions.any(|(its, to, span)| *its == node && *to == service && span.contains(&now))
    }
}

/// Random numbers that depend on a seed and on what they are for.
pub fn random(seed: u64, purpose: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose)
}

/// A span within `whole`, of up to `longest`.
pub fn some_span(random: &mut StdRng, whole: Duration, longest: Duration) -> Span {
    let begins = some_moment(random, whole);
    begins..begins + some_moment(random, longest)
}

pub fn some_moment(random: &mut StdRng, within: Duration) -> Duration {
    Duration::from_millis(random.random_range(0..within.as_millis() as u64))
}

struct SimulatedClock {
    world: Arc<World>,
    node: usize,
    wrong_by: i64,
}

impl Clock for SimulatedClock {
    fn now(&self) -> UnixMillis {
        let now = self.world.now();
        let steps = self.world.faults.steps.iter();
        let set = steps.filter(|(node, at, _)| *node == self.node && *at <= now);
        let wrong_by = self.wrong_by + set.map(|(_, _, by)| by).sum::<i64>();
        UnixMillis::from_millis(START.as_millis() + now.as_millis() as i64 + wrong_by)
    }

    fn monotonic(&self) -> Duration {
        // Another origin for each.
        self.world.now() + Duration::from_millis(self.wrong_by.unsigned_abs() * 7)
    }
}

/// A way from a node to a service.
#[derive(Debug, Clone)]
pub struct Way {
    world: Arc<World>,
    node: usize,
    service: &'static str,
    patience: Duration,
    /// How many messages about each thing.
    sent: Arc<Mutex<HashMap<String, u64>>>,
}

impl Way {
    /// Has the service do something; `None` if no answer came in time. It may have been done all the same, or will be
    /// done later. What becomes of the messages depends on what they are `about`, and how many there were of it: so it
    /// does not on the order of what nobody orders.
    pub async fn call<T: Send + 'static>(
        &self,
        about: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (there, back) = (self.fate(about), self.fate(about));
        let (sender, answer) = oneshot::channel();
        let way = self.clone();
        tokio::spawn(async move {
            way.travel(there).await;
            let done = work.await;
            way.travel(back).await;
            let _ = sender.send(done);
        });
        timeout(self.patience, answer).await.ok()?.ok()
    }

    /// How long a message is under way; `None` if it is lost.
    fn fate(&self, about: &str) -> Option<Duration> {
        let mut sent = self.sent.lock();
        let count = sent.entry(about.to_owned()).or_default();
        *count += 1;
        let mut hasher = DefaultHasher::new();
        (self.node, self.service, about, *count).hash(&mut hasher);
        let mut luck = random(self.world.seed, hasher.finish());
        let faults = &self.world.faults;
        let one_in = |luck: &mut StdRng, count: u32| count > 0 && luck.random_range(0..count) == 0;
        let lost = one_in(&mut luck, faults.loses_one_in);
        let late = one_in(&mut luck, faults.delays_one_in);
        let most = if late { 300 } else { 3 };
        let takes = luck.random_range(0..most);
        (!lost).then(|| Duration::from_millis(takes))
    }

    async fn travel(&self, fate: Option<Duration>) {
        let is_cut_off = self.world.is_cut_off(self.node, self.service);
        match fate {
            Some(takes) if !is_cut_off => sleep(takes).await,
            // For ever: nothing follows.
            _ => pending().await,
        }
    }

    /// A message that nobody answers; whether it arrives.
    pub async fn arrives(&self, about: &str) -> bool {
        match self.fate(about) {
            Some(takes) if !self.world.is_cut_off(self.node, self.service) => {
                sleep(takes).await;
                true
            }
            _ => false,
        }
    }
}

/// A process, and all that goes on in it.
#[derive(Debug, Clone)]
pub struct Process {
    world: Arc<World>,
    node: usize,
    tasks: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Process {
    pub fn new(world: &Arc<World>, node: usize) -> Self {
        Self {
            world: Arc::clone(world),
            node,
            tasks: Arc::default(),
        }
    }

    /// Something that goes on until it is done, or the process is killed, and stands still with it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(Paused {
            world: Arc::clone(&self.world),
            node: self.node,
            goes_on: None,
            task: Box::pin(task),
        });
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task.abort_handle());
    }

    /// kill -9.
    pub fn kill(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

/// A task that is not polled while its node stands still.
struct Paused<F> {
    world: Arc<World>,
    node: usize,
    goes_on: Option<Pin<Box<Sleep>>>,
    task: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Paused<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        while let Some(until) = self.world.paused_until(self.node) {
            let until = self.world.begun + until;
            let mut goes_on = Box::pin(sleep_until(until));
            if goes_on.as_mut().poll(context).is_pending() {
                self.goes_on = Some(goes_on);
                return Poll::Pending;
            }
        }
        self.goes_on = None;
        self.task.as_mut().poll(context)
    }
}
