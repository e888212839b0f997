//! The script against the limiters: on random traces, at moments of the test's choice, both take
//! the same decisions.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

use super::private_redis::PrivateRedis;
use super::*;
use crate::store::LimitKey;
use crate::{AlgorithmKind, LeakyQueue, LimiterState, MAX_LIMIT, Moment, Quota};

/// The script, but at a moment that is its last argument, and with keys that outlive the test.
fn script() -> String {
    let script = SCRIPT
        .replace(
            "local clock = redis.call('TIME')",
            "local clock = { 0, table.remove(ARGV) }",
        )
        .replace("SLACK_MS = 1000", "SLACK_MS = 3600000");
    assert!(script.contains("table.remove") && script.contains("3600000"));
    script
}

struct Bench {
    runtime: Runtime,
    store: RedisStore,
    _server: PrivateRedis,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let server = PrivateRedis::start();
        let options = RedisOptions {
            deadline: Duration::from_secs(60),
            connect_within: Duration::from_secs(60),
            ..RedisOptions::default()
        };
        let guard = runtime.enter();
        let store = RedisStore::with_script(&server.url(), options, &script()).unwrap();
        drop(guard);
        Self {
            runtime,
            store,
            _server: server,
        }
    }

    fn clear(&self) {
        let call = Call {
            script: Some("return redis.call('FLUSHALL')"),
            keys: &[],
            numbers: &[],
            words: &[],
        };
        let done = self.store.client.ask(&call, Duration::from_secs(60));
        let done: String = self.runtime.block_on(done).unwrap();
        assert_eq!(done, "OK");
    }

    fn refund(&self, refunds: &[Refund], micros: u64) {
        self.runtime
            .block_on(self.store.refund_with(refunds, &[micros]))
            .unwrap();
    }

    fn decide(&self, charges: &[Charge], micros: u64) -> Vec<Shaped> {
        self.runtime
            .block_on(self.store.decide_with(charges, &[micros]))
            .unwrap()
    }
}

/// What the memory of a process would keep, in the plainest way: states that were charged.
#[derive(Default)]
struct Reference(HashMap<LimitKey, LimiterState>);

impl Reference {
    fn refund(&mut self, refunds: &[Refund], micros: u64) {
        let now = Moment::from_nanos(micros * 1_000);
        for refund in refunds {
            let whole = Moment::from_nanos(refund.since.as_nanos() / 1_000 * 1_000);
            let refund = Refund {
                since: whole,
                ..refund.clone()
            };
            if let Some(state) = self.0.get_mut(&refund.key) {
                refund.apply(state, now);
            }
        }
    }

    fn decide(&mut self, charges: &[Charge], micros: u64) -> Vec<Shaped> {
        let now = Moment::from_nanos(micros * 1_000);
        let mut next = self.0.clone();
        let mut answers = vec![None; charges.len()];
        let mut charged = HashSet::new();
        for binds in [true, false] {
            for (at, charge) in charges.iter().enumerate() {
                if charge.binds == binds {
                    let state = next.entry(charge.key.clone()).or_default();
                    let shaped = charge.limiter.shape(state, now, charge.cost);
                    if charge.cost > 0 && shaped.decision.allowed() {
                        charged.insert(charge.key.clone());
                    }
                    answers[at] = Some(shaped);
                }
            }
        }
        let answers: Vec<Shaped> = answers.into_iter().flatten().collect();
        let passes =
            |(charge, shaped): (&Charge, &Shaped)| !charge.binds || shaped.decision.allowed();
        if charges.iter().zip(&answers).all(passes) {
            let kept = next.into_iter().filter(|(key, _)| charged.contains(key));
            self.0.extend(kept);
            return answers;
        }
        let peeked = charges.iter().zip(answers).map(|(charge, shaped)| {
            let mut state = self.0.get(&charge.key).cloned().unwrap_or_default();
            let peek = charge.limiter.shape(&mut state, now, 0).decision;
            Shaped {
                decision: crate::Decision::new(
                    shaped.decision.verdict(),
                    shaped.decision.limit(),
                    peek.remaining(),
                    peek.reset_after(),
                ),
                delay: shaped.delay,
                at: shaped.at,
            }
        });
        peeked.collect()
    }
}

/// Small and friendly, small and awkward, and the ends of the range.
fn limits() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1_u64..20,
        2 => prop::sample::select(vec![7, 100, 999_983, 1_000_000]),
        1 => 1..=MAX_LIMIT,
        1 => MAX_LIMIT - 3..=MAX_LIMIT,
    ]
}

