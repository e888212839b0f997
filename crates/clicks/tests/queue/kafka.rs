//! The queue in Kafka, on the cluster that its client library comes with for tests: it speaks the protocol, but is no
//! real broker. Some of it with others: [`tansu`], [`given`].

mod brokers;
mod front;
mod given;
mod private_tansu;
mod tansu;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_clicks::queue::{
    KafkaQueue, KafkaQueueOptions, KafkaTls, Put, SaslMechanism, SharedQueue, Taken,
};
use tollgate_clicks::spool::Piece;
use tollgate_clicks::{Position, SourceId};

use self::brokers::{Brokers, Mock};
use super::instance::{Instance, store};
use super::{PATIENCE, all_counted, runtime};

fn options(claim_after: Duration) -> KafkaQueueOptions {
    KafkaQueueOptions {
        client: "test".into(),
        claim_after,
        // The machine may be busy with other tests.
        deadline: Duration::from_secs(30),
        sasl_mechanism: SaslMechanism::default(),
        tls: KafkaTls::default(),
    }
}

fn queue(url: &str, claim_after: Duration) -> Arc<KafkaQueue> {
    Arc::new(KafkaQueue::new(url, options(claim_after)).unwrap())
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

/// Takes until so many are there.
async fn taken(queue: &KafkaQueue, count: usize) -> Vec<Taken> {
    let end = Instant::now() + PATIENCE;
    let mut taken = Vec::new();
    while taken.len() < count {
        assert!(Instant::now() < end, "only {} came", taken.len());
        // Brokers may not be known yet.
        if let Ok(some) = queue.take(count - taken.len(), false).await {
            taken.extend(some);
        }
    }
    taken
}

/// The shortest time after which brokers give up a member of a group.
const SHORT: Duration = Duration::from_secs(6);
/// Never within a test.
const NEVER: Duration = Duration::from_secs(3_600);

#[test]
fn pieces_are_taken_in_their_order_and_again_until_they_are_done() {
    taken_in_order(&Mock::start(4));
}

fn taken_in_order(brokers: &dyn Brokers) {
    let url = brokers.url();
    runtime().block_on(async {
        let one = queue(&url, SHORT);
        let source = SourceId("spool-1".into());
        assert_eq!(one.position(&source).await, Ok(None));
        // What begins elsewhere is not put, nor is anything twice.
        let first = piece("spool-1", 32, 100);
        assert_eq!(one.put(&first, false).await, Ok(Put::Elsewhere(None)));
        assert_eq!(one.put(&first, true).await, Ok(Put::Done));
        assert_eq!(one.put(&first, false).await, Ok(Put::Done));
        assert_eq!(one.position(&source).await, Ok(Some(first.to)));
        let gap = piece("spool-1", 200, 300);
        let elsewhere = Put::Elsewhere(Some(first.to));
        assert_eq!(one.put(&gap, false).await, Ok(elsewhere));
        let second = piece("spool-1", 100, 200);
        assert_eq!(one.put(&second, false).await, Ok(Put::Done));
        let third = piece("spool-1", 200, 250);
        assert_eq!(one.put(&third, false).await, Ok(Put::Done));

        let all = taken(&one, 3).await;
        let pieces: Vec<&Piece> = all.iter().map(|taken| &taken.piece).collect();
        assert_eq!(pieces, [&first, &second, &third]);
        // The second alone is not committed, because the first is not done.
        one.done(&[all[1].name.clone()]).await.unwrap();
        drop(one);
        let two = queue(&url, SHORT);
        let again = taken(&two, 3).await;
        assert_eq!(again, all);
        // Nothing is done for long enough: they are given again, to the same one.
        assert_eq!(taken(&two, 3).await, all);
        let names: Vec<_> = all[..2].iter().map(|taken| taken.name.clone()).collect();
        two.done(&names).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(two);
        let three = queue(&url, NEVER);
        assert_eq!(taken(&three, 1).await, all[2..]);
    });
}

#[test]
fn brokers_that_are_away_are_told() {
    let mut brokers = Mock::start(1);
    let url = brokers.url();
    runtime().block_on(async {
        let options = KafkaQueueOptions {
            deadline: Duration::from_millis(500),
            ..options(NEVER)
        };
        let queue = KafkaQueue::new(&url, options).unwrap();
        let first = piece("spool-1", 32, 100);
        let end = Instant::now() + PATIENCE;
        while queue.put(&first, true).await != Ok(Put::Done) {
            assert!(Instant::now() < end, "nobody takes it");
        }
        brokers.down(true);
        let second = piece("spool-1", 100, 200);
        let refused = queue.put(&second, false).await;
        assert!(refused.is_err(), "{refused:?}");
        brokers.up();
        let end = Instant::now() + PATIENCE;
        while queue.put(&second, false).await != Ok(Put::Done) {
            assert!(Instant::now() < end, "nobody takes it");
        }
    });
}

#[test]
fn each_click_counts_once_while_instances_and_brokers_come_and_go() {
    let pace = Pace {
        cycles: 1,
        pause: Duration::ZERO,
    };
    counted_once(&mut Mock::start(3), &pace);
}

/// How often all of it happens, and how long apart.
struct Pace {
    cycles: usize,
    pause: Duration,
}

/// Long enough for partitions to move and brokers to start.
const SLOWLY: Pace = Pace {
    cycles: 4,
    pause: Duration::from_millis(1_500),
};

fn counted_once(brokers: &mut dyn Brokers, pace: &Pace) {
    let url = brokers.url();
    let runtime = runtime();
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let _entered = runtime.enter();
    let mut instances: Vec<Instance> = (0..3)
        .map(|number| Instance::new(home.path(), number))
        .collect();
    let start = |instance: &mut Instance| {
        instance.start(queue(&url, SHORT), &store);
    };
    for instance in &mut instances {
        start(instance);
    }
    for round in 0..5 * pace.cycles {
        for instance in &mut instances {
            instance.click(500);
        }
        let one = round / 5 % 3;
        match round % 5 {
            1 => instances[one].kill(),
            2 => brokers.down(false),
            3 => {
                brokers.up();
                start(&mut instances[one]);
            }
            _ => {}
        }
        std::thread::sleep(pace.pause);
    }
    runtime.block_on(all_counted(&store, &instances.iter().collect::<Vec<_>>()));
}
