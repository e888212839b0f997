//! What code strategies share. Each is one item, and each change of it has a condition.

use std::collections::HashMap;
use std::time::Duration;

use tollgate_clock::UnixMillis;

use super::DynamoLinkStore;
use super::item::{Fields as _, unreadable};
use super::table::{Change, ITEMS, Item, Query, Range, name, number, string};
use crate::store::{Block, StoreError, WorkerLease};

/// The sort keys.
const SECRET: &str = "secret";
const COUNTER: &str = "counter";
/// The partition of worker numbers.
const WORKERS: &str = "workers";
/// Where fences are counted.
const FENCES: &str = "fences";

/// The names of what only leases hold.
mod field {
    pub(super) const FENCE: &str = "fence";
    pub(super) const UNTIL: &str = "til";
}

fn worker_sk(worker: u16) -> String {
    format!("{worker:04x}")
}

impl DynamoLinkStore {
    /// The secret of this name.
    pub(super) async fn shared_secret(
        &self,
        of: &str,
        candidate: [u8; 32],
    ) -> Result<[u8; 32], StoreError> {
        let pk = format!("secret:{of}");
        let text = base16ct::lower::encode_string(&candidate);
        let item = Item::from([
            (name::PK.into(), string(pk.as_str())),
            (name::SK.into(), string(SECRET)),
            (name::DOC.into(), string(text)),
        ]);
        self.table.put_new(item).await?;
        let found = self.table.get(&pk, SECRET).await?.unwrap_or_default();
        let (pairs, _) = found.text(name::DOC)?.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.ok_or_else(|| unreadable(format!("the secret {of}")))
    }

    /// The next numbers of a counter. Those of a request that is sent again are lost.
    pub(super) async fn next_block(&self, counter: &str, size: u64) -> Result<Block, StoreError> {
        let last = name::LAST;
        let change = Change::default().add(last, i128::from(size)).only(
            format!("(attribute_not_exists({last}) OR {last} <= :room)"),
            ":room",
            number(u64::MAX - size),
        );
        let taken = self
            .table
            .update(&format!("counter:{counter}"), COUNTER, change)
            .await?;
        let Some(taken) = taken else {
            return Err(StoreError::Unexpected(format!(
                "the counter {counter} is at its end"
            )));
        };
        let end: u64 = taken.number(last)?;
        let begin = end.checked_sub(size);
        begin
            .map(|begin| begin..end)
            .ok_or_else(|| unreadable(format!("the counter {counter}")))
    }

    async fn next_fence(&self) -> Result<u64, StoreError> {
        let next = Change::default().add(name::LAST, 1);
        let next = self.table.update(super::META, FENCES, next).await?;
        next.unwrap_or_default().number(name::LAST)
    }

    /// The lowest worker number that is free.
    pub(super) async fn free_worker(
        &self,
        workers: u16,
        now: UnixMillis,
        ttl: Duration,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let held = self.held_workers().await?;
        let fence = self.next_fence().await?;
        let expires_at = now.saturating_add(ttl);
        for worker in 0..workers {
            let lease = WorkerLease {
                worker,
                fence,
                expires_at,
            };
            let taken = match held.get(&worker_sk(worker)) {
                Some((_, until)) if *until > now.as_millis() => continue,
                Some((before, _)) => self.take_over(lease, *before, now).await?,
                None => self.take_first(lease).await?,
            };
            // If not, somebody else has taken it meanwhile.
            if taken {
                return Ok(Some(lease));
            }
        }
        Ok(None)
    }

    /// The fence and the end of each lease.
    async fn held_workers(&self) -> Result<HashMap<String, (u64, i64)>, StoreError> {
        let query = Query {
            index: ITEMS,
            part: WORKERS.into(),
            range: Range::All,
            forward: true,
            limit: usize::from(u16::MAX),
        };
        // At most 1,024 small items: they fit into one answer.
        let (items, _) = self.table.query(query).await?;
        let held = items.iter().map(|item| {
            let lease = (item.number(field::FENCE)?, item.number(field::UNTIL)?);
            Ok((item.text(name::SK)?.to_owned(), lease))
        });
        held.collect()
    }

    async fn take_first(&self, lease: WorkerLease) -> Result<bool, StoreError> {
        let sk = worker_sk(lease.worker);
        let item = Item::from([
            (name::PK.into(), string(WORKERS)),
            (name::SK.into(), string(sk.as_str())),
            (field::FENCE.into(), number(lease.fence)),
            (field::UNTIL.into(), number(lease.expires_at.as_millis())),
        ]);
        Ok(self.table.put_new(item).await? || self.holds(lease).await?)
    }

    async fn take_over(
        &self,
        lease: WorkerLease,
        before: u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        // Its last holder may renew it at this moment: whoever is first has it.
        let over = format!("{} <= :now", field::UNTIL);
        let change = Change::default()
            .set(field::FENCE, number(lease.fence))
            .set(field::UNTIL, number(lease.expires_at.as_millis()))
            .only_if(field::FENCE, number(before))
            .only(over, ":now", number(now.as_millis()));
        let taken = self
            .table
            .update(WORKERS, &worker_sk(lease.worker), change)
            .await?;
        Ok(taken.is_some() || self.holds(lease).await?)
    }

    /// Whether an attempt took place whose answer was lost.
    async fn holds(&self, lease: WorkerLease) -> Result<bool, StoreError> {
        let found = self.table.get(WORKERS, &worker_sk(lease.worker)).await?;
        let fence = found.map(|found| found.number::<u64>(field::FENCE));
        Ok(fence.transpose()? == Some(lease.fence))
    }

    /// A lease that ends at another moment, if it is still this holder's.
    pub(super) async fn renew(
        &self,
        lease: WorkerLease,
        expires_at: UnixMillis,
        fence: u64,
    ) -> Result<Option<WorkerLease>, StoreError> {
        let change = Change::default()
            .set(field::UNTIL, number(expires_at.as_millis()))
            .set(field::FENCE, number(fence))
            .only_if(field::FENCE, number(lease.fence));
        let renewed = self
            .table
            .update(WORKERS, &worker_sk(lease.worker), change)
            .await?;
        Ok(renewed.map(|_| WorkerLease {
            expires_at,
            ..lease
        }))
    }

    /// Gives a worker number back. The new fence keeps whoever released it from renewing it.
    pub(super) async fn release(
        &self,
        lease: WorkerLease,
        free_from: UnixMillis,
    ) -> Result<(), StoreError> {
        let fence = self.next_fence().await?;
        self.renew(lease, free_from, fence).await?;
        Ok(())
    }
}
