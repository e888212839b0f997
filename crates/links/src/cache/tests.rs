use std::time::Instant;

use tokio::task::yield_now;
use tollgate_clock::{ManualClock, UnixMillis};

use super::probe_store::ProbeStore;
use super::*;
use crate::store::{Delete, Insert};
use crate::{Link, LinkSpec, Origin, TargetUrl};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

const TTL: Duration = Duration::from_secs(100);
const NEGATIVE_TTL: Duration = Duration::from_secs(10);
const STALE: Duration = Duration::from_secs(1_000);

struct Bench {
    clock: Arc<ManualClock>,
    store: Arc<ProbeStore>,
    cache: Arc<LinkCache>,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut CacheOptions)) -> Self {
        let mut options = CacheOptions {
            max_bytes: 1 << 20,
            ttl: TTL,
            negative_ttl: NEGATIVE_TTL,
            stale_if_error: STALE,
            early_refresh: 1.0,
            seed: 1,
        };
        change(&mut options);
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
        let store = Arc::new(ProbeStore::new(clock.clone()));
        let cache = LinkCache::new(options, store.clone(), clock.clone());
        Self {
            clock,
            store,
            cache,
        }
    }

    async fn insert(&self, codes: impl IntoIterator<Item = String>) {
        let inserts = codes
            .into_iter()
            .map(|code| Insert {
                link: link(&code),
                reuse: false,
                idempotency: None,
            })
            .collect();
        self.store.insert(inserts).await.unwrap();
    }

    async fn delete(&self, code: &str) {
        let delete = Delete {
            key: key(code),
            expected_version: None,
            actor: String::new(),
            at: self.clock.now(),
            idempotency: None,
        };
        self.store.delete(delete).await.unwrap();
    }

    /// Whether the link is there, and who says so.
    async fn get(&self, code: &str) -> (bool, Tier) {
        let lookup = self.cache.get(key(code)).await.unwrap();
        (lookup.link.is_some(), lookup.tier)
    }

    fn peek(&self, code: &str) -> Option<(bool, Tier)> {
        let key = key(code);
        let lookup = self.cache.peek(&key.domain, &key.code)?;
        Some((lookup.link.is_some(), lookup.tier))
    }

    fn spawn_get(&self, code: &str) -> tokio::task::JoinHandle<Result<Lookup, StoreError>> {
        let (cache, key) = (self.cache.clone(), key(code));
        tokio::spawn(async move { cache.get(key).await })
    }
}

fn key(code: &str) -> LinkKey {
    LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored(code),
    }
}

pub(super) fn link(code: &str) -> Link {
    Link {
        key: key(code),
        spec: LinkSpec::to(TargetUrl::from_stored(format!(
            "https://example.com/{code}"
        ))),
        origin: Origin::Alias,
        created_at: UnixMillis::from_millis(0),
        updated_at: UnixMillis::from_millis(0),
        created_by: "key".to_owned(),
        version: 1,
        clicks_used: 0,
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happened that {what}");
        yield_now().await;
    }
}

fn codes(name: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("{name}{n}"))
}

#[tokio::test]
async fn a_link_is_read_once_and_then_fresh_until_its_ttl() {
    let bench = Bench::new();
    bench.insert(["a".to_owned()]).await;
    assert_eq!(bench.peek("a"), None);
    assert_eq!(bench.get("a").await, (true, Tier::Store));
    assert_eq!(bench.peek("a"), Some((true, Tier::Memory)));
    bench.clock.advance(TTL.mul_f64(0.89));
    assert_eq!(bench.get("a").await, (true, Tier::Memory));
    assert_eq!(bench.store.reads(), 1);
    bench.clock.advance(TTL.mul_f64(0.12));
    assert_eq!(bench.peek("a"), None);
    assert_eq!(bench.get("a").await, (true, Tier::Store));
    assert_eq!(bench.store.reads(), 2);
    let stats = bench.cache.stats();
    assert_eq!(
        (stats.entries, stats.hits, stats.misses, stats.loads),
        (1, 2, 2, 2)
    );
}

