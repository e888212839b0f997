//! The thread between the queues and the segments.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tollgate_clock::Clock;

use super::append::Appender;
use super::directory::Directory;
use super::read::SpoolSource;
use super::segment::{Disk, Files};
use super::state::{SpoolStats, State};
use super::sync::Syncing;
use super::{SpoolError, SpoolOptions};
use crate::capture::Capture;

/// How long clicks wait in their queues to be written together. With the write itself it stays
/// below the 50 ms that a kill may cost, and below what a queue holds.
const PACE: Duration = Duration::from_millis(20);

/// An open spool, with the thread that writes it.
#[derive(Debug)]
pub struct Spool {
    state: Arc<State>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Spool {
    /// Opens the spool, and writes what is captured from now on.
    ///
    /// # Errors
    /// See [`SpoolError`]. A disk that is full now is no error: it is tried again.
    pub fn start(
        options: &SpoolOptions,
        capture: Arc<Capture>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SpoolError> {
        let (state, mut appender) = open(options, Box::new(Files), clock)?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("click-write".to_owned())
            .spawn(move || {
                run(&capture, &mut appender, &stopped);
                appender.finish();
            })
            .map_err(SpoolError::Thread)?;
        Ok(Self {
            state,
            stop,
            thread,
        })
    }

    /// What was spooled, to be counted.
    #[must_use]
    pub fn source(&self) -> SpoolSource {
        SpoolSource::new(Arc::clone(&self.state))
    }

    /// Reads what happened, whenever it is asked.
    pub fn stats(&self) -> impl Fn() -> SpoolStats + Send + Sync + use<> {
        let state = Arc::clone(&self.state);
        move || state.stats()
    }

    /// Where the segments are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.state.directory
    }

    /// Writes what is in the queues, syncs everything and ends. It blocks.
    pub fn finish(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes clicks panicked");
        }
    }
}

/// Opens the spool without a thread.
pub(super) fn open(
    options: &SpoolOptions,
    disk: Box<dyn Disk>,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<State>, Appender), SpoolError> {
    let directory = Directory::open(&options.directory, options.identity)?;
    let state = Arc::new(State::of(&directory));
    let syncing = Syncing::start(Arc::clone(&state), options.sync).map_err(SpoolError::Thread)?;
    let appender = Appender::new(options, directory, Arc::clone(&state), disk, clock, syncing);
    Ok((state, appender))
}

fn run(capture: &Capture, appender: &mut Appender, stopped: &Receiver<()>) {
    loop {
        let ends = matches!(
            stopped.recv_timeout(PACE),
            Err(RecvTimeoutError::Disconnected)
        );
        append_queued(capture, appender);
        if ends {
            return;
        }
    }
}

/// Appends all that waits in queues. Where nothing does, a disk that failed is tried again.
pub(super) fn append_queued(capture: &Capture, appender: &mut Appender) {
    let mut is_idle = true;
    capture.drain(|records, clicks| {
        is_idle = false;
        appender.append(records, clicks);
    });
    if is_idle {
        appender.append(&[], 0);
    }
}
