//! Calls of the script, one a round trip, behind the circuit breaker.

use std::time::Duration;

use async_trait::async_trait;
use tollgate_redis::{
    AskError, Breaker, Call, Client, ClientOptions, Part, RedisUrlError, Subscription,
};

use super::SharedCacheOptions;
use crate::LinkKey;

pub(super) const SCRIPT: &str = include_str!("shared.lua");
/// How long making a connection may take. Calls do not wait for it longer than for anything else.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// What entries are named by, behind the prefix.
const ENTRY: &str = "link:";
/// The channel, behind the prefix.
const CHANNEL: &str = "links";

/// What the holder of a lock is known by.
pub(super) struct Token(String);

impl Token {
    pub(super) fn new(bits: u64) -> Self {
        Self(format!("{bits:016x}"))
    }
}

/// What an entry was found to be.
#[derive(Debug)]
pub(super) enum Found {
    /// There is a value, and it lasts so long.
    Value(Duration, Vec<u8>),
    /// There is none, and the lock is now the caller's.
    Locked,
    /// There is none, and another has the lock for so long at most.
    LockedByAnother(Duration),
}

/// What runs the script: a Redis, or what the simulation has in its place.
#[async_trait]
pub(super) trait Server: Send + Sync {
    async fn ready(&self) -> Result<(), AskError>;

    /// A number, milliseconds and a value: see the script.
    async fn ask(&self, call: &Call<'_>, within: Duration) -> Result<Answer, AskError>;

    async fn subscribe(&self, channel: &[u8]) -> Result<Box<dyn News>, AskError>;

    /// Which server a key is asked of.
    fn part(&self, _key: &[u8]) -> Part {
        Part::default()
    }
}

/// What the script answers.
pub(super) type Answer = (u8, u64, Vec<u8>);

/// Messages of a channel, as they arrive.
#[async_trait]
pub(super) trait News: Send {
    /// The next one; see [`Subscription::next`].
    async fn next(&mut self, silence: Duration) -> Result<Vec<u8>, AskError>;
}

#[async_trait]
impl Server for Client {
    async fn ready(&self) -> Result<(), AskError> {
        self.ready().await
    }

    async fn ask(&self, call: &Call<'_>, within: Duration) -> Result<Answer, AskError> {
        self.ask(call, within).await
    }

    async fn subscribe(&self, channel: &[u8]) -> Result<Box<dyn News>, AskError> {
        Ok(Box::new(self.subscribe(channel).await?))
    }

    fn part(&self, key: &[u8]) -> Part {
        self.part(key)
    }
}

#[async_trait]
impl News for Subscription {
    async fn next(&mut self, silence: Duration) -> Result<Vec<u8>, AskError> {
        self.next(silence).await
    }
}

/// The script, in a Redis.
pub(super) struct Script {
    server: Box<dyn Server>,
    breaker: Breaker,
    prefix: String,
    channel: String,
    deadline: Duration,
    lock: Duration,
}

/// What the script is told to do.
struct Order<'a> {
    todo: &'a str,
    token: &'a str,
    lasts: Duration,
    value: &'a [u8],
    message: Option<&'a [u8]>,
}

/// The Redis at a URL.
pub(super) fn redis(url: &str) -> Result<Box<dyn Server>, RedisUrlError> {
    let options = ClientOptions {
        script: SCRIPT,
        connect_within: CONNECT_WITHIN,
    };
    Ok(Box::new(Client::new(url, options)?))
}

impl Script {
    pub(super) fn new(
        server: Box<dyn Server>,
        options: &SharedCacheOptions,
        breaker: Breaker,
    ) -> Self {
        Self {
            server,
            breaker,
            prefix: format!("{}{ENTRY}", options.prefix),
            channel: format!("{}{CHANNEL}", options.prefix),
            deadline: options.deadline,
            lock: options.lock,
        }
    }

    pub(super) async fn ready(&self) -> Result<(), AskError> {
        self.server.ready().await
    }

    pub(super) const fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub(super) async fn subscribe(&self) -> Result<Box<dyn News>, AskError> {
        self.server.subscribe(self.channel.as_bytes()).await
    }

    /// The value, or the lock if there is none.
    pub(super) async fn read(&self, key: &LinkKey, token: &Token) -> Result<Found, AskError> {
        self.lock(key, "read", token).await
    }

    /// The lock, if nobody has it.
    pub(super) async fn refresh(&self, key: &LinkKey, token: &Token) -> Result<Found, AskError> {
        self.lock(key, "refresh", token).await
    }

    /// The lock, whoever has it.
    pub(super) async fn take(&self, key: &LinkKey, token: &Token) -> Result<Found, AskError> {
        self.lock(key, "take", token).await
    }

    async fn lock(&self, key: &LinkKey, todo: &str, token: &Token) -> Result<Found, AskError> {
        let order = Order {
            lasts: self.lock,
            ..Order::new(todo, token)
        };
        let (kind, left, value) = self.ask(key, &order).await?;
        let left = Duration::from_millis(left);
        match kind {
            0 => Ok(Found::LockedByAnother(left)),
            1 => Ok(Found::Locked),
            _ => Ok(Found::Value(left, value)),
        }
    }

    /// Writes a value if the lock is still held, and tells all who listen; whether it was.
    pub(super) async fn put(
        &self,
        key: &LinkKey,
        token: &Token,
        value: &[u8],
        lasts: Duration,
        message: Option<&[u8]>,
    ) -> Result<bool, AskError> {
        let order = Order {
            lasts,
            value,
            message,
            ..Order::new("put", token)
        };
        Ok(self.ask(key, &order).await?.0 == 1)
    }

    /// Gives the lock back.
    pub(super) async fn free(&self, key: &LinkKey, token: &Token) -> Result<(), AskError> {
        self.ask(key, &Order::new("free", token)).await.map(drop)
    }

    /// Removes the value and the lock, and tells all who listen.
    pub(super) async fn forget(
        &self,
        key: &LinkKey,
        message: Option<&[u8]>,
    ) -> Result<(), AskError> {
        let order = Order {
            todo: "forget",
            token: "",
            lasts: Duration::ZERO,
            value: b"",
            message,
        };
        self.ask(key, &order).await.map(drop)
    }

    async fn ask(&self, key: &LinkKey, order: &Order<'_>) -> Result<Answer, AskError> {
        // What is in braces chooses the slot: the keys of one link would have one, if there were more.
        let name = format!("{}{{{}/{}}}", self.prefix, key.domain.as_str(), key.code);
        let part = self.server.part(name.as_bytes());
        let asked = async {
            let lasts = order.lasts.as_millis().to_string();
            let channel = match order.message {
                Some(_) => self.channel.as_bytes(),
                None => b"",
            };
            let call = Call {
                script: None,
                keys: &[name.into_bytes()],
                numbers: &[],
                words: &[
                    order.todo.as_bytes(),
                    order.token.as_bytes(),
                    lasts.as_bytes(),
                    order.value,
                    channel,
                    order.message.unwrap_or_default(),
                ],
            };
            self.server.ask(&call, self.deadline).await
        };
        let is_away = |error: &AskError| matches!(error, AskError::Unavailable(_));
        self.breaker.through(part, asked, is_away).await
    }
}

impl<'a> Order<'a> {
    fn new(todo: &'a str, token: &'a Token) -> Self {
        Self {
            todo,
            token: &token.0,
            lasts: Duration::ZERO,
            value: b"",
            message: None,
        }
    }
}
