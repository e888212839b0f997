//! Servers, and those who edit and look up links at them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};

use super::history::{History, State};
use super::redis::{Connection, Redis};
use super::store::{Remote, Shared};
use super::world::{Faults, Process, World, random, some_moment, some_span};
use crate::cache::shared::{SharedCache, SharedCacheOptions, WriteThrough};
use crate::cache::{BreakerOptions, CacheOptions, LinkCache};
use crate::store::{IdempotencyToken, MemoryStore};
use crate::{
    Code, CodeFilter, CodeRules, Domain, Domains, Follower, LinkDraft, LinkKey, LinkPatch,
    LinkService, NewLink, PasswordHasher, ServiceParts, SpecRules, Strategies, StrategyKind,
    StrategyOptions, TargetRules,
};

/// How long links are edited.
const EDITS: Duration = Duration::from_secs(25);
/// Nothing goes wrong any more that has gone wrong by then, and all that was told late is told.
const QUIET: Duration = Duration::from_secs(40);
/// How long an answer of the store is waited for.
const DEADLINE: Duration = Duration::from_millis(200);
/// How often the feed is read.
const FOLLOW: Duration = Duration::from_secs(1);
/// How long the absence of a link is believed, wherever.
const ABSENT: Duration = Duration::from_secs(2);
/// How long it may be on its way into Redis.
const LATE: Duration = Duration::from_secs(1);
/// How long an entry lasts in Redis and in memory; those of the memory are shorter than here.
const TTL: Duration = Duration::from_secs(8);
const MEMORY_TTL: Duration = Duration::from_secs(3);
/// Longer than any lookup may take: one that does waits for ever.
const FOR_EVER: Duration = Duration::from_secs(30);
/// Where nothing goes wrong, all servers know of an edit this long after its answer.
const AT_ONCE: Duration = Duration::from_millis(20);
const LINKS: usize = 4;
/// The link that nobody edits.
const STEADY: &str = "steady";

/// A lookup or an edit: when it ended, where, and what came of it.
pub(super) type Seen = (Duration, usize, String, State);

pub(super) struct Fleet {
    world: Arc<World>,
    store: Arc<Shared>,
    redis: Arc<Redis>,
    seed: u64,
    servers: usize,
    all_is_well: bool,
    running: Mutex<Vec<Server>>,
    notes: Arc<Notes>,
}

#[derive(Default)]
struct Notes {
    seen: Mutex<Vec<Seen>>,
    wrong: Mutex<Vec<String>>,
    targets: AtomicU64,
}

#[derive(Clone)]
struct Server {
    node: usize,
    process: Process,
    service: LinkService,
    cache: Arc<LinkCache>,
    /// Since when it knows of all that happened before: nothing until it has read the feed once.
    knows: Arc<Mutex<Option<Duration>>>,
    /// When the last edit here that was answered was committed, by link.
    edited: Arc<Mutex<[Duration; LINKS]>>,
}

impl Fleet {
    /// With what goes wrong by the seed, or with these faults.
    pub(super) fn new(seed: u64, faults: Option<Faults>) -> Self {
        let mut random = random(seed, 0);
        let servers = random.random_range(2..=4);
        let all_is_well = faults.is_some();
        let faults = faults.unwrap_or_else(|| some_faults(&mut random, servers));
        let world = World::new(seed, faults);
        let store = Shared {
            memory: MemoryStore::new(world.right_clock()),
            world: Arc::clone(&world),
            history: History::default(),
            reads: AtomicU64::new(0),
        };
        Self {
            redis: Redis::new(&world),
            store: Arc::new(store),
            world,
            seed,
            servers,
            all_is_well,
            running: Mutex::default(),
            notes: Arc::default(),
        }
    }

