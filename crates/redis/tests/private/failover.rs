//! A master, a replica of it, and a Sentinel that puts the one in the place of the other.

use super::commands::send;
use super::private_cluster::eventually;
use super::private_redis::{PrivateRedis, PrivateSentinel};

/// Servers that know of each other, and end with the value.
pub(crate) struct Failover {
    pub(crate) master: PrivateRedis,
    pub(crate) replica: PrivateRedis,
    pub(crate) sentinel: PrivateSentinel,
}

impl Failover {
    /// Ready for the master to die.
    pub(crate) async fn start() -> Self {
        let master = PrivateRedis::start();
        let replica = PrivateRedis::start_replica(&master);
        // A Sentinel asks for replicas as it starts, and then only now and then.
        eventually("the replica", async || {
            let info: String = send(&master, &["INFO", "replication"]).await;
            info.contains("state=online")
        })
        .await;
        let sentinel = PrivateSentinel::start(&master);
        eventually("the Sentinel knows of the replica", async || {
            told(&sentinel, "num-slaves").await.as_deref() == Some("1")
        })
        .await;
        Self {
            master,
            replica,
            sentinel,
        }
    }
}

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
