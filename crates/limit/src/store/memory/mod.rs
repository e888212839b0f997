//! Limits in the memory of this process: see [`MemoryStore`].

mod batch;
mod cell;
mod contents;
mod logs;
mod overflow;
mod shard;
mod snapshot;
mod table;
mod view;

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use parking_lot::Mutex;
use spin::Yield;
use spin::mutex::{SpinMutex, SpinMutexGuard};
use tollgate_clock::Clock;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use self::cell::KeyHash;
use self::contents::Bounds;
use self::overflow::Overflow;
use self::shard::{Generation, Shard};
pub use self::snapshot::SnapshotError;
use self::view::StoreNumber;
use super::{Charge, LimitStore, Refund, StoreError};
use crate::{Limiter, LimiterState, Moment, Shaped};

/// A shard that could not hold so many keys, or so many bytes, would be too uneven a share: there
/// are fewer shards then.
const LEAST_KEYS: usize = 64;
const LEAST_BYTES: usize = 16 * 1024;
const MOST_SHARDS: usize = 1 << 16;

/// How large a [`MemoryStore`] may become, and how it is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryOptions {
    /// What tables and logs may take, in bytes; at least an eighth of it is for logs. A shard that is being rebuilt takes up to twice
    /// its share for that moment.
    pub max_bytes: usize,
    /// How many keys are remembered. As they are spread over the shards by chance, the first
    /// evictions come a little before.
    pub max_keys: usize,
    /// Parts that grow by themselves, with a lock each; rounded up to a power of two, and fewer if the bounds are small.
    /// The more there are, the shorter the pause while one does.
    pub shards: usize,
    /// Secret that keys are hashed with: a random number, so that nobody can choose keys that
    /// meet.
    pub seed: u64,
}

impl MemoryOptions {
    /// 1 GiB, 10 million keys, 256 shards.
    #[must_use]
    pub const fn with_seed(seed: u64) -> Self {
        Self {
            max_bytes: 1 << 30,
            max_keys: 10_000_000,
            shards: 256,
            seed,
        }
    }
}

/// What a [`MemoryStore`] holds, and what has become of its keys since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryStats {
    /// Keys remembered, among them those that have expired and were not come across yet.
    pub keys: usize,
    /// What tables and logs take.
    pub bytes: usize,
    /// Keys dropped when nothing was left to remember of them.
    pub expired: u64,
    /// Keys dropped before, to make room.
    pub evictions: u64,
    /// Charges to a state that keys share, because there was no room that was not busy.
    pub overflowed: u64,
}

/// Keeps limits in the memory of this process.
///
/// - **Keys** are known by a seeded hash of 128 bits (XXH3). Two keys with the same hash would
///   share their limit; among `n` keys the odds that any two do are `n² / 2^129`: for ten million,
///   one in 10^24. The hash is not made for cryptography: keep the seed secret.
/// - **Time** counts from the Unix epoch, so windows begin on the full minute or day (UTC). The
///   wall clock is read once, when the store is made; from then on time is monotonic, so a clock
///   that is set later neither frees nor blocks anybody.
/// - **Memory** is 49 bytes a cell, of which 55 to 90 in a hundred are used, and the logs of
///   [`SlidingLog`](crate::SlidingLog). Only what was charged is remembered: a refusal or a peek
///   of a new key leaves nothing behind.
/// - **Expiry**: a key is dropped some time after its `reset_after` has passed, when a decision
///   comes across it. Each decision does a bounded amount of such work; there is no scan.
/// - **When full**, a new key takes the place of an expired one, or else that of the least busy
///   key among up to 32 that its hash points to: the one that had used the smallest share of its
///   limit (in powers of two), and of equals the one forgotten soonest. A key that had used half of its limit or was
///   refused since its last charge is never evicted. If all of them are like that, the new key is
///   not remembered by itself: all such keys of one limiter share one state, and pass together
///   what one key would. So a stream of new keys, however long, frees no key that is held back.
/// - **A log that no longer fits** is made coarser: of two neighbours, the older one counts as if
///   it had come with the other, so it refuses more and never admits more.
/// - **What is given back** goes to the key itself. If it was forgotten meanwhile to make room, and
///   came again, it is the newer charges that are lowered.
///
/// - **Threads**: a decision of one key that is known takes the lock of its cell alone, which lies where its state does:
///   threads that ask for different keys write to no line of memory that others read. New keys, logs and what is
///   swept take the lock of a shard.
///   Each thread refers to the tables it has used, so the memory of one that was replaced comes back when all threads
///   that have used it have come by again, or ended.
///
/// Decisions on several keys take the locks of their shards in order, and then those of their cells, and are atomic.
pub struct MemoryStore {
    /// Tells its tables from those of other stores.
    name: StoreNumber,
    shards: Box<[Slot]>,
    /// How often the table of each shard was replaced: read by each decision, and hardly ever written.
    generations: Arc<[AtomicU64]>,
    /// Low bits of the hash that number the shard.
    mask: u64,
    seed: u64,
    time: Time,
    /// Locked last.
    overflow: Mutex<Overflow>,
}

