//! Random work done to a store and to the reference model side by side; all answers have to agree.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::store::{ChangeSeq, Changes, ListOrder, ListQuery, MemoryStore, PoolCode, WorkerLease};
use crate::{Condition, Os, PasswordHash, RedirectKind, Rule, Tag};

/// Sequences tried.
const CASES: u32 = 40;
/// The longest sequence.
const STEPS: usize = 60;
/// So small that followers fall behind it.
const SHORT_FEED: u16 = 8;

/// One thing done to both. Moments are in milliseconds around the clock's now.
#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<NewLink>),
    Update(LinkKey, Version, LinkSpec, Option<IdempotencyToken>),
    Delete(LinkKey, Option<Version>, Option<IdempotencyToken>),
    Get(LinkKey),
    /// Whole listing, page by page.
    List(ListQuery),
    History(LinkKey, usize),
    TakeClick(LinkKey),
    Sweep(i64, i64, usize),
    Follow(Option<Index>),
    Advance(u64),
    Reopen,
    Secret(u8),
    Block(u64),
    Acquire(u16, u64),
    Renew(Index, u64),
    Release(Index, i64),
    PoolAdd(Vec<Code>, i64),
    PoolTake(usize, u64),
    PoolRemove(Vec<Code>),
}

#[derive(Debug, Clone)]
struct NewLink {
    key: LinkKey,
    spec: LinkSpec,
    origin: Origin,
    created: i64,
    clicks_used: u64,
    reuse: bool,
    idempotency: Option<IdempotencyToken>,
}

/// The version it has, or one that is off.
#[derive(Debug, Clone, Copy)]
enum Version {
    Right,
    Wrong(u64),
}

fn keys() -> impl Strategy<Value = LinkKey> {
    let codes = select(&["a", "A", "ab", "ä", "Ω.-_", "zz"][..]);
    let domains = select(&["", "", "b.example", "c.example"][..]);
    (domains, codes).prop_map(|(domain, code)| on(domain, code))
}

fn moments() -> impl Strategy<Value = UnixMillis> {
    (-20..40i64).prop_map(after)
}

/// Mostly few and alike, so that links are equal, or differ in one field only.
fn specs() -> impl Strategy<Value = LinkSpec> {
    let tags = select(&[None, Some("a"), Some("b")][..]);
    let alike = (
        select(&["https://ab.example/", "https://zz.example/"][..]),
        tags,
    );
    let alike = alike.prop_map(|(target, tag)| LinkSpec {
        tags: tag.map(Tag::from_stored).into_iter().collect(),
        ..to(target)
    });
    prop_oneof![2 => alike, 1 => rich_specs()]
}

fn rich_specs() -> impl Strategy<Value = LinkSpec> {
    let targets = select(
        &[
            "https://www.ab.example/x",
            "http://zz.example/",
            "https://ä/?q",
        ][..],
    );
    let titles = option::weighted(0.3, select(&["Abend", "ΟΔΟΣ", "", "zz"][..]));
    let tags = proptest::sample::subsequence(&["a", "b", "ö"][..], 0..=3);
    let clicks = option::weighted(0.4, select(&[1, 2, 3, u64::MAX][..]));
    let rules = option::weighted(
        0.2,
        select(&["https://r.example/", "https://s.example/"][..]),
    );
    let times = (
        option::weighted(0.2, moments()),
        option::weighted(0.4, moments()),
    );
    let flags = (
        any::<bool>(),
        option::weighted(0.2, Just(RedirectKind::Temporary)),
    );
    let passwords = option::weighted(0.2, select(&["$one", "$two"][..]));
    (
        targets, titles, tags, clicks, rules, times, flags, passwords,
    )
        .prop_map(
            |(
                target,
                title,
                tags,
                clicks,
                rules,
                (starts_at, expires_at),
                (forward, kind),
                password,
            )| {
                LinkSpec {
                    starts_at,
                    expires_at,
                    max_clicks: clicks.and_then(NonZeroU64::new),
                    redirect: kind,
                    password: password.map(PasswordHash::from_phc),
                    tags: tags.into_iter().map(Tag::from_stored).collect(),
                    title: title.map(str::to_owned),
                    forward_query: forward,
                    rules: rules
                        .map(|target| Rule {
                            conditions: vec![Condition::Os { is: Os::Linux }],
                            target: target.into(),
                        })
                        .into_iter()
                        .collect(),
                    ..to(target)
                }
            },
        )
}

