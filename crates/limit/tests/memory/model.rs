//! The store against a map that never forgets, decision by decision.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use tollgate_limit::store::{Charge, LimitKey, LimitStore as _, MemoryOptions, Refund};
use tollgate_limit::{AlgorithmKind, Decision, Limiter, LimiterState, Moment, Quota, Shaped};

use crate::{ROOMY, START, decide, store};

/// A request: nanoseconds since the one before, and for each charge a key, its cost, and whether
/// it binds; and whether what the last request was charged is given back before. The key says which
/// algorithm it is under.
type Request = (u64, Vec<(usize, u64, bool)>, bool);

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let pause = prop_oneof![
        3 => Just(0_u64),
        3 => 0_u64..1_000_000,
        2 => 90_000_000_u64..110_000_000,
        1 => 0_u64..10_000_000_000,
    ];
    let cost = prop_oneof![5 => Just(1_u64), 2 => 0_u64..5, 1 => 0_u64..20];
    let charge = (0_usize..14, cost, prop::bool::weighted(0.8));
    let charges = prop::collection::vec(charge, 1..5);
    prop::collection::vec((pause, charges, prop::bool::weighted(0.3)), 1..150)
}

fn limiter(key: usize) -> Limiter {
    let kind = AlgorithmKind::ALL[key % AlgorithmKind::ALL.len()];
    let quota = Quota::new(3 + key as u64 % 5, Duration::from_millis(100)).unwrap();
    Limiter::new(kind, quota, Some(4)).unwrap()
}

#[derive(Default)]
struct Model {
    states: HashMap<usize, LimiterState>,
}

impl Model {
    fn decide(&mut self, now: Moment, charges: &[(usize, u64, bool)]) -> Vec<Shaped> {
        let mut next = self.states.clone();
        let mut answers = vec![None; charges.len()];
        for bound in [true, false] {
            for (at, (key, cost, binds)) in charges.iter().enumerate() {
                if *binds == bound {
                    let state = next.entry(*key).or_default();
                    answers[at] = Some(limiter(*key).shape(state, now, *cost));
                }
            }
        }
        let mut answers: Vec<Shaped> = answers.into_iter().flatten().collect();
        let passes = charges
            .iter()
            .zip(&answers)
            .all(|((_, _, binds), answer)| !binds || answer.decision.allowed());
        if passes {
            self.states = next;
            return answers;
        }
        for ((key, _, _), answer) in charges.iter().zip(&mut answers) {
            let mut state = self.states.get(key).cloned().unwrap_or_default();
            let peek = limiter(*key).shape(&mut state, now, 0).decision;
            answer.decision = Decision::new(
                answer.decision.verdict(),
                answer.decision.limit(),
                peek.remaining(),
                peek.reset_after(),
            );
        }
        answers
    }
}

fn run(options: MemoryOptions, requests: &[Request]) -> Result<(), TestCaseError> {
    let (store, clock) = store(options);
    let mut model = Model::default();
    let mut now = Moment::after_origin(Duration::from_millis(
        u64::try_from(START.as_millis()).unwrap(),
    ));
    let mut charged = Vec::new();
    for (pause, charges, back) in requests {
        let pause = Duration::from_nanos(*pause);
        clock.advance(pause);
        now = now.plus(pause);
        if *back {
            let refunds = std::mem::take(&mut charged);
            store.refund(&refunds).now_or_never().unwrap().unwrap();
            for refund in refunds {
                let named = |key: &&usize| refund.key().as_bytes() == name(**key).as_bytes();
                let key = *model.states.keys().find(named).unwrap();
                refund.apply(model.states.get_mut(&key).unwrap(), now);
            }
        }
        let expected = model.decide(now, charges);
        let given: Vec<Charge> = charges
            .iter()
            .map(|(key, cost, binds)| Charge {
                key: LimitKey::new(name(*key).as_bytes()).unwrap(),
                limiter: limiter(*key),
                cost: *cost,
                binds: *binds,
            })
            .collect();
        prop_assert_eq!(decide(&store, &given).unwrap(), expected.clone());
        charged = Refund::of(&given, &expected);
    }
    Ok(())
}

fn name(key: usize) -> String {
    format!("key {key}")
}

proptest! {
    #[test]
    fn every_decision_is_that_of_a_map_that_never_forgets(requests in requests()) {
        run(ROOMY, &requests)?;
        // Keys of one request in one shard.
        run(MemoryOptions { shards: 1, ..ROOMY }, &requests)?;
    }
}

#[test]
fn no_charge_is_no_decision() {
    let (store, _) = store(ROOMY);
    assert_eq!(decide(&store, &[]).unwrap(), []);
}

#[test]
fn the_wall_clock_is_read_once() {
    let (store, clock) = store(ROOMY);
    let minute = crate::limiter(AlgorithmKind::FixedWindow, 1, Duration::from_secs(60));
    clock.advance(Duration::from_secs(59));
    assert!(crate::allowed(&store, "key", &minute));
    // Neither forwards nor backwards does a clock that is set free a key.
    for wall in [0, START.as_millis() * 2] {
        clock.set_wall(tollgate_clock::UnixMillis::from_millis(wall));
        assert!(!crate::allowed(&store, "key", &minute));
    }
    clock.advance(Duration::from_secs(1));
    assert!(crate::allowed(&store, "key", &minute), "the full minute");
}
