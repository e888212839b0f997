//! What every store has to do, as tests that any of them can run unchanged.
//!
//! An [`Engine`] says how to make an empty store; [`store_conformance!`](crate::store_conformance)
//! turns it into one test for each case.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests: a panic is how they fail"
)]

pub mod clicks;
pub mod edits;
pub mod feed;
pub mod inserts;
pub mod leases;
pub mod listings;
pub mod model;
pub mod sweeps;

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use tollgate_clock::{Clock, ManualClock, UnixMillis};

use super::{
    ChangeFeed, Delete, IdempotencyToken, Insert, Inserted, LeaseStore, LinkStore, Update,
};
use crate::{Code, Domain, Link, LinkKey, LinkSpec, Origin, TargetUrl};

/// How a store under test is made.
#[async_trait]
pub trait Engine: Sized + Send + Sync + 'static {
    /// The store.
    type Store: LinkStore + ChangeFeed + LeaseStore;

    /// Whether all links are in one order: those made in the same millisecond in that of their insertion, and
    /// changes of different links in that in which they were made. In several databases only those in one
    /// of them are.
    const ORDERED: bool = true;

    /// An empty store that goes by this clock and keeps `feed_capacity` changes.
    async fn fresh(clock: Arc<ManualClock>, feed_capacity: u16) -> Self;

    /// The store; not asked for again after [`Engine::reopen`] until that is done.
    fn store(&self) -> Arc<Self::Store>;

    /// Closes the store, of which no other reference is left, and opens it again on the same
    /// data. A store that lives no longer than its process does nothing.
    async fn reopen(self) -> Self;
}

/// Makes one test of each conformance case for an [`Engine`](crate::store::conformance::Engine). Those of an engine that
/// comes from the network are `ignored`, and run in a stage of their own.
/// The calling crate needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! store_conformance {
    ($engine:ty) => {
        $crate::store_conformance! { @all () $engine }
    };
    ($engine:ty, ignored: $why:literal) => {
        $crate::store_conformance! { @all ($why) $engine }
    };
    (@all $ignored:tt $engine:ty) => {
        $crate::store_conformance! { @cases $ignored $engine:
            inserts::a_link_reads_back_whole
            inserts::codes_are_unique_within_a_domain
            inserts::each_link_of_a_batch_stands_alone
            inserts::a_batch_is_decided_in_its_order
            inserts::one_of_many_concurrent_inserts_wins
            inserts::reuse_finds_the_oldest_equal_link_that_is_good
            inserts::a_token_makes_an_insert_happen_once
            inserts::concurrent_inserts_with_one_token_happen_once
            edits::an_update_needs_the_version
            edits::one_of_many_concurrent_updates_wins
            edits::deletion_keeps_the_history
            edits::tokens_make_edits_happen_once
            clicks::clicks_are_taken_exactly
            clicks::concurrent_clicks_are_taken_exactly
            listings::every_order_is_kept_across_pages
            listings::filters_choose_what_they_say
            listings::prefixes_ignore_case_and_look_past_what_is_indexed
            listings::long_listings_agree_however_they_are_found
            listings::pages_stay_stable_under_concurrent_inserts
            listings::edits_move_links_between_filters
            listings::foreign_cursors_are_refused
            listings::no_text_is_taken_for_a_statement
            sweeps::a_sweep_takes_the_longest_expired_first
            sweeps::a_sweep_forgets_tokens_and_history
            feed::tells_of_edits_deletions_and_sweeps
            feed::comes_in_bounded_batches
            feed::says_when_it_no_longer_reaches_back
            leases::a_secret_is_chosen_once
            leases::blocks_never_overlap
            leases::workers_are_fenced
            leases::concurrent_workers_differ
            leases::pool_codes_are_taken_once_and_come_back
            leases::concurrent_takers_share_the_pool
        }

        $crate::store_conformance! { @model $ignored $engine }
    };
    (@cases $ignored:tt $engine:ty: $($module:ident :: $case:ident)*) => {
        $($crate::store_conformance! { @case $ignored $engine: $module $case })*
    };
    (@case ($($why:literal)?) $engine:ty: $module:ident $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[ignore = $why])?
        async fn $case() {
            $crate::store::conformance::$module::$case::<$engine>().await;
        }
    };
    (@model ($($why:literal)?) $engine:ty) => {
        #[test]
        $(#[ignore = $why])?
        fn agrees_with_the_reference_model() {
            $crate::store::conformance::model::agrees::<$engine>();
        }
    };
}