fn tokens() -> impl Strategy<Value = Option<IdempotencyToken>> {
    let token = (0..4u8, 0..2u8, -20..20i64).prop_map(|(id, request, at)| {
        // Never None.
        token(id, request, after(at))
    });
    prop_oneof![3 => Just(None), 2 => token]
}

fn new_links() -> impl Strategy<Value = NewLink> {
    let origins = select(&[Origin::Alias, Origin::Pool, Origin::Random][..]);
    let used = prop_oneof![4 => Just(0), 1 => 0..4u64];
    (
        keys(),
        specs(),
        origins,
        -3..3i64,
        used,
        any::<bool>(),
        tokens(),
    )
        .prop_map(
            |(key, spec, origin, created, clicks_used, reuse, idempotency)| NewLink {
                key,
                spec,
                origin,
                created,
                clicks_used,
                reuse,
                idempotency,
            },
        )
}

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![4 => Just(Version::Right), 1 => (0..4u64).prop_map(Version::Wrong)]
}

fn queries() -> impl Strategy<Value = ListQuery> {
    let prefixes = select(&["", "a", "A", "Ä", "ab", "zz", "οδοσ", "abend", "www"][..]);
    (
        option::weighted(0.4, select(&["", "b.example", "none.example"][..])),
        option::weighted(0.4, select(&["a", "ö", "none"][..])),
        option::weighted(0.4, prefixes),
        select(
            &[
                ListOrder::CreatedAscending,
                ListOrder::CreatedDescending,
                ListOrder::CodeAscending,
                ListOrder::CodeDescending,
            ][..],
        ),
        1..5usize,
    )
        .prop_map(|(domain, tag, prefix, order, limit)| ListQuery {
            domain: domain.map(Domain::from_stored),
            tag: tag.map(Tag::from_stored),
            prefix: prefix.map(str::to_owned),
            order,
            cursor: None,
            limit: NonZeroUsize::new(limit),
        })
}

fn pool_codes() -> impl Strategy<Value = Vec<Code>> {
    vec(
        select(&["p1", "p2", "p3", "p4"][..]).prop_map(Code::from_stored),
        0..4,
    )
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec(new_links(), 0..5).prop_map(Step::Insert),
        5 => (keys(), versions(), specs(), tokens())
            .prop_map(|(key, version, spec, token)| Step::Update(key, version, spec, token)),
        3 => (keys(), option::of(versions()), tokens())
            .prop_map(|(key, version, token)| Step::Delete(key, version, token)),
        2 => keys().prop_map(Step::Get),
        6 => queries().prop_map(Step::List),
        2 => (keys(), 0..5usize).prop_map(|(key, limit)| Step::History(key, limit)),
        4 => keys().prop_map(Step::TakeClick),
        2 => (-20..40i64, -20..20i64, 0..4usize)
            .prop_map(|(before, tokens, limit)| Step::Sweep(before, tokens, limit)),
        4 => option::weighted(0.8, any::<Index>()).prop_map(Step::Follow),
        2 => (0..15u64).prop_map(Step::Advance),
        1 => Just(Step::Reopen),
        1 => (0..3u8).prop_map(Step::Secret),
        1 => prop_oneof![0..9u64, Just(u64::MAX / 2)].prop_map(Step::Block),
        2 => (0..4u16, 0..20u64).prop_map(|(workers, ttl)| Step::Acquire(workers, ttl)),
        1 => (any::<Index>(), 0..20u64).prop_map(|(lease, ttl)| Step::Renew(lease, ttl)),
        1 => (any::<Index>(), -5..20i64).prop_map(|(lease, at)| Step::Release(lease, at)),
        2 => (pool_codes(), -5..20i64).prop_map(|(codes, at)| Step::PoolAdd(codes, at)),
        2 => (0..4usize, 0..20u64).prop_map(|(count, ttl)| Step::PoolTake(count, ttl)),
        1 => pool_codes().prop_map(Step::PoolRemove),
    ]
}

