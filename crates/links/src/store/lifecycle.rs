use async_trait::async_trait;
use tollgate_clock::UnixMillis;

use super::StoreError;
use crate::Link;

/// Tells what happens to links that is no edit: that they are made, and that they expire.
#[async_trait]
pub trait Lifecycle: Send + Sync + 'static {
    /// Links made after a position, in the order in which they were made, and the position to go on
    /// from; at most `limit`. None yet but the position from now on, if `None`. A link that was deleted
    /// meanwhile is left out.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn made(&self, after: Option<i64>, limit: usize) -> Result<(Vec<Link>, i64), StoreError>;

    /// Links that expired after a position and until `until` (inclusive), the longest expired first, and
    /// the position to go on from; at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn expired(
        &self,
        after: Expiry,
        until: UnixMillis,
        limit: usize,
    ) -> Result<(Vec<Link>, Expiry), StoreError>;
}

/// A position among links in the order in which they expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// When the last one expired.
    pub at: UnixMillis,
    /// Tells links apart that expire at the same moment.
    pub link: i64,
}

impl Expiry {
    /// Behind everything that has expired until a moment, this one included.
    #[must_use]
    pub const fn behind(at: UnixMillis) -> Self {
        Self { at, link: i64::MAX }
    }
}