/// On cache lines of its own, so that threads do not slow each other down by neighbouring locks.
#[repr(align(64))]
#[derive(Debug)]
struct Slot(ShardLock);

const SLOT_BYTES: usize = size_of::<Slot>();

/// Held for some dozens of nanoseconds, but for the time that it takes to rebuild or copy a shard;
/// who finds it taken lets other threads run.
type ShardLock = SpinMutex<Shard, Yield>;

struct Time {
    clock: Arc<dyn Clock>,
    /// Nanoseconds from the Unix epoch to the origin of the monotonic clock; below zero, wrapped,
    /// if that counts from before.
    origin: u64,
}

impl Time {
    /// From the wall clock's time, or from `least` if that is later.
    fn new(clock: Arc<dyn Clock>, least: Moment) -> Self {
        let wall = u64::try_from(clock.now().as_millis()).unwrap_or(0);
        let wall = Moment::from_nanos(wall.saturating_mul(1_000_000)).max(least);
        Self {
            origin: wall.as_nanos().wrapping_sub(clock.monotonic_nanos()),
            clock,
        }
    }

    #[inline]
    fn now(&self) -> Moment {
        Moment::from_nanos(self.origin.wrapping_add(self.clock.monotonic_nanos()))
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(options: MemoryOptions, clock: Arc<dyn Clock>) -> Self {
        Self::starting(options, clock, Moment::ORIGIN)
    }

    fn starting(options: MemoryOptions, clock: Arc<dyn Clock>, least: Moment) -> Self {
        let most = (options.max_keys / LEAST_KEYS).min(options.max_bytes / LEAST_BYTES);
        let wanted = options.shards.clamp(1, MOST_SHARDS).next_power_of_two();
        let shards = wanted.min(1 << most.max(1).ilog2());
        let overhead = size_of::<Self>() + shards * SLOT_BYTES;
        let bounds = Bounds {
            keys: (options.max_keys / shards).max(1),
            bytes: options.max_bytes.saturating_sub(overhead) / shards,
        };
        let generations: Arc<[AtomicU64]> = (0..shards).map(|_| AtomicU64::new(0)).collect();
        let slots = (0..shards).map(|shard| {
            let all = Arc::clone(&generations);
            Slot(ShardLock::new(Shard::new(
                bounds,
                Generation { all, shard },
            )))
        });
        Self {
            name: StoreNumber::next(),
            shards: slots.collect(),
            generations,
            mask: shards as u64 - 1,
            seed: options.seed,
            time: Time::new(clock, least),
            overflow: Mutex::default(),
        }
    }

    /// Decides and charges a request of one key: as [`LimitStore::decide`] of one charge, but
    /// without a future and without an allocation.
    pub fn decide_one(&self, key: &[u8], limiter: &Limiter, cost: u64) -> Shaped {
        self.decide_at(self.now(), key, limiter, cost)
    }

    /// The time by which this store decides.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.time.now()
    }

    /// As [`decide_one`](Self::decide_one), with a time that the caller has from
    /// [`now`](Self::now): reading the clock takes about as long as the rest, and who has a batch of
    /// requests at hand reads it once. A time that has passed meanwhile refuses more, never less.
    pub fn decide_at(&self, now: Moment, key: &[u8], limiter: &Limiter, cost: u64) -> Shaped {
        let hash = self.hash(key);
        match view::decide(self, hash, limiter, now, cost) {
            Some(shaped) => shaped,
            None => self.decide_locked(hash, limiter, now, cost),
        }
    }

