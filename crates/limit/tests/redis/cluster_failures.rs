//! A cluster whose masters die or hang: replicas take over, and the store finds them.

use std::sync::Arc;
use std::time::Duration;

use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::{LimitStore as _, RedisOptions, RedisStore, StoreError};

use crate::bench::{charge, patient, send, store_in, yearly};
use crate::failures::{DEADLINE, Load};
use crate::private_cluster::{PrivateCluster, eventually};

/// After so many milliseconds a member is away.
const TIMEOUT: u32 = 1_500;
const TAG: &str = "{domain}";

async fn slot(cluster: &PrivateCluster) -> u16 {
    send(&cluster.servers[0], &["CLUSTER", "KEYSLOT", TAG]).await
}

/// What it says about the slot of the domain, once it says anything.
async fn remaining(store: &RedisStore) -> u64 {
    let request = [charge("k", yearly(AlgorithmKind::Gcra, 10), 1)];
    let end = std::time::Instant::now() + 2 * crate::bench::PATIENCE;
    loop {
        match store.decide(&request).await {
            Ok(answer) => return answer[0].decision.remaining(),
            Err(StoreError::Unavailable(why)) => {
                assert!(std::time::Instant::now() < end, "{why}");
            }
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Until all members know that all is well.
async fn settled(cluster: &PrivateCluster) {
    eventually("a sound cluster", async || {
        for server in &cluster.servers {
            let info: String = send(server, &["CLUSTER", "INFO"]).await;
            let nodes: String = send(server, &["CLUSTER", "NODES"]).await;
            let role: String = send(server, &["INFO", "replication"]).await;
            let replicates = role.contains("role:master") || role.contains("link_status:up");
            if !info.contains("cluster_state:ok") || nodes.contains("fail") || !replicates {
                return false;
            }
        }
        cluster.masters().await.len() == 3
    })
    .await;
}

/// Until the replica of this master has all it has.
async fn replicated(cluster: &PrivateCluster, master: usize) {
    let key = ["GET", "tollgate:{domain}|key=k|"];
    let own: Option<Vec<u8>> = send(&cluster.servers[master], &key).await;
    let offset = |info: &str, field: &str| {
        let mut lines = info.lines().map(str::to_owned);
        lines.find_map(|line| line.strip_prefix(field)?.parse::<u64>().ok())
    };
    assert!(own.is_some());
    let info: String = send(&cluster.servers[master], &["INFO", "replication"]).await;
    let written = offset(&info, "master_repl_offset:");
    let port = info
        .split("port=")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .unwrap_or_else(|| panic!("no replica: {info}"));
    let replica = cluster
        .servers
        .iter()
        .find(|server| server.address().ends_with(port));
    let replica = replica.unwrap();
    eventually("the replica", async || {
        let info: String = send(replica, &["INFO", "replication"]).await;
        offset(&info, "slave_repl_offset:") >= written
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_with_what_was_counted() {
    let mut cluster = PrivateCluster::start_with(TIMEOUT).await;
    let mut options = patient();
    // A server that is away has to be given up to look for another.
    options.deadline = Duration::from_secs(2);
    let store = store_in(&cluster, options).await;
    let slot = slot(&cluster).await;
    let mut left = 9;
    assert_eq!(remaining(&store).await, left);
    for round in 0..2 {
        let master = cluster.holder(slot).await;
        replicated(&cluster, master).await;
        cluster.servers[master].kill();
        left -= 1;
        assert_eq!(remaining(&store).await, left, "round {round}");
        assert_ne!(cluster.holder(slot).await, master);
        cluster.servers[master].restart();
        settled(&cluster).await;
        left -= 1;
        assert_eq!(remaining(&store).await, left, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_that_die_or_hang_hold_no_call_up() {
    let mut cluster = PrivateCluster::start_with(TIMEOUT).await;
    let options = RedisOptions {
        deadline: DEADLINE,
        ..RedisOptions::default()
    };
    let store = Arc::new(store_in(&cluster, options).await);
    let slot = slot(&cluster).await;
    let load = Load::on(&store);
    load.answers().await;
    for hangs in [true, false] {
        let master = cluster.holder(slot).await;
        match hangs {
            true => cluster.servers[master].freeze(),
            false => cluster.servers[master].kill(),
        }
        load.failures().await;
        load.answers().await;
        match hangs {
            true => cluster.servers[master].thaw(),
            false => cluster.servers[master].restart(),
        }
        settled(&cluster).await;
        assert_ne!(cluster.holder(slot).await, master);
        load.answers().await;
    }
    load.end().await;
}
