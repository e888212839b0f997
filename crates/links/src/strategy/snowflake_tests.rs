use std::collections::HashSet;

use proptest::prelude::*;
use tollgate_clock::ManualClock;

use super::super::flaky_store::FlakyStore;
use super::*;

const TTL: Duration = Duration::from_secs(30);
const START: UnixMillis = UnixMillis::from_millis(EPOCH_MS + 1_000_000_000);

fn instance(store: &Arc<FlakyStore>) -> (Snowflake, Arc<ManualClock>) {
    filtered(store, CodeFilter::default())
}

fn filtered(store: &Arc<FlakyStore>, filter: CodeFilter) -> (Snowflake, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    let snowflake = Snowflake::new(
        Alphabet::Base62,
        Arc::new(filter),
        store.clone(),
        clock.clone(),
        TTL,
    );
    (snowflake, clock)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_parts_stand_where_they_should() {
    let stamp = Stamp {
        at: UnixMillis::from_millis(EPOCH_MS + 5),
        worker: 3,
        sequence: 7,
    };
    assert_eq!(stamp.number().unwrap(), (5 << 22) | (3 << 12) | 7);
    let last = Stamp {
        at: UnixMillis::from_millis(EPOCH_MS + (1 << TIME_BITS) - 1),
        worker: WORKERS - 1,
        sequence: (1 << SEQUENCE_BITS) - 1,
    };
    assert_eq!(last.number().unwrap(), (1 << 63) - 1);
    for (alphabet, length) in [(Alphabet::Base62, 11), (Alphabet::Base36, 13)] {
        assert!(alphabet.encode_fixed(1 << 63, length).is_ok());
    }
    for beyond in [
        EPOCH_MS - 1,
        EPOCH_MS + (1 << TIME_BITS),
        i64::MIN,
        i64::MAX,
    ] {
        let at = UnixMillis::from_millis(beyond);
        assert!(matches!(
            Stamp { at, ..stamp }.number(),
            Err(StrategyError::ClockOutOfRange { .. })
        ));
    }
}

#[test]
fn a_burst_runs_ahead_of_the_clock_by_one_second_and_no_more() {
    let mut state = State::default();
    let lease = WorkerLease {
        worker: 1,
        fence: 1,
        expires_at: START.saturating_add(TTL),
    };
    state.begin(lease, START);
    let mut made = 0u64;
    let mut last = None;
    let exhausted = loop {
        match state.next(START) {
            Ok(stamp) => {
                let number = stamp.map(|stamp| stamp.number().unwrap());
                assert!(number > last, "neither repeated nor backwards");
                last = number;
                made += 1;
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(exhausted, StrategyError::SequenceExhausted));
    assert_eq!(made, 4_096 * 1_001);
    let later = START.saturating_add(ms(5));
    for _ in 0..4_096 * 5 {
        let number = state
            .next(later)
            .unwrap()
            .map(|stamp| stamp.number().unwrap());
        assert!(number > last);
        last = number;
    }
    assert!(state.next(later).is_err());
}

#[test]
fn codes_keep_to_the_interval_of_the_lease_whatever_the_clock_shows() {
    let mut state = State::default();
    let lease = WorkerLease {
        worker: 1,
        fence: 1,
        expires_at: START.saturating_add(ms(2)),
    };
    state.begin(lease, START);
    for number in 0..2 * 4_096 {
        let stamp = state.next(START.saturating_sub(ms(500))).unwrap().unwrap();
        assert_eq!(stamp.at, START.saturating_add(ms(number / 4_096)));
    }
    assert_eq!(state.next(START).unwrap(), None);
}

#[tokio::test]
async fn a_clock_set_back_does_not_shorten_the_lease() {
    let store = FlakyStore::new();
    let clock = Arc::new(ManualClock::at(START));
    let leases = store.clone();
    let ttl = ms(500);
    let filter = Arc::new(CodeFilter::default());
    let short = Snowflake::new(Alphabet::Base62, filter, leases, clock.clone(), ttl);
    let used = short.stamp().await.unwrap();
    {
        let mut state = short.state.lock();
        state.last = START.saturating_add(ttl - ms(1));
        state.sequence = 1 << SEQUENCE_BITS;
    }
    clock.set_wall(START.saturating_sub(ms(400)));
    assert!(matches!(
        short.stamp().await,
        Err(StrategyError::SequenceExhausted)
    ));
    let (other, clock) = instance(&store);
    clock.set_wall(START.saturating_add(ttl - ms(1)));
    assert_ne!(other.stamp().await.unwrap().worker, used.worker);
}

#[tokio::test]
async fn small_steps_back_are_bridged_and_great_ones_refused() {
    let (snowflake, clock) = instance(&FlakyStore::new());
    let first = snowflake.stamp().await.unwrap();
    clock.set_wall(START.saturating_sub(ms(900)));
    let second = snowflake.stamp().await.unwrap();
    assert_eq!((second.at, second.sequence), (first.at, first.sequence + 1));
    clock.set_wall(START.saturating_sub(ms(1_001)));
    match snowflake.next().await {
        Err(StrategyError::ClockBackwards { behind }) => assert_eq!(behind, ms(1_001)),
        other => panic!("{other:?}"),
    }
    clock.set_wall(START);
    assert_eq!(
        snowflake.stamp().await.unwrap().sequence,
        second.sequence + 1
    );
}

#[tokio::test]
async fn a_pause_longer_than_the_lease_gets_another_worker_number() {
    let store = FlakyStore::new();
    let ((a, clock_a), (b, clock_b)) = (instance(&store), instance(&store));
    let before = a.stamp().await.unwrap();
    for clock in [&clock_a, &clock_b] {
        clock.advance(TTL);
    }
    let taken_over = b.stamp().await.unwrap();
    let after = a.stamp().await.unwrap();
    assert_eq!(taken_over.worker, before.worker);
    assert_ne!(after.worker, before.worker);
    // Where nobody has taken it, the number stays.
    clock_a.advance(TTL * 10);
    assert_eq!(a.stamp().await.unwrap().worker, after.worker);
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_is_used_to_its_end_and_not_beyond() {
    let store = FlakyStore::new();
    let (snowflake, clock) = instance(&store);
    snowflake.stamp().await.unwrap();
    store.set_down(true);
    clock.advance(TTL - ms(1));
    assert!(matches!(
        snowflake.tend().await,
        Err(StrategyError::Store(_))
    ));
    assert!(snowflake.stamp().await.is_ok());
    clock.advance(ms(1));
    assert!(matches!(
        snowflake.stamp().await,
        Err(StrategyError::Store(_))
    ));
    store.set_down(false);
    assert!(snowflake.stamp().await.is_ok());
}

#[tokio::test]
async fn tending_keeps_the_worker_number_and_leases_none_without_need() {
    let store = FlakyStore::new();
    let ((a, clock_a), (b, clock_b)) = (instance(&store), instance(&store));
    b.tend().await.unwrap();
    assert_eq!(store.calls(), 0);
    let held = a.stamp().await.unwrap();
    for _ in 0..10 {
        clock_a.advance(TTL / 2);
        clock_b.advance(TTL / 2);
        a.tend().await.unwrap();
    }
    assert_ne!(b.stamp().await.unwrap().worker, held.worker);
    assert_eq!(a.stamp().await.unwrap().worker, held.worker);
}

#[tokio::test]
async fn shutting_down_frees_the_number_from_the_next_millisecond_on() {
    let store = FlakyStore::new();
    let ((a, _), (b, clock_b), (c, clock_c)) =
        (instance(&store), instance(&store), instance(&store));
    let used = a.stamp().await.unwrap();
    a.shutdown().await.unwrap();
    clock_b.set_wall(used.at);
    assert_ne!(b.stamp().await.unwrap().worker, used.worker);
    clock_c.set_wall(used.at.saturating_add(ms(1)));
    assert_eq!(c.stamp().await.unwrap().worker, used.worker);
}

#[tokio::test]
async fn when_all_worker_numbers_are_held_that_is_said() {
    let store = FlakyStore::new();
    for _ in 0..WORKERS {
        store.acquire_worker(WORKERS, START, TTL).await.unwrap();
    }
    let (snowflake, clock) = instance(&store);
    assert!(matches!(
        snowflake.next().await,
        Err(StrategyError::NoWorker { workers: WORKERS })
    ));
    clock.advance(TTL);
    assert!(snowflake.next().await.is_ok());
}

#[tokio::test]
async fn a_word_in_the_digits_of_this_hour_stops_nothing() {
    let store = FlakyStore::new();
    let usual = instance(&store).0.next().await.unwrap();
    let blocked = usual.as_str()[..3].to_owned();
    let (snowflake, _) = filtered(&store, CodeFilter::new(&[], &[blocked]));
    let mut codes = HashSet::new();
    for _ in 0..5_000 {
        let code = snowflake.next().await.unwrap();
        assert_eq!(code.as_str().len(), 11);
        assert_ne!(code.as_str()[..3], usual.as_str()[..3]);
        assert!(codes.insert(code));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Make(usize),
    Advance(u64),
    SetWall(i64),
    Tend,
    Shutdown,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        4 => (1..200usize).prop_map(Step::Make),
        2 => (0..40_000u64).prop_map(Step::Advance),
        2 => (-60_000..60_000i64).prop_map(Step::SetWall),
        1 => Just(Step::Tend),
        1 => Just(Step::Shutdown),
    ];
    proptest::collection::vec((0..3usize, step), 1..80)
}

proptest! {
    #[test]
    fn whatever_clocks_do_no_stamp_is_made_twice(steps in steps()) {
        let store = FlakyStore::new();
        let instances: Vec<_> = (0..3).map(|_| instance(&store)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut seen = HashSet::new();
        for (at, step) in steps {
            let (snowflake, clock) = &instances[at];
            match step {
                Step::Make(count) => {
                    for _ in 0..count {
                        match runtime.block_on(snowflake.stamp()) {
                            Ok(stamp) => prop_assert!(
                                seen.insert((stamp.at, stamp.worker, stamp.sequence)),
                                "{:?} came twice", stamp
                            ),
                            Err(StrategyError::ClockBackwards { .. }) => break,
                            Err(other) => prop_assert!(false, "{}", other),
                        }
                    }
                }
                Step::Advance(by) => clock.advance(ms(by)),
                Step::SetWall(to) => clock.set_wall(UnixMillis::from_millis(START.as_millis() + to)),
                Step::Tend => runtime.block_on(snowflake.tend()).unwrap(),
                Step::Shutdown => runtime.block_on(snowflake.shutdown()).unwrap(),
            }
        }
    }
}
