//! A call of the script on one server.

use redis::aio::ConnectionLike as _;
use redis::{Cmd, ErrorKind, FromRedisValue as _, RedisResult, ServerErrorKind};

use super::link::Ready;
use super::order::Order;

/// What is asked, of whichever server.
pub(super) struct Call<'a> {
    pub(super) script: &'a str,
    pub(super) order: &'a Order,
    /// What tests give along.
    pub(super) extra: &'a [u64],
    /// Text behind the numbers.
    pub(super) words: &'a [&'a str],
    /// Whether it is the script that connections load when they are made.
    pub(super) loaded: bool,
}

impl Call<'_> {
    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.order.keys.len());
        command.arg(&self.order.keys).arg(&self.order.numbers);
        command.arg(self.extra).arg(self.words);
        command
    }

    /// Calls the script.
    pub(super) async fn on(&self, ready: &Ready) -> RedisResult<Vec<i64>> {
        let mut connection = ready.connection.clone();
        if self.loaded {
            let known = self.command("EVALSHA", &ready.script);
            match known.query_async(&mut connection).await {
                // Redis forgot the script; sent whole, it is remembered again.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {}
                answer => return answer,
            }
        }
        let whole = self.command("EVAL", self.script);
        whole.query_async(&mut connection).await
    }

    /// Calls the script on the server that the slot of the keys is about to move to.
    pub(super) async fn asking(&self, ready: &Ready) -> RedisResult<Vec<i64>> {
        // In one piece: it holds for the next command of the connection, which others use too.
        let mut both = redis::pipe();
        both.cmd("ASKING");
        both.add_command(self.command("EVAL", self.script));
        let mut connection = ready.connection.clone();
        let mut answers = connection.req_packed_commands(&both, 0, 2).await?;
        let last = answers.pop().unwrap_or(redis::Value::Nil);
        Ok(Vec::from_redis_value(last.extract_error()?)?)
    }
}