    /// Decides a request of a key that has no cell, or a log, or is in a table that this thread does not know.
    #[inline(never)]
    fn decide_locked(&self, hash: KeyHash, limiter: &Limiter, now: Moment, cost: u64) -> Shaped {
        let number = self.number(hash);
        let mut shard = self.shard(number);
        let now = shard.turn(now);
        let shaped = match shard.find(hash, limiter) {
            Some(at) => shard.step(at, limiter, now, cost),
            None => self.decide_new(&mut shard, hash, limiter, now, cost),
        };
        view::see(self, number, &shard);
        shaped
    }

    fn decide_new(
        &self,
        shard: &mut Shard,
        hash: KeyHash,
        limiter: &Limiter,
        now: Moment,
        cost: u64,
    ) -> Shaped {
        let share = || self.overflow.lock().shape(limiter, now, cost);
        if !shard.has_room(hash, limiter, now) {
            return share();
        }
        let mut state = LimiterState::New;
        let shaped = limiter.shape(&mut state, now, cost);
        // Keys that would have made room may have become busy meanwhile.
        if shaped.decision.charges(cost)
            && !shard.add(hash, state.into_packed(), &shaped.decision, now)
        {
            return share();
        }
        shaped
    }

    /// What it holds, and what has become of its keys. Takes one lock after the other.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        let mut stats = MemoryStats {
            bytes: size_of::<Self>() + self.shards.len() * SLOT_BYTES,
            overflowed: self.overflow.lock().charges(),
            ..MemoryStats::default()
        };
        for slot in &self.shards {
            let shard = slot.0.lock();
            stats.keys += shard.keys();
            stats.bytes += shard.bytes();
            stats.expired += shard.gone().expired;
            stats.evictions += shard.gone().evicted;
        }
        stats
    }

    /// Drops every key that has expired and gives back the memory, one shard after the other. For
    /// a store that is idle; while decisions are made, they do it by themselves.
    pub fn sweep(&self) {
        for slot in &self.shards {
            let now = self.time.now();
            let mut shard = slot.0.lock();
            let now = shard.turn(now);
            shard.sweep(now);
        }
    }

    /// Writes down the state of every key, in a form that [`MemoryStore::restore`] reads. It
    /// holds the seed and hashes, not the keys. Each shard is locked while it is copied, so
    /// decisions go on meanwhile; those made then are in it or not. States that keys share are not
    /// in it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn snapshot(&self, to: &mut impl Write) -> std::io::Result<()> {
        snapshot::write(self, to)
    }

    /// A store with the states of a snapshot. The seed is that of the snapshot, whatever the
    /// options say; the bounds may have changed. Time starts at the wall clock's, or at the time
    /// of the snapshot if the clock was set back since.
    ///
    /// # Errors
    /// [`SnapshotError`], if it is not a whole snapshot as it was written.
    pub fn restore(
        from: &mut impl Read,
        options: MemoryOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SnapshotError> {
        snapshot::read(from, options, clock)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash::new(xxh3_128_with_seed(key, self.seed))
    }

    #[inline]
    fn number(&self, hash: KeyHash) -> usize {
        (hash.low() & self.mask) as usize
    }

    #[inline]
    fn shard(&self, number: usize) -> SpinMutexGuard<'_, Shard> {
        self.shards[number].0.lock()
    }
}

#[async_trait]
impl LimitStore for MemoryStore {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        Ok(match charges {
            [one] => vec![self.decide_one(one.key.as_bytes(), &one.limiter, one.cost)],
            _ => batch::decide(self, charges),
        })
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        for refund in refunds {
            let hash = self.hash(refund.key.as_bytes());
            let mut shard = self.shard(self.number(hash));
            let now = shard.turn(self.now());
            // What keys without a place share is not known to be this one's.
            shard.refund(hash, refund, now);
        }
        Ok(())
    }

    fn decide_at_once(&self, key: &[u8], limiter: &Limiter, cost: u64) -> Option<Shaped> {
        Some(self.decide_one(key, limiter, cost))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}
