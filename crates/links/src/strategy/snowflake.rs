//! Codes from time, worker and sequence, after Twitter's Snowflake (2010): 41 bits of milliseconds
//! since 2025, 10 bits of a leased worker number, 12 bits of a sequence.
//!
//! Uniqueness rests on intervals of time, not on clocks agreeing: whoever holds a worker number
//! only uses milliseconds from the moment of its acquisition up to the end of its lease, each with
//! every sequence once, and a store hands the number on only at or after that end. However far the
//! clocks of two holders are apart, or are set while they hold it, their intervals are disjoint.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::{Clock, UnixMillis};

use super::StrategyError;
use super::space::{CodeSpace, MAX_REFUSED};
use crate::base62::Alphabet;
use crate::store::{LeaseStore, WorkerLease};
use crate::{Code, CodeFilter};

/// 2025-01-01T00:00:00Z. Never to change: codes made before would come again.
const EPOCH_MS: i64 = 1_735_689_600_000;

const TIME_BITS: u32 = 41;
const WORKER_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
const STAMP_BITS: u32 = TIME_BITS + WORKER_BITS + SEQUENCE_BITS;

/// Worker numbers there are.
const WORKERS: u16 = 1 << WORKER_BITS;

/// How far a code's time may be ahead of the clock. It absorbs bursts of more than 4,096 codes in a
/// millisecond and the small steps back of a clock being disciplined; beyond it codes are refused,
/// since a clock that is wrong by more needs somebody to look.
const MAX_AHEAD: Duration = Duration::from_secs(1);

/// Leases tried for one code before giving up: one to renew, one to acquire anew, and some for the
/// case that others use a fresh one up at once.
const MAX_LEASES: u32 = 4;

/// The Snowflake strategy of one instance.
pub(super) struct Snowflake {
    space: CodeSpace,
    /// How often the range of stamps fits into the space. Each fit writes a stamp in other digits.
    /// Without them, a word in the leading digits, which stand still for hours, would get every
    /// code of that time refused.
    spellings: u128,
    leases: Arc<dyn LeaseStore>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    /// A blocking mutex, because nothing awaits while it is held.
    state: Mutex<State>,
    /// Held while the lease is acquired or renewed, so that waiting tasks do it once.
    leasing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    lease: Option<WorkerLease>,
    /// The millisecond in use; codes of earlier ones are never made again under this lease.
    last: UnixMillis,
    /// The next sequence within it.
    sequence: u16,
    /// The latest the clock has shown.
    seen: UnixMillis,
}

/// Time, worker and sequence of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    at: UnixMillis,
    worker: u16,
    sequence: u16,
}

impl Stamp {
    fn number(self) -> Result<u128, StrategyError> {
        let ms = u64::try_from(self.at.as_millis().saturating_sub(EPOCH_MS))
            .ok()
            .filter(|ms| *ms < 1 << TIME_BITS)
            .ok_or(StrategyError::ClockOutOfRange { now: self.at })?;
        let number = (ms << (WORKER_BITS + SEQUENCE_BITS))
            | (u64::from(self.worker) << SEQUENCE_BITS)
            | u64::from(self.sequence);
        Ok(number.into())
    }
}

impl State {
    /// The next stamp; `None` if a lease is needed first.
    fn next(&mut self, now: UnixMillis) -> Result<Option<Stamp>, StrategyError> {
        self.seen = self.seen.max(now);
        let Some(lease) = self.lease else {
            return Ok(None);
        };
        let mut at = self.last.max(now);
        let mut sequence = if at == self.last { self.sequence } else { 0 };
        if sequence >> SEQUENCE_BITS != 0 {
            at = at.saturating_add(Duration::from_millis(1));
            sequence = 0;
        }
        if at.since(now) > MAX_AHEAD {
            return Err(if self.seen.since(now).is_zero() {
                StrategyError::SequenceExhausted
            } else {
                StrategyError::ClockBackwards {
                    behind: self.seen.since(now),
                }
            });
        }
        // Checked against the code's time, not the clock's: the intervals above depend on it.
        if at >= lease.expires_at {
            return Ok(None);
        }
        self.last = at;
        self.sequence = sequence + 1;
        Ok(Some(Stamp {
            at,
            worker: lease.worker,
            sequence,
        }))
    }