/// What the clock shows when a case begins.
const START: UnixMillis = UnixMillis::from_millis(1_900_000_000_000);
const FEED_CAPACITY: u16 = 1_200;

async fn fresh<E: Engine>() -> (E, Arc<E::Store>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    let engine = E::fresh(Arc::clone(&clock), FEED_CAPACITY).await;
    let store = engine.store();
    (engine, store, clock)
}

fn after(ms: i64) -> UnixMillis {
    UnixMillis::from_millis(START.as_millis() + ms)
}

fn key(code: &str) -> LinkKey {
    on("", code)
}

fn on(domain: &str, code: &str) -> LinkKey {
    LinkKey {
        domain: Domain::from_stored(domain),
        code: Code::from_stored(code),
    }
}

fn to(target: &str) -> LinkSpec {
    LinkSpec::to(TargetUrl::from_stored(target))
}

fn link(key: LinkKey, spec: LinkSpec) -> Link {
    Link {
        key,
        spec,
        origin: Origin::Alias,
        created_at: START,
        updated_at: START,
        created_by: "maker".into(),
        version: 1,
        clicks_used: 0,
    }
}

/// A link that leads to its own code.
fn simple(code: &str) -> Link {
    link(key(code), to(&format!("https://target.example/{code}")))
}

fn limited(code: &str, clicks: u64) -> Link {
    let mut link = simple(code);
    link.spec.max_clicks = NonZeroU64::new(clicks);
    link
}

fn plain(link: Link) -> Insert {
    Insert {
        link,
        reuse: false,
        idempotency: None,
    }
}

fn token(id: u8, request: u8, at: UnixMillis) -> Option<IdempotencyToken> {
    Some(IdempotencyToken {
        id: [id; 16],
        request: [request; 16],
        at,
    })
}

fn update(key: LinkKey, expected_version: u64, spec: LinkSpec) -> Update {
    Update {
        key,
        expected_version,
        spec,
        actor: "editor".into(),
        at: after(1),
        idempotency: None,
    }
}

fn delete(key: LinkKey) -> Delete {
    Delete {
        key,
        expected_version: None,
        actor: "deleter".into(),
        at: after(2),
        idempotency: None,
    }
}

/// Keys as they are compared: in their order, if the store has one.
fn in_order<E: Engine>(keys: impl IntoIterator<Item = LinkKey>) -> Vec<LinkKey> {
    let mut keys: Vec<LinkKey> = keys.into_iter().collect();
    if !E::ORDERED {
        keys.sort();
    }
    keys
}

async fn insert_one(store: &impl LinkStore, insert: Insert) -> Inserted {
    let mut answers = store.insert(vec![insert]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

/// Inserts links whose codes are known to be free.
async fn fill(store: &impl LinkStore, links: impl IntoIterator<Item = Link>) {
    let inserts = links.into_iter().map(plain).collect();
    for answer in store.insert(inserts).await.unwrap() {
        assert!(matches!(answer, Inserted::Created(_)), "{answer:?}");
    }
}

/// Does the same in many tasks at once.
async fn at_once<T, F>(tasks: usize, run: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let spawned: Vec<_> = (0..tasks).map(|task| tokio::spawn(run(task))).collect();
    let mut answers = Vec::new();
    for task in spawned {
        answers.push(task.await.unwrap());
    }
    answers
}
