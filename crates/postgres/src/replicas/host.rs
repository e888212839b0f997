//! One of the servers of a database, and what is known of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::samples::{History, Progress, Samples, end_of_last};
use crate::error::Error;
use crate::failure::Failure;
use crate::pool::{Connections, Session};

/// How long a server that failed is left alone at first; each failure more doubles it.
const REST: Duration = Duration::from_millis(250);
/// And no longer.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What a server is, by what it last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It was not asked yet, or does not answer.
    Away,
    /// It can be written.
    Primary,
    /// It follows the primary, and is so far.
    Standby(Progress),
    /// It follows another primary, or nobody knows which.
    Stray,
}

/// What is known of a server.
#[derive(Debug)]
struct Known {
    role: Role,
    /// Whether it may be read, as was logged last.
    told: Option<bool>,
    /// Failures since the last read that it answered.
    failures: u32,
    /// It is left alone until then.
    rests_until: Option<Instant>,
}

/// One server.
pub(super) struct Host {
    pub(super) connections: Connections,
    /// Host and port.
    pub(super) name: String,
    known: Mutex<Known>,
    /// Reads under way.
    pub(super) in_flight: AtomicU64,
    /// Reads that it answered.
    pub(super) reads: AtomicU64,
    /// Reads that failed.
    pub(super) failed: AtomicU64,
}

/// How far a server that was asked has come.
pub(super) enum Position {
    /// It can be written.
    Primary,
    /// Up to here of this log.
    Standby(History, u64),
}

impl Host {
    pub(super) fn new(connections: Connections, name: String) -> Self {
        Self {
            connections,
            name,
            known: Mutex::new(Known {
                role: Role::Away,
                told: None,
                failures: 0,
                rests_until: None,
            }),
            in_flight: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// What it is; one that rests counts as away.
    pub(super) fn role(&self, now: Instant) -> Role {
        let known = self.known.lock();
        match known.rests_until {
            Some(until) if now < until => Role::Away,
            _ => known.role,
        }
    }

    /// Whether it may be asked how far it is.
    pub(super) fn rests(&self, now: Instant) -> bool {
        let until = self.known.lock().rests_until;
        until.is_some_and(|until| now < until)
    }

    /// Asks how far it is.
    pub(super) async fn ask(&self, within: Duration) -> Result<Position, Failure> {
        let mut session = self.connections.session_within(within).await?;
        position(&mut session).await
    }

    /// What it said, compared with where the primary was.
    pub(super) fn learn(&self, position: &Position, samples: &Samples) -> Role {
        let mut known = self.known.lock();
        known.role = match position {
            Position::Primary => Role::Primary,
            Position::Standby(history, place) => match samples.progress(*history, *place) {
                Some(progress) => Role::Standby(kept(known.role, progress)),
                // Nobody knows yet whom to compare it with.
                None if samples.is_empty() => Role::Away,
                None => Role::Stray,
            },
        };
        known.rests_until = None;
        known.role
    }

    /// It did what it was asked, which says more than that it is there.
    pub(super) fn succeed(&self) {
        self.reads.fetch_add(1, Relaxed);
        self.known.lock().failures = 0;
    }

    /// It did not do what it was asked, and is left alone for a while.
    pub(super) fn fail(&self, failure: Failure, now: Instant) {
        let error = failure.into_error(self.connections.place());
        let mut known = self.known.lock();
        let rest = REST.saturating_mul(1 << known.failures.min(8));
        known.failures = known.failures.saturating_add(1);
        known.rests_until = Some(now + rest.min(LONGEST_REST));
        known.role = Role::Away;
        if known.told.replace(false) != Some(false) {
            tracing::warn!(server = self.name, %error, "a replica is not read from any more");
        }
    }

    /// Logs whether it may be read, if that has changed.
    pub(super) fn tell(&self, role: Role, max_lag: Duration, now: Instant) {
        if role == Role::Away {
            return;
        }
        let readable = matches!(role, Role::Standby(progress) if progress.lag(now) <= max_lag);
        let mut known = self.known.lock();
        if known.told.replace(readable) == Some(readable) {
            return;
        }
        match role {
            Role::Standby(progress) if !readable => {
                let (lag, bytes) = (progress.lag(now), progress.behind_bytes);
                tracing::warn!(
                    server = self.name,
                    ?lag,
                    bytes,
                    "a replica is too far behind to be read from"
                );
            }
            Role::Standby(_) => tracing::info!(server = self.name, "a replica is read from"),
            Role::Stray => {
                tracing::warn!(
                    server = self.name,
                    "a replica does not follow the primary: it is not read from"
                );
            }
            Role::Primary => tracing::info!(server = self.name, "this server is the primary"),
            Role::Away => {}
        }
    }
}

/// What a standby has shown it goes on to show: samples that told so may be gone.
fn kept(before: Role, mut now: Progress) -> Progress {
    if let Role::Standby(before) = before {
        now.as_of = now.as_of.max(before.as_of);
    }
    now
}

/// Which log a server writes or replays, and how far it is. A checkpoint of a new primary reaches its
/// standbys late, so what they receive counts as well; not all users may see that.
async fn position(session: &mut Session) -> Result<Position, Failure> {
    let row = session
        .one(
            "SELECT pg_is_in_recovery(), cluster.system_identifier,
                greatest(checkpoint.timeline_id,
                    (SELECT max(received_tli) FROM pg_stat_wal_receiver)),
                CASE WHEN pg_is_in_recovery()
                    THEN (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint END
             FROM pg_control_system() AS cluster, pg_control_checkpoint() AS checkpoint",
            &[],
        )
        .await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(Position::Primary);
    }
    let history = History {
        system: row.try_get(1)?,
        timeline: row.try_get(2)?,
    };
    match row.try_get::<_, Option<i64>>(3)? {
        Some(place) => Ok(Position::Standby(history, place.cast_unsigned())),
        None => Err(Failure::Refused(Error::Unavailable(
            "it has replayed nothing".to_owned(),
        ))),
    }
}

/// Where a primary is.
pub(super) async fn sample(session: &mut Session) -> Result<(History, u64), Failure> {
    let row = session
        .one(
            "SELECT system_identifier,
                ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int,
                (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
                current_setting('wal_block_size')::bigint
             FROM pg_control_system()",
            &[],
        )
        .await?;
    let history = History {
        system: row.try_get(0)?,
        timeline: row.try_get(1)?,
    };
    let (next, page) = (row.try_get::<_, i64>(2)?, row.try_get::<_, i64>(3)?);
    Ok((
        history,
        end_of_last(next.cast_unsigned(), page.cast_unsigned()),
    ))
}