    pub(super) async fn run(&self) -> Result<(), String> {
        for node in 0..self.servers {
            let server = self.start(node);
            self.running.lock().push(server);
        }
        let (redis, world, seed) = (Arc::clone(&self.redis), Arc::clone(&self.world), self.seed);
        if !self.all_is_well && seed.is_multiple_of(4) {
            // It comes back empty, as one that keeps nothing.
            tokio::spawn(async move {
                world.until(some_moment(&mut random(seed, 1), EDITS)).await;
                redis.empty();
            });
        }
        let restart = |node: usize| {
            let killed = self.running.lock()[node].clone();
            killed.process.kill();
            let server = self.start(node);
            self.running.lock()[node] = server;
        };
        self.world.kills(restart).await;
        self.world.until(QUIET).await;
        match self.notes.wrong.lock().first() {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(()),
        }
    }

    /// What was seen, in its order.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let mut seen = self.notes.seen.lock().clone();
        seen.sort();
        seen
    }

    /// All is quiet: every server says what the store does.
    pub(super) async fn agrees(&self) -> Result<(), String> {
        let servers = self.running.lock().clone();
        for server in servers {
            for link in 0..LINKS {
                let mut found = server.cache.get(key(&code(link))).await;
                // Messages are lost for ever.
                while found.is_err() {
                    found = server.cache.get(key(&code(link))).await;
                }
                let found = found.ok().and_then(|found| found.link);
                let found = found.map(|link| link.target().to_owned());
                let stored = self.store.history.last(&code(link));
                if found != stored {
                    return Err(format!(
                        "server {} says {found:?}, the store {stored:?}",
                        server.node
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nothing went wrong, and nothing is refreshed early.
    pub(super) fn has_read_little(&self) -> Result<(), String> {
        let reads = self.store.reads.load(Ordering::Relaxed);
        let seen = self.notes.seen.lock();
        let edits = seen
            .iter()
            .filter(|(_, _, what, _)| what.starts_with("edit"))
            .count() as u64;
        // Entries last for nine tenths of their time at least, and an edit ends the one of its link. An edit reads the
        // link before. Absences end more often.
        let shortest = ABSENT.mul_f64(0.9);
        let ends = QUIET.as_millis() as u64 / shortest.as_millis() as u64 + 1;
        let most = (LINKS as u64 + 1) * ends + 3 * edits;
        if reads > most {
            return Err(format!("{reads} reads of the store, {most} are enough"));
        }
        Ok(())
    }

    fn start(&self, node: usize) -> Server {
        let begun = self.world.now().as_millis() as u64;
        let mut random = random(self.seed, 1_000 + node as u64 + (begun << 16));
        let clock = self.world.clock(node, 0);
        let remote = || {
            Arc::new(Remote {
                shared: Arc::clone(&self.store),
                way: self.world.way(node, "store", DEADLINE),
            })
        };
        let connection = Connection {
            redis: Arc::clone(&self.redis),
            way: self.world.way(node, "redis", FOR_EVER),
        };
        let options = SharedCacheOptions {
            ttl: TTL,
            negative_ttl: ABSENT,
            early_refresh: if self.all_is_well { 0.0 } else { 2.0 },
            // Some are shorter than a read may take: who holds it loses it.
            lock: Duration::from_millis(if self.all_is_well {
                3_000
            } else {
                [100, 500, 3_000][self.seed as usize % 3]
            }),
            breaker: BreakerOptions::default(),
            ..SharedCacheOptions::with_seed(random.random())
        };
        let shared = SharedCache::over(Box::new(connection), options, remote(), clock.clone());
        let memory = CacheOptions {
            max_bytes: 1 << 20,
            ttl: MEMORY_TTL,
            negative_ttl: ABSENT,
            stale_if_error: Duration::ZERO,
            early_refresh: 0.0,
            seed: random.random(),
        };
        let cache = LinkCache::over(memory, shared.clone(), clock.clone());
        let service = LinkService::new(parts(&shared, &cache, remote(), clock, &self.store));
        let server = Server {
            node,
            process: Process::new(&self.world, node),
            service,
            cache,
            knows: Arc::default(),
            edited: Arc::default(),
        };
        self.background(&server, shared);
        self.people(&server, &mut random);
        server
    }

    fn background(&self, server: &Server, shared: Arc<SharedCache>) {
        let cache = Arc::clone(&server.cache);
        server
            .process
            .spawn(async move { shared.run(&cache, std::future::pending()).await });
        let (world, knows) = (Arc::clone(&self.world), Arc::clone(&server.knows));
        let mut follower = Follower::new(server.service.clone());
        server.process.spawn(async move {
            loop {
                let begun = world.now();
                if follower.poll().await.is_ok() {
                    *knows.lock() = Some(begun);
                }
                sleep(FOLLOW).await;
            }
        });
    }

    fn people(&self, server: &Server, random: &mut StdRng) {
        for visitor in 0..3 {
            let mut random = super::world::random(random.random(), visitor);
            let visitor = self.person(server);
            server.process.spawn(async move {
                while visitor.world.now() < QUIET {
                    sleep(Duration::from_millis(random.random_range(1..200))).await;
                    visitor.look_up(random.random_range(0..=LINKS)).await;
                }
            });
        }
        let mut random = super::world::random(random.random(), 7);
        let editor = self.person(server);
        server.process.spawn(async move {
            while editor.world.now() < EDITS {
                sleep(Duration::from_millis(random.random_range(1..2_000))).await;
                editor.edit(&mut random).await;
            }
        });
    }

    fn person(&self, server: &Server) -> Person {
        Person {
            world: Arc::clone(&self.world),
            store: Arc::clone(&self.store),
            notes: Arc::clone(&self.notes),
            server: server.clone(),
            all_is_well: self.all_is_well,
        }
    }
}

/// Somebody who uses a server.
struct Person {
    world: Arc<World>,
    store: Arc<Shared>,
    notes: Arc<Notes>,
    server: Server,
    all_is_well: bool,
}

impl Person {
    async fn look_up(&self, link: usize) {
        let code = if link < LINKS {
            code(link)
        } else {
            STEADY.to_owned()
        };
        let begun = self.world.now();
        let knows = *self.server.knows.lock();
        let edited = self
            .server
            .edited
            .lock()
            .get(link)
            .copied()
            .unwrap_or_default();
        let found = timeout(FOR_EVER, self.server.cache.get(key(&code))).await;
        let Ok(found) = found else {
            self.wrong(format!(
                "a lookup of {code} that began at {begun:?} waits for ever"
            ));
            return;
        };
        // The store was away, and nothing was in memory.
        let Ok(found) = found else { return };
        let state = found.link.map(|link| link.target().to_owned());
        self.note(format!("get {code} {:?}", found.tier), state.clone());
        // Before it has read the feed, a server that has just started knows nothing.
        let Some(knows) = knows else { return };
        let at_once = match self.all_is_well {
            true => begun.saturating_sub(AT_ONCE),
            false => Duration::ZERO,
        };
        let known = knows.max(edited).max(at_once);
        let made = begun.saturating_sub(ABSENT + LATE);
        let allowed = self.store.history.allows(&code, known, made, &state);
        if !allowed {
            self.wrong(format!(
                "at {begun:?} server {} says that {code} leads to {state:?} ({:?}), and has to know what was before \
                 {known:?} of {:?}",
                self.server.node,
                found.tier,
                self.store.history.of(&code),
            ));
        }
    }

    async fn edit(&self, random: &mut StdRng) {
        let link = random.random_range(0..LINKS);
        let (code, number) = (
            code(link),
            self.notes.targets.fetch_add(1, Ordering::Relaxed),
        );
        let target = format!("https://{number}.example/");
        // What had no answer is sent again, by the same name.
        let mut token = [0; 16];
        token[..8].copy_from_slice(&number.to_be_bytes());
        let token = Some(IdempotencyToken {
            id: token,
            request: token,
            at: self.world.right_clock().now(),
        });
        let deletes = random.random_range(0..4) == 0;
        for _ in 0..3 {
            let begun = self.world.now();
            let done = if deletes {
                self.server
                    .service
                    .delete(&key(&code), None, "", token)
                    .await
                    .map(drop)
            } else if self.store.history.last(&code).is_some() {
                let patch = LinkPatch {
                    url: Some(target.clone()),
                    ..LinkPatch::default()
                };
                self.server
                    .service
                    .update(&key(&code), patch, None, "", token)
                    .await
                    .map(drop)
            } else {
                let draft = LinkDraft {
                    url: target.clone(),
                    code: Some(code.clone()),
                    ..LinkDraft::default()
                };
                let new = NewLink {
                    draft,
                    idempotency: token,
                };
                self.server.service.create(new, "").await.map(drop)
            };
            let outcome = done
                .as_ref()
                .map_or_else(ToString::to_string, |()| "done".to_owned());
            self.note(
                format!("edit {code}: {outcome}"),
                (!deletes).then(|| target.clone()),
            );
            match done {
                Ok(()) => {
                    // Others may have edited it since. Of deletions nobody can tell which one it was.
                    let committed = match deletes {
                        true => None,
                        false => self.store.history.when(&code, &Some(target)),
                    };
                    let mut edited = self.server.edited.lock();
                    edited[link] = edited[link].max(committed.unwrap_or(begun));
                    return;
                }
                Err(crate::LinkError::Store(_)) => {}
                Err(_) => return,
            }
        }
    }

    fn note(&self, what: String, state: State) {
        self.notes
            .seen
            .lock()
            .push((self.world.now(), self.server.node, what, state));
    }

    fn wrong(&self, what: String) {
        self.notes.wrong.lock().push(what);
    }
}

fn code(link: usize) -> String {
    format!("link-{link}")
}

fn key(code: &str) -> LinkKey {
    LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored(code),
    }
}

fn parts(
    shared: &Arc<SharedCache>,
    cache: &Arc<LinkCache>,
    remote: Arc<Remote>,
    clock: Arc<dyn tollgate_clock::Clock>,
    store: &Arc<Shared>,
) -> ServiceParts {
    let domains = Domains::new("http://tollgate.example", &[]).unwrap();
    let filter = Arc::new(CodeFilter::default());
    let options = StrategyOptions {
        length: 7,
        case_insensitive: false,
        block_size: 100,
        sha256: false,
        worker_ttl: Duration::from_secs(30),
        pool_target: 0,
        quarantine: Duration::from_secs(60),
    };
    // Links have aliases here: nothing is leased.
    let leases = Arc::new(MemoryStore::new(store.world.right_clock()));
    ServiceParts {
        store: Arc::new(WriteThrough::new(Arc::clone(shared))),
        feed: remote,
        cache: Arc::clone(cache),
        strategies: Arc::new(Strategies::new(
            options,
            leases,
            Arc::clone(&filter),
            clock.clone(),
        )),
        default_strategy: StrategyKind::Counter,
        codes: CodeRules::default(),
        filter,
        specs: SpecRules {
            targets: TargetRules {
                schemes: vec!["https".to_owned()],
                allow_credentials: false,
                own_hosts: domains.own_hosts(),
            },
            passwords: PasswordHasher::default(),
        },
        domains,
        clock,
    }
}

fn some_faults(random: &mut StdRng, servers: usize) -> Faults {
    let mut faults = Faults {
        loses_one_in: [0, 30, 8][random.random_range(0..3)],
        delays_one_in: [0, 10, 3][random.random_range(0..3)],
        ..Faults::default()
    };
    let longest = Duration::from_secs(6);
    for _ in 0..random.random_range(0..3) {
        let node = random.random_range(0..servers);
        faults
            .pauses
            .push((node, some_span(random, EDITS, longest)));
    }
    for _ in 0..random.random_range(0..3) {
        let node = random.random_range(0..servers);
        faults.kills.push((node, some_moment(random, EDITS)));
    }
    for service in ["redis", "store", "redis"] {
        let node = random.random_range(0..servers);
        if random.random() {
            faults
                .partitions
                .push((node, service, some_span(random, EDITS, longest)));
        }
    }
    faults
}
