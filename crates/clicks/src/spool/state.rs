//! What the writing thread, the readers and the metrics share.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::directory::Directory;
use super::segment::{self, SegmentId};
use crate::{Position, SourceId};

/// One spool, as far as it can be read.
#[derive(Debug)]
pub(super) struct State {
    pub(super) directory: PathBuf,
    pub(super) identity: u64,
    pub(super) source: SourceId,
    segments: Mutex<Segments>,
    /// Told that there is more to read.
    more: watch::Sender<()>,
    /// Where the last damage is that was told of: readers may come there again.
    damaged: Mutex<Position>,
    pub(super) counts: Counts,
}

#[derive(Debug)]
struct Segments {
    /// How far each may be read.
    ends: BTreeMap<u64, u64>,
    /// The one that grows.
    active: Option<u64>,
    /// Of all of them.
    bytes: u64,
}

/// What goes on in it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) dropped_full: AtomicU64,
    pub(super) dropped_failing: AtomicU64,
    pub(super) torn: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) sync_failures: AtomicU64,
    pub(super) failing: AtomicBool,
}

/// Whether clicks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolHealth {
    /// They are.
    Writing,
    /// They are dropped, because the disk fails; it is tried again each second.
    Failing,
}

/// What happened to clicks in the spool, since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolStats {
    /// Whether clicks are written now.
    pub health: SpoolHealth,
    /// Clicks written.
    pub written: u64,
    /// Clicks dropped because the spool was as large as it may be.
    pub dropped_full: u64,
    /// Clicks dropped because the disk failed.
    pub dropped_failing: u64,
    /// Bytes of all segments now.
    pub bytes: u64,
    /// Bytes cut off at start, because an earlier process had not written them whole.
    pub torn_bytes: u64,
    /// Bytes that were skipped when reading, because they were damaged.
    pub damaged_bytes: u64,
    /// Times the disk did not take what was written.
    pub sync_failures: u64,
}

/// Where there is something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readable {
    pub(super) number: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What the name of a spool begins with, before its identity.
const NAME: &str = "spool-";

impl State {
    /// The identity of the spool that a source is.
    pub(super) fn identity_of(source: &SourceId) -> Option<u64> {
        u64::from_str_radix(source.0.strip_prefix(NAME)?, 16).ok()
    }

    pub(super) fn of(directory: &Directory) -> Self {
        let counts = Counts::default();
        counts.torn.store(directory.torn, Relaxed);
        Self {
            directory: directory.path.clone(),
            identity: directory.identity,
            source: SourceId(format!("{NAME}{:016x}", directory.identity).into()),
            segments: Mutex::new(Segments {
                bytes: directory.segments.values().sum(),
                ends: directory.segments.clone(),
                active: None,
            }),
            more: watch::Sender::new(()),
            damaged: Mutex::default(),
            counts,
        }
    }

    pub(super) fn segment(&self, number: u64) -> SegmentId {
        SegmentId {
            spool: self.identity,
            number,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.lock().bytes
    }

    /// The growing segment now ends here, and may be read so far.
    pub(super) fn grown(&self, number: u64, end: u64) {
        let mut segments = self.segments.lock();
        let before = segments.ends.insert(number, end).unwrap_or(0);
        segments.bytes = segments.bytes - before + end;
        segments.active = Some(number);
        drop(segments);
        self.more.send_replace(());
    }

    /// Nothing grows for now.
    pub(super) fn closed(&self) {
        self.segments.lock().active = None;
    }

    /// Forgets a segment whose file is gone; false if somebody else did.
    pub(super) fn forget(&self, number: u64) -> bool {
        let mut segments = self.segments.lock();
        let end = segments.ends.remove(&number);
        segments.bytes -= end.unwrap_or(0);
        end.is_some()
    }

    /// Whom to wait for when there is nothing [`State::readable`].
    pub(super) fn more(&self) -> watch::Receiver<()> {
        self.more.subscribe()
    }

    /// So many bytes are skipped when reading.
    pub(super) fn damaged(&self, at: Position, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut last = self.damaged.lock();
        if *last < at {
            *last = at;
            self.counts.damaged.fetch_add(bytes as u64, Relaxed);
            tracing::error!(
                file = %segment::path(&self.directory, at.segment).display(),
                offset = at.offset,
                bytes,
                "clicks in the spool are damaged: they are skipped"
            );
        }
    }

    /// What comes behind a position.
    pub(super) fn readable(&self, after: Position) -> Option<Readable> {
        let segments = self.segments.lock();
        let mut behind = segments.ends.range(after.segment..);
        behind.find_map(|(&number, &to)| {
            let from = match number == after.segment {
                true => after.offset.max(segment::HEAD),
                false => segment::HEAD,
            };
            (from < to).then_some(Readable { number, from, to })
        })
    }

    /// Deletes what is counted. Answers the first error; what was not deleted is next time.
    pub(super) fn counted(&self, position: Position) -> std::io::Result<()> {
        let counted: Vec<u64> = {
            let segments = self.segments.lock();
            let newest = segments.ends.last_key_value().map(|(&number, _)| number);
            let is_counted = |(&number, &end): (&u64, &u64)| {
                let behind = number < position.segment
                    || (number == position.segment && end <= position.offset);
                let needed = Some(number) == newest || Some(number) == segments.active;
                (behind && !needed).then_some(number)
            };
            segments.ends.iter().filter_map(is_counted).collect()
        };
        for number in counted {
            match fs::remove_file(segment::path(&self.directory, number)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => self.forget(number),
            };
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> SpoolStats {
        let counts = &self.counts;
        SpoolStats {
            health: match counts.failing.load(Relaxed) {
                true => SpoolHealth::Failing,
                false => SpoolHealth::Writing,
            },
            written: counts.written.load(Relaxed),
            dropped_full: counts.dropped_full.load(Relaxed),
            dropped_failing: counts.dropped_failing.load(Relaxed),
            bytes: self.bytes(),
            torn_bytes: counts.torn.load(Relaxed),
            damaged_bytes: counts.damaged.load(Relaxed),
            sync_failures: counts.sync_failures.load(Relaxed),
        }
    }
}
