//! A queue in a stream of Redis, by a consumer group.

use std::time::Duration;

use async_trait::async_trait;
use tollgate_redis::{AskError, Call, Client, ClientOptions, RedisUrlError};

use super::{Put, QueueError, SharedQueue, Taken};
use crate::spool::{MAX_PIECE, Piece};
use crate::{Position, SourceId};

const SCRIPT: &str = include_str!("queue.lua");
/// Of all who count.
const GROUP: &[u8] = b"tollgate";
/// The most bytes of pieces in one answer.
const MAX_ANSWER: usize = 4 << 20;

/// What the script is asked for.
const POSITION: u64 = 1;
const PUT: u64 = 2;
const TAKE: u64 = 3;
const DONE: u64 = 4;

/// How a [`RedisQueue`] works.
#[derive(Debug, Clone)]
pub struct RedisQueueOptions {
    /// The name of this instance among those that take, the same after it was started anew.
    pub consumer: String,
    /// The most pieces of all spools in the stream. Beyond it, they stay in their spools.
    pub max_entries: u64,
    /// Pieces that were taken are given to others after so long.
    pub claim_after: Duration,
    /// How long an answer may take.
    pub deadline: Duration,
}

/// A URL that names no stream of a Redis. The text never holds the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisQueueError {
    /// What is before the stream is no Redis.
    #[error(transparent)]
    Url(#[from] RedisUrlError),
    /// Nothing is behind the last slash.
    #[error("the URL ends with the name of the stream, such as redis://127.0.0.1:6379/clicks")]
    NoStream,
}

/// Pieces in a stream.
#[derive(Debug)]
pub struct RedisQueue {
    client: Client,
    /// The stream, and what is kept beside it; in a cluster on the same server.
    keys: Vec<Vec<u8>>,
    options: RedisQueueOptions,
}

impl RedisQueue {
    /// The stream that a URL names: that of a Redis, as limits have it, then a slash and the name of the stream.
    /// Connects when it is first asked. Has to be called inside a Tokio runtime, where the connections will
    /// live.
    ///
    /// # Errors
    /// [`RedisQueueError`].
    pub fn new(url: &str, options: RedisQueueOptions) -> Result<Self, RedisQueueError> {
        let (server, stream) = split(url).ok_or(RedisQueueError::NoStream)?;
        let client = ClientOptions {
            script: SCRIPT,
            connect_within: options.deadline,
        };
        Ok(Self {
            client: Client::new(server, client)?,
            keys: vec![
                format!("{{{stream}}}").into_bytes(),
                format!("{{{stream}}}:spools").into_bytes(),
            ],
            options,
        })
    }

    async fn ask(&self, numbers: &[u64], words: &[&[u8]]) -> Result<Vec<Vec<u8>>, QueueError> {
        self.client
            .ask(&self.call(numbers, words), self.options.deadline)
            .await
            .map_err(failure)
    }

    fn call<'a>(&'a self, numbers: &'a [u64], words: &'a [&'a [u8]]) -> Call<'a> {
        Call {
            script: None,
            keys: &self.keys,
            numbers,
            words,
        }
    }
}

/// The Redis, and the name of the stream.
fn split(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (path, stream) = rest.rsplit_once('/')?;
    let server = &url[..scheme.len() + 3 + path.len()];
    (!stream.is_empty() && !stream.contains(['{', '}'])).then_some((server, stream))
}

fn failure(error: AskError) -> QueueError {
    match error {
        AskError::Unavailable(why) => QueueError::Unavailable(why),
        AskError::Failed(why) => QueueError::Failed(why),
    }
}

#[async_trait]
impl SharedQueue for RedisQueue {
    async fn position(&self, source: &SourceId) -> Result<Option<Position>, QueueError> {
        let told = self.ask(&[POSITION], &[source.0.as_bytes()]).await?;
        Ok(told.first().and_then(|text| read(text)))
    }

