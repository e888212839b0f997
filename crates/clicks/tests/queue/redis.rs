//! The queue in a Redis of the tests' own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_clicks::queue::{Put, RedisQueue, RedisQueueOptions, SharedQueue};
use tollgate_clicks::spool::Piece;
use tollgate_clicks::{Position, SourceId};

use super::instance::{Instance, store};
use super::private_redis::{PrivateRedis, PrivateSentinel};
use super::{PATIENCE, all_counted, runtime};

fn queue(url: &str, consumer: &str, claim_after: Duration) -> Arc<RedisQueue> {
    let options = RedisQueueOptions {
        consumer: consumer.into(),
        max_entries: 100,
        claim_after,
        // The machine may be busy with other tests.
        deadline: Duration::from_secs(10),
    };
    Arc::new(RedisQueue::new(url, options).unwrap())
}

fn piece(source: &str, after: u64, to: u64) -> Piece {
    let at = |offset| Position { segment: 1, offset };
    Piece {
        source: SourceId(source.into()),
        after: at(after),
        from: at(after),
        to: at(to),
        bytes: vec![0, 255, b'\n', to as u8],
    }
}

/// Never within a test.
const NEVER: Duration = Duration::from_secs(3_600);

#[test]
fn pieces_are_taken_once_and_again_when_their_taker_is_gone() {
    let redis = PrivateRedis::start();
    taken_once_and_again(&format!("{}/clicks", redis.url()));
    // Another stream is another queue, and so is another database.
    taken_once_and_again(&format!("{}/others", redis.url()));
    taken_once_and_again(&format!("{}/3/clicks", redis.url()));
}

#[test]
fn a_cluster_holds_the_queue() {
    let redis = PrivateRedis::start_cluster(None);
    taken_once_and_again(&format!("{}/clicks", redis.cluster_url()));
}

#[test]
fn the_master_that_a_sentinel_names_holds_the_queue() {
    let master = PrivateRedis::start();
    let sentinel = PrivateSentinel::start(&master);
    taken_once_and_again(&format!("{}/clicks", sentinel.url()));
}

#[test]
fn entries_of_others_are_removed() {
    let redis = PrivateRedis::start();
    let add = |fields: &[&str]| redis.cli(&[&["XADD", "{clicks}", "*"][..], fields].concat());
    runtime().block_on(async {
        let queue = queue(&format!("{}/clicks", redis.url()), "one", NEVER);
        add(&["a", "b"]);
        add(&["s", "spool-1", "a", "1-2", "f", "x", "t", "1-3", "b", "c"]);
        let good = piece("spool-1", 32, 100);
        assert_eq!(queue.put(&good, true).await, Ok(Put::Done));
        let taken = queue.take(10, false).await.unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].piece, good);
        queue.done(&[taken[0].name.clone()]).await.unwrap();
        let again = self::queue(&format!("{}/clicks", redis.url()), "one", NEVER);
        assert!(again.take(10, true).await.unwrap().is_empty());
    });
}