#[tokio::test]
async fn absence_is_believed_for_a_shorter_time() {
    let bench = Bench::new();
    assert_eq!(bench.get("a").await, (false, Tier::Store));
    assert_eq!(bench.peek("a"), Some((false, Tier::Memory)));
    bench.insert(["a".to_owned()]).await;
    bench.clock.advance(NEGATIVE_TTL);
    assert_eq!(bench.get("a").await, (true, Tier::Store));
}

#[tokio::test]
async fn a_thousand_misses_at_once_make_one_store_read() {
    let bench = Bench::new();
    bench.insert(["a".to_owned()]).await;
    bench.store.hold_up(true);
    let waiting: Vec<_> = (0..1_000).map(|_| bench.spawn_get("a")).collect();
    until("all wait", || bench.cache.stats().coalesced == 999).await;
    bench.store.hold_up(false);
    for task in waiting {
        let lookup = task.await.unwrap().unwrap();
        assert_eq!(lookup.link.unwrap().target(), "https://example.com/a");
    }
    assert_eq!(bench.store.reads(), 1);
    assert_eq!(bench.cache.stats().misses, 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn misses_on_many_threads_make_one_store_read_for_each_link() {
    let bench = Bench::new();
    bench.insert(codes("c", 20)).await;
    let tasks: Vec<_> = (0..50)
        .flat_map(|_| codes("c", 20))
        .map(|code| bench.spawn_get(&code))
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().unwrap().link.is_some());
    }
    assert_eq!(bench.store.reads(), 20);
}

