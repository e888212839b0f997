//! What the cells of a shard hold: how a decision changes one, and the logs that some of them refer to.

use super::cell::{Held, Meta, Share};
use super::logs::Logs;
use super::table::{GROUP_BYTES, Place, Table};
use crate::packed::{Packed, Tag};
use crate::{Decision, Limiter, LimiterState, Moment, Shaped};

/// What a shard may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) keys: usize,
    pub(super) bytes: usize,
}

/// What has become of keys.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gone {
    /// Dropped when nothing was left to remember of them.
    pub(super) expired: u64,
    /// Dropped before, to make room.
    pub(super) evicted: u64,
}

/// What is told of the cells, and what they refer to.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) keys: usize,
    pub(super) logs: Logs,
    pub(super) bounds: Bounds,
    pub(super) gone: Gone,
}

impl Contents {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            keys: 0,
            logs: Logs::default(),
            bounds,
            gone: Gone::default(),
        }
    }

    pub(super) fn bytes(&self, table: &Table) -> usize {
        table.groups() * GROUP_BYTES + self.logs.bytes()
    }

    /// A copy of the state of a key.
    pub(super) fn load(&self, cell: &Held<'_>) -> LimiterState {
        match cell.meta.tag() {
            None => LimiterState::New,
            Some(Tag::SlidingLog) => {
                let log = self.logs.get(cell.words()[0]).cloned();
                log.map_or(LimiterState::New, |log| {
                    LimiterState::SlidingLog(Box::new(log))
                })
            }
            Some(tag) => LimiterState::from_words(tag, cell.words()),
        }
    }

    /// Replaces the state of a key by what a charge left, with the decision on it.
    pub(super) fn keep(
        &mut self,
        table: &Table,
        at: Place,
        cell: &mut Held<'_>,
        state: Packed,
        decision: &Decision,
        now: Moment,
    ) {
        match (state, log_of(cell)) {
            (Packed::Nothing, _) => self.vacate(table, at, cell),
            (Packed::Words(tag, words), log) => {
                cell.set(meta(decision, now, tag), words);
                if let Some(number) = log {
                    self.logs.free(number);
                }
            }
            (Packed::Log(state), log) => {
                let number = match log {
                    Some(number) => {
                        self.logs.put(number, state);
                        number
                    }
                    None => self.logs.insert(state),
                };
                cell.set(meta(decision, now, Tag::SlidingLog), [number, 0, 0]);
                self.fit_log(table, number);
            }
        }
    }

    pub(super) fn vacate(&mut self, table: &Table, at: Place, cell: &mut Held<'_>) {
        if let Some(number) = log_of(cell) {
            self.logs.free(number);
        }
        table.vacate(at, cell);
        self.keys -= 1;
    }

    /// Makes a log coarser until it fits, if it was this one that went over the bound.
    pub(super) fn fit_log(&mut self, table: &Table, number: u64) {
        while self.bytes(table) > self.bounds.bytes {
            let Some(mut log) = self.logs.take(number) else {
                return;
            };
            let entries = log.entries();
            log.coarsen();
            self.logs.put(number, log);
            if entries <= 1 {
                return;
            }
        }
    }
}

/// Decides a request of a key whose cell is locked; not if it has a log.
#[inline(always)]
pub(super) fn step(
    cell: &mut Held<'_>,
    limiter: &Limiter,
    now: Moment,
    cost: u64,
) -> Option<Shaped> {
    let tag = cell.meta.tag().filter(|tag| *tag != Tag::SlidingLog)?;
    let (shaped, tag, words) = limiter.shape_words(tag, cell.words(), now, cost)?;
    if shaped.decision.retry_after().is_some() {
        cell.meta = cell.meta.with_share(Share::ALL);
    } else if shaped.decision.charges(cost) {
        cell.set(meta(&shaped.decision, now, tag), words);
    }
    Some(shaped)
}

pub(super) const fn needs_log(limiter: &Limiter) -> bool {
    matches!(limiter, Limiter::SlidingLog(_))
}

/// The number of its log, if it has one.
pub(super) fn log_of(cell: &Held<'_>) -> Option<u64> {
    (cell.meta.tag() == Some(Tag::SlidingLog)).then(|| cell.words()[0])
}

#[inline(always)]
pub(super) fn meta(decision: &Decision, now: Moment, tag: Tag) -> Meta {
    Meta::new(now, decision.reset_nanos(), Share::of(decision), tag)
}
