//! What every store of keys has to do, run against each of them.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tollgate_access::store::{KeyStore, MemoryKeyStore, StoredKey};
use tollgate_access::{ApiKey, KeyId, Scope, Scopes, Secret, SqliteKeyStore};
use tollgate_clock::UnixMillis;
use tollgate_links::Domain;

fn at(ms: i64) -> UnixMillis {
    UnixMillis::from_millis(ms)
}

fn key(number: u32) -> StoredKey {
    StoredKey {
        key: ApiKey {
            id: KeyId::new(at(i64::from(number)), 0),
            name: format!("key {number}"),
            scopes: [Scope::LinksRead, Scope::StatsRead].into_iter().collect(),
            domain: None,
            created_at: at(i64::from(number)),
            expires_at: None,
            revoked_at: None,
            subject: None,
        },
        secret: Secret::parse(&format!("tg_0123456789abcdef{number}"))
            .unwrap()
            .hash(),
        old_secret: None,
    }
}

async fn keeps_every_field(store: &dyn KeyStore) {
    let plain = key(1);
    let mut full = key(2);
    full.key.domain = Some(Domain::parse("go.example").unwrap());
    full.key.expires_at = Some(at(5_000));
    full.key.revoked_at = Some(at(4_000));
    full.key.scopes = Scopes::admin();
    full.key.name = "Schlüssel 'a' \"b\"".into();
    let mut home = key(3);
    home.key.domain = Some(Domain::default_domain());
    for stored in [plain, full, home] {
        assert!(store.insert(stored.clone()).await.unwrap());
        assert_eq!(
            store.by_secret(&stored.secret).await.unwrap().unwrap(),
            stored
        );
        let shown = store.get(&stored.key.id).await.unwrap().unwrap();
        assert_eq!(shown, stored.key);
    }
    assert_eq!(store.get(&key(9).key.id).await.unwrap(), None);
    assert_eq!(store.by_secret(&key(9).secret).await.unwrap(), None);
}

async fn a_person_has_one_key(store: &dyn KeyStore) {
    let of = |number: u32, subject: &str| {
        let mut key = key(number);
        key.key.subject = Some(subject.into());
        key
    };
    let anna = store.insert_person(of(1, "anna")).await.unwrap();
    assert_eq!(anna, of(1, "anna").key);
    let bert = store.insert_person(of(2, "bert")).await.unwrap();
    assert_eq!(bert.id, key(2).key.id);
    store.insert(key(3)).await.unwrap();
    let mut again = of(4, "anna");
    again.key.scopes = Scopes::admin();
    let anna = store.insert_person(again).await.unwrap();
    assert_eq!(
        (&anna.id, &*anna.name, anna.scopes),
        (&key(1).key.id, "key 4", Scopes::admin())
    );
    assert_eq!(store.get(&anna.id).await.unwrap(), Some(anna.clone()));
    store.revoke(&anna.id, at(9)).await.unwrap();
    let revoked = store.insert_person(of(5, "anna")).await.unwrap();
    assert_eq!((&*revoked.name, revoked.revoked_at), ("key 4", Some(at(9))));
    assert_eq!(store.list(None, 10).await.unwrap().len(), 3);
}

async fn identifiers_and_secrets_are_unique(store: &dyn KeyStore) {
    assert!(store.insert(key(1)).await.unwrap());
    let mut same_secret = key(2);
    same_secret.secret = key(1).secret;
    assert!(!store.insert(same_secret).await.unwrap());
    let mut same_id = key(2);
    same_id.key.id = key(1).key.id;
    assert!(!store.insert(same_id).await.unwrap());
    assert_eq!(store.list(None, 10).await.unwrap(), [key(1).key]);
}

async fn pages_follow_each_other(store: &dyn KeyStore) {
    for number in [3, 1, 5, 2, 4] {
        store.insert(key(number)).await.unwrap();
    }
    let mut seen = Vec::new();
    loop {
        let page = store.list(seen.last(), 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|key| key.id));
    }
    let expected: Vec<KeyId> = (1..=5).map(|number| key(number).key.id).collect();
    assert_eq!(seen, expected);
}

async fn a_key_is_revoked_once(store: &dyn KeyStore) {
    store.insert(key(1)).await.unwrap();
    let id = key(1).key.id;
    for now in [at(100), at(200)] {
        let revoked = store.revoke(&id, now).await.unwrap().unwrap();
        assert_eq!(revoked.revoked_at, Some(at(100)));
    }
    let stored = store.by_secret(&key(1).secret).await.unwrap().unwrap();
    assert_eq!(stored.key.revoked_at, Some(at(100)));
    assert_eq!(store.revoke(&key(2).key.id, at(1)).await.unwrap(), None);
}

