//! A part of the keys: states in cells, and under one lock what makes room for more.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::cell::{Held, KeyHash, Meta, Share};
use super::contents::{Bounds, Contents, Gone, log_of, meta, needs_log, step};
use super::table::{GROUP, GROUP_BYTES, MOST_GROUPS, Place, Table};
use crate::packed::{Packed, Tag};
use crate::store::Refund;
use crate::{Decision, Limiter, LimiterState, Moment, Shaped, SlidingLogState};

/// A group is swept each time so much effort has been spent on other things: its cells are mostly far from the
/// processor, and looking at them takes as long as some ten decisions.
pub(super) const SWEEP_EVERY: u32 = 256;
/// What a decision on a known key counts for, and one that is the first of its key: then a quarter
/// of a group is swept for each new key, so old ones are found at least as fast as new ones come.
pub(super) const KNOWN_KEY: u32 = 1;
const NEW_KEY: u32 = SWEEP_EVERY / 4;

/// See the module. Changed by who has its lock, but for the states in cells that are locked by others.
#[derive(Debug)]
pub(super) struct Shard {
    table: Table,
    contents: Contents,
    /// The latest moment at which anything was decided under the lock. Threads read the clock before they
    /// take it, so they may come with times out of order.
    latest: Moment,
    /// What has been spent since a group was swept.
    effort: u32,
    /// The group that is swept next.
    hand: usize,
    generation: Generation,
}

/// The number of the table that a shard has now, where all can see it without the lock.
#[derive(Debug, Clone)]
pub(super) struct Generation {
    /// Of all shards.
    pub(super) all: Arc<[AtomicU64]>,
    /// Which one it is.
    pub(super) shard: usize,
}

impl Shard {
    pub(super) fn new(bounds: Bounds, generation: Generation) -> Self {
        Self {
            table: Table::new(1),
            contents: Contents::new(bounds),
            latest: Moment::ORIGIN,
            effort: 0,
            hand: 0,
            generation,
        }
    }

    /// The table, as others may refer to it.
    pub(super) fn table(&self) -> Table {
        self.table.clone()
    }

    /// How often the table was replaced.
    pub(super) fn generation(&self) -> u64 {
        self.generation.all[self.generation.shard].load(Relaxed)
    }

    pub(super) const fn keys(&self) -> usize {
        self.contents.keys
    }

    pub(super) fn bytes(&self) -> usize {
        self.contents.bytes(&self.table)
    }

    pub(super) const fn gone(&self) -> Gone {
        self.contents.gone
    }

    pub(super) const fn latest(&self) -> Moment {
        self.latest
    }

