use std::fs::File;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};

use crate::{Error, OpenOptions, open};

/// Copies a file that may be in use to a new one: one state of it, whatever is written meanwhile. The
/// copy is checked, is whole without a log beside it, and on the disk.
///
/// # Errors
/// See [`Error`]. Whatever is at `to` then is no copy.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let reading = OpenOptions {
        read_only: true,
        ..OpenOptions::default()
    };
    let source = open(from, &reading)?;
    let of = |error: rusqlite::Error| Error::of(to, &error);
    let mut target = rusqlite::Connection::open(to).map_err(of)?;
    {
        let backup = Backup::new(&source, &mut target).map_err(|error| Error::of(from, &error))?;
        // All in one step: between two the source would be free to change, and the copy begin anew.
        // Writers go on meanwhile, into the log.
        match backup.step(-1).map_err(|error| Error::of(from, &error))? {
            StepResult::Done => {}
            other => {
                return Err(Error::Busy {
                    place: from.display().to_string(),
                    detail: format!("{other:?}"),
                });
            }
        }
    }
    target
        .execute_batch("PRAGMA journal_mode = DELETE")
        .map_err(of)?;
    let found: String = target
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(of)?;
    if found != "ok" {
        return Err(Error::Corrupt {
            place: to.display().to_string(),
            detail: found,
        });
    }
    drop(target);
    let synced = File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|error| Error::Other {
        place: to.display().to_string(),
        detail: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn made(path: &Path) -> rusqlite::Connection {
        let connection = open(path, &OpenOptions::default()).unwrap();
        connection
            .execute_batch("CREATE TABLE t(a INTEGER); CREATE TABLE u(a INTEGER)")
            .unwrap();
        connection
    }

    #[test]
    fn a_copy_is_one_state_of_a_file_that_is_written_to() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.db");
        let connection = made(&path);
        thread::scope(|scope| {
            let writing = scope.spawn(move || {
                for number in 0..2_000 {
                    connection
                        .execute_batch(&format!(
                            "BEGIN; INSERT INTO t VALUES ({number}); INSERT INTO u VALUES ({number});
                             COMMIT"
                        ))
                        .unwrap();
                }
            });
            let mut copies = 0;
            while !writing.is_finished() || copies == 0 {
                let to = home.path().join(format!("copy-{copies}.db"));
                copy(&path, &to).unwrap();
                copies += 1;
                let copied = rusqlite::Connection::open(&to).unwrap();
                let of = |table| -> (i64, i64) {
                    let sql = format!("SELECT count(*), coalesce(max(a), -1) FROM {table}");
                    copied
                        .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
                        .unwrap()
                };
                assert_eq!(of("t"), of("u"));
                let (count, last) = of("t");
                assert_eq!(count, last + 1);
            }
        });
        let to = home.path().join("last.db");
        copy(&path, &to).unwrap();
        let copied = rusqlite::Connection::open(&to).unwrap();
        let count: i64 = copied
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 2_000);
        assert!(!home.path().join("last.db-wal").exists());
    }

    #[test]
    fn what_is_not_there_or_damaged_is_not_copied() {
        let home = tempfile::tempdir().unwrap();
        let missing = home.path().join("missing.db");
        let error = copy(&missing, &home.path().join("copy.db")).unwrap_err();
        assert!(matches!(error, Error::CannotOpen { .. }), "{error}");
        let damaged = home.path().join("damaged.db");
        drop(made(&damaged));
        let mut bytes = std::fs::read(&damaged).unwrap();
        // The root page of a table.
        bytes[4_096..4_200].fill(0x55);
        std::fs::write(&damaged, bytes).unwrap();
        let error = copy(&damaged, &home.path().join("other.db")).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}
