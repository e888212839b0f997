//! A call of a script on one server.

use redis::aio::ConnectionLike as _;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind};

use crate::link::Ready;

/// What is asked, of whichever server.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Another script than that of the [`Client`](crate::Client), sent whole.
    pub script: Option<&'a str>,
    /// The keys; in a cluster all of one slot.
    pub keys: &'a [Vec<u8>],
    /// The first arguments.
    pub numbers: &'a [u64],
    /// The arguments behind the numbers.
    pub words: &'a [&'a [u8]],
}

impl Call<'_> {
    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        command.arg(self.keys).arg(self.numbers).arg(self.words);
        command
    }

    /// Calls the script.
    pub(crate) async fn on<T: FromRedisValue>(
        &self,
        ready: &Ready,
        script: &str,
    ) -> RedisResult<T> {
        let mut connection = ready.connection.clone();
        if self.script.is_none() {
            let known = self.command("EVALSHA", &ready.script);
            match known.query_async(&mut connection).await {
                // Redis forgot the script; sent whole, it is remembered again.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {}
                answer => return answer,
            }
        }
        let whole = self.command("EVAL", self.script.unwrap_or(script));
        whole.query_async(&mut connection).await
    }

    /// Calls the script on the server that the slot of the keys is about to move to.
    pub(crate) async fn asking<T: FromRedisValue>(
        &self,
        ready: &Ready,
        script: &str,
    ) -> RedisResult<T> {
        // In one piece: it holds for the next command of the connection, which others use too.
        let mut both = redis::pipe();
        both.cmd("ASKING");
        both.add_command(self.command("EVAL", self.script.unwrap_or(script)));
        let mut connection = ready.connection.clone();
        let mut answers = connection.req_packed_commands(&both, 0, 2).await?;
        let last = answers.pop().unwrap_or(redis::Value::Nil);
        Ok(T::from_redis_value(last.extract_error()?)?)
    }
}