fn taken_once_and_again(url: &str) {
    runtime().block_on(async {
        let one = queue(url, "one", NEVER);
        let source = SourceId("spool-1".into());
        let end = Instant::now() + PATIENCE;
        while let Err(error) = one.position(&source).await {
            // A Sentinel may not know its master yet.
            assert!(Instant::now() < end, "{error}");
        }
        assert_eq!(one.position(&source).await, Ok(None));
        assert!(one.take(10, true).await.unwrap().is_empty());
        // What begins elsewhere is not taken, nor is anything twice.
        let first = piece("spool-1", 32, 100);
        assert_eq!(one.put(&first, false).await, Ok(Put::Elsewhere(None)));
        assert_eq!(one.put(&first, true).await, Ok(Put::Done));
        assert_eq!(one.put(&first, false).await, Ok(Put::Done));
        assert_eq!(one.position(&source).await, Ok(Some(first.to)));
        let gap = piece("spool-1", 200, 300);
        assert_eq!(
            one.put(&gap, false).await,
            Ok(Put::Elsewhere(Some(first.to)))
        );
        let second = piece("spool-1", 100, 200);
        let other = piece("spool-2", 32, 90);
        assert_eq!(one.put(&second, false).await, Ok(Put::Done));
        assert_eq!(one.put(&other, true).await, Ok(Put::Done));

        let two = queue(url, "two", NEVER);
        let taken = one.take(1, false).await.unwrap();
        assert_eq!(taken[0].piece, first);
        let rest = two.take(10, false).await.unwrap();
        let pieces: Vec<&Piece> = rest.iter().map(|taken| &taken.piece).collect();
        assert_eq!(pieces, [&second, &other]);
        assert!(one.take(10, false).await.unwrap().is_empty());
        // Started anew, it is given what it had.
        let again = queue(url, "two", NEVER).take(10, true).await.unwrap();
        assert_eq!(again, rest);
        two.done(&[rest[0].name.clone(), rest[1].name.clone()])
            .await
            .unwrap();
        assert!(
            queue(url, "two", NEVER)
                .take(10, true)
                .await
                .unwrap()
                .is_empty()
        );
        // Others are given it when it is gone for long enough.
        let impatient = queue(url, "three", Duration::from_millis(1));
        let end = Instant::now() + PATIENCE;
        loop {
            let claimed = impatient.take(10, false).await.unwrap();
            if !claimed.is_empty() {
                assert_eq!(claimed, taken);
                break;
            }
            assert!(Instant::now() < end, "nothing is claimed");
        }
        impatient.done(&[taken[0].name.clone()]).await.unwrap();
        // Nothing is left of it.
        let full = (0..100).map(|at| piece("spool-3", at, at + 1));
        for (number, piece) in full.enumerate() {
            assert_eq!(one.put(&piece, number == 0).await, Ok(Put::Done));
        }
        assert_eq!(
            one.put(&piece("spool-3", 100, 101), false).await,
            Ok(Put::Full)
        );
    });
}

#[test]
fn what_a_redis_forgets_and_dead_instances_held_counts_once() {
    let mut redis = PrivateRedis::start();
    let url = format!("{}/clicks", redis.url());
    let runtime = runtime();
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let _entered = runtime.enter();
    let mut instances: Vec<Instance> = (0..3)
        .map(|number| Instance::new(home.path(), number))
        .collect();
    let start = |instance: &mut Instance, number: usize| {
        let own = queue(&url, &format!("c{number}"), Duration::from_millis(200));
        instance.start(own, &store);
    };
    for (number, instance) in instances.iter_mut().enumerate() {
        start(instance, number);
    }
    for round in 0..6 {
        for instance in &mut instances {
            instance.click(700);
        }
        match round {
            1 => instances[0].kill(),
            // It keeps nothing on a disk.
            2 | 4 => {
                redis.kill();
                instances[1].click(300);
                redis.restart();
            }
            3 => start(&mut instances[0], 0),
            _ => {}
        }
    }
    runtime.block_on(all_counted(&store, &instances.iter().collect::<Vec<_>>()));
    // Entries are lost alone: nothing tells, but that nothing is counted.
    let lone = queue(&url, "nobody", NEVER);
    for instance in &mut instances {
        instance.kill();
    }
    instances[0].forward(queue(&url, "c0", NEVER), &store);
    instances[0].click(100);
    let end = Instant::now() + PATIENCE;
    runtime.block_on(async {
        loop {
            let taken = lone.take(10, false).await.unwrap();
            if !taken.is_empty() {
                let names: Vec<_> = taken.into_iter().map(|one| one.name).collect();
                lone.done(&names).await.unwrap();
                break;
            }
            assert!(Instant::now() < end, "nothing is forwarded");
        }
    });
    instances[0].take(queue(&url, "c0", Duration::from_millis(200)), &store);
    runtime.block_on(all_counted(&store, &instances.iter().collect::<Vec<_>>()));
    assert!(instances[0].again() > 0);
}
