//! Limits in Redis, which several instances share: see [`RedisStore`].

mod address;
#[cfg(test)]
mod agreement;
mod link;
mod order;
#[cfg(test)]
#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "../../../tests/redis/private_redis.rs"]
mod private_redis;
mod reply;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{ErrorKind, RedisError, ServerErrorKind};

use self::address::Address;
pub use self::address::RedisUrlError;
use self::link::{Link, Ready};
pub use self::order::Inexact;
use self::order::Order;
use super::{Charge, LimitKey, LimitStore, Refund, StoreError};
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
/// - **Keys** are the prefix and the key of the limit, with its domain in braces: all keys of a
///   domain have one hash slot, but for those too long to show theirs.
/// - **A log** is one string of 16 bytes an admission, which is written anew at each: take
///   [`SlidingLog`](crate::SlidingLog) for limits up to some thousands.
/// - **Failure**: a decision that takes longer than the deadline is an error, though Redis may
///   still charge it. A connection that breaks, or leaves some calls in a row unanswered and says
///   nothing for a second, is made again by the next decision. Put a [`Guarded`](crate::store::Guarded) around the store, so
///   that not every request waits for the deadline while Redis is away.
///
/// Redis has to be version 5 or later: one server, or a master that Sentinels name and replace. What
/// the new master has not heard of by then is forgotten. Cluster is not supported.
pub struct RedisStore {
    link: Link,
    prefix: Vec<u8>,
    deadline: Duration,
    script: Arc<str>,
}

impl RedisStore {
    /// A store at `url`: `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS
    /// with the certificates that the system trusts; or
    /// `redis+sentinel://[user:password@]host[:port],…/master[/database]` for the master that one of
    /// these Sentinels names, which has that password.
    ///
    /// Tries to connect, and logs if it cannot: a Redis that is away is no error, as it may come.
    ///
    /// # Errors
    /// [`RedisUrlError`], if the URL is none of these.
    pub async fn connect(url: &str, options: RedisOptions) -> Result<Self, RedisUrlError> {
        let store = Self::with_script(url, options, SCRIPT)?;
        if let Err(error) = store.link.get().await {
            tracing::warn!(%error, "limits are not counted in Redis until it can be reached");
        }
        Ok(store)
    }

    fn with_script(url: &str, options: RedisOptions, script: &str) -> Result<Self, RedisUrlError> {
        let script: Arc<str> = script.into();
        let address = Address::parse(url)?;
        Ok(Self {
            link: Link::new(address, Arc::clone(&script), options.connect_within),
            prefix: options.prefix.into_bytes(),
            deadline: options.deadline,
            script,
        })
    }

    /// Whether this limit can be counted here: [`decide`](LimitStore::decide) fails otherwise.
    ///
    /// # Errors
    /// [`Inexact`].
    pub fn takes(limiter: &Limiter) -> Result<(), Inexact> {
        order::micros(limiter.quota()).map(drop)
    }

    /// The key in Redis: what is in braces chooses the slot.
    fn name(&self, key: &LimitKey) -> Vec<u8> {
        let key = key.as_bytes();
        let mut name = Vec::with_capacity(self.prefix.len() + key.len() + 2);
        name.extend_from_slice(&self.prefix);
        match key.iter().position(|byte| *byte == b'|') {
            Some(end) => {
                name.push(b'{');
                name.extend_from_slice(&key[..end]);
                name.push(b'}');
                name.extend_from_slice(&key[end..]);
            }
            None => name.extend_from_slice(key),
        }
        name
    }

    async fn run(&self, order: &Order, extra: &[u64]) -> Result<Vec<i64>, StoreError> {
        let mut used = None;
        let run = async {
            let ready = self.link.get().await?;
            let ready = &*used.insert(ready);
            self.call(ready, order, extra).await
        };
        let outcome = tokio::time::timeout(self.deadline, run).await;
        let Ok(outcome) = outcome else {
            if let Some(ready) = &used {
                self.link.unanswered(ready);
            }
            let message = format!("no answer within {:?}", self.deadline);
            return Err(StoreError::Unavailable(message));
        };
        if let Some(ready) = &used {
            match &outcome {
                Err(StoreError::Unavailable(_)) => self.link.broken(ready),
                Ok(_) | Err(StoreError::Failed(_)) => self.link.answered(ready),
            }
        }
        outcome
    }

    async fn call(
        &self,
        ready: &Ready,
        order: &Order,
        extra: &[u64],
    ) -> Result<Vec<i64>, StoreError> {
        let command = |name, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(order.keys.len()).arg(&order.keys);
            command.arg(&order.numbers).arg(extra);
            command
        };
        let mut connection = ready.connection.clone();
        let known = command("EVALSHA", &ready.script);
        let answer = match known.query_async(&mut connection).await {
            // Redis forgot the script; sent whole, it is remembered again.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let whole = command("EVAL", &self.script);
                whole.query_async(&mut connection).await
            }
            answer => answer,
        };
        answer.map_err(|error| failure(&error))
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

#[async_trait]
impl LimitStore for RedisStore {
    async fn decide(&self, charges: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        self.decide_with(charges, &[]).await
    }

    async fn refund(&self, refunds: &[Refund]) -> Result<(), StoreError> {
        self.refund_with(refunds, &[]).await
    }
}

/// Whether it is the fault of this request, or of the server and the way to it.
fn failure(error: &RedisError) -> StoreError {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ResponseError)
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::Client => StoreError::Failed(message),
        _ if error.code() == Some("WRONGTYPE") => StoreError::Failed(message),
        _ => StoreError::Unavailable(message),
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
