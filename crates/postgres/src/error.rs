/// What can go wrong with a PostgreSQL. Each text says which server, and no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Worth trying again later: the server is away, busy, only to be read, or lets nobody in.
    #[error("{0}")]
    Unavailable(String),
    /// No space is left on its disk.
    #[error("{0}")]
    Full(String),
    /// A value that cannot be read as what it should be, or the server says that it is damaged.
    #[error("{0}")]
    Corrupt(String),
    /// A newer version of this program has changed the tables.
    #[error(
        "the schema of {place} is version {found}, this program knows {known}: upgrade the program"
    )]
    NewerSchema {
        /// The database.
        place: String,
        /// Version found.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// The database refuses what goes by an older state of it: whoever asks has to look again.
    #[error("{0}")]
    Outdated(String),
    /// Anything else, which is a defect.
    #[error("{0}")]
    Other(String),
}
