use std::collections::HashSet;

use tollgate_clock::{ManualClock, UnixMillis};

use super::super::flaky_store::FlakyStore;
use super::*;
use crate::CodeFilter;
use crate::base62::Alphabet;

const QUARANTINE: Duration = Duration::from_secs(3_600);

struct Instance {
    pool: Pool,
    clock: Arc<ManualClock>,
}

fn instance(store: &Arc<FlakyStore>, target: u64, filter: CodeFilter) -> Instance {
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_000_000)));
    let rules = CodeRules {
        case_insensitive: true,
    };
    let pool = Pool::new(
        CodeSpace::new(Alphabet::Base36, 7, Arc::new(filter)),
        rules,
        store.clone(),
        clock.clone(),
        target,
        QUARANTINE,
    );
    Instance { pool, clock }
}

impl Instance {
    async fn available(&self) -> u64 {
        let now = self.clock.now();
        self.pool.leases.pool_available(now).await.unwrap()
    }
}

#[tokio::test]
async fn the_pool_is_filled_to_its_target_in_bounded_rounds() {
    let store = FlakyStore::new();
    let a = instance(&store, 30_000, CodeFilter::default());
    a.pool.tend().await.unwrap();
    assert_eq!(a.available().await, 20_000);
    a.pool.tend().await.unwrap();
    assert_eq!(a.available().await, 30_000);
    a.pool.tend().await.unwrap();
    assert_eq!(a.available().await, 30_000);
    let none = instance(&store, 0, CodeFilter::default());
    let calls = store.calls();
    none.pool.tend().await.unwrap();
    assert_eq!(store.calls(), calls);
}

#[tokio::test]
async fn codes_come_from_the_pool_by_the_handful_and_to_one_instance_only() {
    let store = FlakyStore::new();
    let (a, b) = (
        instance(&store, 2_000, CodeFilter::default()),
        instance(&store, 2_000, CodeFilter::default()),
    );
    a.pool.tend().await.unwrap();
    let calls = store.calls();
    let mut seen = HashSet::new();
    for _ in 0..500 {
        for instance in [&a, &b] {
            let (code, pooled) = instance.pool.next().await.unwrap();
            assert_eq!(pooled, Some(PoolCode(code.clone())));
            assert!(seen.insert(code));
        }
    }
    assert_eq!(store.calls() - calls, 4);
}

#[tokio::test]
async fn an_empty_pool_delays_nobody_and_is_not_asked_again_at_once() {
    let store = FlakyStore::new();
    let a = instance(&store, 10, CodeFilter::default());
    for _ in 0..100 {
        assert_eq!(a.pool.next().await.unwrap().1, None);
    }
    assert_eq!(store.calls(), 1);
    a.pool.tend().await.unwrap();
    a.clock.advance(EMPTY_FOR);
    assert!(a.pool.next().await.unwrap().1.is_some());
}

#[tokio::test]
async fn settled_codes_are_gone_and_others_come_back() {
    let store = FlakyStore::new();
    let a = instance(&store, 2, CodeFilter::default());
    a.pool.tend().await.unwrap();
    let (_, settled) = a.pool.next().await.unwrap();
    let (_, forgotten) = a.pool.next().await.unwrap();
    a.pool.settle(&[settled.unwrap()]).await.unwrap();
    assert_eq!(a.available().await, 0);
    a.clock.advance(TAKEN_FOR);
    assert_eq!(a.available().await, 1);
    assert_eq!(a.pool.next().await.unwrap().1, forgotten);
}

#[tokio::test]
async fn codes_held_for_long_are_not_offered_after_they_return_to_the_pool() {
    let store = FlakyStore::new();
    let (a, b) = (
        instance(&store, 2, CodeFilter::default()),
        instance(&store, 2, CodeFilter::default()),
    );
    a.pool.tend().await.unwrap();
    a.pool.next().await.unwrap();
    for instance in [&a, &b] {
        instance.clock.advance(TAKEN_FOR);
    }
    let mut of_b = HashSet::new();
    for _ in 0..2 {
        of_b.insert(b.pool.next().await.unwrap().0);
    }
    assert!(!of_b.contains(&a.pool.next().await.unwrap().0));
}

#[tokio::test]
async fn codes_of_deleted_links_rest_before_they_return() {
    let store = FlakyStore::new();
    let a = instance(&store, 0, CodeFilter::default());
    let code = Code::from_stored("abc1234");
    a.pool.reclaim(std::slice::from_ref(&code)).await.unwrap();
    assert_eq!(a.pool.next().await.unwrap().1, None);
    a.clock.advance(QUARANTINE - Duration::from_millis(1));
    assert_eq!(a.pool.next().await.unwrap().1, None);
    a.clock.advance(EMPTY_FOR);
    assert_eq!(a.pool.next().await.unwrap().0, code);
}

#[tokio::test]
async fn codes_that_no_longer_fit_leave_the_pool() {
    let store = FlakyStore::new();
    let blocked = ["rival".to_owned()];
    let a = instance(&store, 0, CodeFilter::new(&[], &blocked));
    let codes = ["xrivalx", "UPPER12", "api", "good123"].map(Code::from_stored);
    store
        .pool_add(&codes, UnixMillis::from_millis(0))
        .await
        .unwrap();
    let (code, pooled) = a.pool.next().await.unwrap();
    assert_eq!(code, codes[3]);
    a.pool.settle(&[pooled.unwrap()]).await.unwrap();
    a.clock.advance(TAKEN_FOR);
    assert_eq!(a.available().await, 0);
}

#[tokio::test]
async fn shutting_down_gives_unused_codes_back() {
    let store = FlakyStore::new();
    let a = instance(&store, 100, CodeFilter::default());
    a.pool.tend().await.unwrap();
    a.pool.next().await.unwrap();
    assert_eq!(a.available().await, 0);
    a.pool.shutdown().await.unwrap();
    assert_eq!(a.available().await, 99);
}
