use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::writer::execute;
use crate::{Error, OpenOptions, open};

/// How reading is spread over threads.
#[derive(Debug, Clone)]
pub struct ReadersOptions {
    /// Threads, each with a connection of its own.
    pub threads: NonZeroUsize,
    /// Reads that may wait for a free thread; past it, callers wait to get in.
    pub queue: NonZeroUsize,
    /// How each connection is opened; always read-only.
    pub open: OpenOptions,
}

impl Default for ReadersOptions {
    fn default() -> Self {
        Self {
            threads: const { NonZeroUsize::new(2).unwrap() },
            queue: const { NonZeroUsize::new(1024).unwrap() },
            open: OpenOptions::default(),
        }
    }
}

/// Look-ups in one transaction at most: how much longer the first of them waits is bounded.
const TOGETHER: usize = 32;

enum Job {
    Alone(Box<dyn FnOnce(&mut Connection) + Send>),
    /// In a transaction of others, or in none.
    LookUp(Box<dyn FnOnce(&Connection) + Send>),
}

/// Threads that read a file, so that a slow disk never stops an asynchronous runtime.
///
/// Dropping it finishes the reads that were accepted.
#[derive(Debug)]
pub struct Readers {
    jobs: Option<flume::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    place: Box<Path>,
}

impl Readers {
    /// Opens the connections and starts the threads. The file must exist.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn start(path: &Path, options: &ReadersOptions) -> Result<Self, Error> {
        let (sender, receiver) = flume::bounded::<Job>(options.queue.get());
        let read_only = OpenOptions {
            read_only: true,
            ..options.open.clone()
        };
        let mut readers = Self {
            jobs: Some(sender),
            threads: Vec::new(),
            place: path.into(),
        };
        let threads = options.threads.get();
        for number in 0..threads {
            let mut connection = open(path, &read_only)?;
            let receiver = receiver.clone();
            let thread = std::thread::Builder::new()
                .name(format!("sqlite-read-{number}"))
                .spawn(move || work(&mut connection, &receiver, threads))
                .map_err(|error| readers.other(&error.to_string()))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs a read on one of the threads. Statements see the newest commit each; a read of several
    /// that must agree opens a transaction.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.ask(|reply| {
            Job::Alone(Box::new(move |connection| {
                answer(reply, || read(connection));
            }))
        })
        .await
    }

    /// Runs a read of one statement, perhaps in one transaction with others that wait: then SQLite looks once for all of them whether
    /// there is a newer commit, and locks once. It sees all that was committed before it was asked for.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn look_up<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.ask(|reply| {
            Job::LookUp(Box::new(move |connection| {
                answer(reply, || read(connection));
            }))
        })
        .await
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let stopped = || self.other("the read did not finish");
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send_async(job(reply)).await.map_err(|_| stopped())?;
        let result = answer.await.map_err(|_| stopped())?;
        result.map_err(|error| Error::of(&self.place, &error))
    }

    fn other(&self, detail: &str) -> Error {
        Error::Other {
            place: self.place.display().to_string(),
            detail: detail.to_owned(),
        }
    }
}

type Reply<T> = oneshot::Sender<rusqlite::Result<T>>;

fn answer<T>(reply: Reply<T>, read: impl FnOnce() -> rusqlite::Result<T>) {
    // A panic must not cost the thread; the caller learns of it by the closed channel.
    if let Ok(result) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)) {
        // Whoever asked may have gone away.
        let _ = reply.send(result);
    }
}

/// What each of the threads does.
fn work(connection: &mut Connection, jobs: &flume::Receiver<Job>, threads: usize) {
    let mut left = None;
    while let Some(job) = left.take().or_else(|| jobs.recv().ok()) {
        match job {
            Job::Alone(job) => job(connection),
            Job::LookUp(first) => left = look_up_together(connection, first, jobs, threads),
        }
    }
}

/// Does the look-ups that wait by now, but leaves the other threads their share. Answers what came behind them.
fn look_up_together(
    connection: &Connection,
    first: Box<dyn FnOnce(&Connection) + Send>,
    jobs: &flume::Receiver<Job>,
    threads: usize,
) -> Option<Job> {
    // Whoever asks for many has perhaps been interrupted by this thread after the first.
    if jobs.is_empty() {
        std::thread::yield_now();
    }
    let share = (jobs.len() / threads).min(TOGETHER);
    let (mut together, mut behind) = (vec![first], None);
    while together.len() <= share && behind.is_none() {
        match jobs.try_recv() {
            Ok(Job::LookUp(job)) => together.push(job),
            Ok(alone) => behind = Some(alone),
            Err(_) => break,
        }
    }
    // Begun only now, so that none of them misses what was committed before it was asked for. Without it, each is by itself.
    let begun = together.len() > 1 && execute(connection, "BEGIN").is_ok();
    for job in together {
        job(connection);
    }
    if begun && let Err(error) = execute(connection, "COMMIT") {
        tracing::error!(%error, "cannot end a transaction that only read");
    }
    behind
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to wait for.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_see_commits_and_a_panic_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let writer = open(&path, &OpenOptions::default()).unwrap();
        writer.execute_batch("CREATE TABLE t(x)").unwrap();
        let readers = Readers::start(&path, &ReadersOptions::default()).unwrap();
        let count = |connection: &mut Connection| {
            connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
        };
        assert_eq!(readers.run(count).await.unwrap(), 0);
        for _ in 0..4 {
            let panicked = readers.run::<(), _>(|_| panic!("on purpose")).await;
            assert!(matches!(panicked, Err(Error::Other { .. })));
        }
        writer.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert_eq!(readers.run(count).await.unwrap(), 1);
        let refused = readers.run(|c| c.execute("DELETE FROM t", [])).await;
        assert!(matches!(refused, Err(Error::ReadOnly { .. })));
    }

    #[tokio::test]
    async fn look_ups_that_wait_share_a_transaction_and_see_what_was_committed_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let writer = open(&path, &OpenOptions::default()).unwrap();
        writer.execute_batch("CREATE TABLE t(x)").unwrap();
        let one = ReadersOptions {
            threads: NonZeroUsize::MIN,
            ..ReadersOptions::default()
        };
        let readers = Readers::start(&path, &one).unwrap();
        // The rows there are, and whether that was in a transaction.
        let look = |connection: &Connection| {
            let rows =
                connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
            Ok((rows?, !connection.is_autocommit()))
        };
        assert_eq!(readers.look_up(look).await.unwrap(), (0, false));
        let (open_gate, closed) = flume::bounded::<()>(1);
        let hold = move |_: &mut Connection| {
            let _ = closed.recv();
            Ok(())
        };
        let (_, first, panicked, alone, last, ()) = tokio::join!(
            readers.run(hold),
            readers.look_up(look),
            readers.look_up::<(), _>(|_| panic!("on purpose")),
            readers.run(move |connection| look(&*connection.transaction()?)),
            readers.look_up(look),
            async {
                // Joined last, so all others wait already.
                writer.execute_batch("INSERT INTO t VALUES (1)").unwrap();
                open_gate.send_async(()).await.unwrap();
            },
        );
        assert_eq!(first.unwrap(), (1, true));
        assert!(panicked.is_err());
        assert_eq!(alone.unwrap(), (1, true));
        assert_eq!(last.unwrap(), (1, false), "nothing waited behind it");
        assert_eq!(readers.look_up(look).await.unwrap(), (1, false));
    }
}
