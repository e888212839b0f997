//! Reading from the standbys of a primary, as far as they are known to be up to date.
//!
//! - The primary is asked four times a second where its write-ahead log ends, each standby how much of it
//!   is replayed. So of each standby a moment is known before which it shows all that was committed.
//! - Whoever reads says from which moment on it has to see all, and gets the standby with the
//!   fewest reads under way among those that do.
//! - A standby that fails, hangs, lags or follows another primary is left out until it is asked again and
//!   all is well. While the primary is away, standbys are as far as anybody can know.

mod host;
mod samples;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::host::{Host, Role};
use self::samples::Samples;
use crate::address::PostgresAddress;
use crate::error::Error;
use crate::failure::Failure;
use crate::pool::{Connections, Session};

/// How often servers are asked how far they are.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long they may take to answer that.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long a read that has to see all waits for a standby to catch up.
const CATCH_UP: Duration = Duration::from_millis(50);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How [`Replicas`] are read.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaOptions {
    /// The most connections to each.
    pub connections: usize,
    /// How long a statement may take.
    pub deadline: Duration,
    /// A standby that has been behind for longer is not read.
    pub max_lag: Duration,
}

/// What is known of one server, for metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaStats {
    /// Host and port.
    pub server: String,
    /// Whether it is read from now.
    pub readable: bool,
    /// For how long it has been behind, if it is a standby of the primary that answers.
    pub lag: Option<Duration>,
    /// How many bytes of the log it has not replayed, in the same way.
    pub lag_bytes: Option<u64>,
    /// Reads under way.
    pub in_flight: u64,
    /// Reads that it answered.
    pub reads: u64,
    /// Reads that failed.
    pub failed: u64,
}

/// The servers of one database, of which the standbys are read.
pub struct Replicas {
    inner: Arc<Inner>,
    /// Ask the servers; they end with this.
    _asking: JoinSet<()>,
}

struct Inner {
    primary: Arc<Connections>,
    hosts: Vec<Arc<Host>>,
    samples: Mutex<Samples>,
    max_lag: Duration,
    /// How long a server may take to say how far it is.
    patience: Duration,
}

impl Replicas {
    /// The servers that an address names; `primary` finds the one that can be written. They are asked, and
    /// their connections live, on the runtime this is called on.
    ///
    /// # Errors
    /// See [`Error`]. A server that is away is none.
    pub fn new(
        address: &PostgresAddress,
        primary: Arc<Connections>,
        options: &ReplicaOptions,
    ) -> Result<Self, Error> {
        let hosts = address.each_server().into_iter().map(|server| {
            let name = server.servers();
            // One more asks how far it is.
            let size = options.connections + 1;
            let connections = Connections::lazily(server, size, options.deadline)?;
            Ok(Arc::new(Host::new(connections, name)))
        });
        let inner = Arc::new(Inner {
            primary,
            hosts: hosts.collect::<Result<_, Error>>()?,
            samples: Mutex::default(),
            max_lag: options.max_lag,
            patience: ANSWER_WITHIN.min(options.deadline),
        });
        let mut asking = JoinSet::new();
        asking.spawn(Arc::clone(&inner).ask_primary());
        for host in &inner.hosts {
            asking.spawn(Arc::clone(&inner).ask(Arc::clone(host)));
        }
        Ok(Self {
            inner,
            _asking: asking,
        })
    }

    /// A standby that shows all that was committed before `seen`, with the fewest reads under way, and none
    /// of those that were `tried` before.
    #[must_use]
    pub fn pick(&self, seen: Instant, tried: &[ReplicaId]) -> Option<Replica> {
        let now = Instant::now();
        self.least_busy(tried, |role| match role {
            Role::Standby(progress) => {
                progress.as_of.is_some_and(|as_of| as_of >= seen)
                    && progress.lag(now) <= self.inner.max_lag
            }
            _ => false,
        })
    }

