//! Codes from many threads on several instances, decided by insert-if-absent as in the service.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::{Clock, ManualClock, SystemClock, UnixMillis};
use tollgate_links::store::{Insert, Inserted, LinkStore, MemoryStore};
use tollgate_links::strategy::Candidate;
use tollgate_links::{
    Code, CodeFilter, CodeRules, Domain, Link, LinkKey, LinkSpec, Origin, Strategies, StrategyKind,
    StrategyOptions, TargetUrl,
};

const THREADS: usize = 8;
const CODES: usize = 1_000_000;
const SETTLE_AT: usize = 500;

fn options(length: usize) -> StrategyOptions {
    StrategyOptions {
        length,
        case_insensitive: false,
        block_size: 1_000,
        sha256: false,
        worker_ttl: Duration::from_secs(60),
        pool_target: 100_000,
        quarantine: Duration::from_secs(3_600),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// A set in parts, so that threads seldom wait for each other.
struct Taken {
    hasher: RandomState,
    parts: Vec<Mutex<HashSet<Code>>>,
}

impl Taken {
    fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            parts: (0..64).map(|_| Mutex::default()).collect(),
        }
    }

    fn insert_if_absent(&self, code: &Code) -> bool {
        let part = self.hasher.hash_one(code) as usize % self.parts.len();
        self.parts[part].lock().insert(code.clone())
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().len()).sum()
    }
}

#[derive(Debug, Default)]
struct Tally {
    made: AtomicU64,
    clashes: AtomicU64,
    pooled: AtomicU64,
}

