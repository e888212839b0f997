//! Brokers that are reached by TLS.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tollgate_clicks::queue::{
    KafkaFile, KafkaQueue, KafkaQueueError, KafkaQueueOptions, KafkaTls, Put, SharedQueue as _,
};

use super::brokers::{Mock, TOPIC};
use super::front::{Authority, Front};
use super::{NEVER, options, piece, taken};
use crate::{PATIENCE, runtime};

/// Files of a test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn with(tls: KafkaTls) -> KafkaQueueOptions {
    KafkaQueueOptions {
        tls,
        ..options(NEVER)
    }
}

/// What is told of brokers that let nobody in, or are not those that were meant. What was wrong with a connection may be
/// known after the first try only.
pub(super) async fn refusal(url: &str, options: KafkaQueueOptions, expected: &str) -> String {
    let options = KafkaQueueOptions {
        deadline: Duration::from_secs(1),
        ..options
    };
    let queue = KafkaQueue::new(url, options).unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        let error = queue.put(&piece("spool-1", 32, 100), true).await;
        let text = error.unwrap_err().to_string();
        if text.contains(expected) {
            return text;
        }
        assert!(Instant::now() < end, "{text}");
    }
}

#[test]
fn brokers_are_those_of_the_authority_that_is_trusted() {
    let brokers = Mock::start(2);
    let files = Files::new();
    let (ours, other) = (Authority::new(), Authority::new());
    let trusted = |authority: &Authority, name| {
        with(KafkaTls {
            ca: Some(files.write(name, &authority.pem())),
            ..KafkaTls::default()
        })
    };
    runtime().block_on(async {
        let front = Front::start(&brokers.addresses(), ours.server("127.0.0.1", None)).await;
        let url = format!("kafkas://{}/{TOPIC}", front.addresses());
        let queue = KafkaQueue::new(&url, trusted(&ours, "ours.pem")).unwrap();
        let first = piece("spool-1", 32, 100);
        assert_eq!(queue.put(&first, true).await, Ok(Put::Done));
        assert_eq!(taken(&queue, 1).await[0].piece, first);

        let failed = "certificate verify failed";
        refusal(&url, trusted(&other, "other.pem"), failed).await;
        refusal(&url, options(NEVER), failed).await;
        // The certificate of somebody else.
        let elsewhere = ours.server("other.example", None);
        let front = Front::start(&brokers.addresses(), elsewhere).await;
        let url = format!("kafkas://{}/{TOPIC}", front.addresses());
        refusal(&url, trusted(&ours, "ours.pem"), failed).await;
        // Brokers that speak no TLS.
        let url = format!("kafkas://{}/{TOPIC}", brokers.addresses());
        refusal(&url, trusted(&ours, "ours.pem"), "SSL").await;
    });
}

#[test]
fn brokers_may_ask_for_a_certificate() {
    let brokers = Mock::start(2);
    let files = Files::new();
    let (ours, clients) = (Authority::new(), Authority::new());
    let ca = files.write("ca.pem", &ours.pem());
    let shown = |authority: &Authority, name: &str| {
        let (certificate, key) = authority.sign("tollgate");
        with(KafkaTls {
            ca: Some(ca.clone()),
            certificate: Some(files.write(&format!("{name}.pem"), &certificate.pem())),
            key: Some(files.write(&format!("{name}.key"), &key.serialize_pem())),
        })
    };
    runtime().block_on(async {
        let config = ours.server("127.0.0.1", Some(&clients));
        let front = Front::start(&brokers.addresses(), config).await;
        let url = format!("kafkas://{}/{TOPIC}", front.addresses());
        let queue = KafkaQueue::new(&url, shown(&clients, "client")).unwrap();
        let first = piece("spool-1", 32, 100);
        assert_eq!(queue.put(&first, true).await, Ok(Put::Done));
        assert_eq!(taken(&queue, 1).await[0].piece, first);

        let nobody = with(KafkaTls {
            ca: Some(ca.clone()),
            ..KafkaTls::default()
        });
        refusal(&url, nobody, "certificate").await;
        refusal(&url, shown(&ours, "stranger"), "alert").await;
    });
}

#[test]
fn files_that_are_no_good_are_told() {
    let files = Files::new();
    let ours = Authority::new();
    let (certificate, key) = ours.sign("tollgate");
    let certificate = files.write("c.pem", &certificate.pem());
    let key = files.write("k.pem", &key.serialize_pem());
    let garbage = files.write("garbage.pem", "sesame");
    let missing = garbage.with_file_name("missing.pem");
    let tls = KafkaTls::default;
    let _entered = runtime().enter();
    let refused = |url: &str, tls: KafkaTls| KafkaQueue::new(url, with(tls)).unwrap_err();
    for (file, tls) in [
        (
            KafkaFile::Ca,
            KafkaTls {
                ca: Some(missing),
                ..tls()
            },
        ),
        (
            KafkaFile::Ca,
            KafkaTls {
                ca: Some(garbage.clone()),
                ..tls()
            },
        ),
        (
            KafkaFile::Certificate,
            KafkaTls {
                certificate: Some(garbage.clone()),
                key: Some(key.clone()),
                ..tls()
            },
        ),
        (
            KafkaFile::Key,
            KafkaTls {
                certificate: Some(certificate),
                key: Some(garbage),
                ..tls()
            },
        ),
    ] {
        let error = refused("kafkas://127.0.0.1:1/clicks", tls);
        assert!(
            matches!(&error, KafkaQueueError::File(told, _) if *told == file),
            "{error:?}"
        );
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
    let half = KafkaTls {
        key: Some(key.clone()),
        ..tls()
    };
    let error = refused("kafkas://127.0.0.1:1/clicks", half.clone());
    assert_eq!(error, KafkaQueueError::Half);
    let error = refused("kafka://127.0.0.1:1/clicks", half);
    assert_eq!(error, KafkaQueueError::NoTls);
}
