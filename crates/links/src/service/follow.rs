//! Keeps the cache true when links are edited by another process on the same store.

use crate::LinkService;
use crate::store::{ChangeSeq, FEED_BATCH, StoreError};

/// Reads the store's feed of changes and tells the cache.
pub struct Follower {
    service: LinkService,
    position: Option<ChangeSeq>,
}

impl Follower {
    /// A follower that begins at the feed's present end. Its first poll forgets all that was cached
    /// before, since nobody watched that.
    #[must_use]
    pub fn new(service: LinkService) -> Self {
        Self {
            service,
            position: None,
        }
    }

    /// Invalidates all that changed since the last poll; returns how many links that were.
    ///
    /// # Errors
    /// When the store fails; the next poll goes on from the same position.
    pub async fn poll(&mut self) -> Result<usize, StoreError> {
        let parts = self.service.parts();
        let mut seen = 0;
        loop {
            let changes = parts.feed.changes(self.position).await?;
            if changes.lost {
                // Too much happened, or the store was replaced: nothing cached can be trusted.
                parts.cache.distrust();
            } else if self.position.is_none() {
                // Nobody watched here. What instances share was watched by others, but for the last
                // edits perhaps, if all were killed.
                parts.cache.clear();
                let lately = changes.upto.0.saturating_sub(FEED_BATCH as u64);
                let lately = parts.feed.changes(Some(ChangeSeq(lately))).await?;
                parts.cache.forget(&lately.keys).await;
            }
            parts.cache.forget(&changes.keys).await;
            seen += changes.keys.len();
            let advanced = self.position != Some(changes.upto);
            self.position = Some(changes.upto);
            if changes.keys.is_empty() || !advanced {
                return Ok(seen);
            }
        }
    }
}
