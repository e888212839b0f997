//! A Redis that is away, comes back, or is replaced: links are served on, and no edit is lost.

use super::failover::Failover;
use super::*;

const SECOND: &str = "https://example.com/second";

#[tokio::test]
async fn while_redis_is_away_the_store_is_read() {
    let mut redis = PrivateRedis::start();
    let fleet = Fleet::of(1, &redis.url()).await;
    let server = &fleet.servers[0];
    fleet.insert("a").await;
    server.get("a").await;
    redis.kill();
    for read in 2..20 {
        fleet.forget_memory();
        // Each of these lets the breaker try, as the clock goes on.
        assert_eq!(server.tier("a").await, (true, Tier::Store));
        assert_eq!(fleet.store.reads(), read);
    }
    assert!(server.shared.stats().breaker.opened >= 1);
    // Without a try, Redis is not asked.
    let refused = server.shared.stats().breaker.refused;
    server.cache.clear();
    assert_eq!(server.tier("a").await, (true, Tier::Store));
    assert_eq!(server.shared.stats().breaker.refused, refused + 1);
    redis.restart();
    eventually("Redis is used again", async || {
        fleet.forget_memory();
        server.tier("a").await == (true, Tier::Shared)
    })
    .await;
}

/// Puts an old entry of `a` back.
async fn plant(redis: &PrivateRedis, old: &[u8]) {
    let mut connection = commands::connection(redis).await;
    let mut set = redis::cmd("SET");
    let set = set.arg(entry("a")).arg(old).arg("PX").arg(3_600_000);
    let _: String = set.query_async(&mut connection).await.unwrap();
}

/// A machine that hangs keeps what it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_that_redis_could_not_be_told_are_told_later() {
    let redis = PrivateRedis::start();
    let hasty = |options: &mut SharedCacheOptions| options.deadline = Duration::from_millis(500);
    let mut fleet = Fleet::with(2, &redis.url(), hasty).await;
    fleet.insert("a").await;
    for server in &fleet.servers {
        eventually("it is kept", async || {
            server.cache.clear();
            server.tier("a").await == (true, Tier::Shared)
        })
        .await;
    }
    let old: Vec<u8> = send(&redis, &["GET", &entry("a")]).await;
    redis.freeze();
    let update = fleet.update("a", 1, SECOND);
    fleet.servers[0].writes.update(update).await.unwrap();
    assert_eq!(fleet.servers[0].shared.stats().owed, 1);
    redis.thaw();
    // What was sent may have arrived, though nobody heard so: let it be lost.
    eventually("what was sent has arrived", async || {
        send::<i64>(&redis, &["EXISTS", &entry("a")]).await == 0
    })
    .await;
    plant(&redis, &old).await;
    // Redis has the old value, which the writer does not believe, though it may well be asked.
    fleet.servers[0].cache.clear();
    assert_eq!(fleet.servers[0].target("a").await.as_deref(), Some(SECOND));
    for server in &mut fleet.servers {
        server.run();
    }
    eventually("Redis was told, and the other server by it", async || {
        fleet.clock.advance(Duration::from_millis(250));
        fleet.servers[1].target("a").await.as_deref() == Some(SECOND)
    })
    .await;
    eventually("nothing is owed", async || {
        fleet.servers[0].shared.stats().owed == 0
    })
    .await;
}

/// As after a fail-over to a replica that has not heard of the last edits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_new_master_has_not_heard_of_it_is_told_again() {
    let redis = PrivateRedis::start();
    let mut fleet = Fleet::of(2, &redis.url()).await;
    fleet.listen().await;
    fleet.insert("a").await;
    fleet.servers[0].get("a").await;
    let old: Vec<u8> = send(&redis, &["GET", &entry("a")]).await;
    let update = fleet.update("a", 1, SECOND);
    fleet.servers[0].writes.update(update).await.unwrap();
    plant(&redis, &old).await;
    fleet.servers[1].cache.clear();
    assert_ne!(
        fleet.servers[1].target("a").await.as_deref(),
        Some(SECOND),
        "it is back"
    );
    // All connections end, as they do when a server is replaced.
    for kind in ["normal", "pubsub"] {
        let _: i64 = send(&redis, &["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
    }
    eventually("the edit is known again", async || {
        let mut known = true;
        for server in &fleet.servers {
            known &= server.target("a").await.as_deref() == Some(SECOND);
        }
        known
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_costs_no_answer_and_its_replica_goes_on() {
    let Failover {
        mut master,
        replica,
        sentinel,
    } = Failover::start().await;
    let hasty = |options: &mut SharedCacheOptions| options.deadline = Duration::from_secs(2);
    let mut fleet = Fleet::with(2, &sentinel.url(), hasty).await;
    fleet.listen().await;
    fleet.insert("a").await;
    let load = Load::on(&fleet, &["a"]);
    load.answers(Tier::Shared, 200).await;
    master.kill();
    load.answers(Tier::Store, 20).await;
    let update = fleet.update("a", 1, SECOND);
    fleet.servers[0].writes.update(update).await.unwrap();
    load.answers(Tier::Shared, 200).await;
    let role: String = send(&replica, &["INFO", "replication"]).await;
    assert!(role.contains("role:master"), "{role}");
    eventually("the edit is known", async || {
        fleet.servers[1].target("a").await.as_deref() == Some(SECOND)
    })
    .await;
    eventually("news arrive", async || {
        fleet
            .servers
            .iter()
            .all(|server| server.shared.stats().listening)
    })
    .await;
    load.end().await;
}

/// Visitors of links, who always get an answer, through servers whose memory forgets all the time.
pub(super) struct Load {
    end: Arc<AtomicBool>,
    answers: Arc<parking_lot::Mutex<std::collections::HashMap<Tier, u64>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn on(fleet: &Fleet, codes: &[&str]) -> Self {
        let mut load = Self {
            end: Arc::default(),
            answers: Arc::default(),
            tasks: Vec::new(),
        };
        for (at, code) in codes.iter().enumerate() {
            for task in 0..4 {
                let cache = fleet.servers[(at + task) % fleet.servers.len()]
                    .cache
                    .clone();
                let (end, answers) = (load.end.clone(), load.answers.clone());
                let (clock, key) = (fleet.clock.clone(), key(code));
                load.tasks.push(tokio::spawn(async move {
                    while !end.load(Ordering::Relaxed) {
                        let lookup = cache.get(key.clone()).await.unwrap();
                        assert!(lookup.link.is_some());
                        *answers.lock().entry(lookup.tier).or_default() += 1;
                        cache.invalidate(&key);
                        // For the breaker.
                        clock.advance(Duration::from_millis(1));
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }));
            }
        }
        load
    }

    fn count(&self, tier: Tier) -> u64 {
        self.answers.lock().get(&tier).copied().unwrap_or_default()
    }

    /// Waits for so many more answers of this tier.
    pub(super) async fn answers(&self, tier: Tier, count: u64) {
        let enough = self.count(tier) + count;
        let what = format!("{count} answers of {tier:?}");
        eventually(&what, async || {
            assert!(
                !self.tasks.iter().any(JoinHandle::is_finished),
                "a task failed"
            );
            self.count(tier) >= enough
        })
        .await;
    }

    /// How many answers there were.
    pub(super) async fn end(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.answers.lock().values().sum()
    }
}
