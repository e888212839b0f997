//! The states of all keys in a file.
//!
//! Little-endian integers: a magic, the version, the seed, the moment and the number of parts; then
//! of each part the length in bytes and the cells; at the end a checksum (XXH3, 64 bits) of all
//! before it. A cell is its hash, its meta word and the three words of its state, or for a log the
//! number of entries and then the moment and cost of each.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use tollgate_clock::Clock;
use xxhash_rust::xxh3::Xxh3Default;

use super::cell::{KeyHash, Meta};
use super::shard::Shard;
use super::{MemoryOptions, MemoryStore};
use crate::packed::{Packed, Tag};
use crate::{Moment, SlidingLogState};

const MAGIC: u64 = u64::from_le_bytes(*b"tollgLIM");
const VERSION: u64 = 1;

/// Why a snapshot was refused.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It could not be read.
    #[error("the snapshot of limits cannot be read: {0}")]
    Io(#[source] std::io::Error),
    /// It begins like something else.
    #[error("this is no snapshot of limits: give another file, or remove it to start with none")]
    Foreign,
    /// It is of a later or very early version.
    #[error(
        "the snapshot of limits has version {0}, this program reads {VERSION}: \
         remove it to start with none"
    )]
    Version(u64),
    /// It ends too soon.
    #[error("the snapshot of limits is torn: remove it to start with none")]
    Torn,
    /// It is not what was written.
    #[error("the snapshot of limits is damaged: remove it to start with none")]
    Damaged,
}

impl From<std::io::Error> for SnapshotError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Torn,
            _ => Self::Io(error),
        }
    }
}

pub(super) fn write(store: &MemoryStore, to: &mut impl Write) -> std::io::Result<()> {
    let mut sum = Xxh3Default::new();
    let mut put = |bytes: &[u8]| {
        sum.update(bytes);
        to.write_all(bytes)
    };
    let now = store.time.now();
    let parts = store.shards.len() as u64;
    for word in [MAGIC, VERSION, store.seed, now.as_nanos(), parts] {
        put(&word.to_le_bytes())?;
    }
    let mut part = Vec::new();
    for number in 0..store.shards.len() {
        part.clear();
        // Copied under the lock, written without it.
        copy(&store.shard(number), now, &mut part);
        put(&(part.len() as u64).to_le_bytes())?;
        put(&part)?;
    }
    let sum = sum.digest();
    to.write_all(&sum.to_le_bytes())?;
    to.flush()
}

fn copy(shard: &Shard, now: Moment, to: &mut Vec<u8>) {
    let mut put = |word: u64| to.extend_from_slice(&word.to_le_bytes());
    shard.visit_live(now.max(shard.latest()), |cell, log| {
        put(cell.hash().low());
        put(cell.hash().high());
        put(cell.meta.narrow().0);
        match log {
            None => cell.words().into_iter().for_each(&mut put),
            Some(log) => {
                put(log.iter().len() as u64);
                log.iter().flatten().for_each(&mut put);
            }
        }
    });
}

/// Reads words and sums up what it has read.
struct Words<'a, R> {
    from: &'a mut R,
    sum: Xxh3Default,
}

impl<R: Read> Words<'_, R> {
    fn next(&mut self) -> Result<u64, SnapshotError> {
        let mut bytes = [0; 8];
        self.from.read_exact(&mut bytes)?;
        self.sum.update(&bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    /// The next `length` bytes. They are not believed to be there until they have been read.
    fn part(&mut self, length: u64) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = Vec::new();
        self.from.by_ref().take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(SnapshotError::Torn);
        }
        self.sum.update(&bytes);
        Ok(bytes)
    }

    fn finish(self) -> Result<(), SnapshotError> {
        let mut bytes = [0; 8];
        self.from.read_exact(&mut bytes)?;
        if u64::from_le_bytes(bytes) == self.sum.digest() {
            Ok(())
        } else {
            Err(SnapshotError::Damaged)
        }
    }
}

pub(super) fn read(
    from: &mut impl Read,
    options: MemoryOptions,
    clock: Arc<dyn Clock>,
) -> Result<MemoryStore, SnapshotError> {
    let mut words = Words {
        from,
        sum: Xxh3Default::new(),
    };
    match words.next() {
        Ok(MAGIC) => {}
        // An empty file is a torn one; a few bytes of something else are not ours.
        Ok(_) => return Err(SnapshotError::Foreign),
        Err(error) => return Err(error),
    }
    let version = words.next()?;
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let seed = words.next()?;
    let taken = Moment::from_nanos(words.next()?);
    let parts = words.next()?;
    let store = MemoryStore::starting(MemoryOptions { seed, ..options }, clock, taken);
    let now = store.time.now();
    for _ in 0..parts {
        let length = words.next()?;
        restore_part(&store, &words.part(length)?, now)?;
    }
    words.finish()?;
    Ok(store)
}

fn restore_part(store: &MemoryStore, part: &[u8], now: Moment) -> Result<(), SnapshotError> {
    let (chunks, rest) = part.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(SnapshotError::Damaged);
    }
    let mut words = chunks.iter().map(|bytes| u64::from_le_bytes(*bytes));
    while let Some(low) = words.next() {
        let mut next = || words.next().ok_or(SnapshotError::Damaged);
        let hash = KeyHash::new(u128::from(next()?) << 64 | u128::from(low));
        let meta = Meta(next()?);
        let state = match meta.tag().ok_or(SnapshotError::Damaged)? {
            Tag::SlidingLog => {
                let mut entries = Vec::new();
                for _ in 0..next()? {
                    entries.push([next()?, next()?]);
                }
                let log = SlidingLogState::from_entries(entries);
                Packed::Log(Box::new(log.ok_or(SnapshotError::Damaged)?))
            }
            tag => Packed::Words(tag, [next()?, next()?, next()?]),
        };
        let mut shard = store.shard(store.number(hash));
        shard.restore(hash, meta, state, now);
    }
    Ok(())
}
