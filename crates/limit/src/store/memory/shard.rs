//! A part of the keys, under one lock: states in cells, and what makes room for more.

use super::cell::{Cell, KeyHash, Meta, Share};
use super::logs::Logs;
use super::table::{GROUP, GROUP_BYTES, MOST_GROUPS, Place, Table};
use crate::packed::{Packed, Tag};
use crate::store::Refund;
use crate::{Decision, Limiter, LimiterState, Moment, Shaped, SlidingLogState};

/// A group is swept each time so much effort has been spent on other things.
const SWEEP_EVERY: u32 = 64;
/// What a decision on a known key counts for, and one that is the first of its key: then a quarter
/// of a group is swept for each new key, so old ones are found at least as fast as new ones come.
const KNOWN_KEY: u32 = 1;
const NEW_KEY: u32 = 16;

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

/// See the module. What every decision needs: with the lock it is one cache line, and all shards
/// together stay in the cache next to the processor.
#[derive(Debug)]
pub(super) struct Shard {
    table: Table,
    /// The latest moment at which anything was decided here. Threads read the clock before they
    /// take the lock, so they may come with times out of order.
    latest: Moment,
    rest: Box<Rest>,
}

/// What few decisions need.
#[derive(Debug)]
struct Rest {
    /// The group that is swept next.
    hand: usize,
    logs: Logs,
    bounds: Bounds,
    gone: Gone,
}

