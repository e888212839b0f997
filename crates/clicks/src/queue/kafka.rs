//! A queue in a topic of Kafka, by a consumer group.
//!
//! Pieces of a spool have its name as their key, so that they are in one partition, in their order. What was taken is
//! committed when it is counted, together with all before it in its partition; what is not is given again: to whoever has
//! the partition next, or, after some time, to the same one.

mod access;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, message::BorrowedMessage};

use self::access::{Address, refused};
pub use self::access::{KafkaFile, KafkaTls, SaslMechanism};
use super::{Put, QueueError, SharedQueue, Taken};
use crate::spool::Piece;
use crate::{Position, SourceId};

/// Of all who count.
const GROUP: &str = "tollgate";
/// How long to wait for the first piece.
const FIRST: Duration = Duration::from_millis(100);
/// Who asks for nothing for so long, because the store is away, gives its partitions to others.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// A broker that refuses the same again is told of once in 30 seconds.
const RECENT: Duration = Duration::from_secs(60);
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
    /// How brokers are told who comes, if the URL has a user and a password.
    pub sasl_mechanism: SaslMechanism,
    /// What TLS needs, if the URL asks for it.
    pub tls: KafkaTls,
}

/// Why there is no queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaQueueError {
    /// It is not of the form that is asked for.
    #[error(
        "give brokers and a topic, such as kafka://broker1:9092,broker2:9092/clicks, or \
         kafkas://user:password@broker1:9093/clicks"
    )]
    NotKafka,
    /// One of them alone, or not of the form that is asked for.
    #[error(
        "SASL needs a user and a password: give kafkas://user:password@broker1:9093/clicks, with %40 for a @ in \
         them, %3A for a :, %2F for a / and %25 for a %"
    )]
    NoLogin,
    /// Files for it are given, and the URL does not ask for it.
    #[error("files for TLS need brokers with TLS: kafkas:// instead of kafka://")]
    NoTls,
    /// A certificate without its key, or a key without its certificate.
    #[error("a certificate needs its key, and a key its certificate")]
    Half,
    /// What is wrong with a file.
    #[error("{1}")]
    File(KafkaFile, String),
    /// The client refuses its configuration.
    #[error("the client of Kafka: {0}")]
    Client(String),
}

/// Pieces in a topic.
pub struct KafkaQueue {
    topic: String,
    options: KafkaQueueOptions,
    producer: FutureProducer<Troubles>,
    consumer: StreamConsumer<Group>,
    troubles: Troubles,
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

/// What was wrong with a connection last. Errors of the client tell no more than that time was up.
#[derive(Clone, Default)]
struct Troubles(Arc<Mutex<Option<(Instant, String)>>>);

impl ClientContext for Troubles {
    /// Its own log is not ours: what matters of it is in the errors.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "the client of Kafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That all are down is told after what each of them is down by.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock() = Some((Instant::now(), reason.to_owned()));
        }
    }
}

impl Troubles {
    fn failure(&self, error: &KafkaError) -> QueueError {
        let last = self.0.lock();
        let recent = last.as_ref().filter(|(at, _)| at.elapsed() < RECENT);
        QueueError::Unavailable(match recent {
            Some((_, reason)) => format!("{error}: {reason}"),
            None => error.to_string(),
        })
    }
}

/// The partitions that this instance has pieces of.
#[derive(Default)]
struct Group {
    open: Arc<Mutex<HashMap<i32, Open>>>,
    troubles: Troubles,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.troubles.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubles.error(error, reason);
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // Whoever has a partition from now on is given it from what is committed.
        if let Rebalance::Revoke(partitions) | Rebalance::Assign(partitions) = rebalance {
            let mut open = self.open.lock();
            for partition in partitions.elements() {
                open.remove(&partition.partition());
            }
        }
    }
}

impl KafkaQueue {
    /// The topic that a URL names, `kafka://broker1:9092,broker2:9092/topic`, or `kafkas://user:password@broker1:9093/topic` for
    /// TLS and SASL. Connects in the background. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`KafkaQueueError`].
    pub fn new(url: &str, options: KafkaQueueOptions) -> Result<Self, KafkaQueueError> {
        let address = Address::read(url)?;
        let failed = |error: KafkaError| match error {
            // The value may be the password.
            KafkaError::ClientConfig(_, why, key, _) => refused(format!("{key}: {why}")),
            error => refused(error.to_string()),
        };
        let millis = |time: Duration| time.as_millis().to_string();
        let troubles = Troubles::default();
        let mut common = address.settings(options.sasl_mechanism, &options.tls)?;
        common
            .set("client.id", &options.client)
            .set_log_level(RDKafkaLogLevel::Error);
        let producer = common
            .clone()
            // With it, a piece that is sent again is there once, and no later one before it.
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "0")
            .set("message.timeout.ms", millis(options.deadline))
            .create_with_context(troubles.clone())
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
            .create_with_context(Group {
                troubles: troubles.clone(),
                ..Group::default()
            })
            .map_err(failed)?;
        consumer.subscribe(&[&address.topic]).map_err(failed)?;
        Ok(Self {
            topic: address.topic,
            options,
            producer,
            consumer,
            troubles,
            put: Mutex::default(),
        })
    }

    /// Goes back in partitions of which nothing was done for too long.
    fn go_back(&self) -> Result<(), QueueError> {
        let stuck: Vec<i32> = {
            let open = self.consumer.context().open.lock();
            let patience = self.options.claim_after;
            open.iter()
                .filter(|(_, open)| !open.offsets.is_empty() && open.since.elapsed() >= patience)
                .map(|(partition, _)| *partition)
                .collect()
        };
        for partition in stuck {
            let group = self.consumer.context();
            let first = {
                let open = group.open.lock();
                let open = open.get(&partition);
                open.and_then(|open| open.offsets.keys().next().copied())
            };
            let Some(first) = first else { continue };
            let to = Offset::Offset(first);
            // Nothing waits: what is fetched already is dropped later.
            let went = self
                .consumer
                .seek(&self.topic, partition, to, Duration::ZERO);
            went.map_err(|error| self.failure(&error))?;
            group.open.lock().remove(&partition);
        }
        Ok(())
    }

    fn failure(&self, error: &KafkaError) -> QueueError {
        self.troubles.failure(error)
    }

    /// Notes a message as taken; nothing, if it was already.
    fn note(&self, message: &BorrowedMessage<'_>) -> bool {
        let mut open = self.consumer.context().open.lock();
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
        let mut all = self.consumer.context().open.lock();
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
                .map_err(|error| self.failure(&error))?;
        }
        let committed = self.consumer.commit(&list, CommitMode::Async);
        committed.map_err(|error| self.failure(&error))
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
                _ => Err(self.failure(&error)),
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
                Err(error) if taken.is_empty() => return Err(self.failure(&error)),
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
