use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

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

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

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
        for number in 0..options.threads.get() {
            let mut connection = open(path, &read_only)?;
            let receiver = receiver.clone();
            let thread = std::thread::Builder::new()
                .name(format!("sqlite-read-{number}"))
                .spawn(move || {
                    for job in receiver {
                        job(&mut connection);
                    }
                })
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
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // A panic must not cost the thread; the caller learns of it by the closed channel.
            let run = std::panic::AssertUnwindSafe(|| read(connection));
            if let Ok(result) = std::panic::catch_unwind(run) {
                // Whoever asked may have gone away.
                let _ = reply.send(result);
            }
        });
        let stopped = || self.other("the read did not finish");
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send_async(job).await.map_err(|_| stopped())?;
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
}
