//! The pool of codes: an item for each, found by the moment from which it can be taken.

use std::time::Duration;

use tollgate_clock::UnixMillis;

use super::DynamoLinkStore;
use super::item::{Fields as _, digits, part, partition, partition_of};
use super::schema::BY_TIME;
use super::table::{Change, Item, Query, Range, name, string, together};
use super::walk::{Bounds, Walk};
use crate::Code;
use crate::store::{PoolCode, StoreError};

/// The sort key of a code.
const POOL: &str = "pool";
/// Codes that are tried for at once.
const AT_ONCE: usize = 16;

fn code_pk(code: &str) -> String {
    format!("p:{code}")
}

fn by_time(available_at: UnixMillis, code: &str) -> String {
    digits(available_at.as_millis()) + code
}

/// Behind everything that can be taken at a moment.
fn below(now: UnixMillis) -> String {
    digits(now.as_millis().saturating_add(1))
}

impl DynamoLinkStore {
    /// Adds codes that are not there yet.
    pub(super) async fn add_codes(
        &self,
        codes: &[Code],
        available_at: UnixMillis,
    ) -> Result<(), StoreError> {
        let items = codes.iter().map(|code| {
            let code = code.as_str();
            Item::from([
                (name::PK.into(), string(code_pk(code))),
                (name::SK.into(), string(POOL)),
                (
                    name::TIME_PART.into(),
                    string(partition(part::POOL, code, self.partitions)),
                ),
                (name::BY_TIME.into(), string(by_time(available_at, code))),
            ])
        });
        together(items.map(|item| self.table.put_new(item)).collect()).await?;
        Ok(())
    }

    /// Takes codes, the longest available first. Each is taken by one, because its time changes under the condition
    /// that it is still the one that was seen.
    pub(super) async fn take_codes(
        &self,
        count: usize,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Vec<PoolCode>, StoreError> {
        let bounds = Bounds {
            after: None,
            below: Some(below(now)),
        };
        let mut walk = Walk::new(self, BY_TIME, part::POOL, true, bounds, count);
        let back_at = now.saturating_add(ttl);
        let mut taken = Vec::new();
        while taken.len() < count {
            let mut candidates = Vec::new();
            while candidates.len() < (count - taken.len()).min(AT_ONCE) {
                match walk.next().await? {
                    Some(item) => candidates.push(item),
                    None => break,
                }
            }
            if candidates.is_empty() {
                break;
            }
            let tries = candidates.iter().map(|item| self.take_code(item, back_at));
            let tried = together(tries.collect()).await?;
            taken.extend(tried.into_iter().flatten().map(PoolCode));
        }
        Ok(taken)
    }

    async fn take_code(
        &self,
        seen: &Item,
        back_at: UnixMillis,
    ) -> Result<Option<Code>, StoreError> {
        let pk = seen.text(name::PK)?;
        let code = pk.strip_prefix("p:").unwrap_or(pk);
        let before = seen.text(name::BY_TIME)?;
        let change = Change::default()
            .set(name::BY_TIME, string(by_time(back_at, code)))
            .only_if(name::BY_TIME, string(before));
        let taken = self.table.update(pk, POOL, change).await?;
        Ok(taken.map(|_| Code::from_stored(code)))
    }

    /// Removes codes for good.
    pub(super) async fn remove_codes(&self, codes: &[PoolCode]) -> Result<(), StoreError> {
        let keys = codes.iter();
        let keys = keys.map(|PoolCode(code)| (code_pk(code.as_str()), POOL.to_owned()));
        let mut keys: Vec<_> = keys.collect();
        // A batch must not name an item twice.
        keys.sort_unstable();
        keys.dedup();
        self.table.delete_all(keys).await
    }

    /// How many codes can be taken.
    pub(super) async fn available_codes(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let mut total = 0;
        for number in 0..self.partitions {
            let query = Query {
                index: BY_TIME,
                part: partition_of(part::POOL, number),
                range: Range::Before(below(now)),
                forward: true,
                limit: usize::MAX,
            };
            total += self.table.count(query).await?;
        }
        Ok(total)
    }
}