/// Runs the comparison.
pub fn agrees<E: Engine>() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&vec(steps(), 1..STEPS), |steps| {
            // A disagreement panics, which is what is shrunk.
            runtime.block_on(async {
                let mut pair = Pair::<E>::fresh().await;
                for step in steps {
                    pair = pair.step(step).await;
                }
                pair.compare_everything().await;
            });
            Ok(())
        })
        .unwrap();
}

/// The store under test (first) and the model (second), with what each has handed out.
struct Pair<E: Engine> {
    engine: E,
    clock: Arc<ManualClock>,
    model: MemoryStore,
    positions: Vec<(ChangeSeq, ChangeSeq)>,
    leases: Vec<(WorkerLease, WorkerLease)>,
    inserted: i64,
}

/// Asks both and compares.
macro_rules! same {
    ($pair:ident, $method:ident($($argument:expr),*)) => {{
        let store = $pair.engine.store();
        let answer = store.$method($($argument),*).await.unwrap();
        let expected = $pair.model.$method($($argument),*).await.unwrap();
        assert_eq!(answer, expected);
        answer
    }};
}

impl<E: Engine> Pair<E> {
    async fn fresh() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let model = MemoryStore::with_feed_capacity(
            Arc::clone(&clock) as Arc<dyn Clock>,
            usize::from(SHORT_FEED),
        );
        let mut pair = Self {
            engine: E::fresh(Arc::clone(&clock), SHORT_FEED).await,
            clock,
            model,
            positions: Vec::new(),
            leases: Vec::new(),
            inserted: 0,
        };
        pair.follow(None).await;
        pair
    }

    async fn step(mut self, step: Step) -> Self {
        let now = self.clock.now();
        let later = |ms: i64| UnixMillis::from_millis(now.as_millis() + ms);
        match step {
            Step::Reopen => self.engine = self.engine.reopen().await,
            Step::Advance(ms) => self.clock.advance(Duration::from_millis(ms)),
            Step::Insert(links) => {
                let mut inserts: Vec<_> = links.into_iter().map(|new| new.insert(later)).collect();
                if !E::ORDERED {
                    // Nothing is left to the order of insertion.
                    for insert in &mut inserts {
                        self.inserted += 1;
                        insert.link.created_at = after(self.inserted);
                    }
                }
                same!(self, insert(inserts.clone()));
            }
            Step::Update(key, version, spec, idempotency) => {
                let update = Update {
                    expected_version: self.version(&key, version).await,
                    key,
                    spec,
                    actor: "editor".into(),
                    at: now,
                    idempotency,
                };
                same!(self, update(update.clone()));
            }
            Step::Delete(key, version, idempotency) => {
                let expected_version = match version {
                    Some(version) => Some(self.version(&key, version).await),
                    None => None,
                };
                let delete = Delete {
                    key,
                    expected_version,
                    actor: "deleter".into(),
                    at: now,
                    idempotency,
                };
                same!(self, delete(delete.clone()));
            }
            Step::Get(key) => drop(same!(self, get(&key))),
            Step::List(query) => self.list(&query).await,
            Step::History(key, limit) => drop(same!(self, history(&key, limit))),
            Step::TakeClick(key) => drop(same!(self, take_click(&key))),
            Step::Sweep(before, tokens, limit) => {
                // Several may have expired, or been used, at the same moment.
                let limit = if E::ORDERED { limit } else { limit * 1_000 };
                let (before, tokens) = (later(before), later(tokens));
                let store = self.engine.store();
                let mut answer = store.sweep(before, tokens, limit).await.unwrap();
                let mut expected = self.model.sweep(before, tokens, limit).await.unwrap();
                for swept in [&mut answer, &mut expected] {
                    swept.links = in_order::<E>(std::mem::take(&mut swept.links));
                    if !E::ORDERED {
                        swept.pool_codes.sort();
                    }
                }
                assert_eq!(answer, expected);
            }
            Step::Follow(from) => self.follow(from).await,
            lease => self.lease_step(lease, now).await,
        }
        self
    }

    async fn lease_step(&mut self, step: Step, now: UnixMillis) {
        let later = |ms: i64| UnixMillis::from_millis(now.as_millis() + ms);
        match step {
            Step::Secret(candidate) => drop(same!(self, secret("s", [candidate; 32]))),
            Step::Block(size) => {
                let answer = self.engine.store().lease_block("c", size).await;
                let expected = self.model.lease_block("c", size).await;
                assert_eq!(answer.ok(), expected.ok());
            }
            Step::Acquire(workers, ttl) => {
                let ttl = Duration::from_millis(ttl);
                let store = self.engine.store();
                let answer = store.acquire_worker(workers, now, ttl).await.unwrap();
                let expected = self.model.acquire_worker(workers, now, ttl).await.unwrap();
                self.leased(answer, expected);
            }
            Step::Renew(index, ttl) if !self.leases.is_empty() => {
                let (one, other) = *index.get(&self.leases);
                let ttl = Duration::from_millis(ttl);
                let answer = self
                    .engine
                    .store()
                    .renew_worker(one, now, ttl)
                    .await
                    .unwrap();
                let expected = self.model.renew_worker(other, now, ttl).await.unwrap();
                self.leased(answer, expected);
            }
            Step::Release(index, free_from) if !self.leases.is_empty() => {
                let (one, other) = *index.get(&self.leases);
                let free_from = later(free_from);
                self.engine
                    .store()
                    .release_worker(one, free_from)
                    .await
                    .unwrap();
                self.model.release_worker(other, free_from).await.unwrap();
            }
            Step::PoolAdd(codes, at) => same!(self, pool_add(&codes, later(at))),
            Step::PoolTake(count, ttl) => {
                same!(self, pool_take(count, now, Duration::from_millis(ttl)));
            }
            Step::PoolRemove(codes) => {
                let codes: Vec<_> = codes.into_iter().map(PoolCode).collect();
                same!(self, pool_remove(&codes));
            }
            // A lease that nobody has.
            _ => {}
        }
        same!(self, pool_available(now));
    }

    /// Fences are each store's own affair.
    fn leased(&mut self, answer: Option<WorkerLease>, expected: Option<WorkerLease>) {
        let seen = |lease: &WorkerLease| (lease.worker, lease.expires_at);
        assert_eq!(answer.as_ref().map(seen), expected.as_ref().map(seen));
        self.leases.extend(answer.zip(expected));
    }

    async fn version(&self, key: &LinkKey, version: Version) -> u64 {
        match version {
            Version::Wrong(version) => version,
            Version::Right => {
                let link = self.model.get(key).await.unwrap();
                link.map_or(1, |link| link.version)
            }
        }
    }

    /// Cursors are each store's own affair, so each follows its own.
    async fn list(&self, query: &ListQuery) {
        let store = self.engine.store();
        let (mut one, mut other) = (query.clone(), query.clone());
        loop {
            let answer = store.list(&one).await.unwrap();
            let expected = self.model.list(&other).await.unwrap();
            assert_eq!(answer.links, expected.links, "{one:?}");
            assert_eq!(answer.next.is_some(), expected.next.is_some(), "{one:?}");
            if answer.next.is_none() {
                return;
            }
            (one.cursor, other.cursor) = (answer.next, expected.next);
        }
    }

    async fn follow(&mut self, from: Option<Index>) {
        let from = from.map(|from| *from.get(&self.positions));
        let store = self.engine.store();
        let answer = store.changes(from.map(|from| from.0)).await.unwrap();
        let expected = self.model.changes(from.map(|from| from.1)).await.unwrap();
        let keys = |changes: &Changes| in_order::<E>(changes.keys.iter().cloned());
        assert_eq!(
            (keys(&answer), answer.lost),
            (keys(&expected), expected.lost)
        );
        self.positions.push((answer.upto, expected.upto));
    }

    async fn compare_everything(&self) {
        same!(self, count());
        self.list(&ListQuery::default()).await;
        for domain in ["", "b.example", "c.example"] {
            for code in ["a", "A", "ab", "ä", "Ω.-_", "zz"] {
                let key = on(domain, code);
                same!(self, get(&key));
                same!(self, history(&key, usize::MAX));
            }
        }
    }
}

impl NewLink {
    fn insert(self, later: impl Fn(i64) -> UnixMillis) -> Insert {
        let created_at = later(self.created);
        Insert {
            link: Link {
                origin: self.origin,
                created_at,
                updated_at: created_at,
                clicks_used: self.clicks_used,
                ..link(self.key, self.spec)
            },
            reuse: self.reuse,
            idempotency: self.idempotency,
        }
    }
}