#[tokio::test]
async fn the_one_who_began_a_read_may_leave() {
    let bench = Bench::new();
    bench.insert(["a".to_owned()]).await;
    bench.store.hold_up(true);
    let first = bench.spawn_get("a");
    until("it reads", || bench.store.reads() == 1).await;
    let second = bench.spawn_get("a");
    until("another waits", || bench.cache.stats().coalesced == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    bench.store.hold_up(false);
    assert!(second.await.unwrap().unwrap().link.is_some());
    assert_eq!(bench.store.reads(), 1);
}

#[tokio::test]
async fn a_read_that_ends_with_its_runtime_is_begun_again_by_those_who_wait() {
    let bench = Bench::new();
    bench.insert(["a".to_owned()]).await;
    bench.store.hold_up(true);
    let other = std::thread::spawn({
        let (cache, store) = (bench.cache.clone(), bench.store.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.spawn(async move { cache.get(key("a")).await });
            runtime.block_on(until("it reads", || store.reads() == 1));
            runtime
        }
    });
    let runtime = other.join().unwrap();
    let waiting = bench.spawn_get("a");
    until("another waits", || bench.cache.stats().coalesced == 1).await;
    runtime.shutdown_background();
    until("it reads again", || bench.store.reads() == 2).await;
    bench.store.hold_up(false);
    assert!(waiting.await.unwrap().unwrap().link.is_some());
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let bench = Bench::new();
    let outcome = std::pin::pin!(bench.cache.get(key("a")))
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(matches!(
        outcome,
        std::task::Poll::Ready(Err(StoreError::Unavailable(_)))
    ));
}

#[tokio::test]
async fn an_error_is_shared_but_not_kept() {
    let bench = Bench::new();
    bench.insert(["a".to_owned()]).await;
    bench.store.fail(true);
    bench.store.hold_up(true);
    let tasks = [bench.spawn_get("a"), bench.spawn_get("a")];
    until("both wait", || bench.cache.stats().coalesced == 1).await;
    bench.store.hold_up(false);
    for task in tasks {
        assert!(task.await.unwrap().is_err());
    }
    assert_eq!(
        (bench.store.reads(), bench.cache.stats().load_errors),
        (1, 1)
    );
    bench.store.fail(false);
    assert_eq!(bench.get("a").await, (true, Tier::Store));
}

#[tokio::test]
async fn while_the_store_fails_links_are_served_stale_for_a_while() {
    let bench = Bench::new();
    bench.insert(["a".to_owned()]).await;
    bench.get("a").await;
    bench.get("absent").await;
    bench.store.fail(true);
    bench.clock.advance(TTL);
    assert_eq!(bench.get("a").await, (true, Tier::Stale));
    assert!(bench.cache.get(key("absent")).await.is_err());
    // Known to fail: not asked again, until a moment later.
    let reads = bench.store.reads();
    assert_eq!(bench.peek("a"), Some((true, Tier::Stale)));
    assert_eq!(bench.get("a").await, (true, Tier::Stale));
    assert_eq!(bench.store.reads(), reads);
    bench.clock.advance(RETRY_AFTER);
    assert_eq!(bench.peek("a"), None);
    assert_eq!(bench.get("a").await, (true, Tier::Stale));
    assert_eq!(bench.store.reads(), reads + 1);
    assert_eq!(bench.cache.stats().stale, 4);
    bench.clock.advance(STALE);
    assert!(bench.cache.get(key("a")).await.is_err());
    bench.store.fail(false);
    assert_eq!(bench.get("a").await, (true, Tier::Store));
}

#[tokio::test]
async fn what_was_invalidated_is_never_served_stale() {
    let bench = Bench::new();
    bench.insert(codes("c", 2)).await;
    bench.get("c0").await;
    bench.get("c1").await;
    bench.store.fail(true);
    bench.cache.invalidate(&key("c0"));
    assert_eq!(bench.peek("c0"), None);
    assert!(bench.cache.get(key("c0")).await.is_err());
    assert_eq!(bench.peek("c1"), Some((true, Tier::Memory)));
    bench.cache.clear();
    assert_eq!(bench.peek("c1"), None);
    assert!(bench.cache.get(key("c1")).await.is_err());
}

#[tokio::test]
async fn a_read_under_way_does_not_bring_the_old_state_back() {
    let everything = |bench: &Bench| bench.cache.clear();
    let one = |bench: &Bench| bench.cache.invalidate(&key("a"));
    let ways: [&dyn Fn(&Bench); 2] = [&one, &everything];
    for forget in ways {
        let bench = Bench::new();
        bench.insert(["a".to_owned()]).await;
        bench.store.hold_up(true);
        let before = bench.spawn_get("a");
        until("it has read", || bench.store.reads() == 1).await;
        bench.delete("a").await;
        forget(&bench);
        let after = bench.spawn_get("a");
        until("another reads", || bench.store.reads() == 2).await;
        bench.store.hold_up(false);
        // This one asked before the deletion, so either answer is right.
        before.await.unwrap().unwrap();
        assert!(after.await.unwrap().unwrap().link.is_none());
        assert_eq!(bench.get("a").await, (false, Tier::Memory));
    }
}

#[tokio::test]
async fn a_refresh_under_way_does_not_bring_the_old_state_back() {
    let bench = Bench::with(|options| options.early_refresh = 1e9);
    bench.insert(["a".to_owned()]).await;
    bench.store.take_time(Duration::from_millis(1));
    bench.get("a").await;
    bench.store.hold_up(true);
    assert_eq!(bench.peek("a"), Some((true, Tier::Memory)));
    until("it refreshes", || bench.store.reads() == 2).await;
    bench.delete("a").await;
    bench.cache.invalidate(&key("a"));
    bench.store.hold_up(false);
    until("the refresh ends", || Arc::strong_count(&bench.cache) == 1).await;
    assert_eq!(bench.get("a").await, (false, Tier::Store));
}

#[tokio::test]
async fn a_new_link_shows_once_its_absence_is_invalidated() {
    let bench = Bench::new();
    assert_eq!(bench.get("a").await, (false, Tier::Store));
    bench.insert(["a".to_owned()]).await;
    bench.cache.invalidate(&key("a"));
    assert_eq!(bench.get("a").await, (true, Tier::Store));
}

#[tokio::test]
async fn a_hot_link_is_refreshed_before_it_ends_and_never_missed() {
    let bench = Bench::new();
    bench.insert(["a".to_owned()]).await;
    bench.store.take_time(Duration::from_secs(1));
    bench.get("a").await;
    // A thousand hits a second for ten times its life.
    for _ in 0..TTL.as_millis() * 10 {
        bench.clock.advance(Duration::from_millis(1));
        assert_eq!(bench.peek("a"), Some((true, Tier::Memory)));
        if Arc::strong_count(&bench.cache) > 1 {
            until("the refresh ends", || Arc::strong_count(&bench.cache) == 1).await;
        }
    }
    let stats = bench.cache.stats();
    assert_eq!((stats.misses, stats.loads), (1, stats.early_refreshes + 1));
    assert!((10..=20).contains(&stats.early_refreshes), "{stats:?}");
}

#[tokio::test]
async fn a_failed_refresh_does_no_harm_and_is_tried_again() {
    let bench = Bench::with(|options| options.early_refresh = 1e9);
    bench.insert(["a".to_owned()]).await;
    bench.store.take_time(Duration::from_millis(1));
    bench.get("a").await;
    bench.store.fail(true);
    assert_eq!(bench.peek("a"), Some((true, Tier::Memory)));
    until("it fails", || bench.cache.stats().load_errors == 1).await;
    assert_eq!(bench.peek("a"), Some((true, Tier::Memory)));
    assert_eq!(bench.store.reads(), 2, "not again at once");
    bench.clock.advance(RETRY_AFTER);
    bench.store.fail(false);
    assert_eq!(bench.peek("a"), Some((true, Tier::Memory)));
    until("it is tried again", || bench.store.reads() == 3).await;
}

#[tokio::test]
async fn the_bound_in_bytes_holds_under_load() {
    const LINKS: usize = 100_000;
    let bench = Bench::new();
    bench.insert(codes("c", LINKS)).await;
    for (n, code) in codes("c", LINKS).enumerate() {
        bench.cache.get(key(&code)).await.unwrap();
        if n % 5_000 == 0 {
            let stats = bench.cache.stats();
            assert!(stats.bytes <= 1 << 20, "{stats:?}");
        }
    }
    let stats = bench.cache.stats();
    assert!(stats.bytes <= 1 << 20, "{stats:?}");
    assert!(stats.bytes >= 1 << 19, "the room is used: {stats:?}");
}

#[tokio::test]
async fn an_edit_of_any_kind_is_served_as_it_is_in_the_store() {
    let bench = Bench::new();
    let later = UnixMillis::from_millis(1_000);
    let changes: [&dyn Fn(&mut LinkSpec); 8] = [
        &|_| {},
        &|spec| spec.title = Some("Title".to_owned()),
        &|spec| spec.expires_at = Some(later),
        &|spec| spec.redirect = Some(crate::RedirectKind::Permanent),
        &|spec| spec.forward_query = true,
        &|spec| spec.starts_at = Some(later),
        &|spec| spec.max_clicks = std::num::NonZeroU64::new(3),
        &|spec| spec.password = Some(crate::PasswordHash::from_phc("x")),
    ];
    // From each kind of link to each, and back.
    for (from, to) in
        (0..changes.len()).flat_map(|from| (0..changes.len()).map(move |to| (from, to)))
    {
        let code = format!("c{from}-{to}");
        for (nth, change) in [changes[from], changes[to]].into_iter().enumerate() {
            let mut link = link(&code);
            change(&mut link.spec);
            bench.delete(&code).await;
            let insert = Insert {
                link: link.clone(),
                reuse: false,
                idempotency: None,
            };
            bench.store.insert(vec![insert]).await.unwrap();
            bench.cache.invalidate(&key(&code));
            bench.get(&code).await;
            let key = key(&code);
            let found = bench
                .cache
                .peek(&key.domain, &key.code)
                .unwrap()
                .link
                .unwrap();
            let spec = &link.spec;
            assert_eq!(found.target(), spec.target.as_str(), "{from} {to} {nth}");
            assert_eq!(found.title(), spec.title.as_deref());
            assert_eq!(found.expires_at(), spec.expires_at);
            assert_eq!(found.redirect(), spec.redirect);
            assert_eq!(found.has_password(), spec.password.is_some());
            assert_eq!(found.is_counted(), spec.max_clicks.is_some());
            assert_eq!(found.asks_who(), spec.forward_query);
            for now in [0, 999, 1_000, 1_001].map(UnixMillis::from_millis) {
                assert_eq!(found.state(now), link.state(now));
            }
            if let Some(whole) = found.whole() {
                assert_eq!(**whole, link);
            }
        }
    }
}
