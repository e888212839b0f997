use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::Error;

/// How writes are gathered into commits.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Writes that may wait; past it, callers wait to get in.
    pub queue: NonZeroUsize,
    /// The most writes in one commit.
    pub batch: NonZeroUsize,
    /// A commit takes no further write once its writes have run for so long: it bounds how long
    /// the first of them waits for its answer, and how long other processes wait for the lock.
    pub batch_time: Duration,
    /// What the writing thread does first, such as giving way to others.
    pub begin: fn(),
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            queue: const { NonZeroUsize::new(1024).unwrap() },
            batch: const { NonZeroUsize::new(256).unwrap() },
            batch_time: Duration::from_millis(50),
            begin: || (),
        }
    }
}

/// What a [`Writer`] has done since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriterStats {
    /// Writes waiting now.
    pub queued: usize,
    /// Commits, including failed ones.
    pub commits: u64,
    /// Writes in them; divided by `commits`, how well they gather.
    pub jobs: u64,
    /// Rows inserted, changed and deleted.
    pub rows: u64,
    /// How long the last commit took, from the first write in it to the disk's answer.
    pub last_commit: Duration,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    jobs: AtomicU64,
    rows: AtomicU64,
    last_commit_us: AtomicU64,
}

/// The one connection of this process that writes to a file, on a thread of its own.
///
/// Writes that arrive while a commit is under way go together into the next one (group commit), so
/// that syncing the disk is paid once for all of them. Each is atomic by itself and is answered
/// only after the commit.
///
/// Dropping it finishes the writes that were accepted.
#[derive(Debug)]
pub struct Writer {
    jobs: Option<flume::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    place: PathBuf,
}

impl Writer {
    /// Starts the thread on a connection that was opened for writing to `place`.
    ///
    /// # Errors
    /// [`Error::Other`] if the system has no thread left.
    pub fn start(
        connection: Connection,
        place: &Path,
        options: &WriterOptions,
    ) -> Result<Self, Error> {
        let (sender, receiver) = flume::bounded(options.queue.get());
        let counters = Arc::new(Counters::default());
        let worker = Worker {
            connection,
            place: place.to_owned(),
            options: options.clone(),
            counters: Arc::clone(&counters),
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-write".into())
            .spawn(move || {
                (worker.options.begin)();
                worker.work(&receiver);
            })
            .map_err(|error| other(place, &error.to_string()))?;
        Ok(Self {
            jobs: Some(sender),
            thread: Some(thread),
            counters,
            place: place.to_owned(),
        })
    }

    /// Runs a write inside a transaction and answers once it is durable. If it fails, whatever it
    /// changed is undone and other writes are not affected. It runs even if its caller goes away.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run<T, F>(&self, write: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending {
            write: Some(write),
            result: None,
            reply,
        });
        let stopped = || other(&self.place, "the write did not finish");
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send_async(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> WriterStats {
        let counters = &self.counters;
        WriterStats {
            queued: self.jobs.as_ref().map_or(0, flume::Sender::len),
            commits: counters.commits.load(Ordering::Relaxed),
            jobs: counters.jobs.load(Ordering::Relaxed),
            rows: counters.rows.load(Ordering::Relaxed),
            last_commit: Duration::from_micros(counters.last_commit_us.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A thread that panicked has nothing left to wait for.
            let _ = thread.join();
        }
    }
}

fn other(place: &Path, detail: &str) -> Error {
    Error::Other {
        place: place.display().to_string(),
        detail: detail.to_owned(),
    }
}

/// A write of any type.
trait Job: Send {
    /// Runs it; `false` if it failed and must be undone.
    fn run(&mut self, connection: &Connection, place: &Path) -> bool;
    /// Sends its answer: its own if there is no `failure` of the whole commit.
    fn answer(self: Box<Self>, failure: Option<&Error>);
}

struct Pending<T, F> {
    write: Option<F>,
    result: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Job for Pending<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, connection: &Connection, place: &Path) -> bool {
        let Some(write) = self.write.take() else {
            return false;
        };
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| write(connection)));
        let result = match ran {
            Ok(result) => result.map_err(|error| Error::of(place, &error)),
            Err(_) => Err(other(place, "a write panicked")),
        };
        self.result.insert(result).is_ok()
    }

    fn answer(self: Box<Self>, failure: Option<&Error>) {
        let result = match (self.result, failure) {
            // A write's own failure says more than that of the commit it was not part of.
            (Some(Err(error)), _) => Err(error),
            (_, Some(failure)) => Err(failure.clone()),
            (Some(result), None) => result,
            (None, None) => return,
        };
        // Whoever asked may have gone away.
        let _ = self.reply.send(result);
    }
}

struct Worker {
    connection: Connection,
    place: PathBuf,
    options: WriterOptions,
    counters: Arc<Counters>,
}

impl Worker {
    fn work(self, jobs: &flume::Receiver<Box<dyn Job>>) {
        while let Ok(first) = jobs.recv() {
            let started = Instant::now();
            let rows_before = self.connection.total_changes();
            let mut done = Vec::new();
            let outcome = self.commit(first, jobs, &mut done, started);
            if let Err(error) = &outcome {
                tracing::warn!(%error, writes = done.len(), "a commit failed");
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "cannot undo a failed commit");
                }
            }
            let rows = self.connection.total_changes().wrapping_sub(rows_before);
            let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            let counters = &self.counters;
            counters.commits.fetch_add(1, Ordering::Relaxed);
            counters
                .jobs
                .fetch_add(done.len() as u64, Ordering::Relaxed);
            counters.rows.fetch_add(rows, Ordering::Relaxed);
            counters.last_commit_us.store(took, Ordering::Relaxed);
            for job in done {
                job.answer(outcome.as_ref().err());
            }
        }
    }

    /// Runs what waits, up to the bounds, and commits it. Everything that was taken from the queue
    /// ends up in `done`.
    fn commit(
        &self,
        first: Box<dyn Job>,
        jobs: &flume::Receiver<Box<dyn Job>>,
        done: &mut Vec<Box<dyn Job>>,
        started: Instant,
    ) -> Result<(), Error> {
        let mut next = Some(first);
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            done.extend(next);
            return Err(error);
        }
        while let Some(mut job) = next {
            let ran = self.attempt(job.as_mut());
            done.push(job);
            ran?;
            let full = done.len() >= self.options.batch.get()
                || started.elapsed() >= self.options.batch_time;
            next = if full { None } else { jobs.try_recv().ok() };
        }
        self.execute("COMMIT")
    }

    /// Runs one write so that it can be undone by itself. An error is one of the whole commit.
    fn attempt(&self, job: &mut dyn Job) -> Result<(), Error> {
        self.execute("SAVEPOINT write")?;
        if !job.run(&self.connection, &self.place) {
            // After a full disk or an I/O error SQLite may have undone everything already.
            if self.connection.is_autocommit() {
                return Err(other(
                    &self.place,
                    "another write in the same commit failed and undid all of it: try again",
                ));
            }
            self.execute("ROLLBACK TO write")?;
        }
        self.execute("RELEASE write")
    }

    fn execute(&self, statement: &str) -> Result<(), Error> {
        self.connection
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute([]))
            .map(|_| ())
            .map_err(|error| Error::of(&self.place, &error))
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
