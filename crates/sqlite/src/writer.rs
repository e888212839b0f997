use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::Error;

/// How often it is tried whether commits work again, if nobody writes.
const PROBE: Duration = Duration::from_secs(1);

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
    /// Commits that failed as a whole.
    pub failed: u64,
    /// Whether they do now: the disk is full, or fails, or somebody else holds the file. It is tried again each
    /// second.
    pub failing: bool,
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
    failed: AtomicU64,
    failing: AtomicBool,
    jobs: AtomicU64,
    rows: AtomicU64,
    last_commit_us: AtomicU64,
}

impl Counters {
    fn read(&self, queued: usize) -> WriterStats {
        WriterStats {
            queued,
            commits: self.commits.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            failing: self.failing.load(Ordering::Relaxed),
            jobs: self.jobs.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            last_commit: Duration::from_micros(self.last_commit_us.load(Ordering::Relaxed)),
        }
    }
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
    /// Where a write of the same commit fails, all of them are undone and run again: what `write` does beside the file must bear
    /// that.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run<T, F>(&self, write: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending {
            write,
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
        let queued = self.jobs.as_ref().map_or(0, flume::Sender::len);
        self.counters.read(queued)
    }

    /// Tells that whenever it is asked, without keeping the file open.
    pub fn watch(&self) -> impl Fn() -> WriterStats + Send + Sync + use<> {
        let jobs = self.jobs.as_ref().map(flume::Sender::downgrade);
        let counters = Arc::clone(&self.counters);
        move || {
            let jobs = jobs.as_ref().and_then(flume::WeakSender::upgrade);
            counters.read(jobs.map_or(0, |jobs| jobs.len()))
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
    /// Runs it, perhaps again after it was undone. If it fails it must be undone.
    fn run(&mut self, connection: &Connection, place: &Path) -> Result<(), Error>;
    /// Sends its answer: its own if there is no `failure` of the whole commit.
    fn answer(self: Box<Self>, failure: Option<&Error>);
}

struct Pending<T, F> {
    write: F,
    result: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Job for Pending<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, connection: &Connection, place: &Path) -> Result<(), Error> {
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| (self.write)(connection)));
        let result = match ran {
            Ok(result) => result.map_err(|error| Error::of(place, &error)),
            Err(_) => Err(other(place, "a write panicked")),
        };
        let result = self.result.insert(result);
        result.as_ref().map(drop).map_err(Error::clone)
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
        while let Some(first) = self.next(jobs) {
            let started = Instant::now();
            let rows_before = self.connection.total_changes();
            let mut done = Vec::new();
            let outcome = self.commit(first, jobs, &mut done, started);
            self.undo(&outcome);
            let rows = self.connection.total_changes().wrapping_sub(rows_before);
            let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            let counters = &self.counters;
            counters.commits.fetch_add(1, Ordering::Relaxed);
            counters
                .jobs
                .fetch_add(done.len() as u64, Ordering::Relaxed);
            counters.rows.fetch_add(rows, Ordering::Relaxed);
            counters.last_commit_us.store(took, Ordering::Relaxed);
            match &outcome {
                Err(error) => {
                    counters.failed.fetch_add(1, Ordering::Relaxed);
                    self.fails(error);
                }
                // One that changes nothing does not ask the disk.
                Ok(()) if rows > 0 => self.works(),
                Ok(()) => {}
            }
            for job in done {
                job.answer(outcome.as_ref().err());
            }
        }
    }

    /// The next write. While commits fail, it is tried from time to time whether they still do.
    fn next(&self, jobs: &flume::Receiver<Box<dyn Job>>) -> Option<Box<dyn Job>> {
        while self.counters.failing.load(Ordering::Relaxed) {
            match jobs.recv_timeout(PROBE) {
                Ok(job) => return Some(job),
                Err(flume::RecvTimeoutError::Disconnected) => return None,
                Err(flume::RecvTimeoutError::Timeout) => {
                    let probed = self.probe();
                    self.undo(&probed);
                    if probed.is_ok() {
                        self.works();
                    }
                }
            }
        }
        jobs.recv().ok()
    }

    /// Writes a page with what it has already.
    fn probe(&self) -> Result<(), Error> {
        let of = |error: rusqlite::Error| Error::of(&self.place, &error);
        self.execute("BEGIN IMMEDIATE")?;
        let version = self
            .connection
            .pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))
            .map_err(of)?;
        self.connection
            .pragma_update(None, "user_version", version)
            .map_err(of)?;
        self.execute("COMMIT")
    }

    /// Ends a transaction that failed, if SQLite has not.
    fn undo(&self, outcome: &Result<(), Error>) {
        if outcome.is_err()
            && !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "cannot undo a failed commit");
        }
    }

    fn fails(&self, error: &Error) {
        // Told once, and then when it is over.
        if self.counters.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "a commit failed");
        } else {
            tracing::warn!(%error, "a commit failed");
        }
    }

    fn works(&self) {
        if self.counters.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(place = %self.place.display(), "commits work again");
        }
    }

    /// Runs what waits, up to the bounds, and commits it. Everything that was taken from the queue
    /// ends up in `done`.
    ///
    /// Hardly ever does a write fail alone, and to be able to undo one by itself costs as much as a small one does: SQLite
    /// copies each page that it changes. So that is done only after one has failed, when all are run again.
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
        let mut one_failed = false;
        while let Some(mut job) = next {
            let ran = match one_failed {
                true => self.attempt(job.as_mut()),
                false => job.run(&self.connection, &self.place),
            };
            done.push(job);
            if let Err(error) = ran {
                // After a full disk or an I/O error SQLite may have undone everything already: the others fail of
                // the same.
                if one_failed || self.connection.is_autocommit() {
                    return Err(error);
                }
                one_failed = true;
                self.begin_again(done)?;
            }
            let full = done.len() >= self.options.batch.get()
                || started.elapsed() >= self.options.batch_time;
            next = if full { None } else { jobs.try_recv().ok() };
        }
        self.execute("COMMIT")
    }

    /// Undoes all of a commit, and runs its writes again, so that those that fail do so alone.
    fn begin_again(&self, done: &mut [Box<dyn Job>]) -> Result<(), Error> {
        self.execute("ROLLBACK")?;
        self.execute("BEGIN IMMEDIATE")?;
        done.iter_mut()
            .try_for_each(|job| self.attempt(job.as_mut()))
    }

    /// Runs one write so that it can be undone by itself. An error is one of the whole commit.
    fn attempt(&self, job: &mut dyn Job) -> Result<(), Error> {
        self.execute("SAVEPOINT write")?;
        if let Err(error) = job.run(&self.connection, &self.place) {
            if self.connection.is_autocommit() {
                return Err(error);
            }
            self.execute("ROLLBACK TO write")?;
        }
        self.execute("RELEASE write")
    }

    fn execute(&self, statement: &str) -> Result<(), Error> {
        execute(&self.connection, statement).map_err(|error| Error::of(&self.place, &error))
    }
}

/// Runs a statement that begins or ends a transaction, or a part of one.
pub(crate) fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
