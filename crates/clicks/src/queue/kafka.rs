//! A queue in a topic of Kafka, by a consumer group.
//!
//! Pieces of a spool have its name as their key, so that they are in one partition, in their order. What was taken is
//! committed when it is counted, together with all before it in its partition; what is not is given again: to whoever has
//! the partition next, or, after some time, to the same one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, message::BorrowedMessage};

use super::{Put, QueueError, SharedQueue, Taken};
use crate::spool::Piece;
use crate::{Position, SourceId};

/// Of all who count.
const GROUP: &str = "tollgate";
/// How long to wait for the first piece.
const FIRST: Duration = Duration::from_millis(100);
/// Who asks for nothing for so long, because the store is away, gives its partitions to others.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// What a message begins with: the form of the rest.
const FORM: u8 = 1;
/// The numbers behind that.
const NUMBERS: usize = 6;

/// How a [`KafkaQueue`] works.
#[derive(Debug, Clone)]
pub struct KafkaQueueOptions {
    /// The name of this instance in what brokers log.
    pub client: String,
    /// Pieces that were taken are given again after so long. An instance that dies loses its partitions as late.
    pub claim_after: Duration,
    /// How long a piece may take until all brokers have it that have to.
    pub deadline: Duration,
}

/// Why there is no queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaQueueError {
    /// It is not of the form that is asked for.
    #[error("give brokers and a topic, such as kafka://broker1:9092,broker2:9092/clicks")]
    NotKafka,
    /// The client refuses its configuration.
    #[error("the client of Kafka: {0}")]
    Client(String),
}

/// Pieces in a topic.
pub struct KafkaQueue {
    topic: String,
    options: KafkaQueueOptions,
    producer: FutureProducer,
    consumer: StreamConsumer<Group>,
    /// Up to where spools are in the topic, as far as this process has put them there.
    put: Mutex<HashMap<SourceId, Position>>,
}

impl std::fmt::Debug for KafkaQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaQueue")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// What was taken of a partition and is not committed: by the offset, whether it is done.
#[derive(Debug)]
struct Open {
    offsets: BTreeMap<i64, bool>,
    /// Since when nothing of it was done.
    since: Instant,
}

/// The partitions that this instance has pieces of.
#[derive(Debug, Default)]
struct Group(Arc<Mutex<HashMap<i32, Open>>>);

impl ClientContext for Group {}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // Whoever has a partition from now on is given it from what is committed.
        if let Rebalance::Revoke(partitions) | Rebalance::Assign(partitions) = rebalance {
            let mut open = self.0.lock();
            for partition in partitions.elements() {
                open.remove(&partition.partition());
            }
        }
    }
}

/// The brokers and the topic.
fn split(url: &str) -> Option<(&str, &str)> {
    let (brokers, topic) = url.strip_prefix("kafka://")?.rsplit_once('/')?;
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_topic = (1..=249).contains(&topic.len()) && topic.bytes().all(letters);
    let is_broker = |broker: &str| !broker.is_empty() && !broker.contains(['/', '@', '?', ' ']);
    (is_topic && brokers.split(',').all(is_broker)).then_some((brokers, topic))
}

