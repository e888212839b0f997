//! Reading links from standbys.
//!
//! A link that is known to have been changed is read from a server that shows the change: the feed, writes of
//! this instance, and other instances tell of changes. So the cache, which reads a link again after such a
//! word, never gets what was there before. What a standby does not have may be new, and is asked of the
//! primary; how often is bounded, or whoever tries out codes would ask the primary for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tollgate_postgres::{
    Connections, Failure, PostgresAddress, ReplicaOptions, ReplicaStats, Replicas, Session,
};

use super::PostgresOptions;
use super::recent::Recent;
use super::row;
use crate::store::{LinkCopy, StoreError};
use crate::{Link, LinkKey};

/// Standbys that are tried for one read, before the primary.
const TRIES: usize = 2;

/// How links are read from standbys.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaReads {
    /// A standby that has been behind for longer is not read.
    pub max_lag: Duration,
    /// So many links a second that a standby does not have are looked for on the primary.
    pub absent_per_second: u32,
}

/// What became of reads, for metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaReadStats {
    /// Each server of the address.
    pub servers: Vec<ReplicaStats>,
    /// Reads of visitors' links, and listings, that went to the primary.
    pub primary: u64,
    /// Those among them that a standby did not have.
    pub absent: u64,
    /// Reads that were refused, because too many asked for what a standby does not have.
    pub refused: u64,
}

/// Standbys, and what has to be known to read them.
pub(super) struct Replicated {
    replicas: Replicas,
    recent: Mutex<Recent>,
    absences: Mutex<Bucket>,
    /// How long one of several servers may take.
    share: Duration,
    deadline: Duration,
    primary: AtomicU64,
    absent: AtomicU64,
    refused: AtomicU64,
}

/// What a standby said of a link.
pub(super) enum Said {
    /// It is this.
    Link(Box<Link>),
    /// It has none, and the primary may be asked.
    Absent,
    /// There is none to be read for this link.
    Nothing,
}

impl Replicated {
    pub(super) fn new(
        address: &PostgresAddress,
        primary: &Arc<Connections>,
        options: &PostgresOptions,
        reads: &ReplicaReads,
    ) -> Result<Self, StoreError> {
        let replicas = Replicas::new(
            address,
            Arc::clone(primary),
            &ReplicaOptions {
                connections: options.connections,
                deadline: options.deadline,
                max_lag: reads.max_lag,
            },
        )?;
        let now = Instant::now();
        Ok(Self {
            replicas,
            recent: Mutex::new(Recent::new(now)),
            absences: Mutex::new(Bucket::full(reads.absent_per_second, now)),
            // Time for two of them and the primary, which needs the most.
            share: options.deadline / 4,
            deadline: options.deadline,
            primary: AtomicU64::new(0),
            absent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// These were changed, by anybody.
    pub(super) fn note<'a>(&self, keys: impl IntoIterator<Item = &'a LinkKey>) {
        self.recent.lock().note(keys, Instant::now());
    }

    /// Nobody knows what was changed until now.
    pub(super) fn note_all(&self) {
        self.recent.lock().note_all(Instant::now());
    }

    /// What standbys say of a link.
    pub(super) async fn find(&self, key: &LinkKey) -> Result<Said, StoreError> {
        let seen = self.recent.lock().seen(key);
        let mut tried = Vec::new();
        while tried.len() < TRIES
            && let Some(replica) = self.replicas.pick(seen, &tried)
        {
            tried.push(replica.id());
            let read = async {
                let mut session = replica.session_within(self.share).await?;
                row::find(&mut session, key).await
            };
            match read.await {
                Ok(Some(stored)) => {
                    replica.answered();
                    return Ok(Said::Link(Box::new(stored.link)));
                }
                Ok(None) => {
                    replica.answered();
                    if self.absences.lock().take(Instant::now()) {
                        self.absent.fetch_add(1, Relaxed);
                        return Ok(Said::Absent);
                    }
                    // "Not found" may be wrong, so nobody says it.
                    self.refused.fetch_add(1, Relaxed);
                    return Err(StoreError::Overloaded);
                }
                Err(failure) => replica.failed(failure),
            }
        }
        Ok(Said::Nothing)
    }

    /// A read by a standby that shows all that was committed when it is asked for; `None` if none does, or
    /// it failed.
    pub(super) async fn caught_up<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Option<T> {
        let replica = self.replicas.caught_up().await?;
        let read = async {
            let mut session = replica.session_within(self.deadline).await?;
            work(&mut session).await
        };
        match read.await {
            Ok(done) => {
                replica.answered();
                Some(done)
            }
            // What the primary would refuse as well says nothing of the standby.
            Err(Failure::Refused(_)) => None,
            Err(failure) => {
                replica.failed(failure);
                None
            }
        }
    }

    /// Whether visitors' links can be read without the primary.
    pub(super) fn can_be_read(&self) -> bool {
        let floor = self.recent.lock().floor();
        self.replicas.pick(floor, &[]).is_some()
    }

    /// A read went to the primary.
    pub(super) fn count_primary(&self) {
        self.primary.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self) -> ReplicaReadStats {
        ReplicaReadStats {
            servers: self.replicas.stats(),
            primary: self.primary.load(Relaxed),
            absent: self.absent.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

impl Said {
    /// The link, if a standby had it.
    pub(super) fn found(self) -> Option<LinkCopy> {
        match self {
            Self::Link(link) => Some(LinkCopy {
                link: Some(*link),
                newest: false,
            }),
            Self::Absent | Self::Nothing => None,
        }
    }
}

/// A token bucket that holds as much as it gets in a second.
struct Bucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            tokens: per_second,
            at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second);
        let some = self.tokens >= 1.0;
        if some {
            self.tokens -= 1.0;
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_is_asked_no_more_often_than_said() {
        let begin = Instant::now();
        let mut bucket = Bucket::full(10, begin);
        let mut passed = 0;
        for ms in 0..5_000 {
            passed += u32::from(bucket.take(begin + Duration::from_millis(ms)));
        }
        assert!((59..=60).contains(&passed), "{passed}");
        let mut none = Bucket::full(0, begin);
        assert!(!none.take(begin + Duration::from_secs(60)));
    }
}
