//! A cluster: which server holds a key, and a connection to each server.
//!
//! The cluster client of the `redis` crate is not used. While it learns where slots are, it answers
//! nobody, for as long as a server that hangs may take; it does not notice that one hangs if callers
//! wait for less than it does; and it sends a script again whose answer was lost, which charges twice.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::address::{Address, Members, Node};
use crate::call::Call;
use crate::link::{Link, Used};
use crate::slots::{self, Layout, SLOTS};
use crate::{AskError, Part, failure};

/// Least time from one time of asking where slots are to the next.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);
/// How long a server may take to tell where slots are.
const LONGEST_TELLING: Duration = Duration::from_secs(1);
/// How long the others may take when one has told.
const GRACE: Duration = Duration::from_millis(20);
/// So many redirections follow each other at once.
const HASTY: u32 = 4;
/// Before the next one, or when a slot is on its way.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Clone)]
struct Server {
    node: Node,
    link: Arc<Link>,
}

struct Map {
    /// The master of each slot.
    slots: Vec<Option<Server>>,
    /// All servers that are known, replicas too: one may become a master.
    servers: HashMap<Node, Server>,
    /// Why the last round learnt nothing.
    trouble: Option<String>,
}

#[derive(Clone, Copy)]
enum Round {
    Never,
    Running,
    Over(Instant),
}

/// The servers of a cluster.
pub(crate) struct Cluster {
    members: Members,
    script: Arc<str>,
    connect_within: Duration,
    runtime: Handle,
    map: Mutex<Map>,
    round: Mutex<Round>,
    /// Changes at the end of each round.
    rounds: watch::Sender<u64>,
}

impl Cluster {
    /// Connects when it is first asked.
    pub(crate) fn new(members: Members, script: Arc<str>, connect_within: Duration) -> Self {
        Self {
            members,
            script,
            connect_within,
            runtime: Handle::current(),
            map: Mutex::new(Map {
                slots: vec![None; SLOTS],
                servers: HashMap::new(),
                trouble: None,
            }),
            round: Mutex::new(Round::Never),
            rounds: watch::Sender::new(0),
        }
    }

    /// Learns where slots are, and connects to all servers.
    pub(crate) async fn ready(self: &Arc<Self>) -> Result<(), AskError> {
        let mut rounds = self.rounds.subscribe();
        if self.learn() {
            // It cannot be closed: `self` holds the other end.
            let _ = rounds.changed().await;
        }
        let mut masters = HashMap::new();
        for server in self.map.lock().slots.iter().flatten() {
            masters.insert(server.node.clone(), Arc::clone(&server.link));
        }
        if masters.is_empty() {
            return Err(self.unknown());
        }
        for link in masters.into_values() {
            link.get().await?;
        }
        Ok(())
    }

    /// Calls the script on the server that holds its keys, and follows redirections. `used` is the
    /// connection that has not answered yet.
    pub(crate) async fn call<T: FromRedisValue>(
        self: &Arc<Self>,
        call: &Call<'_>,
        used: &mut Option<Used>,
    ) -> Result<T, AskError> {
        let slot = slots::of_all(call.keys).ok_or_else(|| {
            let message = "the keys of a request have to be of one slot in a cluster";
            AskError::Failed(message.to_owned())
        })?;
        let mut asked_for = None;
        let mut hops = 0_u32;
        loop {
            let asking = asked_for.is_some();
            let server = match asked_for.take() {
                Some(server) => server,
                None => self.holder(slot).await?,
            };
            let ready = server.link.get().await?;
            *used = Some(Used {
                link: Arc::clone(&server.link),
                ready: Arc::clone(&ready),
            });
            let answer = match asking {
                true => call.asking(&ready, &self.script).await,
                false => call.on(&ready, &self.script).await,
            };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let next = |error: &RedisError| {
                let (text, _) = error.redirect_node()?;
                self.server(&Node::parse(text, &server.node)?)
            };
            match error.kind() {
                ErrorKind::Server(ServerErrorKind::Moved) => {
                    if let Some(next) = next(&error) {
                        self.map.lock().hold(slot, next);
                    }
                    self.learn();
                }
                ErrorKind::Server(ServerErrorKind::Ask) => asked_for = next(&error),
                // Of several keys one is on either side of a slot that moves.
                ErrorKind::Server(ServerErrorKind::TryAgain) => hops = hops.max(HASTY),
                // It is there, but may be a master no more.
                ErrorKind::Server(_) | ErrorKind::Extension => {
                    server.link.answered(&ready);
                    *used = None;
                    return Err(failure(&error));
                }
                _ => return Err(failure(&error)),
            }
            server.link.answered(&ready);
            *used = None;
            hops += 1;
            if hops > HASTY {
                sleep(PAUSE).await;
            }
        }
    }

    /// The master of a slot.
    async fn holder(self: &Arc<Self>, slot: u16) -> Result<Server, AskError> {
        let mut rounds = self.rounds.subscribe();
        if let Some(server) = self.map.lock().holder(slot) {
            return Ok(server);
        }
        if self.learn() {
            // As above.
            let _ = rounds.changed().await;
        }
        let held = self.map.lock().holder(slot);
        held.ok_or_else(|| self.unknown())
    }

    /// Which server a key is asked of, as far as that is known.
    pub(crate) fn part(&self, key: &[u8]) -> Part {
        let holder = self.map.lock().holder(slots::of(key));
        holder.map_or_else(Part::default, |server| Part::of(&server.node))
    }

