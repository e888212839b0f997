//! Who shares a Redis.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tollgate_redis::Call;

use super::RedisStore;
use crate::store::StoreError;

const SCRIPT: &str = include_str!("instances.lua");
/// How often an instance says that it is there.
const EVERY: Duration = Duration::from_secs(2);
/// It counts until it has not said so for this long.
const LASTS: Duration = Duration::from_secs(6);
/// Counts that are remembered: as many as are made until an instance that is gone counts no more.
const REMEMBERED: usize = 3;
/// Nobody waits for it.
const WITHIN: Duration = Duration::from_secs(1);

/// How many instances share a Redis, as far as this one knows.
///
/// Each says every two seconds that it is there, in one sorted set under the prefix, and counts by the
/// clock of Redis until it leaves or has said nothing for six seconds. While Redis is away, the number is what it
/// was. It is the greatest of the last three counts, so a Redis that comes back empty is not taken for
/// one that nobody shares. Before the first count, an instance takes itself to be alone.
#[derive(Debug)]
pub struct Instances {
    name: String,
    counts: Mutex<VecDeque<u64>>,
}

impl Instances {
    /// `name` is what this instance is told from others by.
    #[must_use]
    pub const fn new(name: String) -> Self {
        Self {
            name,
            counts: Mutex::new(VecDeque::new()),
        }
    }

    /// How many there are, this one included.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.counts.lock().iter().copied().fold(1, u64::max)
    }

    /// Says that this one is there, and counts.
    ///
    /// # Errors
    /// [`StoreError`]; the number stays as it was.
    pub async fn announce(&self, store: &RedisStore) -> Result<u64, StoreError> {
        let count = store.instances(&self.name, LASTS).await?;
        let mut counts = self.counts.lock();
        if counts.len() >= REMEMBERED {
            counts.pop_front();
        }
        counts.push_back(count);
        drop(counts);
        Ok(self.live())
    }

    /// Says that this one leaves.
    ///
    /// # Errors
    /// [`StoreError`]; it counts for some seconds more then.
    pub async fn leave(&self, store: &RedisStore) -> Result<(), StoreError> {
        store.instances(&self.name, Duration::ZERO).await.map(drop)
    }

    /// Says so again and again until `end`, and then leaves.
    pub async fn run(&self, store: &RedisStore, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut end => break,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.announce(store).await {
                // The breaker tells of a Redis that is away.
                tracing::debug!(%error, "this instance could not be announced");
            }
        }
        if let Err(error) = self.leave(store).await {
            tracing::debug!(%error, "this instance counts for some seconds more");
        }
    }
}

impl RedisStore {
    async fn instances(&self, name: &str, lasts: Duration) -> Result<u64, StoreError> {
        let mut key = self.prefix.clone();
        key.extend_from_slice(b"instances");
        let lasts = lasts.as_millis().to_string();
        let call = Call {
            script: Some(SCRIPT),
            keys: &[key],
            numbers: &[],
            words: &[name.as_bytes(), lasts.as_bytes()],
        };
        let answer: Vec<i64> = self.client.ask(&call, WITHIN).await?;
        let count = answer.first().and_then(|count| u64::try_from(*count).ok());
        count.ok_or_else(|| StoreError::Failed("instances were not counted".to_owned()))
    }
}