    /// Begins to use a worker number acquired at `now`.
    fn begin(&mut self, lease: WorkerLease, now: UnixMillis) {
        self.lease = Some(lease);
        self.last = now;
        self.sequence = 0;
    }
}

impl Snowflake {
    pub(super) fn new(
        alphabet: Alphabet,
        filter: Arc<CodeFilter>,
        leases: Arc<dyn LeaseStore>,
        clock: Arc<dyn Clock>,
        ttl: Duration,
    ) -> Self {
        let length = match alphabet {
            Alphabet::Base62 => 11,
            Alphabet::Base36 => 13,
        };
        let space = CodeSpace::new(alphabet, length, filter);
        Self {
            spellings: space.size() >> STAMP_BITS,
            space,
            leases,
            clock,
            ttl,
            state: Mutex::default(),
            leasing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) async fn next(&self) -> Result<Code, StrategyError> {
        for _ in 0..MAX_REFUSED {
            let number = self.stamp().await?.number()?;
            let mut spellings = (0..self.spellings).map(|nth| number + (nth << STAMP_BITS));
            if let Some(code) = spellings.find_map(|number| self.space.code(number)) {
                return Ok(code);
            }
        }
        Err(StrategyError::AllRefused { tried: MAX_REFUSED })
    }

    async fn stamp(&self) -> Result<Stamp, StrategyError> {
        if let Some(stamp) = self.try_stamp()? {
            return Ok(stamp);
        }
        let _leasing = self.leasing.lock().await;
        for _ in 0..MAX_LEASES {
            // Somebody else may have got a lease while this task waited.
            if let Some(stamp) = self.try_stamp()? {
                return Ok(stamp);
            }
            self.lease().await?;
        }
        // Only a lease shorter than codes may run ahead of the clock ends before its first code.
        Err(StrategyError::SequenceExhausted)
    }

    fn try_stamp(&self) -> Result<Option<Stamp>, StrategyError> {
        self.state.lock().next(self.clock.now())
    }

    /// Renews the lease, or acquires a worker number if there is none or it is another's by now.
    async fn lease(&self) -> Result<(), StrategyError> {
        let held = self.state.lock().lease;
        if let Some(held) = held
            && self.renew(held).await?
        {
            return Ok(());
        }
        let now = self.clock.now();
        let acquired = self.leases.acquire_worker(WORKERS, now, self.ttl).await?;
        let lease = acquired.ok_or(StrategyError::NoWorker { workers: WORKERS })?;
        self.state.lock().begin(lease, now);
        Ok(())
    }

    /// Extends the lease; forgets it and answers false if the number is another's by now.
    async fn renew(&self, held: WorkerLease) -> Result<bool, StrategyError> {
        let now = self.clock.now();
        if now.saturating_add(self.ttl) <= held.expires_at {
            // Set back, the clock would shorten the lease, perhaps to before codes already made.
            return Ok(true);
        }
        let renewed = self.leases.renew_worker(held, now, self.ttl).await?;
        self.state.lock().lease = renewed;
        Ok(renewed.is_some())
    }

    /// Renews a lease of which more than a third is over. Where none was ever needed, none is got.
    pub(super) async fn tend(&self) -> Result<(), StrategyError> {
        let _leasing = self.leasing.lock().await;
        let held = self.state.lock().lease;
        if let Some(held) = held
            && held.expires_at.since(self.clock.now()) < self.ttl * 2 / 3
        {
            self.renew(held).await?;
        }
        Ok(())
    }

    pub(super) async fn shutdown(&self) -> Result<(), StrategyError> {
        let _leasing = self.leasing.lock().await;
        let (lease, last) = {
            let mut state = self.state.lock();
            (state.lease.take(), state.last)
        };
        if let Some(lease) = lease {
            let free_from = last.saturating_add(Duration::from_millis(1));
            self.leases.release_worker(lease, free_from).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "snowflake_tests.rs"]
mod tests;
