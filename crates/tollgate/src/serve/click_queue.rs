//! Clicks on their way to whichever server counts them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tollgate_clicks::SourceId;
use tollgate_clicks::queue::{ForwardOptions, ForwardStats, Forwarder, SharedQueue};
use tollgate_clicks::spool::SpoolSource;
use tollgate_clicks::store::ClickStore;
use tollgate_config::{ClickQueue, Config, Secret};
use tollgate_server::metrics::{Counter, Metrics};

/// How long the last clicks may take into the queue when the server ends.
const LAST: Duration = Duration::from_secs(2);

/// The queue that servers share; none if each counts its own clicks. `spool` names this server among them.
pub(super) fn open(
    config: &Config,
    spool: &SourceId,
) -> anyhow::Result<Option<Arc<dyn SharedQueue>>> {
    match &config.clicks.queue {
        ClickQueue::Local => Ok(None),
        ClickQueue::Redis(url) => Ok(Some(redis(url, config, spool).context("clicks.queue")?)),
        ClickQueue::Kafka(url) => Ok(Some(kafka(url, config, spool)?)),
    }
}

#[cfg(feature = "redis")]
fn redis(url: &Secret, config: &Config, spool: &SourceId) -> anyhow::Result<Arc<dyn SharedQueue>> {
    use tollgate_clicks::queue::{RedisQueue, RedisQueueOptions};

    let options = RedisQueueOptions {
        consumer: spool.0.to_string(),
        max_entries: config.clicks_redis.max_entries,
        claim_after: config.clicks_redis.claim_after,
        deadline: config.clicks_redis.deadline,
    };
    Ok(Arc::new(RedisQueue::new(url.expose(), options)?))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &Secret, _: &Config, _: &SourceId) -> anyhow::Result<Arc<dyn SharedQueue>> {
    anyhow::bail!("this build has no Redis: build with --features redis")
}

#[cfg(feature = "kafka")]
fn kafka(url: &Secret, config: &Config, spool: &SourceId) -> anyhow::Result<Arc<dyn SharedQueue>> {
    use tollgate_clicks::queue::{
        KafkaFile, KafkaQueue, KafkaQueueError, KafkaQueueOptions, KafkaTls, SaslMechanism,
    };

    let given = &config.clicks_kafka;
    let options = KafkaQueueOptions {
        client: spool.0.to_string(),
        claim_after: given.claim_after,
        deadline: given.deadline,
        sasl_mechanism: match given.sasl_mechanism {
            tollgate_config::SaslMechanism::Plain => SaslMechanism::Plain,
            tollgate_config::SaslMechanism::ScramSha256 => SaslMechanism::ScramSha256,
            tollgate_config::SaslMechanism::ScramSha512 => SaslMechanism::ScramSha512,
        },
        tls: KafkaTls {
            ca: given.ca_file.clone(),
            certificate: given.client_cert.clone(),
            key: given.client_key.clone(),
        },
    };
    let queue = KafkaQueue::new(url.expose(), options).map_err(|error| {
        let key = match &error {
            KafkaQueueError::File(KafkaFile::Ca, _) => "clicks.kafka.ca_file",
            KafkaQueueError::File(KafkaFile::Certificate, _) => "clicks.kafka.client_cert",
            KafkaQueueError::File(KafkaFile::Key, _) => "clicks.kafka.client_key",
            _ => "clicks.queue",
        };
        anyhow::Error::new(error).context(key)
    })?;
    Ok(Arc::new(queue))
}

#[cfg(not(feature = "kafka"))]
fn kafka(_: &Secret, _: &Config, _: &SourceId) -> anyhow::Result<Arc<dyn SharedQueue>> {
    anyhow::bail!("clicks.queue: this build has no client of Kafka: build with --features kafka")
}

/// What forwards the spool, with its metrics.
pub(super) fn forwarder(
    spool: SpoolSource,
    queue: Arc<dyn SharedQueue>,
    store: Arc<dyn ClickStore>,
    metrics: &Metrics,
) -> Forwarder {
    let forwarder = Forwarder::new(spool, queue, store, ForwardOptions::default());
    let counters: [Counter<Arc<ForwardStats>>; 4] = [
        (
            "tollgate_clicks_queue_pieces",
            "Pieces of the spool that were put into the queue",
            |stats| stats.pieces(),
        ),
        (
            "tollgate_clicks_queue_full",
            "Times that the queue was full",
            |stats| stats.full(),
        ),
        (
            "tollgate_clicks_queue_failures",
            "Times that clicks could not be put into the queue",
            |stats| stats.failures(),
        ),
        (
            "tollgate_clicks_queue_again",
            "Times that clicks were put into the queue again because it seemed to have lost them",
            |stats| stats.again(),
        ),
    ];
    let stats = forwarder.stats();
    metrics.register_counters(counters, move || Arc::clone(&stats));
    forwarder
}

/// Forwards until `end`, and then what is left: the disk of this server may not come back.
pub(super) async fn forward(forwarder: Forwarder, end: CancellationToken) {
    end.run_until_cancelled(forwarder.run()).await;
    match tokio::time::timeout(LAST, forwarder.finish()).await {
        Ok(true) => {}
        Ok(false) | Err(_) => {
            tracing::warn!("the last clicks are not in the queue: they wait in the spool");
        }
    }
}
