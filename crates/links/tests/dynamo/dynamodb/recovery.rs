//! What processes leave behind that end in the middle of a write: it is done by others, once or not at all.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tollgate_clock::{Clock, ManualClock, UnixMillis};
use tollgate_links::store::{
    ChangeFeed, Delete, Deleted, EditAction, Expiry, IdempotencyToken, Insert, Inserted,
    LeaseStore, Lifecycle, LinkStore, Update, Updated,
};
use tollgate_links::store::{DynamoLinkStore, DynamoOptions, StoreError};
use tollgate_links::{Code, Domain, Link, LinkKey, LinkSpec, Origin, TargetUrl};

use super::conformance::{new_table, open, options};
use crate::private_dynalite::PrivateDynalite;

const START: UnixMillis = UnixMillis::from_millis(1_900_000_000_000);
/// After so long, what is not done is done by whoever looks.
const ABANDONED: Duration = Duration::from_secs(6);

fn key(code: &str) -> LinkKey {
    LinkKey {
        domain: Domain::default_domain(),
        code: Code::from_stored(code),
    }
}

fn to(target: &str) -> LinkSpec {
    LinkSpec::to(TargetUrl::from_stored(target))
}

fn link(code: &str) -> Link {
    Link {
        key: key(code),
        spec: to("https://old.example/"),
        origin: Origin::Alias,
        created_at: START,
        updated_at: START,
        created_by: "maker".into(),
        version: 1,
        clicks_used: 0,
    }
}

fn insert(code: &str, token: Option<u128>) -> Insert {
    Insert {
        link: link(code),
        reuse: false,
        idempotency: token.map(token_of),
    }
}

fn token_of(id: u128) -> IdempotencyToken {
    IdempotencyToken {
        id: id.to_be_bytes(),
        request: [1; 16],
        at: START,
    }
}

/// Lets something go on until it has waited so often, and then drops it, as a process that ends does. `None` if it did
/// not come to its end.
async fn broken_off<F: Future>(work: F, waits: usize) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut left = waits;
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

struct World {
    /// It lives as long as the stores do.
    _server: PrivateDynalite,
    clock: Arc<ManualClock>,
    dies: DynamoLinkStore,
    lives: DynamoLinkStore,
}

impl World {
    async fn new() -> Self {
        let server = PrivateDynalite::start();
        let url = server.url(&new_table());
        let clock = Arc::new(ManualClock::at(START));
        let other = Arc::clone(&clock) as Arc<dyn Clock>;
        let options = DynamoOptions {
            settled_after: Duration::ZERO,
            ..options()
        };
        Self {
            dies: open(&url, other, &options).await,
            lives: open(&url, clock.clone(), &options).await,
            clock,
            _server: server,
        }
    }