/// Makes a million codes on two instances with four threads each.
fn make_a_million(kind: StrategyKind) -> Tally {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Arc::new(MemoryStore::new(clock.clone()));
    // Five characters, so that random codes do clash now and then.
    let instance = || Strategies::new(options(5), store.clone(), Arc::default(), clock.clone());
    let instances = [instance(), instance()];
    let (taken, tally, done) = (Taken::new(), Tally::default(), AtomicBool::new(false));
    if kind == StrategyKind::Pool {
        block_on(instances[0].tend()).unwrap();
    }
    thread::scope(|scope| {
        let makers: Vec<_> = (0..THREADS)
            .map(|number| {
                let (strategies, taken, tally) = (&instances[number % 2], &taken, &tally);
                scope.spawn(move || {
                    block_on(make(
                        kind,
                        strategies,
                        number,
                        CODES / THREADS,
                        taken,
                        tally,
                    ));
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                block_on(instances[0].tend()).unwrap();
                thread::yield_now();
            }
        });
        for maker in makers {
            maker.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(tally.made.load(Ordering::SeqCst), CODES as u64, "{tally:?}");
    assert_eq!(taken.len(), CODES, "{tally:?}");
    tally
}

async fn make(
    kind: StrategyKind,
    strategies: &Strategies,
    thread: usize,
    count: usize,
    taken: &Taken,
    tally: &Tally,
) {
    let domain = Domain::default_domain();
    let mut unsettled: Vec<Candidate> = Vec::new();
    for number in 0..count {
        let target = TargetUrl::from_stored(format!("https://example.com/{thread}/{number}"));
        for attempt in 0.. {
            let candidate = strategies
                .propose(kind, &domain, &target, attempt)
                .await
                .unwrap();
            assert_eq!(candidate.origin, kind.origin());
            let inserted = taken.insert_if_absent(&candidate.code);
            if candidate.pooled.is_some() {
                tally.pooled.fetch_add(1, Ordering::Relaxed);
                unsettled.push(candidate);
            }
            if inserted {
                tally.made.fetch_add(1, Ordering::Relaxed);
                break;
            }
            tally.clashes.fetch_add(1, Ordering::Relaxed);
        }
        if unsettled.len() >= SETTLE_AT {
            strategies.settle(&unsettled).await.unwrap();
            unsettled.clear();
        }
    }
    strategies.settle(&unsettled).await.unwrap();
}

#[test]
fn a_million_counter_codes() {
    let tally = make_a_million(StrategyKind::Counter);
    assert_eq!(tally.clashes.into_inner(), 0);
}

#[test]
fn a_million_hash_codes() {
    let tally = make_a_million(StrategyKind::Hash);
    assert!(tally.clashes.into_inner() > 0, "the retry was never tried");
}

#[test]
fn a_million_snowflake_codes() {
    let tally = make_a_million(StrategyKind::Snowflake);
    assert_eq!(tally.clashes.into_inner(), 0);
}

#[test]
fn a_million_pool_codes() {
    let tally = make_a_million(StrategyKind::Pool);
    assert!(tally.pooled.into_inner() > 0);
}

#[test]
fn a_million_random_codes() {
    let tally = make_a_million(StrategyKind::Random);
    assert!(tally.clashes.into_inner() > 0, "the retry was never tried");
}

fn link(code: Code, target: &TargetUrl) -> Link {
    Link {
        key: LinkKey {
            domain: Domain::default_domain(),
            code,
        },
        spec: LinkSpec::to(target.clone()),
        origin: Origin::Hash,
        created_at: UnixMillis::from_millis(0),
        updated_at: UnixMillis::from_millis(0),
        created_by: "tests".to_owned(),
        version: 1,
        clicks_used: 0,
    }
}

#[tokio::test]
async fn where_hash_codes_are_taken_by_others_the_salt_counts_up() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let domain = Domain::default_domain();
    let target = TargetUrl::from_stored("https://example.com/wanted");
    let other = TargetUrl::from_stored("https://example.org/other");
    for taken in [0, 1, 5, 20] {
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let strategies = Strategies::new(options(7), store.clone(), Arc::default(), clock.clone());
        let insert = async |code: Code, target: &TargetUrl| {
            let insert = Insert {
                link: link(code, target),
                reuse: false,
                idempotency: None,
            };
            store.insert(vec![insert]).await.unwrap().remove(0)
        };
        let mut offered = HashSet::new();
        for attempt in 0..taken {
            let candidate = strategies
                .propose(StrategyKind::Hash, &domain, &target, attempt)
                .await
                .unwrap();
            assert!(offered.insert(candidate.code.clone()));
            insert(candidate.code, &other).await;
        }
        let mut attempt = 0;
        let link = loop {
            let candidate = strategies
                .propose(StrategyKind::Hash, &domain, &target, attempt)
                .await
                .unwrap();
            match insert(candidate.code, &target).await {
                Inserted::Created(link) => break link,
                Inserted::CodeTaken => attempt += 1,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(attempt, taken);
        assert!(!offered.contains(&link.key.code));
    }
}

#[tokio::test]
async fn every_strategy_keeps_length_alphabet_and_filter() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let filter = Arc::new(CodeFilter::new(&[], &["qz".to_owned(), "x0".to_owned()]));
    for case_insensitive in [false, true] {
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let options = StrategyOptions {
            case_insensitive,
            pool_target: 500,
            ..options(6)
        };
        let strategies = Strategies::new(options, store, filter.clone(), clock.clone());
        strategies.tend().await.unwrap();
        let rules = CodeRules { case_insensitive };
        let domain = Domain::default_domain();
        for kind in StrategyKind::ALL {
            for number in 0..1_000 {
                let target = TargetUrl::from_stored(format!("https://example.com/{number}"));
                let made = strategies.propose(kind, &domain, &target, 0).await.unwrap();
                let text = made.code.as_str();
                let length = match (kind, case_insensitive) {
                    (StrategyKind::Snowflake, false) => 11,
                    (StrategyKind::Snowflake, true) => 13,
                    _ => 6,
                };
                assert_eq!(text.len(), length, "{kind}: {text}");
                assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                assert_eq!(rules.parse(text).as_ref(), Ok(&made.code), "{kind}");
                assert_eq!(filter.check_generated(&made.code), Ok(()), "{kind}");
                assert!(!text.to_lowercase().contains("qz"), "{kind}: {text}");
            }
        }
    }
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn digit(byte: u8) -> usize {
    DIGITS.iter().position(|one| *one == byte).unwrap()
}

/// Whoever has some codes cannot go on from there: every character of every place is as likely as any other, whatever the
/// code before was. Of codes in a row that follow a counter this is true by its bijection, of random ones by themselves.
#[tokio::test]
async fn codes_of_a_counter_and_random_ones_tell_nothing_of_others() {
    const LENGTH: usize = 7;
    const MADE: usize = 62 * 2_000;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let target = TargetUrl::from_stored("https://example.com/");
    let domain = Domain::default_domain();
    for kind in [StrategyKind::Counter, StrategyKind::Random] {
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let strategies = Strategies::new(options(LENGTH), store, Arc::default(), clock.clone());
        let mut codes = Vec::with_capacity(MADE);
        for _ in 0..MADE {
            let made = strategies.propose(kind, &domain, &target, 0).await.unwrap();
            codes.push(made.code.as_str().as_bytes().to_vec());
        }
        // The sum of squared deviations over 61 degrees of freedom has a mean of 61 and a deviation of 11: 6 of them
        // are reached less than once in a million runs. The filter of words leaves out too few codes to be seen.
        let bound = 61.0 + 6.0 * 11.1;
        let mut skewed = Vec::new();
        for place in 0..LENGTH {
            let mut alone = [0_u32; 62];
            let mut step = [0_u32; 62];
            for pair in codes.windows(2) {
                let (before, now) = (digit(pair[0][place]), digit(pair[1][place]));
                alone[now] += 1;
                step[(now + 62 - before) % 62] += 1;
            }
            for (what, counts) in [("alone", alone), ("after the one before", step)] {
                let expected = (MADE - 1) as f64 / 62.0;
                let chi: f64 = counts
                    .iter()
                    .map(|n| (f64::from(*n) - expected).powi(2) / expected)
                    .sum();
                if chi > bound {
                    skewed.push(format!("{kind}: place {place}, {what}: {chi:.0}"));
                }
            }
        }
        assert!(skewed.is_empty(), "{skewed:?}");
        // Nobody who tries codes at random finds more than there are: neighbours of a code in the code space are not
        // there more often than others.
        let known: HashSet<&[u8]> = codes.iter().map(Vec::as_slice).collect();
        let mut hits = 0;
        for code in &codes {
            let mut near = code.clone();
            let last = near.len() - 1;
            near[last] = DIGITS[(digit(near[last]) + 1) % 62];
            hits += usize::from(known.contains(near.as_slice()));
        }
        // 124,000 tries at a share of 3.5e-8.
        assert!(hits <= 2, "{kind}: {hits}");
    }
}
