//! Stores and charges of the tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tollgate_limit::store::{Charge, LimitKey, RedisOptions, RedisStore};
use tollgate_limit::{AlgorithmKind, Limiter, Quota};

pub(crate) use crate::commands::{PATIENCE, send};
use crate::private_cluster::PrivateCluster;
use crate::private_redis::PrivateRedis;

pub(crate) fn patient() -> RedisOptions {
    RedisOptions {
        deadline: PATIENCE,
        connect_within: PATIENCE,
        ..RedisOptions::default()
    }
}

pub(crate) async fn store(redis: &PrivateRedis) -> RedisStore {
    RedisStore::connect(&redis.url(), patient()).await.unwrap()
}

pub(crate) async fn store_in(cluster: &PrivateCluster, options: RedisOptions) -> RedisStore {
    RedisStore::connect(&cluster.url(), options).await.unwrap()
}

/// So many in a year: no test lives to see any of it come back.
pub(crate) fn yearly(kind: AlgorithmKind, limit: u64) -> Limiter {
    let year = Duration::from_secs(365 * 86_400);
    Limiter::new(kind, Quota::new(limit, year).unwrap(), None).unwrap()
}

pub(crate) fn charge(key: &str, limiter: Limiter, cost: u64) -> Charge {
    Charge {
        key: LimitKey::new(format!("domain|key={key}|").as_bytes()).unwrap(),
        limiter,
        cost,
        binds: true,
        leased: false,
    }
}

/// The time of this machine, in seconds.
pub(crate) fn seconds() -> f64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    since.as_secs_f64()
}

/// Every command that the server is sent from now on, a line each.
pub(crate) struct Monitor(BufReader<TcpStream>);

impl Monitor {
    pub(crate) fn of(redis: &PrivateRedis) -> Self {
        let mut stream = TcpStream::connect(redis.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut monitor = Self(BufReader::new(stream));
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
