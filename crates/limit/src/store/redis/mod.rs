//! Limits in Redis, which several instances share: see [`RedisStore`].

#[cfg(test)]
mod agreement;
#[cfg(test)]
#[path = "../../../../redis/tests/private/free_port.rs"]
mod free_port;
mod instances;
mod order;
#[cfg(test)]
#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "../../../../redis/tests/private/private_redis.rs"]
mod private_redis;
mod reply;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
pub use tollgate_redis::RedisUrlError;
use tollgate_redis::{AskError, Call, Client, ClientOptions, slot_of};

pub use self::instances::Instances;
pub use self::order::Inexact;
use self::order::Order;
use super::{Charge, InParts, LimitKey, LimitStore, Part, Refund, StoreError};
use crate::{Limiter, Shaped};

/// Decides all charges of a request, or gives units back.
const SCRIPT: &str = include_str!("decide.lua");

/// How a [`RedisStore`] uses its Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// What all its keys begin with. Stores with the same prefix share their limits.
    pub prefix: String,
    /// How long a decision may take, connecting included. After that it is an error.
    pub deadline: Duration,
    /// How long making a connection may take. It goes on while decisions fail.
    pub connect_within: Duration,
}

impl Default for RedisOptions {
    /// Prefix `tollgate:`, 5 ms for a decision, one second to connect.
    fn default() -> Self {
        Self {
            prefix: "tollgate:".to_owned(),
            deadline: Duration::from_millis(5),
            connect_within: Duration::from_secs(1),
        }
    }
}

/// Keeps limits in a Redis that several instances share.
///
/// - **One round trip**: a script decides all charges of a request at once, and charges all or
///   none. Requests share one connection and do not wait for each other's answers.
/// - **Time** is that of Redis (`TIME`), in microseconds: the clocks of the instances play no part.
///   Windows begin on the full minute or day (UTC).
/// - **The same decisions** as [`Limiter::shape`] takes at the same microseconds: allowed or
///   refused, what remains, and every time to the nanosecond. Limits with a window that is not a
///   whole number of microseconds are refused ([`Inexact`]). One thing differs: a token bucket or
///   leaky bucket whose limit is changed keeps the time at which it will be at rest again, as GCRA
///   does, and not its content.
/// - **Expiry**: a key is written together with its expiry, a second after it is worth nothing.
///   Only what was charged is written.
/// - **Keys** are the prefix and the key of the limit, with its [domain](crate::store::LimitKey::domain)
///   in braces: all keys of a domain have one hash slot. Keys that clients chose have one each.
/// - **A log** is one string of 16 bytes an admission, which is written anew at each: take
///   [`SlidingLog`](crate::SlidingLog) for limits up to some thousands.
/// - **Failure**: a decision that takes longer than the deadline is an error, though Redis may
///   still charge it. A connection that breaks, or leaves some calls in a row unanswered and says
///   nothing for a second, is made again by the next decision. Put a [`Guarded`](crate::store::Guarded) around the store, so
///   that not every request waits for the deadline while Redis is away.
///
/// Redis has to be version 5 or later: one server, a master that Sentinels name and replace, or a
/// cluster. What a new master has not heard of by then is forgotten.
///
/// In a cluster the charges of a request have to be of one domain, so that one server decides; a
/// domain is as fast as that server. Redirections are followed within the deadline. While a slot
/// moves, requests with several keys fail if some of them are on either side.
pub struct RedisStore {
    client: Client,
    prefix: Vec<u8>,
    deadline: Duration,
}

impl RedisStore {
    /// A store at `url`, which is one of those that [`tollgate_redis::Client`] takes.
    ///
    /// Tries to connect, and logs if it cannot: a Redis that is away is no error, as it may come.
    ///
    /// # Errors
    /// [`RedisUrlError`], if the URL is none of these.
    pub async fn connect(url: &str, options: RedisOptions) -> Result<Self, RedisUrlError> {
        let store = Self::with_script(url, options, SCRIPT)?;
        if let Err(error) = store.client.ready().await {
            tracing::warn!(%error, "limits are not counted in Redis until it can be reached");
        }
        Ok(store)
    }

    fn with_script(url: &str, options: RedisOptions, script: &str) -> Result<Self, RedisUrlError> {
        let connect_within = options.connect_within;
        let client = ClientOptions {
            script,
            connect_within,
        };
        Ok(Self {
            client: Client::new(url, client)?,
            prefix: options.prefix.into_bytes(),
            deadline: options.deadline,
        })
    }

