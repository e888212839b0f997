//! What goes wrong with a PostgreSQL, and what it means.

use tokio_postgres::error::SqlState;

use crate::address::chain;
use crate::error::Error;

/// What functions of ours raise for [`Error::Outdated`].
const OUTDATED: &str = "TG001";

/// Why a piece of work was not done.
#[derive(Debug)]
pub enum Failure {
    /// The client's error, or the server's.
    Client(tokio_postgres::Error),
    /// No answer in time.
    Late,
    /// A value in a column that nothing of ours can have written.
    Damaged(String),
    /// A value that no column can keep.
    Unwritable(serde_json::Error),
    /// Too much is asked for, or the store was made by another version.
    Refused(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Client(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Unwritable(error)
    }
}

impl Failure {
    /// Whether the server undid the work because of other work at the same time: worth doing again
    /// at once.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        let Self::Client(error) = self else {
            return false;
        };
        error.code().is_some_and(|code| {
            *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE
        })
    }

    /// Whether the connection is of no more use, and another one may be.
    #[must_use]
    pub fn is_of_connection(&self) -> bool {
        match self {
            Self::Client(error) => error.code().is_none_or(|code| {
                is_going_away(code) || *code == SqlState::READ_ONLY_SQL_TRANSACTION
            }),
            Self::Late => true,
            Self::Damaged(_) | Self::Unwritable(_) | Self::Refused(_) => false,
        }
    }

    /// What the callers of the store are told.
    #[must_use]
    pub fn into_error(self, place: &str) -> Error {
        let error = match self {
            Self::Client(error) => error,
            Self::Late => {
                return Error::Unavailable(format!("{place} does not answer in time"));
            }
            Self::Damaged(what) => return Error::Corrupt(format!("{place}: {what}")),
            Self::Unwritable(error) => return Error::Other(error.to_string()),
            Self::Refused(error) => return error,
        };
        let text = format!("{place}: {}", chain(&error));
        let Some(code) = error.code() else {
            return Error::Unavailable(text);
        };
        if *code == SqlState::DISK_FULL {
            return Error::Full(text);
        }
        if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
            // A standby, or a primary that became one: the next connection looks for another.
            return Error::Unavailable(format!("{text}: this server can only be read"));
        }
        if code.code() == OUTDATED {
            return Error::Outdated(text);
        }
        match &code.code()[..2] {
            // Connections, authorization, conflicts, resources, limits in time, operators.
            "08" | "28" | "3D" | "40" | "53" | "55" | "57" | "58" => Error::Unavailable(text),
            "XX" => Error::Corrupt(text),
            _ => Error::Other(text),
        }
    }
}

/// The server ends this connection, or does not begin one.
fn is_going_away(code: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
    ]
    .contains(code)
        || code.code().starts_with("08")
}