    /// A standby that shows all that was committed before this is called, if one does soon. While the primary
    /// is away, one that is as far as is known.
    pub async fn caught_up(&self) -> Option<Replica> {
        let begun = Instant::now();
        let replica = self.least_busy(&[], |role| match role {
            Role::Standby(progress) => progress.lag(begun) <= self.inner.max_lag,
            _ => false,
        })?;
        if self.inner.sample().await.is_err() {
            return Some(replica);
        }
        loop {
            let asked = replica.host.ask(self.inner.patience).await;
            match asked {
                Ok(position) => {
                    let role = replica.host.learn(&position, &self.inner.samples.lock());
                    if let Role::Standby(progress) = role
                        && progress.as_of.is_some_and(|as_of| as_of >= begun)
                    {
                        return Some(replica);
                    }
                }
                Err(failure) => {
                    replica.failed(failure);
                    return None;
                }
            }
            if begun.elapsed() > CATCH_UP {
                return None;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What is known of each server, in the order of the address.
    #[must_use]
    pub fn stats(&self) -> Vec<ReplicaStats> {
        let now = Instant::now();
        let hosts = self.inner.hosts.iter();
        hosts
            .map(|host| {
                let role = host.role(now);
                let progress = match role {
                    Role::Standby(progress) => Some(progress),
                    _ => None,
                };
                ReplicaStats {
                    server: host.name.clone(),
                    readable: self.inner.is_readable(role, now),
                    lag: progress.map(|progress| progress.lag(now)),
                    lag_bytes: progress.map(|progress| progress.behind_bytes),
                    in_flight: host.in_flight.load(Relaxed),
                    reads: host.reads.load(Relaxed),
                    failed: host.failed.load(Relaxed),
                }
            })
            .collect()
    }

    fn least_busy(&self, tried: &[ReplicaId], fits: impl Fn(Role) -> bool) -> Option<Replica> {
        let now = Instant::now();
        let hosts = self.inner.hosts.iter().enumerate();
        let (at, host) = hosts
            .filter(|(at, host)| !tried.contains(&ReplicaId(*at)) && fits(host.role(now)))
            // Of those with as many under way, the one that has been asked least.
            .min_by_key(|(_, host)| (host.in_flight.load(Relaxed), host.reads.load(Relaxed)))?;
        host.in_flight.fetch_add(1, Relaxed);
        Some(Replica {
            id: ReplicaId(at),
            host: Arc::clone(host),
        })
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for host in &self.inner.hosts {
            host.connections.close();
        }
    }
}

impl Inner {
    fn is_readable(&self, role: Role, now: Instant) -> bool {
        matches!(role, Role::Standby(progress)
            if progress.as_of.is_some() && progress.lag(now) <= self.max_lag)
    }

    /// Asks the primary where it is.
    async fn sample(&self) -> Result<(), Failure> {
        let asked = Instant::now();
        let mut session = self.primary.session_within(self.patience).await?;
        let (history, place) = host::sample(&mut session).await?;
        self.samples.lock().add(history, asked, place);
        Ok(())
    }

    /// Without end.
    async fn ask_primary(self: Arc<Self>) {
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(failure) = self.sample().await {
                let error = failure.into_error(self.primary.place());
                tracing::debug!(%error, "the primary does not say where it is");
            }
        }
    }

    /// Without end.
    async fn ask(self: Arc<Self>, host: Arc<Host>) {
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            if host.rests(now) {
                continue;
            }
            match host.ask(self.patience).await {
                Ok(position) => {
                    let role = host.learn(&position, &self.samples.lock());
                    host.tell(role, self.max_lag, Instant::now());
                }
                Err(failure) => host.fail(failure, Instant::now()),
            }
        }
    }
}

/// Tells standbys of one database apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaId(usize);

/// A standby that is being read.
pub struct Replica {
    id: ReplicaId,
    host: Arc<Host>,
}

impl Replica {
    /// Which one it is.
    #[must_use]
    pub const fn id(&self) -> ReplicaId {
        self.id
    }

    /// A connection to work with.
    ///
    /// # Errors
    /// [`Failure`], if none is to be had in time.
    pub async fn session_within(&self, within: Duration) -> Result<Session, Failure> {
        self.host.connections.session_within(within).await
    }

    /// It answered.
    pub fn answered(self) {
        self.host.succeed();
    }

    /// It did not. It is not read from again before it has said how far it is, unless only the work was undone
    /// for the sake of what it replays.
    pub fn failed(self, failure: Failure) {
        self.host.failed.fetch_add(1, Relaxed);
        if !failure.is_conflict() {
            self.host.fail(failure, Instant::now());
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.host.in_flight.fetch_sub(1, Relaxed);
    }
}
