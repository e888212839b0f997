//! A Redis Cluster of a test's own: three masters, and a replica of each.

use std::process::Command;
use std::time::{Duration, Instant};

use super::commands::{PATIENCE, send};
use super::private_redis::PrivateRedis;

const MASTERS: usize = 3;

/// Six servers, which end with the value.
pub(crate) struct PrivateCluster {
    pub(crate) servers: Vec<PrivateRedis>,
}

impl PrivateCluster {
    /// One whose members are never taken to be away, however loaded the machine is.
    pub(crate) async fn start() -> Self {
        Self::start_with(600_000).await
    }

    /// One in which a member is away after `timeout` milliseconds without a word.
    pub(crate) async fn start_with(timeout: u32) -> Self {
        let servers: Vec<_> = (0..2 * MASTERS)
            .map(|_| PrivateRedis::start_member(timeout))
            .collect();
        let cluster = Self { servers };
        let addresses = cluster.servers.iter().map(PrivateRedis::address);
        let mut create: Vec<String> = vec!["create".to_owned()];
        create.extend(addresses);
        create.extend(["--cluster-replicas", "1", "--cluster-yes"].map(str::to_owned));
        cluster_cli(&create).unwrap();
        for server in &cluster.servers {
            eventually("a sound cluster", async || {
                let info: String = send(server, &["CLUSTER", "INFO"]).await;
                let role: String = send(server, &["INFO", "replication"]).await;
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && info.contains("cluster_known_nodes:6")
                    && (role.contains("role:master") && role.contains("state=online")
                        || role.contains("master_link_status:up"))
            })
            .await;
        }
        cluster
    }

    /// The URL of all of them.
    pub(crate) fn url(&self) -> String {
        let addresses: Vec<String> = self.servers.iter().map(PrivateRedis::address).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// Which of the servers that run holds this slot as the first one of them knows.
    pub(crate) async fn holder(&self, slot: u16) -> usize {
        for (at, server) in self.servers.iter().enumerate() {
            if self.holds(server, slot).await {
                return at;
            }
        }
        panic!("nobody holds {slot}");
    }

    /// Whether it is the master of this slot, as it knows itself.
    async fn holds(&self, server: &PrivateRedis, slot: u16) -> bool {
        if !server.runs() {
            return false;
        }
        let nodes: String = send(server, &["CLUSTER", "NODES"]).await;
        let Some(own) = nodes.lines().find(|line| line.contains("myself,master")) else {
            return false;
        };
        own.split(' ').skip(8).any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let bounds = (first.parse::<u16>(), last.parse::<u16>());
            matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&slot))
        })
    }

    /// Which servers are masters, as they know themselves.
    pub(crate) async fn masters(&self) -> Vec<usize> {
        let mut masters = Vec::new();
        for (at, server) in self.servers.iter().enumerate() {
            let role: String = send(server, &["INFO", "replication"]).await;
            if role.contains("role:master") {
                masters.push(at);
            }
        }
        masters
    }

    /// Begins to move a slot from its master, which is answered, to another one.
    pub(crate) async fn begin_migration(&self, slot: u16, to: usize) -> usize {
        let from = self.holder(slot).await;
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let slot = slot.to_string();
        for (server, state, other) in [
            (target, "IMPORTING", identity(source).await),
            (source, "MIGRATING", identity(target).await),
        ] {
            let set = ["CLUSTER", "SETSLOT", &slot, state, &other];
            let _: String = send(server, &set).await;
        }
        from
    }

    /// Moves its keys, `between` two of them, and ends the move.
    pub(crate) async fn end_migration(&self, slot: u16, from: usize, to: usize, between: Duration) {
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let slot = slot.to_string();
        let address = target.address();
        let (host, port) = address.split_once(':').unwrap();
        loop {
            tokio::time::sleep(between).await;
            let keys: Vec<String> = send(source, &["CLUSTER", "GETKEYSINSLOT", &slot, "1"]).await;
            let Some(key) = keys.first() else {
                break;
            };
            // NOKEY if it expired.
            let _: String = send(source, &["MIGRATE", host, port, key, "0", "60000"]).await;
        }
        let new = identity(target).await;
        for server in [target, source] {
            let node = ["CLUSTER", "SETSLOT", &slot, "NODE", &new];
            let _: String = send(server, &node).await;
        }
    }
}

async fn identity(server: &PrivateRedis) -> String {
    send(server, &["CLUSTER", "MYID"]).await
}

/// `redis-cli --cluster` with these arguments; what it said if it failed.
pub(crate) fn cluster_cli(arguments: &[String]) -> Result<(), String> {
    let output = Command::new("redis-cli")
        .arg("--cluster")
        .args(arguments)
        .output()
        .expect("redis-cli is installed");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(()).ok_or(told)
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