    /// The changes of a link that a follower is told of from here on, after what was abandoned is done.
    async fn told(&self, from: tollgate_links::store::ChangeSeq) -> usize {
        self.clock.advance(ABANDONED);
        let mut told = 0;
        let mut upto = from;
        loop {
            let changes = self.lives.changes(Some(upto)).await.unwrap();
            assert!(!changes.lost);
            told += changes.keys.len();
            let again = self.lives.changes(Some(changes.upto)).await.unwrap();
            if again.upto == changes.upto && changes.upto == upto {
                return told;
            }
            upto = changes.upto;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs dynalite: scripts/test e2e"]
async fn an_edit_that_was_broken_off_is_done_once() {
    let world = World::new().await;
    for waits in 0.. {
        let code = format!("c{waits}");
        world.lives.insert(vec![insert(&code, None)]).await.unwrap();
        let from = world.lives.changes(None).await.unwrap().upto;
        let update = Update {
            key: key(&code),
            expected_version: 1,
            spec: to("https://new.example/"),
            actor: "editor".into(),
            at: START,
            idempotency: Some(token_of(waits as u128)),
        };
        let done = broken_off(world.dies.update(update.clone()), waits).await;
        let told = world.told(from).await;
        let found = world.lives.get(&key(&code)).await.unwrap().unwrap();
        assert_eq!(
            told as u64,
            found.version - 1,
            "told of what took place, {waits}"
        );

        let again = world.lives.update(update).await.unwrap();
        let (Updated::Updated(after) | Updated::Replayed(after)) = &again else {
            panic!("{waits}: {again:?}");
        };
        assert_eq!(after.version, 2);
        let now = world.lives.get(&key(&code)).await.unwrap().unwrap();
        assert_eq!(now, *after);
        let history = world.lives.history(&key(&code), 10).await.unwrap();
        let actions: Vec<_> = history.iter().map(|edit| edit.action).collect();
        assert_eq!(
            actions,
            [EditAction::Updated, EditAction::Created],
            "{waits}"
        );
        assert_eq!(world.told(from).await, 1, "{waits}");
        if done.is_some() {
            assert!(matches!(again, Updated::Replayed(_)));
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs dynalite: scripts/test e2e"]
async fn a_deletion_that_was_broken_off_is_done_once() {
    let world = World::new().await;
    for waits in 0.. {
        let code = format!("c{waits}");
        let token = 10_000 + waits as u128;
        // Its insertion is settled by whoever deletes it.
        world
            .lives
            .insert(vec![insert(&code, Some(token))])
            .await
            .unwrap();
        let from = world.lives.changes(None).await.unwrap().upto;
        let delete = Delete {
            key: key(&code),
            expected_version: Some(1),
            actor: "deleter".into(),
            at: START,
            idempotency: Some(token_of(waits as u128)),
        };
        let done = broken_off(world.dies.delete(delete.clone()), waits).await;
        let again = world.lives.delete(delete).await.unwrap();
        assert!(
            matches!(again, Deleted::Deleted(_) | Deleted::Replayed),
            "{waits}: {again:?}"
        );
        assert_eq!(world.lives.get(&key(&code)).await.unwrap(), None);
        assert_eq!(world.told(from).await, 1, "{waits}");
        let history = world.lives.history(&key(&code), 10).await.unwrap();
        let actions: Vec<_> = history.iter().map(|edit| edit.action).collect();
        assert_eq!(
            actions,
            [EditAction::Deleted, EditAction::Created],
            "{waits}"
        );
        // The name can be had again.
        let made = world.lives.insert(vec![insert(&code, None)]).await.unwrap();
        assert!(
            matches!(made[..], [Inserted::Created(_)]),
            "{waits}: {made:?}"
        );
        if done.is_some() {
            assert_eq!(again, Deleted::Replayed);
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs dynalite: scripts/test e2e"]
async fn an_insert_that_was_broken_off_is_done_once() {
    let world = World::new().await;
    for waits in 0.. {
        let code = format!("c{waits}");
        let token = Some(waits as u128);
        let before = world
            .lives
            .list(&Default::default())
            .await
            .unwrap()
            .links
            .len();
        let done = broken_off(world.dies.insert(vec![insert(&code, token)]), waits).await;
        // The client that asks again gets another code from its strategy.
        let other = format!("other{waits}");
        let again = world
            .lives
            .insert(vec![insert(&other, token)])
            .await
            .unwrap();
        let ([Inserted::Created(made)] | [Inserted::Replayed(made)]) = &again[..] else {
            panic!("{waits}: {again:?}");
        };
        assert_eq!(
            world.lives.get(&made.key).await.unwrap().as_ref(),
            Some(made)
        );
        let query = tollgate_links::store::ListQuery {
            limit: std::num::NonZeroUsize::new(1_000),
            ..Default::default()
        };
        let links = world.lives.list(&query).await.unwrap().links;
        assert_eq!(links.len(), before + 1, "{waits}");
        if done.is_some() {
            assert_eq!(made.key, key(&code));
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs dynalite: scripts/test e2e"]
async fn a_sweep_that_was_broken_off_is_done_once() {
    let world = World::new().await;
    for waits in 0.. {
        let from = world.lives.changes(None).await.unwrap().upto;
        let codes = [format!("a{waits}"), format!("b{waits}")];
        for code in &codes {
            let mut old = insert(code, None);
            old.link.spec.expires_at = Some(START);
            world.lives.insert(vec![old]).await.unwrap();
        }
        let later = START.saturating_add(Duration::from_millis(1));
        let done = broken_off(world.dies.sweep(later, START, 10), waits).await;
        assert_eq!(world.told(from).await % 2, 0, "both or none, {waits}");
        world.lives.sweep(later, START, 10).await.unwrap();
        assert_eq!(world.told(from).await, 2, "{waits}");
        for code in &codes {
            assert_eq!(world.lives.get(&key(code)).await.unwrap(), None);
            assert_eq!(world.lives.history(&key(code), 9).await.unwrap(), []);
        }
        if done.is_some() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs dynalite: scripts/test e2e"]
async fn links_are_told_of_as_they_are_made_and_expire() {
    let world = World::new().await;
    let (none, from) = world.lives.made(None, 10).await.unwrap();
    assert_eq!(none, []);
    let mut links: Vec<Insert> = (0..7).map(|n| insert(&format!("c{n}"), None)).collect();
    for (number, insert) in links.iter_mut().enumerate() {
        let at = START.saturating_add(Duration::from_millis(7 - number as u64));
        insert.link.spec.expires_at = Some(at);
    }
    world.dies.insert(links.clone()).await.unwrap();
    let (mut made, mut at) = (Vec::new(), from);
    for _ in 0..4 {
        let (some, next) = world.lives.made(Some(at), 3).await.unwrap();
        made.extend(some);
        at = next;
    }
    let expected: Vec<Link> = links.iter().map(|insert| insert.link.clone()).collect();
    assert_eq!(made, expected);
    assert_eq!(
        world.lives.made(Some(at), 3).await.unwrap(),
        (Vec::new(), at)
    );
    assert_eq!(
        world.lives.made(Some(at + 9), 3).await.unwrap(),
        (Vec::new(), at)
    );

    let (mut gone, mut at) = (Vec::new(), Expiry::behind(START));
    let until = START.saturating_add(Duration::from_millis(5));
    for _ in 0..3 {
        let (some, next) = world.lives.expired(at, until, 2).await.unwrap();
        gone.extend(some);
        at = next;
    }
    let oldest: Vec<Link> = expected.iter().skip(2).rev().cloned().collect();
    assert_eq!(gone, oldest);
    assert_eq!(at, Expiry::behind(until));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs dynalite: scripts/test e2e"]
async fn a_server_that_is_away_is_told_and_comes_back() {
    let mut server = PrivateDynalite::start_lasting();
    let url = server.url(&new_table());
    let clock = Arc::new(ManualClock::at(START));
    let store = open(&url, clock, &options()).await;
    store.insert(vec![insert("a", None)]).await.unwrap();
    let block = store.lease_block("codes", 10).await.unwrap();
    server.kill();
    let away = store.get(&key("a")).await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    assert!(store.stats().failed > 0);
    server.restart();
    assert_eq!(store.get(&key("a")).await.unwrap(), Some(link("a")));
    assert_eq!(
        store.lease_block("codes", 1).await.unwrap().start,
        block.end
    );
}