    /// Whether this limit can be counted here: [`decide`](LimitStore::decide) fails otherwise.
    ///
    /// # Errors
    /// [`Inexact`].
    pub fn takes(limiter: &Limiter) -> Result<(), Inexact> {
        order::micros(limiter.quota()).map(drop)
    }

    fn name(&self, key: &LimitKey) -> Vec<u8> {
        name_in_redis(&self.prefix, key)
    }

    /// Numbers of the tests follow those of the order.
    async fn run(&self, order: &Order, extra: &[u64]) -> Result<Vec<i64>, StoreError> {
        let with_extra;
        let numbers = match extra {
            [] => &order.numbers,
            extra => {
                with_extra = [&order.numbers, extra].concat();
                &with_extra
            }
        };
        let call = Call {
            script: None,
            keys: &order.keys,
            numbers,
            words: &[],
        };
        Ok(self.client.ask(&call, self.deadline).await?)
    }

    async fn decide_with(
        &self,
        charges: &[Charge],
        extra: &[u64],
    ) -> Result<Vec<Shaped>, StoreError> {
        if charges.is_empty() {
            return Ok(Vec::new());
        }
        let order = Order::new(charges, |key| self.name(key))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let reply = self.run(&order, extra).await?;
        reply::read(&reply, &order, charges)
    }

    async fn refund_with(&self, refunds: &[Refund], extra: &[u64]) -> Result<(), StoreError> {
        if refunds.is_empty() {
            return Ok(());
        }
        let order = Order::refunds(refunds, |key| self.name(key))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        self.run(&order, extra).await.map(drop)
    }
}

/// The key in Redis, behind a prefix: what is in braces chooses the slot.
pub(crate) fn name_in_redis(prefix: &[u8], key: &LimitKey) -> Vec<u8> {
    let bytes = key.as_bytes();
    let mut name = Vec::with_capacity(prefix.len() + bytes.len() + 2);
    name.extend_from_slice(prefix);
    match key.domain() {
        Some(domain) => {
            // Nothing in braces would mean the whole key.
            let (domain, rest) = bytes.split_at(domain.len().max(1));
            name.push(b'{');
            name.extend_from_slice(domain);
            name.push(b'}');
            name.extend_from_slice(rest);
        }
        None => name.extend_from_slice(bytes),
    }
    name
}

#[async_trait]
impl LimitStore for RedisStore {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        self.decide_with(charges, &[]).await
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        if !self.client.is_cluster() {
            return self.refund_with(refunds, &[]).await;
        }
        // Of any domains, and no server has all of them. Whatever becomes of one, the others are
        // given back.
        let mut by_slot: HashMap<u16, Vec<Refund>> = HashMap::new();
        for refund in refunds {
            let slot = slot_of(&self.name(refund.key()));
            by_slot.entry(slot).or_default().push(refund.clone());
        }
        let mut outcome = Ok(());
        for refunds in by_slot.values() {
            outcome = outcome.and(self.refund_with(refunds, &[]).await);
        }
        outcome
    }
}

impl InParts for RedisStore {
    fn part(&self, key: &LimitKey) -> Part {
        match self.client.is_cluster() {
            true => self.client.part(&self.name(key)),
            false => Part::default(),
        }
    }
}

impl From<AskError> for StoreError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Unavailable(why) => Self::Unavailable(why),
            AskError::Failed(why) => Self::Failed(why),
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LimitKey;

    #[tokio::test]
    async fn names_show_what_chooses_the_slot_and_differ_as_keys_do() {
        let url = "redis://127.0.0.1:1";
        let store = RedisStore::with_script(url, RedisOptions::default(), SCRIPT).unwrap();
        let of = |key: &[u8]| LimitKey::new(key).unwrap();
        let shown = |key: &LimitKey| String::from_utf8(store.name(key)).unwrap();
        let short = of(b"shop|user=u1|");
        let long = of(b"shop|#0123456789abcdef");
        assert_eq!(shown(&short), "tollgate:{shop}|user=u1|");
        assert_eq!(slot_of(&store.name(&short)), slot_of(&store.name(&long)));
        // One key that a client chose is a request by itself, whatever is in it.
        let client = LimitKey::of_client(b"ip|1").unwrap();
        assert_eq!(shown(&client), "tollgate:r:ip|1");
        assert_eq!(shown(&of(b"|a")), "tollgate:{|}a");
        assert_eq!(shown(&of(b"alone")), "tollgate:alone");
        let keys: [&[u8]; 6] = [b"|a", b"{|}a", b"a|b", b"{a}|b", b"||", b"|"];
        let names: std::collections::HashSet<_> =
            keys.iter().map(|key| store.name(&of(key))).collect();
        assert_eq!(names.len(), keys.len());
    }
}