    /// Moves the time on; answers the later of it and that of the last decision.
    #[inline]
    pub(super) fn turn(&mut self, now: Moment) -> Moment {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Where a key is. One without a log that comes under a limiter that keeps logs counts as
    /// never seen, and is dropped.
    pub(super) fn find(&mut self, hash: KeyHash, limiter: &Limiter) -> Option<Place> {
        let at = self.table.find(hash)?;
        if needs_log(limiter) && !self.has_log(at) {
            self.remove(at);
            return None;
        }
        Some(at)
    }

    /// Decides a request of a key that is there.
    pub(super) fn step(&mut self, at: Place, limiter: &Limiter, now: Moment, cost: u64) -> Shaped {
        let stepped = step(&mut self.table.cell(at).lock(), limiter, now, cost);
        let Some(shaped) = stepped else {
            return self.step_log(at, limiter, now, cost);
        };
        self.tend(KNOWN_KEY, now);
        shaped
    }

    /// As [`step`](Self::step), of a key that has a log: it is stepped in place, not copied.
    fn step_log(&mut self, at: Place, limiter: &Limiter, now: Moment, cost: u64) -> Shaped {
        debug_assert!(self.has_log(at), "finding the key saw to it");
        let Self {
            table, contents, ..
        } = self;
        let mut cell = table.cell(at).lock();
        let [number, ..] = cell.words();
        let mut state = match contents.logs.take(number) {
            Some(log) => LimiterState::SlidingLog(log),
            None => LimiterState::New,
        };
        let shaped = limiter.shape(&mut state, now, cost);
        let charged = shaped.decision.charges(cost);
        match state {
            LimiterState::SlidingLog(log) => {
                contents.logs.put(number, log);
                if charged {
                    cell.meta = meta(&shaped.decision, now, Tag::SlidingLog);
                    contents.fit_log(table, number);
                } else if shaped.decision.retry_after().is_some() {
                    cell.meta = cell.meta.with_share(Share::ALL);
                }
            }
            // The policy was changed to one without a log; what it left is worth nothing now.
            other if charged => {
                let state = other.into_packed();
                contents.keep(table, at, &mut cell, state, &shaped.decision, now);
            }
            _ => contents.vacate(table, at, &mut cell),
        }
        drop(cell);
        self.tend(KNOWN_KEY, now);
        shaped
    }

    /// Takes back units from a key, if it is there.
    pub(super) fn refund(&mut self, hash: KeyHash, refund: &Refund, now: Moment) {
        let Some(at) = self.table.find(hash) else {
            return;
        };
        let Self {
            table, contents, ..
        } = self;
        let mut cell = table.cell(at).lock();
        let before = contents.load(&cell);
        let mut state = before.clone();
        refund.apply(&mut state, now);
        if state != before {
            let left = refund.limiter.shape(&mut state.clone(), now, 0);
            contents.keep(
                table,
                at,
                &mut cell,
                state.into_packed(),
                &left.decision,
                now,
            );
        }
    }

    /// Locks a key that is there until [`let_go`](Self::let_go).
    pub(super) fn hold(&self, at: Place) {
        self.table.cell(at).lock().keep_locked();
    }

    /// A copy of the state of a key that the caller [holds](Self::hold).
    pub(super) fn load_held(&self, at: Place) -> LimiterState {
        let held = self.table.cell(at).held();
        let state = self.contents.load(&held);
        held.keep_locked();
        state
    }

    /// Ends [`hold`](Self::hold).
    pub(super) fn let_go(&self, at: Place) {
        drop(self.table.cell(at).held());
    }

    /// Ends [`hold`](Self::hold) with the state that a charge left, and the decision on it.
    pub(super) fn keep_held(&mut self, at: Place, state: Packed, decision: &Decision, now: Moment) {
        let Self {
            table, contents, ..
        } = self;
        let mut held = table.cell(at).held();
        contents.keep(table, at, &mut held, state, decision, now);
    }

    /// Notes that a key that is there was refused.
    pub(super) fn refused(&self, at: Place) {
        let mut cell = self.table.cell(at).lock();
        cell.meta = cell.meta.with_share(Share::ALL);
    }

    /// Remembers a key that is not there after its first charge, if [`has_room`](Self::has_room).
    /// Answers whether it was remembered.
    pub(super) fn add(
        &mut self,
        hash: KeyHash,
        state: Packed,
        decision: &Decision,
        now: Moment,
    ) -> bool {
        let Some(at) = self.make_room(hash, matches!(state, Packed::Log(_)), now) else {
            return false;
        };
        let (tag, words, log) = match state {
            Packed::Nothing => return true,
            Packed::Words(tag, words) => (tag, words, None),
            Packed::Log(log) => {
                let number = self.contents.logs.insert(log);
                (Tag::SlidingLog, [number, 0, 0], Some(number))
            }
        };
        self.occupy(at, hash, meta(decision, now, tag), words);
        if let Some(number) = log {
            self.contents.fit_log(&self.table, number);
        }
        self.tend(NEW_KEY, now);
        true
    }

    /// Whether a new key would find a place, by whatever means of [`make_room`](Self::make_room).
    pub(super) fn has_room(&self, hash: KeyHash, limiter: &Limiter, now: Moment) -> bool {
        let fits = !needs_log(limiter) || self.log_fits();
        let vacant = || self.table.vacancy(hash).is_some() || self.may_grow();
        if fits && !self.is_full() && vacant() {
            return true;
        }
        self.around(hash).any(|at| {
            let meta = self.table.cell(at).meta();
            let frees = meta.has_expired(now) || !meta.share().is_busy();
            frees && (fits || self.has_log(at))
        })
    }

    /// A place for a new key: a vacant one; else that of an expired key of its two groups; else in
    /// a larger table; else that of the least busy key of the two groups, unless all of them have
    /// used half of their limit or were refused. Where there is no memory for one more log, only
    /// what has one makes room for another.
    fn make_room(&mut self, hash: KeyHash, log: bool, now: Moment) -> Option<Place> {
        let fits = !log || self.log_fits();
        if fits
            && !self.is_full()
            && let Some(at) = self.table.vacancy(hash)
        {
            return Some(at);
        }
        let (vacant, freed_log) = self.expire_around(hash, now);
        if vacant.is_some() && (fits || freed_log) {
            return vacant;
        }
        while fits && !self.is_full() && self.may_grow() {
            self.grow(now);
            if let Some(at) = self.table.vacancy(hash) {
                return Some(at);
            }
        }
        loop {
            let around = self.around(hash).filter(|at| fits || self.has_log(*at));
            let cells = around.map(|at| (self.table.cell(at).meta(), at));
            let (meta, at) = cells.min_by_key(|(meta, _)| meta.rank())?;
            if meta.share().is_busy() {
                return None;
            }
            if self.evict(at) {
                return Some(at);
            }
        }
    }

    /// Drops a key before its time, unless it has become busy until it was locked.
    fn evict(&mut self, at: Place) -> bool {
        let Self {
            table, contents, ..
        } = self;
        let mut cell = table.cell(at).lock();
        let evicts = !cell.meta.share().is_busy();
        if evicts {
            contents.vacate(table, at, &mut cell);
            contents.gone.evicted += 1;
        }
        evicts
    }

    /// Places of keys in the two homes of this one.
    fn around(&self, hash: KeyHash) -> impl Iterator<Item = Place> + use<> {
        let [first, second] = self.table.homes(hash);
        let second = (second != first).then(|| self.table.occupied(second));
        self.table
            .occupied(first)
            .chain(second.into_iter().flatten())
    }

    /// A place of the two homes that is vacant now, and whether a log was dropped.
    fn expire_around(&mut self, hash: KeyHash, now: Moment) -> (Option<Place>, bool) {
        let (mut vacant, mut freed_log) = (None, false);
        for at in self.around(hash) {
            let has_log = self.has_log(at);
            if self.expire(at, now) {
                freed_log |= has_log;
                vacant = Some(at);
            }
        }
        (vacant, freed_log)
    }

    fn has_log(&self, at: Place) -> bool {
        self.table.cell(at).meta().tag() == Some(Tag::SlidingLog)
    }

    fn log_fits(&self) -> bool {
        self.bytes() + self.contents.logs.bytes_of_one_more() <= self.contents.bounds.bytes
    }

    const fn is_full(&self) -> bool {
        self.keys() >= self.contents.bounds.keys
    }

    fn occupy(&mut self, at: Place, hash: KeyHash, meta: Meta, words: [u64; 3]) {
        self.table.occupy(at, hash, meta, words);
        self.contents.keys += 1;
    }

    fn remove(&mut self, at: Place) {
        let Self {
            table, contents, ..
        } = self;
        contents.vacate(table, at, &mut table.cell(at).lock());
    }

    /// Drops a key if it has expired.
    fn expire(&mut self, at: Place, now: Moment) -> bool {
        if !self.table.cell(at).meta().has_expired(now) {
            return false;
        }
        let Self {
            table, contents, ..
        } = self;
        let mut cell = table.cell(at).lock();
        // It may have been charged until it was locked.
        let expired = cell.meta.has_expired(now);
        if expired {
            contents.vacate(table, at, &mut cell);
            contents.gone.expired += 1;
        }
        expired
    }

    /// Bounded work, spread over the decisions: one group is looked through for expired keys, and
    /// after the last one the table is shrunk if most of it is vacant.
    fn tend(&mut self, effort: u32, now: Moment) {
        self.effort += effort;
        if self.effort >= SWEEP_EVERY {
            self.effort = 0;
            self.sweep_group(now);
        }
    }

    pub(super) fn sweep_group(&mut self, now: Moment) {
        for at in self.table.occupied(self.hand) {
            self.expire(at, now);
        }
        self.hand += 1;
        if self.hand >= self.table.groups() {
            self.hand = 0;
            if self.keys() * 8 < self.table.groups() * GROUP && self.table.groups() > 1 {
                self.rebuild(roomy(self.keys()), now);
            }
        }
    }

    /// Looks through all groups at once.
    pub(super) fn sweep(&mut self, now: Moment) {
        self.hand = 0;
        for _ in 0..self.table.groups() {
            self.sweep_group(now);
            if self.hand == 0 {
                break;
            }
        }
    }

    fn most_groups(&self) -> usize {
        // Some more cells than keys, so that the bound of the keys is met before cells run out.
        let by_keys = self
            .contents
            .bounds
            .keys
            .saturating_add(self.contents.bounds.keys / 4);
        // An eighth is left to logs, so that cells that came before them cannot shut them out.
        let bytes = self.contents.bounds.bytes;
        let by_bytes = (bytes - bytes / 8).min(bytes.saturating_sub(self.contents.logs.bytes()));
        let groups = by_keys.div_ceil(GROUP).min(by_bytes / GROUP_BYTES);
        groups.min(MOST_GROUPS)
    }

    fn may_grow(&self) -> bool {
        self.table.groups() < self.most_groups()
    }

    /// By half, or not at all if enough has expired.
    fn grow(&mut self, now: Moment) {
        let groups = self.table.groups();
        let expired = |at: &Place| self.table.cell(*at).meta().has_expired(now);
        let live = self.table.places().filter(|at| !expired(at));
        let wanted = roomy(live.count());
        let more = if wanted * 3 < groups * 2 {
            wanted
        } else {
            groups + groups.div_ceil(2)
        };
        self.rebuild(more.min(self.most_groups()), now);
    }

    /// Moves the keys to a table of so many groups. What has expired stays behind.
    ///
    /// Cells are emptied one by one, so who still looks in the old table finds nothing there, and comes for the
    /// lock.
    fn rebuild(&mut self, groups: usize, now: Moment) {
        let old = std::mem::replace(&mut self.table, Table::new(groups));
        self.hand = 0;
        for from in old.places() {
            let mut cell = old.cell(from).lock();
            if cell.meta.has_expired(now) {
                self.contents.vacate(&old, from, &mut cell);
                self.contents.gone.expired += 1;
                continue;
            }
            let hash = cell.hash();
            let Some(at) = self.settle(hash, cell.meta) else {
                self.contents.vacate(&old, from, &mut cell);
                self.contents.gone.evicted += 1;
                continue;
            };
            drop(cell);
            self.table.occupy_from(at, &old, from, hash);
        }
        self.generation.all[self.generation.shard].fetch_add(1, Release);
    }

    /// A place for a key that moves in: if there is no vacancy, which takes more than 32 keys with the same two
    /// homes in a table half empty, that of the one which is worth the least, if that is not this one.
    fn settle(&mut self, hash: KeyHash, meta: Meta) -> Option<Place> {
        let vacancy = self.table.vacancy(hash);
        if vacancy.is_some() {
            return vacancy;
        }
        let rank = |at: &Place| self.table.cell(*at).meta().rank();
        let least = self.around(hash).min_by_key(rank)?;
        if rank(&least) >= meta.rank() {
            return None;
        }
        self.remove(least);
        self.contents.gone.evicted += 1;
        Some(least)
    }

    /// Calls `visit` with every key that has not expired, and its log if that is what it has.
    pub(super) fn visit_live(
        &self,
        now: Moment,
        mut visit: impl FnMut(&Held<'_>, Option<&SlidingLogState>),
    ) {
        for at in self.table.places() {
            let cell = self.table.cell(at).lock();
            if !cell.meta.has_expired(now) {
                let log = log_of(&cell).and_then(|number| self.contents.logs.get(number));
                visit(&cell, log);
            }
        }
    }

    /// Takes in a key from elsewhere, as far as there is room.
    pub(super) fn restore(&mut self, hash: KeyHash, meta: Meta, state: Packed, now: Moment) {
        if meta.has_expired(now) || self.table.find(hash).is_some() {
            return;
        }
        let Some(at) = self.make_room(hash, matches!(state, Packed::Log(_)), now) else {
            self.contents.gone.evicted += 1;
            return;
        };
        let words = match state {
            Packed::Nothing => return,
            Packed::Words(_, words) => words,
            Packed::Log(log) => [self.contents.logs.insert(log), 0, 0],
        };
        self.occupy(at, hash, meta, words);
        if meta.tag() == Some(Tag::SlidingLog) {
            self.contents.fit_log(&self.table, words[0]);
        }
    }
}

/// Groups in which so many keys take little more than half of the cells.
fn roomy(keys: usize) -> usize {
    (keys + keys * 3 / 4).div_ceil(GROUP).max(1)
}
