//! Links that move while instances read and write them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tollgate_clock::{SystemClock, UnixMillis};
use tollgate_links::store::{
    ChangeFeed as _, ClickGrant, Delete, Deleted, IdempotencyToken, Inserted, Lifecycle as _,
    LinkStore as _, ListQuery, RebalanceOptions, Rebalanced, ShardedLinkStore, Update, Updated,
};
use tollgate_links::{LinkKey, LinkSpec, Tag, TargetUrl};

use super::starting::{fill, key, new};
use super::{databases, open, rebalancer, sql};
use crate::PATIENCE;

async fn rebalance<T: AsRef<str>>(urls: &[T]) -> Rebalanced {
    let rebalancer = rebalancer(urls).await;
    let options = RebalanceOptions {
        batch: 20,
        ..RebalanceOptions::default()
    };
    rebalancer.run(&options, |_| ()).await.unwrap()
}

fn spec(target: &str) -> LinkSpec {
    LinkSpec::to(TargetUrl::from_stored(target))
}

fn update(key: LinkKey, expected_version: u64, spec: LinkSpec) -> Update {
    Update {
        key,
        expected_version,
        spec,
        actor: "editor".into(),
        at: UnixMillis::from_millis(1_900_000_000_001),
        idempotency: None,
    }
}

fn delete(key: LinkKey) -> Delete {
    Delete {
        key,
        expected_version: None,
        actor: "deleter".into(),
        at: UnixMillis::from_millis(1_900_000_000_002),
        idempotency: None,
    }
}

fn token(id: u8) -> Option<IdempotencyToken> {
    Some(IdempotencyToken {
        id: [id; 16],
        request: [1; 16],
        at: UnixMillis::from_millis(1_900_000_000_000),
    })
}