impl KafkaQueue {
    /// The topic that a URL names, `kafka://broker1:9092,broker2:9092/topic`. Connects in the background. Has to be called
    /// inside a Tokio runtime.
    ///
    /// # Errors
    /// [`KafkaQueueError`].
    pub fn new(url: &str, options: KafkaQueueOptions) -> Result<Self, KafkaQueueError> {
        let (brokers, topic) = split(url).ok_or(KafkaQueueError::NotKafka)?;
        let failed = |error: KafkaError| KafkaQueueError::Client(error.to_string());
        let millis = |time: Duration| time.as_millis().to_string();
        let mut common = ClientConfig::new();
        common
            .set("bootstrap.servers", brokers)
            .set("client.id", &options.client)
            // Its own log is not ours.
            .set("log_level", "3");
        let producer = common
            .clone()
            // With it, a piece that is sent again is there once, and no later one before it.
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "0")
            .set("message.timeout.ms", millis(options.deadline))
            .create()
            .map_err(failed)?;
        // What brokers allow at least and at most.
        let session = options
            .claim_after
            .clamp(Duration::from_secs(6), Duration::from_secs(300));
        let consumer: StreamConsumer<Group> = common
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(session))
            .set("heartbeat.interval.ms", millis(session / 6))
            .set("max.poll.interval.ms", millis(session.max(LONGEST_REST)))
            .set("allow.auto.create.topics", "true")
            .create_with_context(Group::default())
            .map_err(failed)?;
        consumer.subscribe(&[topic]).map_err(failed)?;
        Ok(Self {
            topic: topic.to_owned(),
            options,
            producer,
            consumer,
            put: Mutex::default(),
        })
    }

    /// Goes back in partitions of which nothing was done for too long.
    fn go_back(&self) -> Result<(), QueueError> {
        let stuck: Vec<i32> = {
            let open = self.consumer.context().0.lock();
            let patience = self.options.claim_after;
            open.iter()
                .filter(|(_, open)| !open.offsets.is_empty() && open.since.elapsed() >= patience)
                .map(|(partition, _)| *partition)
                .collect()
        };
        for partition in stuck {
            let group = self.consumer.context();
            let first = {
                let open = group.0.lock();
                let open = open.get(&partition);
                open.and_then(|open| open.offsets.keys().next().copied())
            };
            let Some(first) = first else { continue };
            let to = Offset::Offset(first);
            // Nothing waits: what is fetched already is dropped later.
            let went = self
                .consumer
                .seek(&self.topic, partition, to, Duration::ZERO);
            went.map_err(|error| failure(&error))?;
            group.0.lock().remove(&partition);
        }
        Ok(())
    }

    /// Notes a message as taken; nothing, if it was already.
    fn note(&self, message: &BorrowedMessage<'_>) -> bool {
        let mut open = self.consumer.context().0.lock();
        let open = open.entry(message.partition()).or_insert_with(|| Open {
            offsets: BTreeMap::new(),
            since: Instant::now(),
        });
        if open.offsets.is_empty() {
            open.since = Instant::now();
        }
        open.offsets.insert(message.offset(), false).is_none()
    }

    /// Notes what is done, and answers up to where each partition is.
    fn finish(&self, names: &[Vec<u8>]) -> HashMap<i32, i64> {
        let mut all = self.consumer.context().0.lock();
        let mut upto = HashMap::new();
        for (partition, offset) in names.iter().filter_map(|name| read_name(name)) {
            let Some(open) = all.get_mut(&partition) else {
                continue;
            };
            if let Some(done) = open.offsets.get_mut(&offset) {
                *done = true;
                open.since = Instant::now();
            }
            while let Some(entry) = open.offsets.first_entry().filter(|entry| *entry.get()) {
                upto.insert(partition, *entry.key() + 1);
                entry.remove();
            }
        }
        upto
    }

    fn commit(&self, upto: HashMap<i32, i64>) -> Result<(), QueueError> {
        if upto.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in upto {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))
                .map_err(|error| failure(&error))?;
        }
        let committed = self.consumer.commit(&list, CommitMode::Async);
        committed.map_err(|error| failure(&error))
    }
}

#[async_trait]
impl SharedQueue for KafkaQueue {
    async fn position(&self, source: &SourceId) -> Result<Option<Position>, QueueError> {
        // What an earlier process put there is put there again, and counts once.
        Ok(self.put.lock().get(source).copied())
    }

    async fn put(&self, piece: &Piece, anew: bool) -> Result<Put, QueueError> {
        if !anew {
            let at = self.put.lock().get(&piece.source).copied();
            if at == Some(piece.to) {
                return Ok(Put::Done);
            }
            if at != Some(piece.after) {
                return Ok(Put::Elsewhere(at));
            }
        }
        let payload = to_bytes(piece);
        let record = FutureRecord::to(&self.topic)
            .key(piece.source.0.as_str())
            .payload(&payload);
        match self.producer.send(record, Duration::ZERO).await {
            Ok(_) => {
                self.put.lock().insert(piece.source.clone(), piece.to);
                Ok(Put::Done)
            }
            Err((error, _)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Ok(Put::Full),
                _ => Err(failure(&error)),
            },
        }
    }

