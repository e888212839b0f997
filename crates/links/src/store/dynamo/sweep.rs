//! Taking away what has had its time, a bounded number of items at once.

use std::collections::HashMap;

use tollgate_clock::UnixMillis;

use super::DynamoLinkStore;
use super::insert::fingerprint_with;
use super::item::{Fields as _, Kept, LINK, digits, link_pk, part};
use super::log::{ENTRY_OPS, Op, What};
use super::table::{name, together};
use crate::Origin;
use crate::store::{StoreError, Swept};

impl DynamoLinkStore {
    /// Deletes links that expired and forgets tokens, at most `limit` of each.
    pub(super) async fn sweep_all(
        &self,
        before: UnixMillis,
        tokens_before: UnixMillis,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let expired = self.expired_before(before, limit).await?;
        for chunk in expired.chunks(ENTRY_OPS) {
            let ops = chunk.iter().map(|kept| {
                let print = fingerprint_with(&kept.link, &kept.link.spec)?;
                Ok(Op::new(kept, print, What::Sweep, &[], None))
            });
            let ops = ops.collect::<Result<Vec<_>, StoreError>>()?;
            let told = self.perform(ops).await?;
            // The others were edited just now, or another instance has swept them.
            for (kept, _) in chunk.iter().zip(told).filter(|(_, told)| *told) {
                if kept.link.origin == Origin::Pool {
                    swept.pool_codes.push(kept.link.key.code.clone());
                }
                swept.links.push(kept.link.key.clone());
            }
        }
        swept.tokens = self.forget_tokens(tokens_before, limit).await?;
        Ok(swept)
    }

    /// Links that expired before a moment, the longest expired first, as they are now.
    async fn expired_before(
        &self,
        before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        let below = digits(before.as_millis());
        let due = self.due(part::EXPIRING, &below, limit).await?;
        let found = self.kept(due).await?;
        let mut expired = Vec::new();
        for kept in found {
            let expires_at = kept.link.spec.expires_at;
            // The index may lag behind.
            if expires_at.is_some_and(|at| at < before) && kept.gone_by.is_none() {
                expired.push(kept);
            }
        }
        let ready = expired.iter().map(|kept| self.finish_earlier(kept));
        together(ready.collect()).await?;
        Ok(expired)
    }

    /// Links by their partitions, as they are now, in the same order; what is no longer there is left out.
    pub(super) async fn kept(&self, pks: Vec<String>) -> Result<Vec<Kept>, StoreError> {
        let keys = pks.iter().map(|pk| (pk.clone(), LINK.to_owned()));
        let items = self.table.get_all(keys.collect()).await?;
        let mut found = HashMap::new();
        for item in &items {
            found.insert(item.text(name::PK)?.to_owned(), Kept::read(item)?);
        }
        debug_assert!(
            found
                .iter()
                .all(|(pk, kept)| *pk == link_pk(&kept.link.key))
        );
        Ok(pks.iter().filter_map(|pk| found.remove(pk)).collect())
    }
}
