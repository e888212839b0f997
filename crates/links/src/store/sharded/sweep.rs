//! Sweeps: the longest expired of all shards go first, as if it were one store.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::try_join_all;
use tollgate_clock::UnixMillis;

use super::ShardedLinkStore;
use super::view::View;
use crate::store::{Expiry, LinkStore as _, StoreError, Swept};
use crate::{Code, LinkKey};

/// Before everything.
const NEVER: UnixMillis = UnixMillis::from_millis(i64::MIN);

impl ShardedLinkStore {
    pub(super) async fn sweep_once(
        &self,
        view: &View,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        let mut swept = self.sweep_links(view, before, limit).await?;
        for (shard, count) in self.old_tokens(view, tokens_before, limit).await? {
            let store = &view.shard(shard)?.store;
            swept.tokens += match store.sweep(NEVER, tokens_before, count).await {
                Err(error) if !swept.links.is_empty() => {
                    tracing::warn!(%error, "old tokens are not forgotten yet");
                    break;
                }
                part => part?.tokens,
            };
        }
        Ok(swept)
    }

    async fn sweep_links(
        &self,
        view: &View,
        before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        let (from, until) = (
            Expiry {
                at: NEVER,
                link: i64::MIN,
            },
            UnixMillis::from_millis(before.as_millis().saturating_sub(1)),
        );
        let asked = view.shards.values().map(async |shard| {
            let found = shard.db().expiring(from, until, limit).await?;
            Ok::<_, StoreError>((shard.number, found))
        });
        let mut expired = Vec::new();
        for (shard, found) in try_join_all(asked).await? {
            for stored in found {
                let at = stored.link.spec.expires_at;
                expired.push((at, stored.id, shard, stored.link.key));
            }
        }
        expired.sort();
        expired.truncate(limit);
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for (_, _, shard, _) in &expired {
            *counts.entry(*shard).or_default() += 1;
        }
        let mut gone: HashSet<LinkKey> = HashSet::new();
        let mut pooled: HashMap<Code, usize> = HashMap::new();
        let mut more = Vec::new();
        for (shard, count) in counts {
            let store = &view.shard(shard)?.store;
            let part = match store.sweep(before, NEVER, count).await {
                // What is gone by now has to be told; the next sweep goes on.
                Err(error) if !gone.is_empty() => {
                    tracing::warn!(%error, "not all expired links are deleted yet");
                    break;
                }
                part => part?,
            };
            for code in part.pool_codes {
                *pooled.entry(code).or_default() += 1;
            }
            more.extend(part.links.iter().cloned());
            gone.extend(part.links);
        }
        // In the order in which they expired; others than expected come last.
        let expected = expired.into_iter().map(|(_, _, _, key)| key);
        let mut swept = Swept::default();
        for key in expected.chain(more) {
            if !gone.remove(&key) {
                continue;
            }
            if let Some(count) = pooled.get_mut(&key.code).filter(|count| **count > 0) {
                *count -= 1;
                swept.pool_codes.push(key.code.clone());
            }
            swept.links.push(key);
        }
        Ok(swept)
    }

    /// How many of the oldest tokens of all are on each shard.
    async fn old_tokens(
        &self,
        view: &View,
        before: UnixMillis,
        limit: usize,
    ) -> Result<BTreeMap<u16, usize>, StoreError> {
        let asked = view.shards.values().map(async |shard| {
            let found = shard.db().oldest_tokens(before, limit).await?;
            Ok::<_, StoreError>((shard.number, found))
        });
        let mut old = Vec::new();
        for (shard, found) in try_join_all(asked).await? {
            old.extend(found.into_iter().map(|at| (at, shard)));
        }
        old.sort_unstable();
        old.truncate(limit);
        let mut counts = BTreeMap::new();
        for (_, shard) in old {
            *counts.entry(shard).or_default() += 1;
        }
        Ok(counts)
    }
}
