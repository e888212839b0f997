//! What is asked of a Redis, and how long an answer is waited for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::FromRedisValue;

use crate::address::Location;
use crate::servers::Servers;
use crate::{AskError, Call, Part, RedisUrlError, Subscription};

/// How a [`Client`] uses its Redis.
#[derive(Debug, Clone, Copy)]
pub struct ClientOptions<'a> {
    /// The script that each connection loads when it is made.
    pub script: &'a str,
    /// How long making a connection may take. It goes on while calls fail.
    pub connect_within: Duration,
}

/// Calls scripts in a Redis: one server, the master that Sentinels name, or a cluster.
pub struct Client {
    servers: Servers,
    connect_within: Duration,
    /// Connections for messages that were tried.
    listening: AtomicUsize,
}

impl Client {
    /// A client of the Redis at `url`: `redis://[user:password@]host[:port][/database]`, or `rediss://`
    /// for TLS with the certificates that the system trusts; or
    /// `redis+sentinel://[user:password@]host[:port],…/master[/database]` for the master that one of
    /// these Sentinels names, which has that password; or
    /// `redis+cluster://[user:password@]host[:port],…` for the cluster that any of these servers belongs
    /// to, all of which have that password, and `rediss+cluster://` for one with TLS.
    ///
    /// Connects when it is first asked. Has to be called inside a Tokio runtime, where the connections
    /// will live.
    ///
    /// # Errors
    /// [`RedisUrlError`], if the URL is none of these.
    pub fn new(url: &str, options: ClientOptions<'_>) -> Result<Self, RedisUrlError> {
        let script: Arc<str> = options.script.into();
        let location = Location::parse(url)?;
        Ok(Self {
            servers: Servers::new(location, &script, options.connect_within),
            connect_within: options.connect_within,
            listening: AtomicUsize::new(0),
        })
    }

    /// Connects, to all masters if there are several.
    ///
    /// # Errors
    /// [`AskError::Unavailable`]; the next call tries again.
    pub async fn ready(&self) -> Result<(), AskError> {
        self.servers.ready().await
    }

    /// Whether keys are spread over several servers.
    #[must_use]
    pub const fn is_cluster(&self) -> bool {
        self.servers.are_several()
    }

    /// Which server a key is asked of: in a cluster each may be away while the others are not.
    #[must_use]
    pub fn part(&self, key: &[u8]) -> Part {
        self.servers.part(key)
    }

    /// Calls the script, in one round trip. Redirections of a cluster are followed within the time.
    ///
    /// A connection that breaks, or leaves some calls in a row unanswered and says nothing for a second,
    /// is made again by the next call.
    ///
    /// # Errors
    /// [`AskError`]; Redis may have run the script nevertheless.
    pub async fn ask<T: FromRedisValue>(
        &self,
        call: &Call<'_>,
        within: Duration,
    ) -> Result<T, AskError> {
        let mut used = None;
        let answer = self.servers.call(call, &mut used);
        let outcome = match tokio::time::timeout(within, answer).await {
            Ok(outcome) => {
                if let Some(used) = &used {
                    match &outcome {
                        Err(AskError::Unavailable(_)) => used.link.broken(&used.ready),
                        Ok(_) | Err(AskError::Failed(_)) => used.link.answered(&used.ready),
                    }
                }
                outcome
            }
            Err(_) => {
                if let Some(used) = &used {
                    used.link.unanswered(&used.ready);
                }
                let message = format!("no answer within {within:?}");
                Err(AskError::Unavailable(message))
            }
        };
        if matches!(outcome, Err(AskError::Unavailable(_))) {
            self.servers.doubt();
        }
        outcome
    }

    /// Listens to a channel, on a connection of its own. In a cluster to any of its servers, another one
    /// at each call.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn subscribe(&self, channel: &[u8]) -> Result<Subscription, AskError> {
        let attempt = self.listening.fetch_add(1, Ordering::Relaxed);
        let within = self.connect_within;
        let opened =
            async { Subscription::new(self.servers.listen(attempt).await?, channel).await };
        match tokio::time::timeout(within, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(AskError::Unavailable(format!(
                "no connection within {within:?}"
            ))),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