    async fn take(&self, most: usize, _: bool) -> Result<Vec<Taken>, QueueError> {
        // What an earlier process took was not committed, so it is given again by itself.
        self.go_back()?;
        let mut taken = Vec::new();
        let mut strange = Vec::new();
        while taken.len() < most {
            let wait = if taken.is_empty() {
                FIRST
            } else {
                Duration::ZERO
            };
            let Ok(received) = tokio::time::timeout(wait, self.consumer.recv()).await else {
                break;
            };
            let message = match received {
                Ok(message) => message,
                // The first piece makes it.
                Err(error) if is_no_topic(&error) => break,
                Err(error) if taken.is_empty() => return Err(failure(&error)),
                Err(_) => break,
            };
            if !self.note(&message) {
                continue;
            }
            let name = name_of(&message);
            match read(&message) {
                Some(piece) => taken.push(Taken { name, piece }),
                None => strange.push(name),
            }
        }
        if !strange.is_empty() {
            tracing::error!(
                messages = strange.len(),
                "the topic of clicks has messages that nothing of ours wrote: they are left out"
            );
            self.commit(self.finish(&strange))?;
        }
        Ok(taken)
    }

    async fn done(&self, names: &[Vec<u8>]) -> Result<(), QueueError> {
        self.commit(self.finish(names))
    }
}

fn is_no_topic(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
    )
}

fn failure(error: &KafkaError) -> QueueError {
    QueueError::Unavailable(error.to_string())
}

/// By which a message is known.
fn name_of(message: &BorrowedMessage<'_>) -> Vec<u8> {
    let mut name = message.partition().to_be_bytes().to_vec();
    name.extend(message.offset().to_be_bytes());
    name
}

/// Reads [`name_of`].
fn read_name(name: &[u8]) -> Option<(i32, i64)> {
    let (partition, offset) = name.split_first_chunk::<4>()?;
    let offset = offset.try_into().ok()?;
    Some((i32::from_be_bytes(*partition), i64::from_be_bytes(offset)))
}

/// A piece without the name of its spool.
fn to_bytes(piece: &Piece) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + 8 * NUMBERS + piece.bytes.len());
    bytes.push(FORM);
    for position in [piece.after, piece.from, piece.to] {
        bytes.extend(position.segment.to_be_bytes());
        bytes.extend(position.offset.to_be_bytes());
    }
    bytes.extend_from_slice(&piece.bytes);
    bytes
}

fn read(message: &BorrowedMessage<'_>) -> Option<Piece> {
    let source = std::str::from_utf8(message.key()?).ok()?;
    from_bytes(source, message.payload()?)
}

/// Reads [`to_bytes`].
fn from_bytes(source: &str, bytes: &[u8]) -> Option<Piece> {
    let (&form, mut rest) = bytes.split_first()?;
    let mut number = || {
        let (number, behind) = rest.split_first_chunk::<8>()?;
        rest = behind;
        Some(u64::from_be_bytes(*number))
    };
    let mut position = || {
        Some(Position {
            segment: number()?,
            offset: number()?,
        })
    };
    let (after, from, to) = (position()?, position()?, position()?);
    let is_ours = form == FORM && !rest.is_empty() && !source.is_empty();
    is_ours.then(|| Piece {
        source: SourceId(source.into()),
        after,
        from,
        to,
        bytes: rest.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_url_is_the_topic() {
        assert_eq!(
            split("kafka://a:9092,b:9092/clicks"),
            Some(("a:9092,b:9092", "clicks"))
        );
        for url in [
            "kafka://a:9092",
            "kafka://a:9092/",
            "kafka:///clicks",
            "kafka://a,,b/clicks",
            "kafka://u:p@a/clicks",
            "kafka://a/x/clicks",
            "kafka://a/cl cks",
            "redis://a/clicks",
        ] {
            assert_eq!(split(url), None, "{url}");
        }
    }

    #[test]
    fn pieces_lead_back() {
        let at = |offset| Position {
            segment: u64::MAX,
            offset,
        };
        let piece = Piece {
            source: SourceId("spool-1".into()),
            after: at(1),
            from: at(2),
            to: at(3),
            bytes: vec![0, 255],
        };
        let bytes = to_bytes(&piece);
        assert_eq!(from_bytes("spool-1", &bytes), Some(piece));
        for length in 0..=1 + 8 * NUMBERS {
            assert_eq!(from_bytes("spool-1", &bytes[..length]), None);
        }
    }
}