/// All that is known of a store's links.
async fn everything(store: &ShardedLinkStore) -> HashMap<String, String> {
    let mut all = HashMap::new();
    let mut query = ListQuery::default();
    loop {
        let page = store.list(&query).await.unwrap();
        for link in page.links {
            let history = store.history(&link.key, 100).await.unwrap();
            let before = all.insert(link.key.to_string(), format!("{link:?} {history:?}"));
            assert!(before.is_none(), "{} is there twice", link.key);
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_under_a_name_moves_with_it() {
    let urls = databases(3);
    let clock = Arc::new(SystemClock::new());
    let store = open(&urls[..2], clock.clone()).await.unwrap();
    fill(&store, (0..200).map(|n| format!("c{n}"))).await;
    let begun = store.changes(None).await.unwrap().upto;
    let made = store.made(None, 10).await.unwrap().1;
    for n in 0..40 {
        let mut edited = spec(&format!("https://edited.example/{n}"));
        edited.tags = vec![
            Tag::from_stored("tagged"),
            Tag::from_stored(&format!("t{n}")),
        ];
        edited.title = Some("Zeit\u{1f600}\\\"\n'".into());
        edited.max_clicks = NonZeroU64::new(u64::MAX - n);
        let done = store.update(update(key(&format!("c{n}")), 1, edited)).await;
        assert!(matches!(done, Ok(Updated::Updated(_))), "{done:?}");
        store.take_click(&key(&format!("c{n}"))).await.unwrap();
    }
    for n in 180..200 {
        let done = store.delete(delete(key(&format!("c{n}")))).await;
        assert!(matches!(done, Ok(Deleted::Deleted(_))), "{done:?}");
    }
    for id in 0..20 {
        let mut insert = new(&format!("token{id}"));
        insert.idempotency = token(id);
        store.insert(vec![insert]).await.unwrap();
    }
    let before = everything(&store).await;
    let histories = |store: Arc<ShardedLinkStore>| async move {
        let mut all = Vec::new();
        for n in 180..200 {
            all.push(store.history(&key(&format!("c{n}")), 9).await.unwrap());
        }
        all
    };
    let store = Arc::new(store);
    let gone = histories(Arc::clone(&store)).await;
    assert!(gone.iter().all(|edits| edits.len() == 2));

    // One more, then the first ones less and less, in the end none but the home's counters.
    let [a, b, c] = [0, 1, 2].map(|n| urls[n].clone());
    let lists = [
        vec![a.clone(), b.clone(), c.clone()],
        vec![a.clone(), format!("{b}?weight=3"), c.clone()],
        vec![a.clone(), format!("{b}?weight=0"), c.clone()],
        vec![format!("{a}?weight=0"), c.clone()],
    ];
    drop(store);
    for (round, list) in lists.iter().enumerate() {
        let store = Arc::new(open(list, clock.clone()).await.unwrap());
        let rebalanced = rebalance(list).await;
        assert!(rebalanced.moved > 0, "{list:?}");
        assert_eq!(rebalanced.version, 3 + 2 * round as u64);
        assert_eq!(everything(&store).await, before, "{list:?}");
        assert_eq!(histories(Arc::clone(&store)).await, gone);
        assert_eq!(store.count().await.unwrap(), 200);
        let tagged = ListQuery {
            tag: Some(Tag::from_stored("tagged")),
            ..ListQuery::default()
        };
        assert_eq!(store.list(&tagged).await.unwrap().links.len(), 40);
        // A repetition is answered as the first time, wherever the link is now.
        for id in 0..20 {
            let mut insert = new(&format!("other{round}{id}"));
            insert.idempotency = token(id);
            let again = store.insert(vec![insert]).await.unwrap();
            assert!(matches!(again[..], [Inserted::Replayed(_)]), "{again:?}");
        }
        // Whoever follows has seen all, once.
        let mut seen = Vec::new();
        let mut upto = begun;
        loop {
            let changes = store.changes(Some(upto)).await.unwrap();
            assert!(!changes.lost);
            if changes.keys.is_empty() {
                break;
            }
            seen.extend(changes.keys);
            upto = changes.upto;
        }
        assert_eq!(seen.len(), 60);
        let (mut links, mut after) = (BTreeSet::new(), made);
        // The server knows only after a while that no older one comes.
        let deadline = Instant::now() + PATIENCE;
        while links.len() < 20 && Instant::now() < deadline {
            let (more, upto) = store.made(Some(after), 7).await.unwrap();
            for link in more {
                let key = link.key.to_string();
                assert!(links.insert(key), "{} is told twice", link.key);
            }
            after = upto;
        }
        assert_eq!(links.len(), 20, "{links:?}");
        // Nothing more to do.
        assert_eq!(rebalance(list).await.moved, 0);
    }
    assert_eq!(sql(&a, "SELECT count(*) FROM links"), "0");
    assert_eq!(sql(&b, "SELECT count(*) FROM links"), "0");
    assert_eq!(sql(&c, "SELECT count(*) FROM links"), "200");
    // The one that is left may go from the list, the home may not.
    assert!(open(&[&c], clock.clone()).await.is_err());
    drop(open(&[&a, &c], clock).await.unwrap());
}

/// What a writer did to its own links, and what it found wrong.
struct Writer {
    store: Arc<ShardedLinkStore>,
    name: String,
    links: HashMap<String, (u64, u64)>,
    next: u64,
}

impl Writer {
    /// Makes, edits, clicks and deletes links that nobody else touches, so that all answers are known.
    async fn run(mut self, end: Arc<AtomicBool>, done: Arc<AtomicU64>) -> Self {
        while !end.load(Relaxed) || self.next < 30 {
            self.step().await;
            done.fetch_add(1, Relaxed);
        }
        self
    }

    async fn step(&mut self) {
        let n = self.next;
        self.next += 1;
        let code = format!("{}-{n}", self.name);
        assert_eq!(self.store.get(&key(&code)).await.unwrap(), None);
        let mut insert = new(&code);
        insert.link.spec.max_clicks = NonZeroU64::new(1_000_000);
        insert.idempotency = n.is_multiple_of(4).then(|| {
            let mut token = token(0).unwrap();
            token.id[..8].copy_from_slice(&n.to_le_bytes());
            token.id[8..9].copy_from_slice(&self.name.as_bytes()[1..2]);
            token
        });
        for again in 0..2 {
            let answer = self.store.insert(vec![insert.clone()]).await.unwrap();
            match (again, insert.idempotency, &answer[..]) {
                (0, _, [Inserted::Created(_)])
                | (1, Some(_), [Inserted::Replayed(_)])
                | (1, None, [Inserted::CodeTaken]) => {}
                other => panic!("{code}: {other:?}"),
            }
        }
        self.links.insert(code.clone(), (1, 0));
        // Something older as well, that may be moving just now.
        let older = format!("{}-{}", self.name, n / 2);
        let (version, clicks) = self.links.get(&older).copied().unwrap_or_default();
        if version == 0 {
            return;
        }
        let link = self.store.get(&key(&older)).await.unwrap();
        let link = link.unwrap_or_else(|| panic!("{older} is lost"));
        assert_eq!(
            (link.version, link.clicks_used),
            (version, clicks),
            "{older}"
        );
        let mut edited = link.spec.clone();
        edited.title = Some(format!("{n}"));
        let answer = self
            .store
            .update(update(key(&older), version, edited))
            .await;
        assert!(
            matches!(answer, Ok(Updated::Updated(_))),
            "{older}: {answer:?}"
        );
        let grant = self.store.take_click(&key(&older)).await.unwrap();
        assert!(
            matches!(grant, ClickGrant::Granted { .. }),
            "{older}: {grant:?}"
        );
        self.links.insert(older.clone(), (version + 1, clicks + 1));
        if n % 10 == 9 {
            let answer = self.store.delete(delete(key(&older))).await;
            assert!(
                matches!(answer, Ok(Deleted::Deleted(_))),
                "{older}: {answer:?}"
            );
            assert_eq!(self.store.get(&key(&older)).await.unwrap(), None);
            self.links.remove(&older);
        }
    }
}

/// Links that are there all the time.
const OLD: usize = 150;

/// Two instances write and read, while shards come and go; each knows what it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_missed_while_links_move() {
    let urls = databases(3);
    let clock = Arc::new(SystemClock::new());
    let [a, b, c] = [0, 1, 2].map(|n| urls[n].clone());
    drop(open(&urls[..2], clock.clone()).await.unwrap());
    let mut stores = Vec::new();
    for _ in 0..2 {
        stores.push(Arc::new(open(&urls, clock.clone()).await.unwrap()));
    }
    fill(&*stores[0], (0..OLD).map(|n| format!("old{n}"))).await;
    let (end, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::<AtomicU64>::default(),
    );
    let mut writers = Vec::new();
    for (number, store) in stores.iter().enumerate() {
        let writer = Writer {
            store: Arc::clone(store),
            name: format!("w{number}"),
            links: HashMap::new(),
            next: 0,
        };
        writers.push(tokio::spawn(
            writer.run(Arc::clone(&end), Arc::clone(&done)),
        ));
    }
    let readers: Vec<_> = stores
        .iter()
        .map(|store| {
            let (store, end) = (Arc::clone(store), Arc::clone(&end));
            tokio::spawn(async move {
                let mut reads = 0_u64;
                while !end.load(Relaxed) {
                    for n in 0..OLD {
                        let found = store.get(&key(&format!("old{n}"))).await.unwrap();
                        assert!(found.is_some(), "old{n} is not found");
                        reads += 1;
                    }
                    let query = ListQuery {
                        prefix: Some("old".into()),
                        limit: std::num::NonZeroUsize::new(1_000),
                        ..ListQuery::default()
                    };
                    assert_eq!(store.list(&query).await.unwrap().links.len(), OLD);
                    // The others need the machine, too.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                reads
            })
        })
        .collect();
    let options = RebalanceOptions {
        batch: 10,
        pause: Duration::from_millis(1),
    };
    let mut moved = 0;
    for list in [
        vec![a.clone(), b.clone(), c.clone()],
        vec![a.clone(), format!("{b}?weight=0"), c.clone()],
        vec![a.clone(), b.clone(), format!("{c}?weight=2")],
    ] {
        // Work is done before, in between and at the end.
        let so_far = done.load(Relaxed);
        while done.load(Relaxed) < so_far + 20 && !writers.iter().any(|one| one.is_finished()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let rebalanced = rebalancer(&list).await.run(&options, |_| ()).await.unwrap();
        moved += rebalanced.moved;
    }
    end.store(true, Relaxed);
    let mut expected = OLD as u64;
    for writer in writers {
        let writer = writer.await.unwrap();
        for (code, (version, clicks)) in &writer.links {
            for store in &stores {
                let link = store.get(&key(code)).await.unwrap();
                let link = link.unwrap_or_else(|| panic!("{code} is lost"));
                assert_eq!(
                    (link.version, link.clicks_used),
                    (*version, *clicks),
                    "{code}"
                );
            }
            let history = stores[0].history(&key(code), 1_000).await.unwrap();
            assert_eq!(history.len() as u64, *version, "{code}");
        }
        expected += writer.links.len() as u64;
    }
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.unwrap();
    }
    for store in &stores {
        assert_eq!(store.count().await.unwrap(), expected);
        assert_eq!(store.stats().version, 7);
    }
    let again: u64 = stores.iter().map(|store| store.stats().again).sum();
    println!(
        "{moved} moved, {reads} reads, {} steps, {again} begun anew",
        done.load(Relaxed)
    );
    assert!(moved > 150, "{moved}");
}

/// A mover that is killed between the copy and the deletion leaves a link on two shards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_original_is_left_counts_once() {
    let urls = databases(2);
    let clock = Arc::new(SystemClock::new());
    drop(open(&urls[..1], clock.clone()).await.unwrap());
    let store = open(&urls, clock.clone()).await.unwrap();
    fill(&store, (0..50).map(|n| format!("c{n}"))).await;
    for n in 0..50 {
        let edited = spec("https://edited.example/");
        store
            .update(update(key(&format!("c{n}")), 1, edited))
            .await
            .unwrap();
    }
    // Deleting fails, so copies are made and nothing else.
    sql(
        &urls[0],
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'killed' USING ERRCODE = '22000'; END $$;
         CREATE TRIGGER keep BEFORE DELETE ON links EXECUTE FUNCTION keep()",
    );
    let broken = rebalancer(&urls).await;
    let broken = broken.run(&RebalanceOptions::default(), |_| ()).await;
    assert!(broken.is_err(), "{broken:?}");
    let copies: u32 = sql(&urls[1], "SELECT count(*) FROM links").parse().unwrap();
    assert!(copies > 0);
    // The same map for all, with a move under way.
    let query = ListQuery::default();
    let links = store.list(&query).await.unwrap().links;
    let keys: HashSet<String> = links.iter().map(|link| link.key.to_string()).collect();
    assert_eq!((links.len(), keys.len()), (50, 50));
    let taken = store.insert(vec![new("c0")]).await;
    let refused = taken.is_err();
    sql(&urls[0], "DROP TRIGGER keep ON links");
    if !refused {
        assert!(matches!(taken.unwrap()[..], [Inserted::CodeTaken]));
    }
    for n in 0..25 {
        let edited = spec("https://twice.example/");
        let done = store.update(update(key(&format!("c{n}")), 2, edited)).await;
        assert!(matches!(done, Ok(Updated::Updated(_))), "{done:?}");
    }
    let rebalanced = rebalance(&urls).await;
    assert_eq!(rebalanced.version, 3);
    for n in 0..50 {
        let link = store.get(&key(&format!("c{n}"))).await.unwrap().unwrap();
        let version = if n < 25 { 3 } else { 2 };
        assert_eq!(link.version, version);
        let history = store.history(&link.key, 9).await.unwrap();
        assert_eq!(history.len() as u64, version, "{history:?}");
    }
    assert_eq!(store.count().await.unwrap(), 50);
}
