//! Messages, and scripts, with servers of the tests' own.

// Set-up outside of the test functions may fail as loudly as they do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../private/commands.rs"]
mod commands;
#[path = "../private/free_port.rs"]
mod free_port;
#[allow(dead_code, reason = "shared with the tests of limits")]
#[path = "../private/private_cluster.rs"]
mod private_cluster;
#[allow(dead_code, reason = "shared with the tests of limits")]
#[path = "../private/private_redis.rs"]
mod private_redis;

use std::time::Duration;

use tollgate_redis::{AskError, Call, Client, ClientOptions, Subscription};

use crate::commands::{PATIENCE, send};
use crate::private_cluster::{PrivateCluster, eventually};
use crate::private_redis::{PrivateRedis, PrivateSentinel};

/// Publishes its second argument on the channel named by the first, and answers the key.
const SCRIPT: &str = "redis.call('PUBLISH', ARGV[1], ARGV[2]) return KEYS[1]";

fn client(url: &str) -> Client {
    let options = ClientOptions {
        script: SCRIPT,
        connect_within: PATIENCE,
    };
    Client::new(url, options).unwrap()
}

async fn publish(client: &Client, key: &str, message: &[u8]) {
    let call = Call {
        script: None,
        keys: &[key.as_bytes().to_vec()],
        numbers: &[],
        words: &[b"channel", message],
    };
    let answer: String = client.ask(&call, PATIENCE).await.unwrap();
    assert_eq!(answer, key);
}

async fn heard(subscription: &mut Subscription) -> Vec<u8> {
    subscription.next(PATIENCE).await.unwrap()
}

#[tokio::test]
async fn messages_arrive_whole_and_in_order_until_the_server_ends() {
    let mut redis = PrivateRedis::start();
    let client = client(&redis.url());
    let mut subscription = client.subscribe(b"channel").await.unwrap();
    let messages: [&[u8]; 4] = [b"one", b"", b"\0\r\n\xff", b"two"];
    for message in messages {
        publish(&client, "key", message).await;
    }
    for message in messages {
        assert_eq!(heard(&mut subscription).await, message);
    }
    redis.kill();
    let lost = subscription.next(PATIENCE).await;
    assert!(matches!(lost, Err(AskError::Unavailable(_))), "{lost:?}");
    redis.restart();
    let mut subscription = client.subscribe(b"channel").await.unwrap();
    let _: i64 = send(&redis, &["PUBLISH", "channel", "again"]).await;
    assert_eq!(heard(&mut subscription).await, b"again");
}

#[tokio::test]
async fn silence_is_no_loss_but_a_server_that_hangs_is() {
    let redis = PrivateRedis::start();
    let client = client(&redis.url());
    let mut subscription = client.subscribe(b"channel").await.unwrap();
    // Longer than many silences, each of which ends with a question that is answered.
    let quiet = subscription.next(Duration::from_millis(500));
    let quiet = tokio::time::timeout(Duration::from_secs(3), quiet).await;
    assert!(quiet.is_err(), "{quiet:?}");
    redis.freeze();
    let lost = subscription.next(Duration::from_millis(200)).await;
    assert!(matches!(lost, Err(AskError::Unavailable(_))), "{lost:?}");
    redis.thaw();
}

#[tokio::test]
async fn a_server_that_refuses_says_so() {
    let redis = PrivateRedis::start();
    let client = client(&redis.url());
    let _: String = send(&redis, &["ACL", "SETUSER", "default", "-subscribe"]).await;
    let refused = client.subscribe(b"channel").await.unwrap_err();
    assert!(refused.to_string().contains("permissions"), "{refused}");
}

#[tokio::test]
async fn messages_of_a_master_are_heard_that_a_sentinel_names() {
    let master = PrivateRedis::start();
    let sentinel = PrivateSentinel::start(&master);
    let client = client(&sentinel.url());
    eventually("the Sentinel answers", async || {
        client.ready().await.is_ok()
    })
    .await;
    let mut subscription = client.subscribe(b"channel").await.unwrap();
    publish(&client, "key", b"one").await;
    assert_eq!(heard(&mut subscription).await, b"one");
}

#[tokio::test]
async fn every_server_of_a_cluster_tells_what_any_of_them_is_told() {
    let cluster = PrivateCluster::start().await;
    let client = client(&cluster.url());
    client.ready().await.unwrap();
    // To another server each time.
    let mut subscriptions = Vec::new();
    for _ in &cluster.servers {
        subscriptions.push(client.subscribe(b"channel").await.unwrap());
    }
    for server in &cluster.servers {
        let clients: String = send(server, &["CLIENT", "LIST", "TYPE", "pubsub"]).await;
        assert_eq!(clients.lines().count(), 1, "{clients}");
    }
    // Keys of different servers.
    for key in ["a", "b", "c", "d", "e", "f"] {
        publish(&client, key, key.as_bytes()).await;
        for subscription in &mut subscriptions {
            assert_eq!(heard(subscription).await, key.as_bytes());
        }
    }
}
