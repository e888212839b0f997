//! The link service on the reference store: what callers are answered, and what the cache learns.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_clock::{Clock, ManualClock, UnixMillis};
use tollgate_links::store::{
    IdempotencyToken, LeaseStore, LinkStore as _, ListQuery, MemoryStore, StoreError,
};
use tollgate_links::{
    CacheOptions, CodeFilter, CodeRules, CreatedLink, Domains, Follower, LinkCache, LinkDraft,
    LinkError, LinkKey, LinkPatch, LinkService, LinkSource, Loaded, NewLink, Origin,
    PasswordHasher, ServiceParts, SpecRules, Strategies, StrategyKind, StrategyOptions,
    TargetRules, Tier,
};

const DAY: Duration = Duration::from_secs(86_400);

struct World {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    service: LinkService,
}

/// A service with codes of `length` characters, on a store of its own or a shared one.
fn service(clock: &Arc<ManualClock>, store: &Arc<MemoryStore>, length: usize) -> LinkService {
    let domains = Domains::new(
        "http://tollgate.example",
        &["https://go.example.com".to_owned()],
    )
    .unwrap();
    let filter = Arc::new(CodeFilter::default());
    let clock: Arc<dyn Clock> = clock.clone();
    let leases: Arc<dyn LeaseStore> = store.clone();
    let options = StrategyOptions {
        length,
        case_insensitive: false,
        block_size: 100,
        sha256: false,
        worker_ttl: Duration::from_secs(30),
        pool_target: 20,
        quarantine: DAY,
    };
    LinkService::new(ServiceParts {
        store: store.clone(),
        feed: store.clone(),
        cache: LinkCache::new(cache_options(), store.clone(), clock.clone()),
        strategies: Arc::new(Strategies::new(
            options,
            leases,
            filter.clone(),
            clock.clone(),
        )),
        default_strategy: StrategyKind::Counter,
        codes: CodeRules::default(),
        filter,
        specs: SpecRules {
            targets: TargetRules {
                schemes: vec!["http".to_owned(), "https".to_owned()],
                allow_credentials: false,
                own_hosts: domains.own_hosts(),
            },
            passwords: PasswordHasher::default(),
        },
        domains,
        clock,
    })
}

fn cache_options() -> CacheOptions {
    CacheOptions {
        max_bytes: 1 << 20,
        ttl: Duration::from_secs(60),
        negative_ttl: Duration::from_secs(5),
        stale_if_error: Duration::from_secs(600),
        early_refresh: 0.0,
        seed: 1,
    }
}

fn world() -> World {
    world_with_codes_of(7)
}

fn world_with_codes_of(length: usize) -> World {
    let now: UnixMillis = "2030-01-01T00:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::at(now));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let service = service(&clock, &store, length);
    World {
        clock,
        store,
        service,
    }
}

fn to(url: &str) -> LinkDraft {
    LinkDraft {
        url: url.to_owned(),
        ..LinkDraft::default()
    }
}

fn alias(code: &str, url: &str) -> LinkDraft {
    LinkDraft {
        code: Some(code.to_owned()),
        ..to(url)
    }
}

fn new(draft: LinkDraft) -> NewLink {
    NewLink {
        draft,
        idempotency: None,
    }
}

impl World {
    async fn create(&self, draft: LinkDraft) -> Result<CreatedLink, LinkError> {
        self.service.create(new(draft), "tester").await
    }

    async fn cached(&self, key: &LinkKey) -> Option<String> {
        let lookup = self.service.parts().cache.get(key.clone()).await.unwrap();
        lookup.link.map(|link| link.target().to_owned())
    }
}