impl Shard {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            table: Table::new(1),
            latest: Moment::ORIGIN,
            rest: Box::new(Rest {
                hand: 0,
                logs: Logs::default(),
                bounds,
                gone: Gone::default(),
            }),
        }
    }

    /// What each takes beside itself, however empty.
    pub(super) const fn overhead() -> usize {
        size_of::<Rest>()
    }

    pub(super) const fn keys(&self) -> usize {
        self.table.keys()
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.groups() * GROUP_BYTES + self.rest.logs.bytes()
    }

    pub(super) const fn gone(&self) -> Gone {
        self.rest.gone
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
    #[inline]
    pub(super) fn find(&mut self, hash: KeyHash, limiter: &Limiter) -> Option<Place> {
        let at = self.table.find(hash)?;
        if needs_log(limiter) && !self.has_log(at) {
            self.remove(at);
            return None;
        }
        Some(at)
    }

    /// Decides a request of a key that is there.
    #[inline]
    pub(super) fn step(&mut self, at: Place, limiter: &Limiter, now: Moment, cost: u64) -> Shaped {
        let cell = self.table.cell_mut(at);
        let words = cell.meta.tag().filter(|tag| *tag != Tag::SlidingLog);
        let Some((shaped, tag, words)) =
            words.and_then(|tag| limiter.shape_words(tag, cell.words, now, cost))
        else {
            return self.step_log(at, limiter, now, cost);
        };
        if shaped.decision.retry_after().is_some() {
            cell.meta = cell.meta.with_share(Share::ALL);
        } else if charged(&shaped, cost) {
            cell.words = words;
            cell.meta = meta(&shaped.decision, now, tag);
        }
        self.tend(KNOWN_KEY, now);
        shaped
    }

    /// As [`step`](Self::step), of a key that has a log: it is stepped in place, not copied.
    #[inline(never)]
    fn step_log(&mut self, at: Place, limiter: &Limiter, now: Moment, cost: u64) -> Shaped {
        debug_assert!(self.has_log(at), "finding the key saw to it");
        let number = self.table.cell(at).words[0];
        let mut state = match self.rest.logs.take(number) {
            Some(log) => LimiterState::SlidingLog(log),
            None => LimiterState::New,
        };
        let shaped = limiter.shape(&mut state, now, cost);
        let charged = charged(&shaped, cost);
        match state {
            LimiterState::SlidingLog(log) => {
                self.rest.logs.put(number, log);
                let cell = self.table.cell_mut(at);
                if charged {
                    cell.meta = meta(&shaped.decision, now, Tag::SlidingLog);
                    self.fit_log(number);
                } else if shaped.decision.retry_after().is_some() {
                    cell.meta = cell.meta.with_share(Share::ALL);
                }
            }
            // The policy was changed to one without a log; what it left is worth nothing now.
            other if charged => self.keep(at, other.into_packed(), &shaped.decision, now),
            _ => {
                self.remove(at);
            }
        }
        self.tend(KNOWN_KEY, now);
        shaped
    }

    /// Takes back units from a key, if it is there.
    pub(super) fn refund(&mut self, hash: KeyHash, refund: &Refund, now: Moment) {
        let Some(at) = self.table.find(hash) else {
            return;
        };
        let before = self.load(at);
        let mut state = before.clone();
        refund.apply(&mut state, now);
        if state != before {
            let left = refund.limiter.shape(&mut state.clone(), now, 0);
            self.keep(at, state.into_packed(), &left.decision, now);
        }
    }

    /// A copy of the state of a key that is there.
    pub(super) fn load(&self, at: Place) -> LimiterState {
        let cell = self.table.cell(at);
        match cell.meta.tag() {
            None => LimiterState::New,
            Some(Tag::SlidingLog) => {
                let log = self.rest.logs.get(cell.words[0]).cloned();
                log.map_or(LimiterState::New, |log| {
                    LimiterState::SlidingLog(Box::new(log))
                })
            }
            Some(tag) => LimiterState::from_words(tag, cell.words),
        }
    }

    /// Notes that a key that is there was refused.
    pub(super) fn refused(&mut self, at: Place) {
        let cell = self.table.cell_mut(at);
        cell.meta = cell.meta.with_share(Share::ALL);
    }

    /// Replaces the state of a key that is there by what a charge left, with the decision on it.
    pub(super) fn keep(&mut self, at: Place, state: Packed, decision: &Decision, now: Moment) {
        let has_log = self.has_log(at);
        let cell = self.table.cell_mut(at);
        let log = has_log.then_some(cell.words[0]);
        match (state, log) {
            (Packed::Nothing, _) => {
                self.remove(at);
            }
            (Packed::Words(tag, words), log) => {
                cell.words = words;
                cell.meta = meta(decision, now, tag);
                if let Some(number) = log {
                    self.rest.logs.free(number);
                }
            }
            (Packed::Log(state), log) => {
                cell.meta = meta(decision, now, Tag::SlidingLog);
                let number = match log {
                    Some(number) => {
                        self.rest.logs.put(number, state);
                        number
                    }
                    None => self.rest.logs.insert(state),
                };
                self.table.cell_mut(at).words = [number, 0, 0];
                self.fit_log(number);
            }
        }
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
                let number = self.rest.logs.insert(log);
                (Tag::SlidingLog, [number, 0, 0], Some(number))
            }
        };
        let meta = meta(decision, now, tag);
        self.table.occupy(at, Cell { hash, meta, words });
        if let Some(number) = log {
            self.fit_log(number);
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
            let meta = self.table.cell(at).meta;
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
        let around = self.around(hash).filter(|at| fits || self.has_log(*at));
        let cells = around.map(|at| (self.table.cell(at).meta, at));
        let (meta, at) = cells.min_by_key(|(meta, _)| meta.rank())?;
        if meta.share().is_busy() {
            return None;
        }
        self.remove(at);
        self.rest.gone.evicted += 1;
        Some(at)
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
            if self.table.cell(at).meta.has_expired(now) {
                freed_log |= self.has_log(at);
                self.remove(at);
                self.rest.gone.expired += 1;
                vacant = Some(at);
            }
        }
        (vacant, freed_log)
    }

    fn has_log(&self, at: Place) -> bool {
        self.table.cell(at).meta.tag() == Some(Tag::SlidingLog)
    }

    fn log_fits(&self) -> bool {
        self.bytes() + self.rest.logs.bytes_of_one_more() <= self.rest.bounds.bytes
    }

    const fn is_full(&self) -> bool {
        self.keys() >= self.rest.bounds.keys
    }

    fn remove(&mut self, at: Place) -> Cell {
        let cell = self.table.vacate(at);
        if cell.meta.tag() == Some(Tag::SlidingLog) {
            self.rest.logs.free(cell.words[0]);
        }
        cell
    }

    /// Bounded work, spread over the decisions: one group is looked through for expired keys, and
    /// after the last one the table is shrunk if most of it is vacant.
    #[inline]
    fn tend(&mut self, effort: u32, now: Moment) {
        if self.table.spend(effort, SWEEP_EVERY) {
            self.sweep_group(now);
        }
    }

    #[inline(never)]
    fn sweep_group(&mut self, now: Moment) {
        for at in self.table.occupied(self.rest.hand) {
            if self.table.cell(at).meta.has_expired(now) {
                self.remove(at);
                self.rest.gone.expired += 1;
            }
        }
        self.rest.hand += 1;
        if self.rest.hand >= self.table.groups() {
            self.rest.hand = 0;
            if self.keys() * 8 < self.table.groups() * GROUP && self.table.groups() > 1 {
                self.rebuild(roomy(self.keys()), now);
            }
        }
    }

    /// Looks through all groups at once.
    pub(super) fn sweep(&mut self, now: Moment) {
        self.rest.hand = 0;
        for _ in 0..self.table.groups() {
            self.sweep_group(now);
            if self.rest.hand == 0 {
                break;
            }
        }
    }

    fn most_groups(&self) -> usize {
        // Some more cells than keys, so that the bound of the keys is met before cells run out.
        let by_keys = self
            .rest
            .bounds
            .keys
            .saturating_add(self.rest.bounds.keys / 4);
        // An eighth is left to logs, so that cells that came before them cannot shut them out.
        let bytes = self.rest.bounds.bytes;
        let by_bytes = (bytes - bytes / 8).min(bytes.saturating_sub(self.rest.logs.bytes()));
        let groups = by_keys.div_ceil(GROUP).min(by_bytes / GROUP_BYTES);
        groups.min(MOST_GROUPS)
    }

    fn may_grow(&self) -> bool {
        self.table.groups() < self.most_groups()
    }

    /// By half, or not at all if enough has expired.
    fn grow(&mut self, now: Moment) {
        let groups = self.table.groups();
        let live = self.table.iter().filter(|c| !c.meta.has_expired(now));
        let wanted = roomy(live.count());
        let more = if wanted * 3 < groups * 2 {
            wanted
        } else {
            groups + groups.div_ceil(2)
        };
        self.rebuild(more.min(self.most_groups()), now);
    }

    /// Moves the keys to a table of so many groups. What has expired stays behind.
    fn rebuild(&mut self, groups: usize, now: Moment) {
        let old = std::mem::replace(&mut self.table, Table::new(groups));
        self.rest.hand = 0;
        for cell in old.iter() {
            let dropped = if cell.meta.has_expired(now) {
                self.rest.gone.expired += 1;
                Some(*cell)
            } else {
                self.settle(*cell)
            };
            if let Some(cell) = dropped
                && cell.meta.tag() == Some(Tag::SlidingLog)
            {
                self.rest.logs.free(cell.words[0]);
            }
        }
    }

    /// Moves a cell in; answers the one that had to go if there was no vacancy, which takes more
    /// than 32 keys with the same two homes in a table half empty.
    fn settle(&mut self, cell: Cell) -> Option<Cell> {
        if let Some(at) = self.table.vacancy(cell.hash) {
            self.table.occupy(at, cell);
            return None;
        }
        self.rest.gone.evicted += 1;
        let around = self.around(cell.hash);
        let least = around.min_by_key(|at| self.table.cell(*at).meta.rank());
        match least {
            Some(at) if self.table.cell(at).meta.rank() < cell.meta.rank() => {
                let gone = self.table.vacate(at);
                self.table.occupy(at, cell);
                Some(gone)
            }
            _ => Some(cell),
        }
    }

    /// Makes a log coarser until it fits, if it was this one that went over the bound.
    fn fit_log(&mut self, number: u64) {
        while self.bytes() > self.rest.bounds.bytes {
            let Some(mut log) = self.rest.logs.take(number) else {
                return;
            };
            let entries = log.entries();
            log.coarsen();
            self.rest.logs.put(number, log);
            if entries <= 1 {
                return;
            }
        }
    }

    /// Every key that has not expired, with its log if that is what it has.
    pub(super) fn live(
        &self,
        now: Moment,
    ) -> impl Iterator<Item = (&Cell, Option<&SlidingLogState>)> {
        let live = self.table.iter().filter(move |c| !c.meta.has_expired(now));
        live.map(|cell| {
            let has_log = cell.meta.tag() == Some(Tag::SlidingLog);
            let log = has_log.then(|| self.rest.logs.get(cell.words[0])).flatten();
            (cell, log)
        })
    }

    /// Takes in a key from elsewhere, as far as there is room.
    pub(super) fn restore(&mut self, hash: KeyHash, meta: Meta, state: Packed, now: Moment) {
        if meta.has_expired(now) || self.table.find(hash).is_some() {
            return;
        }
        let Some(at) = self.make_room(hash, matches!(state, Packed::Log(_)), now) else {
            self.rest.gone.evicted += 1;
            return;
        };
        let words = match state {
            Packed::Nothing => return,
            Packed::Words(_, words) => words,
            Packed::Log(log) => [self.rest.logs.insert(log), 0, 0],
        };
        self.table.occupy(at, Cell { hash, meta, words });
        if meta.tag() == Some(Tag::SlidingLog) {
            self.fit_log(words[0]);
        }
    }
}

const fn needs_log(limiter: &Limiter) -> bool {
    matches!(limiter, Limiter::SlidingLog(_))
}

const fn charged(shaped: &Shaped, cost: u64) -> bool {
    cost > 0 && shaped.decision.allowed()
}

fn meta(decision: &Decision, now: Moment, tag: Tag) -> Meta {
    Meta::new(now, decision.reset_nanos(), Share::of(decision), tag)
}

/// Groups in which so many keys take little more than half of the cells.
fn roomy(keys: usize) -> usize {
    (keys + keys * 3 / 4).div_ceil(GROUP).max(1)
}
