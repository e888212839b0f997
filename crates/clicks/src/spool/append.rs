//! Appending: which segment, how much, and what happens when the disk does not take it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tollgate_clock::Clock;

use super::SpoolOptions;
use super::directory::Directory;
use super::frame::{self, MAX_RECORDS};
use super::segment::{self, Disk, HEAD, SegmentFile};
use super::state::State;
use super::sync::Syncing;
use crate::ClickId;

/// After a failure of the disk, clicks are dropped for so long before it is tried again.
const REST: Duration = Duration::from_secs(1);

/// Writes the segments. There is one for each spool.
pub(super) struct Appender {
    state: Arc<State>,
    disk: Box<dyn Disk>,
    clock: Arc<dyn Clock>,
    syncing: Syncing,
    max_bytes: u64,
    segment_bytes: u64,
    active: Option<Active>,
    newest: u64,
    /// The name of the next click.
    next: ClickId,
    /// The frames being made; their memory is used again.
    frames: Vec<u8>,
    /// When the disk failed last, by the monotonic clock.
    failed_at: Option<Duration>,
    /// The spool is as large as it may be, and the log says so.
    is_full: bool,
    /// Held as long as anything is written.
    _lock: fs::File,
}

struct Active {
    number: u64,
    file: Arc<dyn SegmentFile>,
    end: u64,
}

impl Appender {
    pub(super) fn new(
        options: &SpoolOptions,
        directory: Directory,
        state: Arc<State>,
        disk: Box<dyn Disk>,
        clock: Arc<dyn Clock>,
        syncing: Syncing,
    ) -> Self {
        Self {
            state,
            disk,
            clock,
            syncing,
            max_bytes: options.max_bytes,
            segment_bytes: options.segment_bytes(),
            active: None,
            newest: directory.newest,
            next: ClickId {
                process: options.process,
                number: 0,
            },
            frames: Vec::new(),
            failed_at: None,
            is_full: false,
            _lock: directory.lock,
        }
    }

    /// Writes whole records, which are so many clicks, or drops and counts them. Without any, it
    /// only looks whether the disk is back.
    pub(super) fn append(&mut self, records: &[u8], clicks: u64) {
        let works = self.failed_at.is_none();
        if works && records.is_empty() {
            return;
        }
        let rested = |at| self.clock.monotonic().saturating_sub(at) >= REST;
        if !self.failed_at.is_none_or(rested) {
            let counts = &self.state.counts;
            counts.dropped_failing.fetch_add(clicks, Relaxed);
            return;
        }
        if !self.has_room(records.len()) {
            let counts = &self.state.counts;
            counts.dropped_full.fetch_add(clicks, Relaxed);
            return;
        }
        match self.write(records) {
            Ok(()) => {
                self.state.counts.written.fetch_add(clicks, Relaxed);
                if self.failed_at.take().is_some() {
                    self.state.counts.failing.store(false, Relaxed);
                    tracing::info!("clicks are written again");
                }
            }
            Err(error) => {
                let counts = &self.state.counts;
                counts.dropped_failing.fetch_add(clicks, Relaxed);
                counts.failing.store(true, Relaxed);
                self.failed_at = Some(self.clock.monotonic());
                if works {
                    tracing::error!(
                        %error,
                        spool = %self.state.directory.display(),
                        "clicks cannot be written: they are dropped until it works again"
                    );
                }
            }
        }
    }

    fn has_room(&mut self, records: usize) -> bool {
        // A little more than it will be.
        let heads = (records / MAX_RECORDS + 2) * frame::HEADER;
        let wanted = (records + heads) as u64 + HEAD;
        let has_room = self.state.bytes() + wanted <= self.max_bytes;
        if !has_room && !self.is_full {
            tracing::error!(
                spool = %self.state.directory.display(),
                max_bytes = self.max_bytes,
                "the spool of clicks is full, because they are not counted as fast as they come: \
                 new ones are dropped"
            );
        } else if has_room && self.is_full {
            tracing::info!("the spool of clicks has room again");
        }
        self.is_full = !has_room;
        has_room
    }

    fn write(&mut self, records: &[u8]) -> io::Result<()> {
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.end >= self.segment_bytes)
        {
            self.close();
        }
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.begin()?,
        };
        let seed = self.state.segment(active.number).seed();
        self.frames.clear();
        let clicks = frame::write(records, self.next, seed, &mut self.frames);
        if let Err(error) = active.file.append(&self.frames) {
            self.abandon(&active);
            return Err(error);
        }
        self.next.number += clicks;
        active.end += self.frames.len() as u64;
        self.state.grown(active.number, active.end);
        self.active = Some(active);
        Ok(())
    }

    /// Begins a segment.
    fn begin(&mut self) -> io::Result<Active> {
        // Numbers never come again, not even those of segments that a power cut took before the
        // disk had them: so they are not smaller than the time.
        let time = u64::try_from(self.clock.now().as_millis()).unwrap_or(0);
        let number = time.max(self.newest + 1);
        self.newest = number;
        let path = segment::path(&self.state.directory, number);
        let file: Arc<dyn SegmentFile> = self.disk.create(&path)?.into();
        if let Err(error) = file.append(&self.state.segment(number).head()) {
            remove(&path);
            return Err(error);
        }
        self.syncing.begun(&file);
        self.state.grown(number, HEAD);
        Ok(Active {
            number,
            file,
            end: HEAD,
        })
    }

    /// Leaves a segment whose end could not be written as it was before that.
    fn abandon(&self, active: &Active) {
        self.state.closed();
        if active.end == HEAD {
            self.state.forget(active.number);
            remove(&segment::path(&self.state.directory, active.number));
        } else if let Err(error) = active.file.cut(active.end) {
            // Readers of this process stop at its end; the next process cuts it, or finds whole
            // frames, which were clicks as well.
            tracing::debug!(%error, "the end of a segment cannot be cut off");
        }
    }

    fn close(&mut self) {
        self.active = None;
        self.state.closed();
    }

    /// Waits until the disk has everything.
    pub(super) fn finish(mut self) {
        self.close();
        self.syncing.finish();
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(%error, "an empty segment cannot be removed");
    }
}
