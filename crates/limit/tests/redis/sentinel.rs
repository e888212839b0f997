//! A master that dies, and the replica that a Sentinel puts in its place.

use std::time::{Duration, Instant};

use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::{LimitStore as _, RedisStore};

use crate::bench::{PATIENCE, charge, patient, send, yearly};
use crate::private_redis::{PrivateRedis, PrivateSentinel};

/// What a Sentinel says of its master.
async fn told(sentinel: &PrivateSentinel, field: &str) -> Option<String> {
    let client = redis::Client::open(sentinel.own_url()).ok()?;
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("MASTER").arg("main");
    let fields: Vec<String> = command.query_async(&mut connection).await.ok()?;
    let mut pairs = fields.chunks(2);
    pairs.find_map(|pair| (pair[0] == field).then(|| pair[1].clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_goes_on_with_what_was_counted() {
    let mut master = PrivateRedis::start();
    let replica = PrivateRedis::start_replica(&master);
    // A Sentinel asks for replicas as it starts, and then only now and then.
    let end = Instant::now() + PATIENCE;
    while !send::<String>(&master, &["INFO", "replication"])
        .await
        .contains("state=online")
    {
        assert!(Instant::now() < end, "no replica");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sentinel = PrivateSentinel::start(&master);
    while told(&sentinel, "num-slaves").await.as_deref() != Some("1") {
        assert!(Instant::now() < end, "the Sentinel knows no replica");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut options = patient();
    options.connect_within = Duration::from_secs(5);
    let store = RedisStore::connect(&sentinel.url(), options).await.unwrap();
    let request = [charge("k", yearly(AlgorithmKind::Gcra, 10), 1)];
    for left in (5..10).rev() {
        let answer = store.decide(&request).await.unwrap();
        assert_eq!(answer[0].decision.remaining(), left);
    }
    let get = ["GET", "tollgate:{domain}|key=k|"];
    while send::<Vec<u8>>(&replica, &get).await != send::<Vec<u8>>(&master, &get).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    master.kill();
    let end = Instant::now() + 2 * PATIENCE;
    loop {
        match store.decide(&request).await {
            Ok(answer) => {
                assert_eq!(answer[0].decision.remaining(), 4);
                break;
            }
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let role: String = send(&replica, &["INFO", "replication"]).await;
    assert!(role.contains("role:master"), "{role}");
}
