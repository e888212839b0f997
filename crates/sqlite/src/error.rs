use std::path::Path;

use rusqlite::ErrorCode;

/// What can go wrong with a SQLite file. Each says which file, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another connection held the lock for longer than the busy timeout.
    #[error(
        "{place} is locked by another process: try again, or stop whatever holds it ({detail})"
    )]
    Busy {
        /// The file.
        place: String,
        /// SQLite's own words.
        detail: String,
    },
    /// The file, its directory or the connection only allows reading.
    #[error(
        "{place} cannot be written: check the permissions of the file and its directory, and that \
         it was not opened read-only ({detail})"
    )]
    ReadOnly {
        /// The file.
        place: String,
        /// SQLite's own words.
        detail: String,
    },
    /// No space is left on the disk, or the file has reached its largest size.
    #[error("no space is left for {place}: free some and try again ({detail})")]
    Full {
        /// The file.
        place: String,
        /// SQLite's own words.
        detail: String,
    },
    /// The disk, or the system between, fails to read or write.
    #[error(
        "the disk fails under {place}: see what the system says of it, and try again ({detail})"
    )]
    Disk {
        /// The file.
        place: String,
        /// SQLite's own words.
        detail: String,
    },
    /// The file is no SQLite database, or damaged, or holds values that cannot be read.
    #[error(
        "{place} is damaged or not a database of ours: restore it from a backup, unless its disk \
         cannot be read ({detail})"
    )]
    Corrupt {
        /// The file.
        place: String,
        /// SQLite's own words.
        detail: String,
    },
    /// The file cannot be opened or made.
    #[error(
        "cannot open {place}: check that its directory exists and may be entered and written \
         ({detail})"
    )]
    CannotOpen {
        /// The file.
        place: String,
        /// The words of SQLite or the operating system.
        detail: String,
    },
    /// A newer version of this program has changed the schema.
    #[error(
        "the schema of {place} is version {found}, this program knows {known}: upgrade the program"
    )]
    NewerSchema {
        /// The file, and the component in it.
        place: String,
        /// Version found.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// Anything else: a defect of ours.
    #[error("unexpected error in {place}: {detail}")]
    Other {
        /// The file.
        place: String,
        /// What happened.
        detail: String,
    },
}

impl Error {
    /// Sorts an error of SQLite by what can be done about it. A value that cannot be converted to
    /// what it should be counts as damage.
    #[must_use]
    pub fn of(place: &Path, error: &rusqlite::Error) -> Self {
        let (place, detail) = (place.display().to_string(), error.to_string());
        match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => Self::Corrupt { place, detail },
            error => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    Self::Busy { place, detail }
                }
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                    Self::ReadOnly { place, detail }
                }
                Some(ErrorCode::DiskFull) => Self::Full { place, detail },
                Some(ErrorCode::SystemIoFailure) => Self::Disk { place, detail },
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Self::Corrupt { place, detail }
                }
                Some(ErrorCode::CannotOpen) => Self::CannotOpen { place, detail },
                _ => Self::Other { place, detail },
            },
        }
    }
}
