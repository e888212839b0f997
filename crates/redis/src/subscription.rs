//! Messages of a channel.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use tokio::time::timeout;

use crate::{AskError, failure};

/// A connection on which the messages of a channel arrive: those that are sent while it stands.
pub struct Subscription {
    sink: PubSubSink,
    messages: PubSubStream,
}

impl Subscription {
    pub(crate) async fn new(mut connection: PubSub, channel: &[u8]) -> Result<Self, AskError> {
        let subscribed = connection.subscribe(channel).await;
        subscribed.map_err(|error| failure(&error))?;
        let (sink, messages) = connection.split();
        Ok(Self { sink, messages })
    }

    /// The next message. When none comes for `silence`, Redis is asked whether it is still there, and
    /// has as long to answer.
    ///
    /// # Errors
    /// [`AskError::Unavailable`] when the connection is lost; messages may be lost with it.
    pub async fn next(&mut self, silence: Duration) -> Result<Vec<u8>, AskError> {
        loop {
            match timeout(silence, self.messages.next()).await {
                Ok(Some(message)) => return Ok(message.get_payload_bytes().to_vec()),
                Ok(None) => return Err(AskError::Unavailable("the connection ended".to_owned())),
                Err(_) => match timeout(silence, self.sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return Err(AskError::Unavailable(error.to_string())),
                    Err(_) => {
                        let message = format!("no answer within {silence:?}");
                        return Err(AskError::Unavailable(message));
                    }
                },
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}