    async fn put(&self, piece: &Piece, anew: bool) -> Result<Put, QueueError> {
        let [after, from, to] = [piece.after, piece.from, piece.to].map(text);
        let numbers = [PUT, self.options.max_entries, u64::from(anew)];
        let words = [
            piece.source.0.as_bytes(),
            after.as_bytes(),
            from.as_bytes(),
            to.as_bytes(),
            &piece.bytes,
        ];
        let told = self.ask(&numbers, &words).await?;
        match told.first().map(Vec::as_slice) {
            Some(b"done") => Ok(Put::Done),
            Some(b"full") => Ok(Put::Full),
            Some(b"elsewhere") => Ok(Put::Elsewhere(told.get(1).and_then(|text| read(text)))),
            _ => Err(QueueError::Failed(
                "an answer that nothing of ours gives".into(),
            )),
        }
    }

    async fn take(&self, most: usize, again: bool) -> Result<Vec<Taken>, QueueError> {
        let most = most.clamp(1, MAX_ANSWER / MAX_PIECE);
        let idle = u64::try_from(self.options.claim_after.as_millis()).unwrap_or(u64::MAX);
        let numbers = [TAKE, most as u64, idle, u64::from(again)];
        let words = [GROUP, self.options.consumer.as_bytes()];
        let entries: Vec<Vec<Vec<u8>>> = self
            .client
            .ask(&self.call(&numbers, &words), self.options.deadline)
            .await
            .map_err(failure)?;
        let (mut taken, mut strange) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in entries {
            match entry_of(entry) {
                Ok(one) => taken.push(one),
                Err(name) => strange.push(name),
            }
        }
        if !strange.is_empty() {
            tracing::error!(
                entries = strange.len(),
                "the stream of clicks has entries that nothing of ours wrote: they are removed"
            );
            self.done(&strange).await?;
        }
        Ok(taken)
    }

    async fn done(&self, names: &[Vec<u8>]) -> Result<(), QueueError> {
        // Behind its bound on arguments, a script takes no more.
        for names in names.chunks(1_000) {
            let mut words = vec![GROUP];
            words.extend(names.iter().map(Vec::as_slice));
            self.ask(&[DONE], &words).await?;
        }
        Ok(())
    }
}

/// An entry of the stream; its name, if it is none of ours.
fn entry_of(entry: Vec<Vec<u8>>) -> Result<Taken, Vec<u8>> {
    let mut fields = entry.into_iter();
    let name = fields.next().unwrap_or_default();
    let mut piece = || {
        let source = String::from_utf8(fields.next()?).ok()?;
        let mut position = || read(&fields.next()?);
        let (after, from, to) = (position()?, position()?, position()?);
        Some(Piece {
            source: SourceId(source.into()),
            after,
            from,
            to,
            bytes: fields.next().filter(|bytes| !bytes.is_empty())?,
        })
    };
    match piece() {
        Some(piece) => Ok(Taken { name, piece }),
        None => Err(name),
    }
}

/// A position as Redis keeps it.
fn text(position: Position) -> String {
    format!("{}-{}", position.segment, position.offset)
}

fn read(text: &[u8]) -> Option<Position> {
    let (segment, offset) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some(Position {
        segment: segment.parse().ok()?,
        offset: offset.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_url_is_the_stream() {
        for (url, server, stream) in [
            ("redis://h:7000/clicks", "redis://h:7000", "clicks"),
            ("redis://u:p@h/3/clicks", "redis://u:p@h/3", "clicks"),
            ("redis+cluster://a,b/c", "redis+cluster://a,b", "c"),
            (
                "redis+sentinel://a,b/main/c",
                "redis+sentinel://a,b/main",
                "c",
            ),
        ] {
            assert_eq!(split(url), Some((server, stream)), "{url}");
        }
        for url in ["redis://h", "redis://h/", "redis:h/x", "redis://h/{x}"] {
            assert_eq!(split(url), None, "{url}");
        }
    }

    #[test]
    fn positions_lead_back() {
        let position = Position {
            segment: u64::MAX,
            offset: 7,
        };
        assert_eq!(read(text(position).as_bytes()), Some(position));
        assert_eq!(read(b""), None);
        assert_eq!(read(b"1"), None);
    }
}