fn wrong_fields(result: Result<CreatedLink, LinkError>) -> Vec<String> {
    match result {
        Err(LinkError::Invalid(errors)) => errors.into_iter().map(|error| error.field).collect(),
        other => panic!("expected wrong fields, got {other:?}"),
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let world = world();
    let mut draft = alias("a/b", "ftp://example.com/");
    draft.domain = Some("elsewhere.example".to_owned());
    draft.max_clicks = Some(0);
    let mut wrong = wrong_fields(world.create(draft).await);
    wrong.sort();
    assert_eq!(wrong, ["code", "domain", "max_clicks", "url"]);

    let mut both = alias("fine", "https://example.com/");
    both.strategy = Some(StrategyKind::Random);
    assert_eq!(wrong_fields(world.create(both).await), ["strategy"]);
    let reserved = alias("robots.txt", "https://example.com/");
    assert_eq!(wrong_fields(world.create(reserved).await), ["code"]);
    assert_eq!(
        wrong_fields(world.create(to("http://tollgate.example/x")).await),
        ["url"]
    );
}

#[tokio::test]
async fn every_strategy_makes_links_and_says_so() {
    let world = world();
    world.service.parts().strategies.tend().await.unwrap();
    for kind in StrategyKind::ALL {
        let mut draft = to("https://example.com/");
        draft.strategy = Some(kind);
        let made = world.create(draft).await.unwrap();
        assert_eq!(made.link.origin, kind.origin());
        assert_eq!(made.link.created_by, "tester");
        let found = world.service.get(&made.link.key).await.unwrap();
        assert_eq!(found, made.link);
    }
}

#[tokio::test]
async fn a_batch_answers_in_order_and_each_for_itself() {
    let world = world();
    let drafts = vec![
        new(alias("one", "https://example.com/1")),
        new(to("not a url")),
        new(alias("one", "https://example.com/2")),
        new(to("https://example.com/3")),
    ];
    let results = world.service.create_many(drafts, "tester").await;
    assert_eq!(results[0].as_ref().unwrap().link.key.code.as_str(), "one");
    assert!(matches!(results[1], Err(LinkError::Invalid(_))));
    assert!(matches!(results[2], Err(LinkError::CodeTaken(_))));
    let third = &results[3].as_ref().unwrap().link;
    assert_eq!(third.spec.target.as_str(), "https://example.com/3");
}

#[tokio::test]
async fn a_full_code_space_is_told_and_nothing_is_overwritten() {
    let world = world_with_codes_of(1);
    let mut made = std::collections::HashMap::new();
    let refused = loop {
        let mut draft = to(&format!("https://example.com/{}", made.len()));
        draft.strategy = Some(StrategyKind::Random);
        match world.create(draft).await {
            Ok(created) => {
                let link = created.link;
                assert!(made.insert(link.key, link.spec.target).is_none());
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LinkError::NoFreeCode(_)), "{refused}");
    assert!(made.len() > 30, "{} of 62", made.len());
    for (key, target) in made {
        assert_eq!(world.service.get(&key).await.unwrap().spec.target, target);
    }
}

#[tokio::test]
async fn reuse_finds_the_equal_link_of_the_same_domain() {
    let world = world();
    let draft = |domain: Option<&str>| LinkDraft {
        reuse: true,
        domain: domain.map(ToOwned::to_owned),
        tags: vec!["News".to_owned()],
        ..to("https://EXAMPLE.com")
    };
    let first = world.create(draft(None)).await.unwrap();
    let second = world.create(draft(None)).await.unwrap();
    assert!(!first.reused && second.reused);
    assert_eq!(second.link, first.link);
    let elsewhere = world.create(draft(Some("go.example.com"))).await.unwrap();
    assert!(!elsewhere.reused);
    let mut untagged = draft(None);
    untagged.tags.clear();
    assert!(!world.create(untagged).await.unwrap().reused);
}

#[tokio::test]
async fn reuse_never_answers_another_code_than_the_one_asked_for() {
    let world = world();
    let draft = |code: Option<&str>, target: &str| LinkDraft {
        reuse: true,
        code: code.map(ToOwned::to_owned),
        ..to(target)
    };
    let generated = world.create(draft(None, "https://a.example")).await;
    assert!(!generated.unwrap().reused);
    let named = draft(Some("sale"), "https://a.example");
    let first = world.create(named.clone()).await.unwrap();
    assert_eq!(
        (first.reused, first.link.key.code.as_str()),
        (false, "sale")
    );
    let second = world.create(named).await.unwrap();
    assert!(second.reused);
    assert_eq!(second.link, first.link);
    let other = world.create(draft(Some("sale"), "https://b.example")).await;
    assert!(matches!(other, Err(LinkError::CodeTaken(_))), "{other:?}");
}

#[tokio::test]
async fn a_repeated_request_makes_nothing_twice() {
    let world = world();
    let token = |request| IdempotencyToken {
        id: [7; 16],
        request: [request; 16],
        at: world.clock.now(),
    };
    let send = |request| {
        let new = NewLink {
            draft: to("https://example.com/"),
            idempotency: Some(token(request)),
        };
        world.service.create(new, "tester")
    };
    let first = send(1).await.unwrap();
    let again = send(1).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(again.link, first.link);
    assert!(matches!(send(2).await, Err(LinkError::IdempotencyMismatch)));
    let all = world.service.list(&ListQuery::default()).await.unwrap();
    assert_eq!(all.links.len(), 1);
}

#[tokio::test]
async fn a_creation_that_is_repeated_at_another_server_is_known_there_at_once() {
    let world = world();
    let key = world.service.key(None, "sale").unwrap();
    assert_eq!(world.cached(&key).await, None);
    let new = || NewLink {
        draft: alias("sale", "https://example.com/1"),
        idempotency: Some(IdempotencyToken {
            id: [7; 16],
            request: [1; 16],
            at: world.clock.now(),
        }),
    };
    // The one that made it could not say so.
    let another = service(&world.clock, &world.store, 7);
    another.create(new(), "tester").await.unwrap();
    let again = world.service.create(new(), "tester").await.unwrap();
    assert!(again.replayed);
    assert_eq!(
        world.cached(&key).await.as_deref(),
        Some("https://example.com/1")
    );
}

#[tokio::test]
async fn the_cache_learns_of_creations_edits_and_deletions() {
    let world = world();
    let key = world.service.key(None, "sale").unwrap();
    assert_eq!(world.cached(&key).await, None);
    world
        .create(alias("sale", "https://example.com/1"))
        .await
        .unwrap();
    assert_eq!(
        world.cached(&key).await.as_deref(),
        Some("https://example.com/1")
    );
    let patch = LinkPatch {
        url: Some("https://example.com/2".to_owned()),
        ..LinkPatch::default()
    };
    let edited = world
        .service
        .update(&key, patch, Some(1), "editor", None)
        .await
        .unwrap();
    assert_eq!(edited.link.version, 2);
    let before = edited.before.unwrap();
    assert_eq!(before.target.as_str(), "https://example.com/1");
    assert_eq!(
        world.cached(&key).await.as_deref(),
        Some("https://example.com/2")
    );
    let stale = world
        .service
        .update(&key, LinkPatch::default(), Some(1), "editor", None)
        .await;
    assert!(matches!(stale, Err(LinkError::VersionMismatch(2))));
    world
        .service
        .delete(&key, None, "editor", None)
        .await
        .unwrap();
    assert_eq!(world.cached(&key).await, None);
    let history = world.service.history(&key, 10).await.unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(history[0].actor, "editor");
}

#[tokio::test]
async fn an_edit_that_changes_nothing_leaves_no_trace() {
    let world = world();
    let made = world.create(to("https://example.com/")).await.unwrap().link;
    let same = LinkPatch {
        url: Some("https://EXAMPLE.com".to_owned()),
        ..LinkPatch::default()
    };
    let edit = |version| {
        world
            .service
            .update(&made.key, same.clone(), version, "editor", None)
    };
    for version in [None, Some(1)] {
        let edited = edit(version).await.unwrap();
        assert_eq!((edited.link, edited.before), (made.clone(), None));
    }
    assert!(matches!(
        edit(Some(7)).await,
        Err(LinkError::VersionMismatch(1))
    ));
    assert_eq!(world.service.history(&made.key, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_edit_without_a_version_wins_against_others() {
    let world = world();
    let made = world.create(to("https://example.com/")).await.unwrap();
    let edits = (0..8).map(|number| {
        let patch = LinkPatch {
            title: Some(Some(format!("edit {number}"))),
            ..LinkPatch::default()
        };
        world
            .service
            .update(&made.link.key, patch, None, "editor", None)
    });
    for edit in futures_util::future::join_all(edits).await {
        edit.unwrap();
    }
    assert_eq!(world.service.get(&made.link.key).await.unwrap().version, 9);
}

#[tokio::test]
async fn the_hash_strategy_makes_any_number_of_links_to_one_target() {
    let world = world();
    let hashed = || LinkDraft {
        strategy: Some(StrategyKind::Hash),
        ..to("https://example.com/popular")
    };
    let drafts = (0..50).map(|_| new(hashed())).collect();
    let mut codes: Vec<_> = world
        .service
        .create_many(drafts, "tester")
        .await
        .into_iter()
        .map(|result| result.unwrap().link.key.code)
        .collect();
    let first = codes[0].clone();
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 50);
    let elsewhere = world_with_codes_of(7).create(hashed()).await.unwrap();
    assert_eq!(
        elsewhere.link.key.code, first,
        "the first follows from the target"
    );
    let reusing = LinkDraft {
        reuse: true,
        ..hashed()
    };
    let reused = world.create(reusing).await.unwrap();
    assert!(reused.reused && reused.link.key.code == first);
}

#[tokio::test]
async fn a_passwords_hash_is_kept_and_an_edit_can_replace_it() {
    let world = world();
    let draft = LinkDraft {
        password: Some("first".into()),
        ..to("https://example.com/")
    };
    let drafts = vec![new(draft.clone()), new(draft)];
    for result in world.service.create_many(drafts, "tester").await {
        let link = result.unwrap().link;
        let fits = |link: &tollgate_links::Link, password: &str| {
            let hash = link.spec.password.as_ref().unwrap();
            PasswordHasher::default().verify(password, hash)
        };
        assert!(fits(&link, "first"));
        let patch = LinkPatch {
            password: Some(Some("second".into())),
            ..LinkPatch::default()
        };
        let service = &world.service;
        let edited = service.update(&link.key, patch, None, "tester", None).await;
        let edited = edited.unwrap().link;
        assert!(fits(&edited, "second") && !fits(&edited, "first"));
    }
}

#[tokio::test]
async fn a_followers_first_poll_forgets_what_nobody_watched() {
    let world = world();
    let other = service(&world.clock, &world.store, 7);
    let made = world
        .create(to("https://example.com/1"))
        .await
        .unwrap()
        .link;
    assert!(world.cached(&made.key).await.is_some());
    other.delete(&made.key, None, "other", None).await.unwrap();
    let mut follower = Follower::new(world.service.clone());
    assert_eq!(follower.poll().await.unwrap(), 0);
    assert_eq!(world.cached(&made.key).await, None);
}

/// A source of links that keeps what it is told.
struct Told {
    store: Arc<MemoryStore>,
    forgotten: Mutex<Vec<LinkKey>>,
    distrusted: AtomicBool,
}

#[async_trait::async_trait]
impl LinkSource for Told {
    async fn load(&self, key: &LinkKey) -> Result<Loaded, StoreError> {
        Ok(Loaded {
            link: self.store.get(key).await?.map(Arc::new),
            tier: Tier::Shared,
            good_for: Duration::MAX,
        })
    }

    async fn forget(&self, keys: &[LinkKey]) {
        self.forgotten.lock().extend_from_slice(keys);
    }

    fn distrust(&self) {
        self.distrusted.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_follower_tells_what_instances_share_also_of_the_edits_before_it() {
    let world = world();
    let parts = world.service.parts();
    let told = Arc::new(Told {
        store: world.store.clone(),
        forgotten: Mutex::default(),
        distrusted: AtomicBool::new(false),
    });
    let other = LinkService::new(ServiceParts {
        store: parts.store.clone(),
        feed: parts.feed.clone(),
        cache: LinkCache::over(cache_options(), told.clone(), parts.clock.clone()),
        strategies: parts.strategies.clone(),
        default_strategy: parts.default_strategy,
        codes: parts.codes,
        filter: parts.filter.clone(),
        specs: parts.specs.clone(),
        domains: parts.domains.clone(),
        clock: parts.clock.clone(),
    });
    let made = world.create(alias("a", "https://example.com/1")).await;
    let key = made.unwrap().link.key;
    world
        .service
        .delete(&key, None, "tester", None)
        .await
        .unwrap();
    let mut follower = Follower::new(other);
    follower.poll().await.unwrap();
    assert_eq!(*told.forgotten.lock(), std::slice::from_ref(&key));
    world
        .create(alias("a", "https://example.com/2"))
        .await
        .unwrap();
    world
        .service
        .delete(&key, None, "tester", None)
        .await
        .unwrap();
    follower.poll().await.unwrap();
    assert_eq!(*told.forgotten.lock(), [key.clone(), key]);
    follower.poll().await.unwrap();
    assert_eq!(told.forgotten.lock().len(), 2);
    assert!(!told.distrusted.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_follower_hears_of_edits_by_others() {
    let world = world();
    let other = service(&world.clock, &world.store, 7);
    let made = world
        .create(to("https://example.com/1"))
        .await
        .unwrap()
        .link;
    let mut follower = Follower::new(world.service.clone());
    follower.poll().await.unwrap();
    assert!(world.cached(&made.key).await.is_some());
    let patch = LinkPatch {
        url: Some("https://example.com/2".to_owned()),
        ..LinkPatch::default()
    };
    other
        .update(&made.key, patch, None, "other", None)
        .await
        .unwrap();
    assert_eq!(
        world.cached(&made.key).await.as_deref(),
        Some("https://example.com/1"),
        "nobody told this instance yet"
    );
    assert_eq!(follower.poll().await.unwrap(), 1);
    assert_eq!(
        world.cached(&made.key).await.as_deref(),
        Some("https://example.com/2")
    );
}

#[tokio::test]
async fn a_sweep_with_tokens_left_over_asks_for_another() {
    let world = world();
    for number in 0..4 {
        let new = NewLink {
            draft: to("https://example.com/"),
            idempotency: Some(IdempotencyToken {
                id: [number; 16],
                request: [0; 16],
                at: world.clock.now(),
            }),
        };
        world.service.create(new, "tester").await.unwrap();
    }
    world.clock.advance(DAY + Duration::from_secs(1));
    let sweep = || world.service.sweep(DAY, DAY, 3);
    assert!(sweep().await.unwrap().more, "one of the four is left");
    assert!(!sweep().await.unwrap().more);
}

#[tokio::test]
async fn the_sweeper_deletes_in_batches_and_pool_codes_come_back_after_quarantine() {
    let world = world();
    let strategies = &world.service.parts().strategies;
    strategies.tend().await.unwrap();
    let soon = world.clock.now().saturating_add(Duration::from_secs(60));
    for number in 0..5 {
        let mut draft = to(&format!("https://example.com/{number}"));
        draft.strategy = Some(StrategyKind::Pool);
        draft.expires_at = Some(soon);
        assert_eq!(world.create(draft).await.unwrap().link.origin, Origin::Pool);
    }
    let kept = world.create(to("https://example.com/")).await.unwrap();
    let sweep = || world.service.sweep(Duration::from_secs(3_600), DAY, 3);
    assert_eq!(sweep().await.unwrap().links, 0);
    world.clock.advance(Duration::from_secs(3_700));
    let first = sweep().await.unwrap();
    assert_eq!((first.links, first.more), (3, true));
    let second = sweep().await.unwrap();
    assert_eq!((second.links, second.more), (2, false));
    world.service.get(&kept.link.key).await.unwrap();

    let available = || world.store.pool_available(world.clock.now());
    let before = available().await.unwrap();
    world.clock.advance(DAY);
    assert_eq!(available().await.unwrap(), before + 5);
}
