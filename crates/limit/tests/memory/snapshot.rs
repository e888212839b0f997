//! States on disk: the same ones come back, and nothing that is not whole is taken for them.

use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::store::{MemoryOptions, MemoryStore, SnapshotError};
use tollgate_limit::{AlgorithmKind, Limiter};

use crate::{ROOMY, START, allowed, limiter, store};

const MINUTE: Duration = Duration::from_secs(60);

fn key(kind: AlgorithmKind, number: u64) -> String {
    format!("{kind:?} {number}")
}

fn limiters() -> impl Iterator<Item = (AlgorithmKind, Limiter)> {
    let of = |kind| (kind, limiter(kind, 10, MINUTE));
    AlgorithmKind::ALL.into_iter().map(of)
}

/// A store in which each key has a use of its own, some time ago.
fn used() -> (MemoryStore, Arc<ManualClock>) {
    let (store, clock) = store(ROOMY);
    for (kind, limit) in limiters() {
        for number in 0..200 {
            for _ in 0..number % 12 {
                let _ = store.decide_one(key(kind, number).as_bytes(), &limit, 1);
                clock.advance(Duration::from_micros(100));
            }
        }
    }
    (store, clock)
}

fn snapshot(store: &MemoryStore) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.snapshot(&mut bytes).unwrap();
    bytes
}

fn restore(bytes: &[u8], clock: Arc<ManualClock>) -> Result<MemoryStore, SnapshotError> {
    // Neither the seed nor the number of shards need be the same.
    let options = MemoryOptions {
        seed: 99,
        shards: 16,
        ..ROOMY
    };
    MemoryStore::restore(&mut &*bytes, options, clock)
}

#[test]
fn a_restored_store_decides_as_the_one_before() {
    let (store, clock) = used();
    let again = restore(&snapshot(&store), clock.clone()).unwrap();
    assert_eq!(again.stats().keys, store.stats().keys);
    for pause in [Duration::ZERO, MINUTE / 8, MINUTE / 2, MINUTE] {
        clock.advance(pause);
        for (kind, limit) in limiters() {
            for number in 0..200 {
                let key = key(kind, number);
                for cost in [0, 3] {
                    assert_eq!(
                        again.decide_one(key.as_bytes(), &limit, cost),
                        store.decide_one(key.as_bytes(), &limit, cost),
                        "{key}"
                    );
                }
            }
        }
    }
    assert_eq!(
        snapshot(&restore(&snapshot(&store), clock.clone()).unwrap()).len(),
        { snapshot(&store).len() + (16 - 4) * 8 }
    );
}

#[test]
fn what_has_expired_is_not_written() {
    let (store, clock) = used();
    clock.advance(3 * MINUTE);
    let again = restore(&snapshot(&store), clock).unwrap();
    assert_eq!(again.stats().keys, 0);
}

#[test]
fn a_clock_that_was_set_back_meanwhile_frees_nobody_and_blocks_nobody_for_longer() {
    let (store, _) = store(ROOMY);
    let limit = limiter(AlgorithmKind::TokenBucket, 1, MINUTE);
    assert!(allowed(&store, "key", &limit));
    let before = START.saturating_sub(100 * MINUTE);
    let clock = Arc::new(ManualClock::at(before));
    let again = restore(&snapshot(&store), clock.clone()).unwrap();
    assert!(!allowed(&again, "key", &limit));
    clock.advance(MINUTE);
    assert!(allowed(&again, "key", &limit));
}

#[test]
fn a_smaller_store_takes_what_it_has_room_for() {
    let (store, clock) = used();
    let options = MemoryOptions {
        max_keys: 300,
        ..ROOMY
    };
    let again = MemoryStore::restore(&mut &*snapshot(&store), options, clock).unwrap();
    let stats = again.stats();
    assert!(stats.keys <= 300 && stats.keys > 200, "{stats:?}");
    assert_eq!(
        stats.keys + usize::try_from(stats.evictions).unwrap(),
        store.stats().keys
    );
}

#[test]
fn nothing_but_a_whole_snapshot_is_taken() {
    let (store, _) = store(ROOMY);
    for (kind, limit) in limiters() {
        for number in 0..3 {
            assert!(allowed(&store, &key(kind, number), &limit));
        }
    }
    let whole = snapshot(&store);
    let error = |bytes: &[u8]| {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
        restore(bytes, clock).err()
    };
    assert!(error(&whole).is_none());
    for length in 0..whole.len() {
        let torn = error(&whole[..length]);
        assert!(
            matches!(torn, Some(SnapshotError::Torn)),
            "{length}: {torn:?}"
        );
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let error = error(&damaged).unwrap();
        match at {
            0..8 => assert!(matches!(error, SnapshotError::Foreign), "{at}: {error}"),
            8..16 => assert!(matches!(error, SnapshotError::Version(_)), "{at}: {error}"),
            _ => assert!(
                matches!(error, SnapshotError::Damaged | SnapshotError::Torn),
                "{at}: {error}"
            ),
        }
    }
    let foreign = error(b"SQLite format 3\0").unwrap();
    assert!(
        foreign.to_string().contains("give another file"),
        "{foreign}"
    );
}