    fn unknown(&self) -> AskError {
        let why = self.map.lock().trouble.clone();
        let why = why.unwrap_or_else(|| "no server of the cluster holds the key".to_owned());
        AskError::Unavailable(why)
    }

    /// A server, known or new.
    fn server(&self, node: &Node) -> Option<Server> {
        let mut map = self.map.lock();
        if let Some(server) = map.servers.get(node) {
            return Some(server.clone());
        }
        let address = self.members.address(node).ok()?;
        let script = Arc::clone(&self.script);
        let link = Link::new(address, script, self.connect_within, self.runtime.clone());
        let server = Server {
            node: node.clone(),
            link: Arc::new(link),
        };
        map.servers.insert(node.clone(), server.clone());
        Some(server)
    }

    /// How to reach one of the servers that are known, another one at each attempt.
    pub(crate) fn any(&self, attempt: usize) -> Result<Address, AskError> {
        let mut nodes = self.members.seeds.clone();
        let map = self.map.lock();
        let known = map.servers.keys().filter(|node| !nodes.contains(node));
        let known: Vec<Node> = known.cloned().collect();
        drop(map);
        nodes.extend(known);
        let node = &nodes[attempt % nodes.len()];
        self.members.address(node).map_err(|error| failure(&error))
    }

    /// Asks all servers where slots are, unless that was done a moment ago. Goes on by itself.
    /// Whether it is going on.
    pub(crate) fn learn(self: &Arc<Self>) -> bool {
        let mut round = self.round.lock();
        match *round {
            Round::Running => true,
            Round::Over(end) if end.elapsed() < BETWEEN_ROUNDS => false,
            Round::Never | Round::Over(_) => {
                *round = Round::Running;
                let cluster = Arc::clone(self);
                self.runtime.spawn(async move {
                    match cluster.ask_all().await {
                        Ok(layout) => cluster.adopt(&layout),
                        Err(why) => cluster.map.lock().trouble = Some(why),
                    }
                    *cluster.round.lock() = Round::Over(Instant::now());
                    cluster.rounds.send_modify(|round| *round += 1);
                });
                true
            }
        }
    }

    /// What the server that knows best tells. One that was cut off, or comes back as a master that
    /// was replaced, does not know it.
    async fn ask_all(&self) -> Result<Layout, String> {
        let (tell, mut told) = mpsc::unbounded_channel();
        for seed in &self.members.seeds {
            let _ = self.server(seed);
        }
        let servers: Vec<Server> = self.map.lock().servers.values().cloned().collect();
        for server in servers {
            let tell = tell.clone();
            // Goes on if nobody waits for it: a connection that hangs is to be noticed.
            self.runtime.spawn(async move {
                let _ = tell.send(ask(&server).await);
            });
        }
        drop(tell);
        let mut end = Instant::now() + self.connect_within;
        let mut best = Err("no server of the cluster answers".to_owned());
        while let Ok(Some(answer)) = timeout_at(end, told.recv()).await {
            match (answer, &best) {
                (Ok(layout), Ok(held)) if Layout::knows_more(held, &layout) => {}
                (Ok(layout), _) => {
                    if best.is_err() {
                        end = end.min(Instant::now() + GRACE);
                    }
                    best = Ok(layout);
                }
                (Err(why), Err(_)) => best = Err(why),
                (Err(_), Ok(_)) => {}
            }
        }
        best
    }

    fn adopt(&self, layout: &Layout) {
        let mut known: Vec<Server> = Vec::new();
        let mut holders = vec![None; SLOTS];
        for range in &layout.ranges {
            let servers = range.nodes.iter().filter_map(|node| self.server(node));
            let servers: Vec<Server> = servers.collect();
            let slots = usize::from(range.first)..=usize::from(range.last);
            if let (Some(master), Some(slots)) = (servers.first(), holders.get_mut(slots)) {
                slots.fill(Some(master.clone()));
            }
            known.extend(servers);
        }
        {
            let mut map = self.map.lock();
            map.slots = holders;
            map.trouble = None;
            let seeds = &self.members.seeds;
            map.servers.retain(|node, _| seeds.contains(node));
            let known = known.iter().cloned();
            map.servers
                .extend(known.map(|server| (server.node.clone(), server)));
        }
        // So that the first decision there does not have to connect.
        for server in known {
            self.runtime
                .spawn(async move { server.link.get().await.map(drop) });
        }
    }
}

impl Map {
    fn holder(&self, slot: u16) -> Option<Server> {
        self.slots.get(usize::from(slot)).cloned().flatten()
    }

    fn hold(&mut self, slot: u16, server: Server) {
        if let Some(held) = self.slots.get_mut(usize::from(slot)) {
            *held = Some(server);
        }
    }
}

/// What this server knows.
async fn ask(server: &Server) -> Result<Layout, String> {
    let ready = server.link.get().await.map_err(|error| error.to_string())?;
    let mut both = redis::pipe();
    both.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let mut connection = ready.connection.clone();
    match timeout(LONGEST_TELLING, both.query_async(&mut connection)).await {
        Err(_) => {
            server.link.unanswered(&ready);
            Err(format!("no answer within {LONGEST_TELLING:?}"))
        }
        Ok(Err(error)) => {
            let error: RedisError = error;
            match failure(&error) {
                AskError::Failed(_) => server.link.answered(&ready),
                AskError::Unavailable(_) => server.link.broken(&ready),
            }
            Err(error.to_string())
        }
        Ok(Ok((info, slots))) => {
            server.link.answered(&ready);
            let info: String = info;
            Layout::read(&info, slots, &server.node)
                .ok_or_else(|| "a server tells of no slots that can be reached".to_owned())
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}