fn windows() -> impl Strategy<Value = Duration> {
    let year = 366 * 86_400_000_000_u64;
    prop_oneof![
        4 => prop::sample::select(vec![1, 60, 3_600, 86_400, 2_592_000])
            .prop_map(Duration::from_secs),
        2 => (1_000_u64..3_000).prop_map(Duration::from_micros),
        1 => (1_000..=year).prop_map(Duration::from_micros),
        1 => (year - 3..=year).prop_map(Duration::from_micros),
    ]
}

fn limiters() -> impl Strategy<Value = Limiter> {
    let kinds = prop::sample::select(AlgorithmKind::ALL.to_vec());
    let patience = prop::option::of((0_u64..4_000_000_000).prop_map(Duration::from_nanos));
    let parts = (
        kinds,
        limits(),
        windows(),
        prop::option::of(limits()),
        patience,
    );
    parts.prop_filter_map("refills within 100 years", |parts| {
        let (kind, limit, window, burst, patience) = parts;
        let quota = Quota::new(limit, window).ok()?;
        let limiter = Limiter::new(kind, quota, burst).ok()?;
        Some(match (limiter, patience) {
            (Limiter::LeakyQueue(queue), Some(patience)) => {
                Limiter::LeakyQueue(LeakyQueue::with_max_delay(queue, patience).ok()?)
            }
            (limiter, _) => limiter,
        })
    })
}

/// A cost, by the limit that it is charged to.
#[derive(Debug, Clone, Copy)]
enum Cost {
    Units(u64),
    /// So many thousandths of the limit.
    Share(u64),
    /// This much below the limit, or above it.
    Near(i64),
}

impl Cost {
    fn of(self, limiter: &Limiter) -> u64 {
        let most = limiter.most();
        match self {
            Self::Units(units) => units,
            Self::Share(share) => (most / 1_000 * share + most % 1_000 * share / 1_000).max(1),
            Self::Near(by) => most.saturating_add_signed(by),
        }
    }
}

fn costs() -> impl Strategy<Value = Cost> {
    prop_oneof![
        4 => (0_u64..4).prop_map(Cost::Units),
        3 => (1_u64..700).prop_map(Cost::Share),
        1 => (-2_i64..3).prop_map(Cost::Near),
    ]
}

/// How time goes on before a request: it stands, takes steps of all sizes up to the last answer's
/// times and their neighbours, and sometimes runs backwards.
#[derive(Debug, Clone, Copy)]
enum Pause {
    Micros(i64),
    /// So many thousandths of the first limiter's window.
    Share(u64),
    /// Until the last time to retry, or to be at rest, and this much more.
    Retry(i64),
    Reset(i64),
}

fn pauses() -> impl Strategy<Value = Pause> {
    prop_oneof![
        3 => Just(Pause::Micros(0)),
        2 => (1_i64..2_000_000).prop_map(Pause::Micros),
        1 => (-2_000_000_i64..0).prop_map(Pause::Micros),
        2 => (1_u64..2_500).prop_map(Pause::Share),
        3 => (-1_i64..2).prop_map(Pause::Retry),
        1 => (-1_i64..2).prop_map(Pause::Reset),
    ]
}

#[derive(Debug, Clone)]
struct Asked {
    pause: Pause,
    /// Which of the keys, at what cost, and whether it binds.
    charges: Vec<(prop::sample::Index, Cost, bool)>,
    /// What an earlier request was charged, to be given back before: which request, and how many
    /// hundredths of it.
    refund: Option<(prop::sample::Index, u64)>,
}

fn asked(most: usize) -> impl Strategy<Value = Asked> {
    let charge = (
        any::<prop::sample::Index>(),
        costs(),
        prop::bool::weighted(0.7),
    );
    let charges = prop::collection::vec(charge, 1..=most);
    let refund = prop::option::of((any::<prop::sample::Index>(), 1_u64..=100));
    (pauses(), charges, refund).prop_map(|(pause, charges, refund)| Asked {
        pause,
        charges,
        refund,
    })
}

/// A moment of the years 2001 to 2110: all that Redis will tell for some time.
fn starts() -> impl Strategy<Value = u64> {
    1_000_000_000_000_000_u64..4_420_000_000_000_000
}

