use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::Error;

/// Statements kept prepared on each connection; more than any store here has.
const CACHED_STATEMENTS: usize = 128;
/// Pages in the write-ahead log before a commit copies them back into the file (16 MiB). SQLite's
/// own 1,000 pages made bulk writes copy four times as often.
const CHECKPOINT_PAGES: u32 = 4_000;
/// What the log may keep of its largest size once it has been copied back, in bytes.
const LOG_KEEPS_BYTES: u32 = 64 << 20;
/// Pause between two tries to change the journal mode.
const MODE_RETRY: Duration = Duration::from_millis(10);

/// How a connection is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Refuse every write, and do not make the file if it is missing.
    pub read_only: bool,
    /// How long to wait for the lock of another connection before giving up with [`Error::Busy`].
    pub busy_timeout: Duration,
    /// Bound of the page cache of this connection. Pages outside of it mostly come from the
    /// operating system's cache at about a microsecond each, so more gains little.
    pub cache_bytes: u32,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            busy_timeout: Duration::from_secs(5),
            cache_bytes: 8 << 20,
        }
    }
}

/// Opens a file, making it and its directories if they are missing: write-ahead log, every commit
/// synced to the disk, foreign keys enforced.
///
/// Memory mapping stays off: its pages would count as resident memory of the process, and a disk
/// error in a mapped page is a signal instead of an error.
///
/// # Errors
/// See [`Error`]; a damaged file is found here if its header is.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Connection, Error> {
    let of = |error: rusqlite::Error| Error::of(path, &error);
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if options.read_only {
        flags |= OpenFlags::SQLITE_OPEN_READ_ONLY;
    } else {
        flags |= OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        create_directory(path)?;
    }
    let connection = Connection::open_with_flags(path, flags).map_err(of)?;
    connection.busy_timeout(options.busy_timeout).map_err(of)?;
    if !options.read_only {
        use_write_ahead_log(&connection, options.busy_timeout).map_err(of)?;
    }
    let cache_kib = options.cache_bytes / 1024;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA temp_store = MEMORY;
             PRAGMA mmap_size = 0;
             PRAGMA cache_size = -{cache_kib};
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
             PRAGMA journal_size_limit = {LOG_KEEPS_BYTES};"
        ))
        .map_err(of)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(connection)
}

fn create_directory(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            std::fs::create_dir_all(parent).map_err(|error| Error::CannotOpen {
                place: path.display().to_string(),
                detail: error.to_string(),
            })
        }
        _ => Ok(()),
    }
}

/// The mode stays in the file. SQLite does not always wait for the lock when it changes, so that
/// two processes that make the same file at once have to try again.
fn use_write_ahead_log(connection: &Connection, wait: Duration) -> rusqlite::Result<()> {
    let deadline = Instant::now() + wait;
    loop {
        let tried = connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        });
        match tried {
            Ok(_) => return Ok(()),
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                std::thread::sleep(MODE_RETRY);
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_directories_and_opens_durably() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c.db");
        let connection = open(&path, &OpenOptions::default()).unwrap();
        let ask = |pragma: &str| -> String {
            connection
                .query_row(
                    &format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"),
                    [],
                    |row| row.get(0),
                )
                .unwrap()
        };
        assert_eq!(ask("journal_mode"), "wal");
        assert_eq!(ask("synchronous"), "2");
        assert_eq!(ask("foreign_keys"), "1");
    }

    #[test]
    fn connections_share_no_lock_to_count_their_memory() {
        let connection = Connection::open_in_memory().unwrap();
        let of = "SELECT count(*) FROM pragma_compile_options WHERE compile_options = ?";
        let given = |option: &str| connection.query_row(of, [option], |row| row.get::<_, i64>(0));
        assert_eq!(
            given("DEFAULT_MEMSTATUS=0").unwrap(),
            1,
            "see .cargo/config.toml"
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let read_only = OpenOptions {
            read_only: true,
            ..OpenOptions::default()
        };
        let error = open(&path, &read_only).unwrap_err();
        assert!(matches!(error, Error::CannotOpen { .. }), "{error}");
        assert!(error.to_string().contains("x.db"));

        std::fs::write(
            &path,
            "certainly not a database, but long enough".repeat(99),
        )
        .unwrap();
        let error = open(&path, &OpenOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");

        let below_a_file = path.join("y.db");
        let error = open(&below_a_file, &OpenOptions::default()).unwrap_err();
        assert!(matches!(error, Error::CannotOpen { .. }), "{error}");
    }

    #[test]
    fn a_read_only_connection_refuses_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        drop(open(&path, &OpenOptions::default()).unwrap());
        let read_only = OpenOptions {
            read_only: true,
            ..OpenOptions::default()
        };
        let connection = open(&path, &read_only).unwrap();
        let error = connection.execute("CREATE TABLE t(x)", []).unwrap_err();
        assert!(matches!(Error::of(&path, &error), Error::ReadOnly { .. }));
    }
}
