//! What stands for Redis: its keys, its clock and its channel, with the script of production in Lua.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlua::{FromLua as _, Function, Lua, Value};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tollgate_clock::Clock;
use tollgate_redis::{AskError, Call};

use super::super::super::script::{Answer, News, SCRIPT, Server};
use super::world::{Way, World};

/// One Redis.
pub(super) struct Redis {
    lua: Lua,
    script: Function,
    keys: Arc<Mutex<Keys>>,
    listeners: Mutex<Vec<(Way, UnboundedSender<Vec<u8>>)>>,
    messages: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Default)]
struct Keys {
    /// Values, and when they end.
    values: HashMap<Vec<u8>, (Vec<u8>, i64)>,
}

impl Redis {
    pub(super) fn new(world: &Arc<World>) -> Arc<Self> {
        let (lua, clock) = (Lua::new(), world.right_clock());
        let (keys, messages) = (Arc::<Mutex<Keys>>::default(), Arc::default());
        let calls = (Arc::clone(&keys), Arc::clone(&messages));
        let call = lua.create_function(
            move |lua, (name, arguments): (String, mlua::Variadic<Value>)| {
                call(lua, &*clock, &calls.0, &calls.1, &name, &arguments)
            },
        );
        let table = lua.create_table().unwrap();
        table.set("call", call.unwrap()).unwrap();
        lua.globals().set("redis", table).unwrap();
        let script = lua.load(SCRIPT).into_function().unwrap();
        Arc::new(Self {
            lua,
            script,
            keys,
            listeners: Mutex::default(),
            messages,
        })
    }

    /// Runs the script. What it has to tell is on its way then.
    fn run(&self, key: &[u8], words: &[Vec<u8>]) -> Answer {
        let globals = self.lua.globals();
        let bytes = |bytes: &[u8]| self.lua.create_string(bytes).unwrap();
        globals.set("KEYS", vec![bytes(key)]).unwrap();
        let words: Vec<_> = words.iter().map(|word| bytes(word)).collect();
        globals.set("ARGV", words).unwrap();
        let answer: mlua::Table = self.script.call(()).unwrap();
        let value: mlua::LuaString = answer.get(3).unwrap();
        let answer = (
            answer.get(1).unwrap(),
            answer.get(2).unwrap(),
            value.as_bytes().to_vec(),
        );
        for message in self.messages.lock().drain(..) {
            self.listeners
                .lock()
                .retain(|(_, listener)| !listener.is_closed());
            for (way, listener) in self.listeners.lock().iter() {
                let (way, listener, message) = (way.clone(), listener.clone(), message.clone());
                tokio::spawn(async move {
                    if way.arrives("news").await {
                        let _ = listener.send(message);
                    }
                });
            }
        }
        answer
    }

    /// It starts anew, with nothing.
    pub(super) fn empty(&self) {
        self.keys.lock().values.clear();
    }
}

fn call(
    lua: &Lua,
    clock: &dyn Clock,
    keys: &Mutex<Keys>,
    messages: &Mutex<Vec<Vec<u8>>>,
    name: &str,
    arguments: &[Value],
) -> mlua::Result<Value> {
    let now = clock.now().as_millis();
    // As Redis has it: numbers are written as text.
    let bytes = |at: usize| -> mlua::Result<Vec<u8>> {
        let argument = arguments.get(at).cloned().unwrap_or(Value::Nil);
        Ok(mlua::LuaString::from_lua(argument, lua)?
            .as_bytes()
            .to_vec())
    };
    let mut keys = keys.lock();
    keys.values.retain(|_, (_, ends)| *ends > now);
    match name {
        "GET" => match keys.values.get(&bytes(0)?) {
            Some((value, _)) => Ok(Value::String(lua.create_string(value)?)),
            None => Ok(Value::Boolean(false)),
        },
        "SET" => {
            assert_eq!(bytes(2)?, b"PX");
            let lasts: i64 = String::from_utf8(bytes(3)?).unwrap().parse().unwrap();
            assert!(lasts > 0);
            keys.values.insert(bytes(0)?, (bytes(1)?, now + lasts));
            Ok(Value::Boolean(true))
        }
        "DEL" => Ok(Value::Integer(
            keys.values.remove(&bytes(0)?).is_some().into(),
        )),
        "TIME" => {
            let (seconds, micros) = (now / 1_000, now % 1_000 * 1_000);
            let time = [seconds.to_string(), micros.to_string()];
            Ok(Value::Table(lua.create_sequence_from(time)?))
        }
        "PUBLISH" => {
            messages.lock().push(bytes(1)?);
            Ok(Value::Integer(1))
        }
        other => panic!("the script calls {other}"),
    }
}

/// A server's way to Redis.
pub(super) struct Connection {
    pub(super) redis: Arc<Redis>,
    pub(super) way: Way,
}

#[async_trait]
impl Server for Connection {
    async fn ready(&self) -> Result<(), AskError> {
        Ok(())
    }

    async fn ask(&self, call: &Call<'_>, within: Duration) -> Result<Answer, AskError> {
        let (redis, key) = (Arc::clone(&self.redis), call.keys[0].clone());
        let words: Vec<Vec<u8>> = call.words.iter().map(|word| word.to_vec()).collect();
        let about = format!(
            "{} {}",
            String::from_utf8_lossy(&key),
            String::from_utf8_lossy(&words[0])
        );
        let work = async move { redis.run(&key, &words) };
        let asked = timeout(within, self.way.call(&about, work)).await;
        asked.ok().flatten().ok_or_else(away)
    }

    async fn subscribe(&self, _: &[u8]) -> Result<Box<dyn News>, AskError> {
        let (redis, way) = (Arc::clone(&self.redis), self.way.clone());
        let (sender, messages) = unbounded_channel();
        let listener = sender.clone();
        let listens = async move { redis.listeners.lock().push((way, listener)) };
        self.way.call("subscribe", listens).await.ok_or_else(away)?;
        Ok(Box::new(Listening {
            way: self.way.clone(),
            messages,
            _open: sender,
        }))
    }
}

struct Listening {
    way: Way,
    messages: UnboundedReceiver<Vec<u8>>,
    _open: UnboundedSender<Vec<u8>>,
}

#[async_trait]
impl News for Listening {
    async fn next(&mut self, silence: Duration) -> Result<Vec<u8>, AskError> {
        loop {
            match timeout(silence, self.messages.recv()).await {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => return Err(away()),
                Err(_) => match timeout(silence, self.way.call("ping", async {})).await {
                    Ok(Some(())) => {}
                    _ => return Err(away()),
                },
            }
        }
    }
}

fn away() -> AskError {
    AskError::Unavailable("no answer".to_owned())
}
