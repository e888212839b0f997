use tollgate_clock::UnixMillis;

use crate::Dimension;
use crate::store::StoreError;

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// A text is no moment.
    #[error(
        "{text:?} is no moment: write a date such as 2030-01-31, a time such as \
         2030-01-31T12:00:00 in the time zone of the query, or one with its offset such as \
         2030-01-31T12:00:00Z"
    )]
    Moment {
        /// `from` or `to`.
        parameter: &'static str,
        /// What was given, its beginning.
        text: String,
    },
    /// The end is not after the beginning.
    #[error("from ({from}) has to be before to ({to})")]
    EmptyPeriod {
        /// The beginning.
        from: UnixMillis,
        /// The end.
        to: UnixMillis,
    },
    /// A moment is too far away.
    #[error("{moment} is not between 1970 and 9999")]
    OutOfRange {
        /// `from` or `to`.
        parameter: &'static str,
        /// The moment.
        moment: UnixMillis,
    },
    /// There is no such time zone.
    #[error("there is no time zone {0:?}: write a name such as Europe/Berlin, or UTC")]
    Zone(String),
    /// There is no such bucket.
    #[error("there is no bucket {0:?}: there are hour, day, week and month")]
    Bucket(String),
    /// More buckets than anybody can look at.
    #[error("more than {most} buckets: choose a larger bucket, or a shorter period")]
    TooManyBuckets {
        /// The bound.
        most: usize,
    },
    /// There is no such choice.
    #[error("{0:?} is no choice: there are include, exclude and only")]
    Bots(String),
    /// No dimension has that name.
    #[error(transparent)]
    Dimension(#[from] crate::UnknownDimension),
    /// A filter is no `dimension=value`.
    #[error("{0:?} is no filter: write dimension=value, such as country=DE")]
    Filter(String),
    /// Two filters on one dimension never match together.
    #[error("there are two filters on {0}: a click has one value")]
    TwoFilters(Dimension),
    /// More links than a query may name.
    #[error("more than {most} links at once: ask for fewer, or for a domain")]
    TooManyLinks {
        /// The bound.
        most: usize,
    },
    /// Only raw clicks tell, and they are gone.
    #[error(
        "clicks with one value in one dimension, counted by another one, are only known while \
         single clicks are kept, which is since {since}: begin there, or take the filter away"
    )]
    RawIsGone {
        /// Since when there are raw clicks.
        since: UnixMillis,
    },
    /// Only raw clicks tell, and there are too many to read.
    #[error(
        "clicks with one value in one dimension, counted by another one, have to be read one by \
         one, and there are more than {most}: choose a shorter period"
    )]
    TooManyClicks {
        /// The bound.
        most: u64,
    },
    /// A cursor that no listing gave out.
    #[error("the cursor does not belong to this listing: begin again without it")]
    BadCursor,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl QueryError {
    /// Which part of the query is wrong; none if it is the store.
    #[must_use]
    pub const fn parameter(&self) -> Option<&'static str> {
        Some(match self {
            Self::Moment { parameter, .. } | Self::OutOfRange { parameter, .. } => parameter,
            Self::EmptyPeriod { .. } => "to",
            Self::Zone(_) => "tz",
            Self::Bucket(_) | Self::TooManyBuckets { .. } => "bucket",
            Self::Bots(_) => "bots",
            Self::Dimension(_) => "by",
            Self::Filter(_) | Self::TwoFilters(_) => "filter",
            Self::TooManyLinks { .. } => "tag",
            Self::RawIsGone { .. } | Self::TooManyClicks { .. } => "from",
            Self::BadCursor => "cursor",
            Self::Store(_) => return None,
        })
    }
}
