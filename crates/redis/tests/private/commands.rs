//! What tests ask a server themselves.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::private_redis::PrivateRedis;

/// Longer than any pause of a loaded machine: for tests of what is decided, not of when.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A connection of the test itself.
pub(crate) async fn connection(redis: &PrivateRedis) -> MultiplexedConnection {
    let client = redis::Client::open(redis.url()).unwrap();
    let config = redis::AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap()
}

/// Sends a command, and reads the answer.
pub(crate) async fn send<T: redis::FromRedisValue>(redis: &PrivateRedis, command: &[&str]) -> T {
    let mut connection = connection(redis).await;
    let (name, arguments) = command.split_first().unwrap();
    redis::cmd(name)
        .arg(arguments)
        .query_async(&mut connection)
        .await
        .unwrap()
}
