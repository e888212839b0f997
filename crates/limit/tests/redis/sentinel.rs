//! A master that dies, and the replica that a Sentinel puts in its place.

use std::time::{Duration, Instant};

use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::{LimitStore as _, RedisStore};

use crate::bench::{PATIENCE, charge, patient, send, yearly};
use crate::failover::Failover;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_goes_on_with_what_was_counted() {
    let Failover {
        mut master,
        replica,
        sentinel,
    } = Failover::start().await;
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
