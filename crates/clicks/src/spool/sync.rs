//! Syncing to the disk, on a thread of its own: it may take as long as it likes, and writing goes on.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::directory;
use super::segment::SegmentFile;
use super::state::State;

/// The thread that syncs. Without one, only the end is synced.
pub(super) struct Syncing {
    segments: Sender<Arc<dyn SegmentFile>>,
    running: Running,
}

enum Running {
    Thread(JoinHandle<()>),
    Nobody(Syncer),
}

struct Syncer {
    state: Arc<State>,
    segments: Receiver<Arc<dyn SegmentFile>>,
    /// Those that may have something the disk does not; the last one grows.
    files: Vec<Arc<dyn SegmentFile>>,
    /// Clicks written when it was synced last.
    synced: u64,
    failing: bool,
}

impl Syncing {
    /// Syncs this often, or only in the end.
    pub(super) fn start(state: Arc<State>, every: Option<Duration>) -> io::Result<Self> {
        let (sender, segments) = mpsc::channel();
        let syncer = Syncer {
            state,
            segments,
            files: Vec::new(),
            synced: 0,
            failing: false,
        };
        let running = match every {
            Some(every) => Running::Thread(
                thread::Builder::new()
                    .name("click-sync".to_owned())
                    .spawn(move || syncer.run(every))?,
            ),
            None => Running::Nobody(syncer),
        };
        Ok(Self {
            segments: sender,
            running,
        })
    }

    /// There is a new segment, which grows from now on, and no other.
    pub(super) fn begun(&mut self, file: &Arc<dyn SegmentFile>) {
        if let Running::Nobody(syncer) = &mut self.running {
            // Older ones are the system's affair.
            syncer.files = vec![Arc::clone(file)];
            return;
        }
        // The thread only ends when this end does.
        let _ = self.segments.send(Arc::clone(file));
    }

    /// Syncs all, and ends.
    pub(super) fn finish(self) {
        drop(self.segments);
        match self.running {
            Running::Thread(thread) => {
                if thread.join().is_err() {
                    tracing::error!("the thread that syncs clicks panicked");
                }
            }
            Running::Nobody(mut syncer) => syncer.sync(),
        }
    }
}

impl Syncer {
    fn run(mut self, every: Duration) {
        loop {
            // A segment that is new shortens one wait, and nothing else.
            let ended = match self.segments.recv_timeout(every) {
                Ok(file) => {
                    self.files.push(file);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            self.sync();
            if ended {
                return;
            }
        }
    }

    fn sync(&mut self) {
        let written = self.state.counts.written.load(Relaxed);
        if written == self.synced && self.files.len() < 2 && !self.failing {
            return;
        }
        match sync(&self.state.directory, &self.files) {
            Ok(()) => {
                self.synced = written;
                let old = self.files.len().saturating_sub(1);
                self.files.drain(..old);
                self.failing = false;
            }
            Err(error) => {
                self.state.counts.sync_failures.fetch_add(1, Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "clicks are written, but a power cut may take them");
                }
            }
        }
    }
}

fn sync(directory: &Path, files: &[Arc<dyn SegmentFile>]) -> io::Result<()> {
    for file in files {
        file.sync()?;
    }
    directory::sync(directory)
}
