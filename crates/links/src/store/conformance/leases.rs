//! What code strategies share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::store::PoolCode;

const TTL: Duration = Duration::from_millis(100);

fn code(text: &str) -> Code {
    Code::from_stored(text)
}

/// The first candidate wins, for good.
pub async fn a_secret_is_chosen_once<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    let answers = at_once(16, |task| {
        let store = Arc::clone(&store);
        let candidate = [u8::try_from(task).unwrap(); 32];
        async move { store.secret("codes", candidate).await.unwrap() }
    })
    .await;
    let chosen = answers[0];
    assert!(answers.iter().all(|answer| *answer == chosen));
    drop(store);
    let store = engine.reopen().await.store();
    assert_eq!(store.secret("codes", [99; 32]).await.unwrap(), chosen);
    assert_eq!(store.secret("other", [99; 32]).await.unwrap(), [99; 32]);
}

/// Neither at once nor after a restart nor at the end of numbers.
pub async fn blocks_never_overlap<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    let mut blocks = at_once(32, |task| {
        let store = Arc::clone(&store);
        async move {
            store
                .lease_block("codes", task as u64 % 3 + 1)
                .await
                .unwrap()
        }
    })
    .await;
    drop(store);
    let store = engine.reopen().await.store();
    blocks.push(store.lease_block("codes", 5).await.unwrap());
    blocks.sort_by_key(|block| block.start);
    assert_eq!(blocks[0].start, 0);
    for pair in blocks.windows(2) {
        assert_eq!(pair[0].end, pair[1].start);
    }
    let big = i64::MAX as u64;
    assert_eq!(store.lease_block("other", big).await.unwrap(), 0..big);
    let next = store.lease_block("other", big).await.unwrap();
    assert_eq!(next, big..2 * big);
    store.lease_block("other", 2).await.unwrap_err();
    assert_eq!(
        store.lease_block("other", 1).await.unwrap(),
        2 * big..u64::MAX
    );
}

/// Who lost a lease cannot have it back by renewing.
pub async fn workers_are_fenced<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    let first = store.acquire_worker(2, START, TTL).await.unwrap().unwrap();
    let second = store.acquire_worker(2, START, TTL).await.unwrap().unwrap();
    assert_eq!(first.expires_at, START.saturating_add(TTL));
    let numbers = BTreeSet::from([first.worker, second.worker]);
    assert_eq!(numbers, BTreeSet::from([0, 1]));
    assert_eq!(store.acquire_worker(2, after(99), TTL).await.unwrap(), None);
    let renewed = store
        .renew_worker(second, after(50), TTL)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (renewed.worker, renewed.expires_at),
        (second.worker, after(150))
    );
    drop(store);

    let store = engine.reopen().await.store();
    let taken = store
        .acquire_worker(2, after(100), TTL)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(taken.worker, first.worker);
    assert_ne!(taken.fence, first.fence);
    assert_eq!(
        store.renew_worker(first, after(101), TTL).await.unwrap(),
        None
    );
    store.release_worker(first, after(101)).await.unwrap();
    assert!(
        store
            .renew_worker(taken, after(101), TTL)
            .await
            .unwrap()
            .is_some()
    );

    // A released number is free from the moment its holder named.
    store.release_worker(renewed, after(120)).await.unwrap();
    assert_eq!(
        store.renew_worker(renewed, after(110), TTL).await.unwrap(),
        None
    );
    assert_eq!(
        store.acquire_worker(2, after(119), TTL).await.unwrap(),
        None
    );
    let again = store
        .acquire_worker(2, after(120), TTL)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again.worker, renewed.worker);
    // An expired lease that nobody took is still its holder's.
    let late = store.renew_worker(again, after(9_000), TTL).await.unwrap();
    assert!(late.is_some());
    assert_eq!(
        store.acquire_worker(0, after(99_000), TTL).await.unwrap(),
        None
    );
}

/// As many as there are numbers.
pub async fn concurrent_workers_differ<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let leases = at_once(20, |_| {
        let store = Arc::clone(&store);
        async move { store.acquire_worker(12, START, TTL).await.unwrap() }
    })
    .await;
    let held: Vec<_> = leases.into_iter().flatten().collect();
    let numbers: BTreeSet<_> = held.iter().map(|lease| lease.worker).collect();
    let fences: BTreeSet<_> = held.iter().map(|lease| lease.fence).collect();
    assert_eq!((held.len(), fences.len()), (12, 12));
    assert_eq!(numbers, (0..12).collect());
}

/// Quarantine, expiry, removal.
pub async fn pool_codes_are_taken_once_and_come_back<E: Engine>() {
    let (engine, store, _) = fresh::<E>().await;
    store
        .pool_add(&[code("b"), code("a")], START)
        .await
        .unwrap();
    // What is there already keeps its time.
    store
        .pool_add(&[code("a"), code("q")], after(50))
        .await
        .unwrap();
    assert_eq!(store.pool_available(START).await.unwrap(), 2);
    assert_eq!(store.pool_available(after(50)).await.unwrap(), 3);
    assert_eq!(store.pool_take(0, START, TTL).await.unwrap(), []);
    let one = store.pool_take(1, START, TTL).await.unwrap();
    let two = store.pool_take(9, START, TTL).await.unwrap();
    let taken: BTreeSet<_> = one
        .iter()
        .chain(&two)
        .map(|PoolCode(code)| code.clone())
        .collect();
    assert_eq!((one.len(), two.len()), (1, 1));
    assert_eq!(taken, BTreeSet::from([code("a"), code("b")]));
    store.pool_remove(&one).await.unwrap();
    store.pool_remove(&one).await.unwrap();
    drop(store);

    let store = engine.reopen().await.store();
    let quarantined = store.pool_take(9, after(50), TTL).await.unwrap();
    assert_eq!(quarantined, [PoolCode(code("q"))]);
    assert_eq!(store.pool_take(9, after(99), TTL).await.unwrap(), []);
    assert_eq!(store.pool_take(9, after(100), TTL).await.unwrap(), two);
    // A lease of no length is over at once, but still taken once.
    let at = after(1_000);
    assert_eq!(
        store.pool_take(9, at, Duration::ZERO).await.unwrap().len(),
        2
    );
    assert_eq!(store.pool_available(at).await.unwrap(), 2);
}

/// Nobody gets what another has.
pub async fn concurrent_takers_share_the_pool<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    let codes: Vec<_> = (0..100).map(|n| code(&format!("p{n}"))).collect();
    store.pool_add(&codes, START).await.unwrap();
    let taken = at_once(15, |_| {
        let store = Arc::clone(&store);
        async move { store.pool_take(7, START, TTL).await.unwrap() }
    })
    .await;
    let taken: Vec<_> = taken
        .into_iter()
        .flatten()
        .map(|PoolCode(code)| code)
        .collect();
    let distinct: BTreeSet<_> = taken.iter().cloned().collect();
    assert_eq!((taken.len(), distinct.len()), (100, 100));
}