fn run(
    bench: &Bench,
    start: u64,
    limiters: &[Limiter],
    trace: &[Asked],
) -> Result<(), TestCaseError> {
    bench.clear();
    let mut reference = Reference::default();
    let (mut now, latest) = (start, start + 10 * 366 * 86_400_000_000);
    let mut last = None::<Shaped>;
    let mut charged: Vec<Vec<Refund>> = Vec::new();
    for asked in trace {
        let ceil = |duration: Duration| duration.as_nanos().div_ceil(1_000) as i64;
        let retry = last.and_then(|shaped| shaped.decision.retry_after());
        let reset = last.map(|shaped| shaped.decision.reset_after());
        let window = limiters[0].quota().window().as_micros() as u64;
        let by = match asked.pause {
            Pause::Micros(by) => by,
            Pause::Share(share) => (window * share / 1_000) as i64,
            Pause::Retry(more) => retry.map_or(0, ceil) + more,
            Pause::Reset(more) => reset.map_or(0, ceil) + more,
        };
        now = now.saturating_add_signed(by).min(latest);
        let charges: Vec<Charge> = asked
            .charges
            .iter()
            .map(|(which, cost, binds)| {
                let at = which.index(limiters.len());
                Charge {
                    key: LimitKey::new(format!("domain|key={at}|").as_bytes()).unwrap(),
                    limiter: limiters[at],
                    cost: cost.of(&limiters[at]),
                    binds: *binds,
                    leased: false,
                }
            })
            .collect();
        if let Some((which, hundredths)) = &asked.refund
            && !charged.is_empty()
        {
            // The newest ones more often: the older ones have drained.
            let at = charged.len() - 1 - which.index(charged.len()) / 2;
            let refunds: Vec<Refund> = charged
                .swap_remove(at)
                .into_iter()
                .map(|refund| {
                    let units = (refund.units / 100 * hundredths).max(1);
                    Refund { units, ..refund }
                })
                .collect();
            bench.refund(&refunds, now);
            reference.refund(&refunds, now);
        }
        let expected = reference.decide(&charges, now);
        prop_assert_eq!(
            bench.decide(&charges, now),
            expected.clone(),
            "at {}: {:?}",
            now,
            charges
        );
        charged.push(Refund::of(&charges, &expected));
        last = expected.first().copied();
    }
    Ok(())
}

fn check<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    test: impl Fn(&Bench, T) -> Result<(), TestCaseError>,
) {
    let bench = Bench::new();
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(256)
    };
    TestRunner::new(config)
        .run(&strategy, |value| test(&bench, value))
        .unwrap();
}

#[test]
fn one_limit_decides_as_its_reference() {
    let trace = prop::collection::vec(asked(1), 1..40);
    check(
        (starts(), limiters(), trace),
        |bench, (start, limiter, trace)| run(bench, start, &[limiter], &trace),
    );
}

#[test]
fn several_limits_are_charged_all_or_none_as_their_references() {
    let limiters = prop::collection::vec(limiters(), 1..4);
    let trace = prop::collection::vec(asked(5), 1..25);
    check(
        (starts(), limiters, trace),
        |bench, (start, limiters, trace)| run(bench, start, &limiters, &trace),
    );
}

#[test]
fn windows_and_logs_agree_after_the_limit_was_changed() {
    let windowed = |limiter: &Limiter| limiter.bucket().is_none();
    let limiters = prop::collection::vec(limiters().prop_filter("a window", windowed), 2..4);
    let trace = prop::collection::vec((asked(1), any::<prop::sample::Index>()), 1..40);
    check(
        (starts(), limiters, trace),
        |bench, (start, limiters, trace)| {
            bench.clear();
            let mut reference = Reference::default();
            let mut now = start;
            for (asked, which) in trace {
                let limiter = *which.get(&limiters);
                let share = match asked.pause {
                    Pause::Micros(by) => by.unsigned_abs(),
                    Pause::Share(share) => {
                        limiter.quota().window().as_micros() as u64 * share / 1_000
                    }
                    Pause::Retry(_) | Pause::Reset(_) => 0,
                };
                now = (now + share).min(start + 10 * 366 * 86_400_000_000);
                let charge = Charge {
                    key: LimitKey::new(b"domain|key|").unwrap(),
                    limiter,
                    cost: asked.charges[0].1.of(&limiter),
                    binds: true,
                    leased: false,
                };
                let charges = [charge];
                let expected = reference.decide(&charges, now);
                prop_assert_eq!(
                    bench.decide(&charges, now),
                    expected,
                    "at {}: {:?}",
                    now,
                    charges
                );
            }
            Ok(())
        },
    );
}

#[test]
fn charges_of_one_key_by_different_limits_are_answered() {
    let limiters = prop::collection::vec(limiters(), 2..5);
    check((starts(), limiters), |bench, (start, limiters)| {
        bench.clear();
        let charges: Vec<Charge> = limiters
            .iter()
            .map(|limiter| Charge {
                key: LimitKey::new(b"domain|key|").unwrap(),
                limiter: *limiter,
                cost: 1,
                binds: true,
                leased: false,
            })
            .collect();
        for later in 0..3 {
            let answers = bench.decide(&charges, start + later);
            prop_assert_eq!(answers.len(), charges.len());
        }
        Ok(())
    });
}
