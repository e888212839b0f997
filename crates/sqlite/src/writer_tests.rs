use super::*;
use crate::{OpenOptions, open};

fn start(options: &WriterOptions) -> (tempfile::TempDir, PathBuf, Writer) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let quick = OpenOptions {
        busy_timeout: Duration::from_millis(20),
        ..OpenOptions::default()
    };
    let connection = open(&path, &quick).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t(x INTEGER PRIMARY KEY);
             CREATE TABLE child(x REFERENCES t(x) DEFERRABLE INITIALLY DEFERRED);",
        )
        .unwrap();
    let writer = Writer::start(connection, &path, options).unwrap();
    (dir, path, writer)
}

fn insert(x: i64) -> impl FnMut(&Connection) -> rusqlite::Result<usize> {
    move |connection| connection.execute("INSERT INTO t VALUES (?1)", [x])
}

fn stored(path: &Path) -> Vec<i64> {
    let connection = open(path, &OpenOptions::default()).unwrap();
    let mut statement = connection.prepare("SELECT x FROM t ORDER BY x").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A write that keeps the thread busy until it is let go, so that others gather behind it. Once.
fn gate() -> (
    flume::Sender<()>,
    impl FnMut(&Connection) -> rusqlite::Result<()>,
) {
    let (open, closed) = flume::bounded::<()>(1);
    let mut closed = Some(closed);
    let hold = move |_: &Connection| {
        let _ = closed.take().map(|closed| closed.recv());
        Ok(())
    };
    (open, hold)
}

#[tokio::test]
async fn waiting_writes_share_a_commit_and_fail_alone() {
    let patient = WriterOptions {
        batch_time: Duration::from_secs(3600),
        ..WriterOptions::default()
    };
    let (_dir, path, writer) = start(&patient);
    let (open_gate, hold) = gate();
    let all = async {
        tokio::join!(
            writer.run(hold),
            writer.run(insert(1)),
            writer.run(|connection: &Connection| {
                connection.execute("INSERT INTO t VALUES (2)", [])?;
                connection.execute("INSERT INTO t VALUES (1)", [])
            }),
            writer.run::<(), _>(|connection| {
                connection.execute("INSERT INTO t VALUES (3)", [])?;
                panic!("on purpose")
            }),
            writer.run(insert(4)),
            async {
                // Joined last, so all others wait already.
                assert!(stored(&path).is_empty());
                open_gate.send_async(()).await.unwrap();
            },
        )
    };
    let (held, one, twice, panicked, four, ()) = all.await;
    held.unwrap();
    assert_eq!((one.unwrap(), four.unwrap()), (1, 1));
    assert!(matches!(twice, Err(Error::Other { .. })));
    assert!(matches!(panicked, Err(Error::Other { .. })));
    assert_eq!(stored(&path), [1, 4]);
    let stats = writer.stats();
    assert_eq!((stats.commits, stats.jobs, stats.queued), (1, 5, 0));
}

#[tokio::test]
async fn a_failing_commit_is_told_to_all_in_it() {
    let (_dir, path, writer) = start(&WriterOptions {
        batch_time: Duration::from_secs(3600),
        ..WriterOptions::default()
    });
    let (open_gate, hold) = gate();
    let (_, innocent, guilty, ()) = tokio::join!(
        writer.run(hold),
        writer.run(insert(1)),
        // A deferred foreign key is only checked by the commit.
        writer
            .run(|connection: &Connection| connection.execute("INSERT INTO child VALUES (9)", [])),
        async { open_gate.send_async(()).await.unwrap() },
    );
    assert!(innocent.is_err() && guilty.is_err());
    assert!(stored(&path).is_empty());
    writer.run(insert(2)).await.unwrap();
    assert_eq!(stored(&path), [2]);
}

#[tokio::test]
async fn a_lock_held_elsewhere_is_an_error_that_passes() {
    let (_dir, path, writer) = start(&WriterOptions::default());
    let elsewhere = open(&path, &OpenOptions::default()).unwrap();
    elsewhere.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = writer.run(insert(1)).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    elsewhere.execute_batch("COMMIT").unwrap();
    writer.run(insert(1)).await.unwrap();
}

#[tokio::test]
async fn dropping_finishes_what_was_accepted() {
    let (_dir, path, writer) = start(&WriterOptions::default());
    for x in 0..10 {
        let mut write = Box::pin(writer.run(insert(x)));
        // One poll queues it; nobody waits for the answer.
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(write.as_mut().poll(context).is_ready())
        });
        let _ = polled.await;
    }
    drop(writer);
    assert_eq!(stored(&path).len(), 10);
}

#[tokio::test]
async fn a_full_disk_is_told_to_all_whose_writes_it_undid() {
    let (_dir, path, writer) = start(&WriterOptions {
        batch_time: Duration::from_secs(3600),
        ..WriterOptions::default()
    });
    let pages = |most: u32| {
        move |connection: &Connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(()))
        }
    };
    // So few that SQLite has none left in which to note how to undo a part.
    writer.run(pages(4)).await.unwrap();
    let (open_gate, hold) = gate();
    let (_, innocent, guilty, late, ()) = tokio::join!(
        writer.run(hold),
        writer.run(insert(1)),
        writer.run(|connection: &Connection| {
            connection
                .execute_batch("CREATE TABLE large(x); INSERT INTO large VALUES (zeroblob(100000))")
        }),
        writer.run(insert(2)),
        async { open_gate.send_async(()).await.unwrap() },
    );
    assert!(matches!(guilty, Err(Error::Full { .. })), "{guilty:?}");
    for (x, written) in [(1, innocent), (2, late)] {
        match written {
            Ok(_) => assert!(stored(&path).contains(&x)),
            Err(error) => assert!(matches!(error, Error::Full { .. }), "{error}"),
        }
    }
    writer.run(pages(1_000)).await.unwrap();
    writer.run(insert(3)).await.unwrap();
    let (stats, watched) = (writer.stats(), writer.watch());
    assert!(!stats.failing && stored(&path).contains(&3));
    assert_eq!(watched(), stats);
    drop(writer);
    assert_eq!(watched().commits, stats.commits);
}

#[tokio::test]
async fn commits_that_work_again_are_noticed_without_a_write() {
    let (_dir, path, writer) = start(&WriterOptions::default());
    let elsewhere = open(&path, &OpenOptions::default()).unwrap();
    elsewhere.execute_batch("BEGIN EXCLUSIVE").unwrap();
    writer.run(insert(1)).await.unwrap_err();
    assert!(writer.stats().failing);
    elsewhere.execute_batch("COMMIT").unwrap();
    let begun = Instant::now();
    while writer.stats().failing {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stats = writer.stats();
    assert_eq!((stats.commits, stats.failed), (1, 1), "a try is none");
    writer.run(insert(1)).await.unwrap();
}
