//! However many servers and visitors want a link at once, the store is read once.

use super::*;

const SERVERS: usize = 4;
const CLIENTS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_a_hot_link_expires_the_fleet_reads_the_store_once() {
    const ROUNDS: u64 = 10;
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(SERVERS, &redis.url()).await;
    fleet.insert("hot").await;
    for round in 1..=ROUNDS {
        fleet.store.hold_up(true);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let cache = fleet.servers[client % SERVERS].cache.clone();
                tokio::spawn(async move { cache.get(key("hot")).await })
            })
            .collect();
        eventually("all wait", async || {
            let stats = fleet.servers.iter().map(|server| server.cache.stats());
            let misses: u64 = stats.map(|stats| stats.misses).sum();
            let waits = fleet
                .servers
                .iter()
                .map(|server| server.shared.stats().waits);
            misses == round * CLIENTS as u64 && waits.sum::<u64>() == round * (SERVERS as u64 - 1)
        })
        .await;
        fleet.store.hold_up(false);
        for client in clients {
            assert!(client.await.unwrap().unwrap().link.is_some());
        }
        assert_eq!(fleet.store.reads(), round, "one read a round");
        // It expires.
        let _: i64 = send(&redis, &["PEXPIRE", &entry("hot"), "0"]).await;
        fleet.forget_memory();
    }
}

/// With expiry by the clock of Redis, and visitors that never stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_a_hot_link_is_read_once_for_each_time_it_expires() {
    const LASTS: Duration = Duration::from_millis(1_500);
    const EXPIRIES: u64 = 4;
    let redis = PrivateRedis::start();
    let fleet = Fleet::with(SERVERS, &redis.url(), |options| options.ttl = LASTS).await;
    fleet.insert("hot").await;
    let begun = Instant::now();
    let end = Arc::new(AtomicBool::new(false));
    // The clock of the memory follows that of Redis.
    let (clock, ended) = (fleet.clock.clone(), end.clone());
    let ticks = tokio::spawn(async move {
        let start = clock.monotonic();
        while !ended.load(Ordering::Relaxed) {
            clock.advance((start + begun.elapsed()).saturating_sub(clock.monotonic()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (cache, end) = (fleet.servers[client % SERVERS].cache.clone(), end.clone());
            tokio::spawn(async move {
                let mut answers = 0_u64;
                while !end.load(Ordering::Relaxed) {
                    assert!(cache.get(key("hot")).await.unwrap().link.is_some());
                    answers += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                answers
            })
        })
        .collect();
    eventually("it expires", async || fleet.store.reads() > EXPIRIES).await;
    end.store(true, Ordering::Relaxed);
    let mut answers = 0;
    for client in clients {
        answers += client.await.unwrap();
    }
    ticks.await.unwrap();
    let (reads, lasted) = (fleet.store.reads(), begun.elapsed());
    let most = 1 + (lasted.as_secs_f64() / LASTS.mul_f64(0.9).as_secs_f64()) as u64;
    assert!(reads <= most, "{reads} reads in {lasted:?}");
    assert!(answers > CLIENTS as u64);
    println!("{answers} answers, {reads} reads of the store in {lasted:?}");
}

#[tokio::test]
async fn one_server_refreshes_an_entry_while_all_go_on_with_it() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::with(SERVERS, &redis.url(), |options| {
        options.early_refresh = 1e12
    })
    .await;
    fleet.store.take_time(Duration::from_millis(1));
    fleet.insert("hot").await;
    fleet.servers[0].get("hot").await;
    fleet.store.hold_up(true);
    for server in &fleet.servers[1..] {
        assert_eq!(server.tier("hot").await, (true, Tier::Shared));
    }
    eventually("one refreshes", async || fleet.store.reads() == 2).await;
    fleet.store.hold_up(false);
    let sum = |of: fn(&SharedCacheStats) -> u64| {
        let stats = fleet.servers.iter().map(|server| server.shared.stats());
        stats.map(|stats| of(&stats)).sum::<u64>()
    };
    eventually("it is written", async || sum(|stats| stats.writes) >= 2).await;
    assert!(sum(|stats| stats.early_refreshes) >= 1);
    assert_eq!(sum(|stats| stats.writes_refused), 0);
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_server_that_is_gone() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(1, &redis.url()).await;
    fleet.insert("a").await;
    let server = &fleet.servers[0];
    // One that was killed has the lock.
    let token = server.shared.token();
    server.shared.script.take(&key("a"), &token).await.unwrap();
    let cache = server.cache.clone();
    let waiting = tokio::spawn(async move { cache.get(key("a")).await });
    eventually("it waits", async || server.shared.stats().waits == 1).await;
    assert_eq!(fleet.store.reads(), 0);
    fleet.clock.advance(server.shared.options.patience);
    assert_eq!(waiting.await.unwrap().unwrap().tier, Tier::Store);
    let stats = server.shared.stats();
    assert_eq!((stats.waits_in_vain, stats.writes), (1, 0));
}

#[tokio::test]
async fn a_store_that_fails_holds_no_lock() {
    let redis = PrivateRedis::start();
    let fleet = Fleet::of(2, &redis.url()).await;
    fleet.insert("a").await;
    fleet.store.fail(true);
    assert!(fleet.servers[0].cache.get(key("a")).await.is_err());
    fleet.store.fail(false);
    assert_eq!(fleet.servers[1].tier("a").await, (true, Tier::Store));
    assert_eq!(fleet.servers[0].tier("a").await, (true, Tier::Shared));
}
