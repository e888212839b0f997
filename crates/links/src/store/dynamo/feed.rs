//! Changes that followers have not seen yet: the log, up to the first entry that is still being carried out.

use super::DynamoLinkStore;
use super::log::Logged;
use super::table::Range;
use crate::store::{ChangeSeq, Changes, FEED_BATCH, StoreError};

/// Entries that are read at once.
const READ: usize = 250;

impl DynamoLinkStore {
    /// What is new since a position.
    pub(super) async fn news(&self, after: Option<ChangeSeq>) -> Result<Changes, StoreError> {
        let newest = self.newest().await?;
        let behind = after.map(|after| newest.checked_sub(after.0));
        let (ChangeSeq(after), behind) = match (after, behind) {
            (None, _) => return self.nothing_new(newest, false).await,
            // Ahead of the log: a position from before the table was replaced by an older one.
            (Some(_), None | Some(None)) => return self.nothing_new(newest, true).await,
            (Some(after), Some(Some(behind))) => (after, behind),
        };
        if behind > self.feed_capacity {
            return self.nothing_new(newest, true).await;
        }
        let mut changes = Changes {
            keys: Vec::new(),
            upto: ChangeSeq(after),
            lost: false,
        };
        while changes.upto.0 < newest {
            let upto = changes.upto.0;
            let entries = self.entries_behind(upto, READ).await?;
            for entry in entries {
                if entry.last() <= changes.upto.0 {
                    continue;
                }
                if entry.first > changes.upto.0 + 1 {
                    // What was between is no longer kept.
                    return self.nothing_new(newest, true).await;
                }
                if !entry.is_settled() {
                    if !entry.is_abandoned(self.clock.now()) {
                        return Ok(changes);
                    }
                    self.settle_entry(entry).await?;
                    // What it tells is read again.
                    break;
                }
                if !tell(&entry, &mut changes) {
                    return Ok(changes);
                }
            }
            if changes.upto.0 == upto {
                // It was settled just now; the next look tells of it.
                return Ok(changes);
            }
        }
        Ok(changes)
    }

    /// No news but the position from now on: before whatever is still being carried out.
    async fn nothing_new(&self, newest: u64, lost: bool) -> Result<Changes, StoreError> {
        let latest = self.entries(Range::All, false, READ).await?;
        let pending = latest.iter().filter(|entry| !entry.is_settled());
        let upto = pending.map(|entry| entry.first - 1).min();
        Ok(Changes {
            keys: Vec::new(),
            upto: ChangeSeq(upto.unwrap_or(newest).min(newest)),
            lost,
        })
    }
}

/// Adds what an entry tells of; `false` when there is no room left.
fn tell(entry: &Logged, changes: &mut Changes) -> bool {
    let seen = changes.upto.0;
    for (number, key) in entry.keys() {
        if number <= seen {
            continue;
        }
        if changes.keys.len() == FEED_BATCH {
            changes.upto = ChangeSeq(number - 1);
            return false;
        }
        changes.keys.push(key);
    }
    changes.upto = ChangeSeq(entry.last());
    true
}
