//! Where a thread finds cells without the lock of a shard.
//!
//! A table stays where it is as long as somebody refers to it, and most decisions need no more than a cell of
//! it. So each thread that decides keeps references of its own: it need not count one for each decision, which
//! would be written where all threads do. A table that was replaced is given up when the thread comes by again.

use std::cell::RefCell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::MemoryStore;
use super::cell::KeyHash;
use super::contents;
use super::shard::{KNOWN_KEY, SWEEP_EVERY, Shard};
use super::table::Table;
use crate::{Limiter, Moment, Shaped};

/// The stores of which a thread keeps tables; that of the one it has used first goes for another.
const MOST_STORES: usize = 4;

/// Which store a view is of. Numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoreNumber(u64);

impl StoreNumber {
    /// Of another store than all before.
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed))
    }
}

thread_local! {
    static VIEWS: RefCell<Vec<View>> = const { RefCell::new(Vec::new()) };
}

/// The tables of one store, as this thread has seen them last.
struct View {
    store: StoreNumber,
    tables: Vec<Option<(Table, u64)>>,
    /// What this thread has spent since it has swept a group. Of each store, so that what one forgets does not depend on others.
    effort: u32,
}

#[inline]
fn view_of<'v>(views: &'v mut Vec<View>, store: &MemoryStore) -> &'v mut View {
    let found = views.iter().position(|view| view.store == store.name);
    let at = found.unwrap_or_else(|| add(views, store));
    &mut views[at]
}

#[cold]
fn add(views: &mut Vec<View>, store: &MemoryStore) -> usize {
    if views.len() == MOST_STORES {
        views.remove(0);
    }
    views.push(View {
        store: store.name,
        tables: vec![None; store.shards.len()],
        effort: 0,
    });
    views.len() - 1
}

/// Decides a request of a key that has a cell, whose state is no log. Otherwise nothing is done, and it is for
/// who has the lock of the shard.
#[inline(always)]
pub(super) fn decide(
    store: &MemoryStore,
    hash: KeyHash,
    limiter: &Limiter,
    now: Moment,
    cost: u64,
) -> Option<Shaped> {
    let number = store.number(hash);
    let decided = VIEWS.try_with(|views| {
        let mut views = views.try_borrow_mut().ok()?;
        let View { tables, effort, .. } = view_of(&mut views, store);
        let (table, generation) = tables[number].as_ref()?;
        if *generation != store.generations[number].load(Acquire) {
            return None;
        }
        let shaped = contents::step(&mut table.lock(hash)?, limiter, now, cost)?;
        *effort += KNOWN_KEY;
        if *effort >= SWEEP_EVERY {
            *effort = 0;
            sweep(store, number, now);
        }
        Some(shaped)
    });
    // A thread that is about to end has none.
    decided.unwrap_or(None)
}

#[inline(never)]
fn sweep(store: &MemoryStore, number: usize, now: Moment) {
    let mut shard = store.shard(number);
    let now = shard.turn(now);
    shard.sweep_group(now);
}

/// Notes the table that a shard has now, if this thread has not seen it.
pub(super) fn see(store: &MemoryStore, number: usize, shard: &Shard) {
    // See `decide`: it is only slower without.
    let _ = VIEWS.try_with(|views| {
        let Ok(mut views) = views.try_borrow_mut() else {
            return;
        };
        let seen = &mut view_of(&mut views, store).tables[number];
        let generation = shard.generation();
        if !matches!(seen, Some((_, seen)) if *seen == generation) {
            *seen = Some((shard.table(), generation));
        }
    });
}