/// `stores` are several handles on one place.
async fn a_secret_is_replaced_and_the_one_before_remembered(store: &dyn KeyStore) {
    let first = key(1);
    let other = key(2);
    store.insert(first.clone()).await.unwrap();
    store.insert(other.clone()).await.unwrap();
    let id = &first.key.id;
    let (second, third) = (key(7).secret, key(8).secret);
    assert_eq!(
        store.rotate(id, second, at(50)).await.unwrap(),
        Some(first.key.clone())
    );
    for secret in [first.secret, second] {
        let found = store.by_secret(&secret).await.unwrap().unwrap();
        assert_eq!(found.secret, second);
        assert_eq!(found.old_secret, Some((first.secret, at(50))));
        assert!(found.is_opened_by(&second, at(50)));
        assert!(found.is_opened_by(&first.secret, at(49)));
        assert!(!found.is_opened_by(&first.secret, at(50)));
        assert!(!found.is_opened_by(&third, at(49)));
    }
    // The one before the last is forgotten.
    store.rotate(id, third, at(60)).await.unwrap();
    assert_eq!(store.by_secret(&first.secret).await.unwrap(), None);
    assert_eq!(store.by_secret(&other.secret).await.unwrap(), Some(other));
    store.revoke(id, at(70)).await.unwrap();
    assert_eq!(store.rotate(id, key(9).secret, at(80)).await.unwrap(), None);
    assert_eq!(
        store
            .rotate(&key(6).key.id, key(9).secret, at(80))
            .await
            .unwrap(),
        None
    );
}

async fn only_one_is_first(stores: Vec<Arc<dyn KeyStore>>) {
    let tries = (0..32).map(|number| {
        let store = Arc::clone(&stores[number as usize % stores.len()]);
        tokio::spawn(async move { store.insert_first(key(number)).await.unwrap() })
    });
    let mut firsts = 0;
    for one in tries.collect::<Vec<_>>() {
        firsts += usize::from(one.await.unwrap());
    }
    assert_eq!(firsts, 1);
    assert_eq!(stores[0].list(None, 10).await.unwrap().len(), 1);
    // A revoked key was a key: nobody gets another first one.
    let only = stores[0].list(None, 1).await.unwrap().remove(0);
    stores[0].revoke(&only.id, at(1)).await.unwrap();
    assert!(!stores[0].insert_first(key(99)).await.unwrap());
}

macro_rules! conformance {
    ($($name:ident),*) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name(&MemoryKeyStore::default()).await;
            })*

            #[tokio::test(flavor = "multi_thread")]
            async fn only_one_is_first() {
                super::only_one_is_first(vec![Arc::new(MemoryKeyStore::default())]).await;
            }
        }

        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let store = SqliteKeyStore::open(&directory.path().join("keys.db")).unwrap();
                super::$name(&store).await;
            })*

            #[tokio::test(flavor = "multi_thread")]
            async fn only_one_is_first() {
                let directory = tempfile::tempdir().unwrap();
                let file = directory.path().join("keys.db");
                let open = || Arc::new(SqliteKeyStore::open(&file).unwrap()) as Arc<dyn KeyStore>;
                super::only_one_is_first((0..4).map(|_| open()).collect()).await;
            }

            #[tokio::test]
            async fn closing_leaves_one_file() {
                let directory = tempfile::tempdir().unwrap();
                drop(SqliteKeyStore::open(&directory.path().join("keys.db")).unwrap());
                let files = std::fs::read_dir(directory.path()).unwrap();
                let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
                assert_eq!(names, ["keys.db"]);
            }

            #[tokio::test]
            async fn keys_are_there_after_reopening() {
                let directory = tempfile::tempdir().unwrap();
                let file = directory.path().join("keys.db");
                let store = SqliteKeyStore::open(&file).unwrap();
                store.insert(key(1)).await.unwrap();
                drop(store);
                let store = SqliteKeyStore::open(&file).unwrap();
                assert_eq!(store.list(None, 10).await.unwrap(), [key(1).key]);
            }
        }
    };
}

conformance!(
    keeps_every_field,
    a_person_has_one_key,
    identifiers_and_secrets_are_unique,
    pages_follow_each_other,
    a_key_is_revoked_once,
    a_secret_is_replaced_and_the_one_before_remembered
);
