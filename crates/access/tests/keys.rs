//! Keys from creation to revocation.

use std::sync::Arc;
use std::time::Duration;

use tollgate_access::store::MemoryKeyStore;
use tollgate_access::{AuthError, CACHE_TTL, KeyError, Keys, NewKey, Scope, Secret};
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_links::Domain;

const START: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);

/// Two processes on one store, under one clock.
fn two() -> (Keys, Keys, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    let store = Arc::new(MemoryKeyStore::default());
    let keys = || Keys::new(store.clone(), clock.clone());
    (keys(), keys(), clock)
}

fn reader() -> NewKey {
    NewKey {
        name: "reader".into(),
        scopes: [Scope::LinksRead].into_iter().collect(),
        domain: None,
        expires_at: None,
    }
}

#[tokio::test]
async fn a_secret_opens_its_own_key_only() {
    let (keys, _, _) = two();
    let one = keys.create(reader()).await.unwrap();
    let other = keys.create(NewKey::admin("boss")).await.unwrap();
    for created in [one, other] {
        let found = keys.authenticate(created.secret.expose()).await.unwrap();
        assert_eq!(*found, created.key);
    }
    for wrong in ["", "tg_", "tg_0123456789abcdef0123456789abcdef", "\u{7f}\0"] {
        let refused = keys.authenticate(wrong).await;
        assert!(matches!(refused, Err(AuthError::Unknown)), "{wrong:?}");
    }
}

#[tokio::test]
async fn revocation_holds_at_once_here_and_within_the_bound_elsewhere() {
    let (here, there, clock) = two();
    let created = here.create(reader()).await.unwrap();
    let secret = created.secret.expose();
    here.authenticate(secret).await.unwrap();
    there.authenticate(secret).await.unwrap();
    here.revoke(&created.key.id).await.unwrap();
    let refused = here.authenticate(secret).await;
    assert!(matches!(refused, Err(AuthError::Revoked(_))));
    clock.advance(CACHE_TTL);
    let refused = there.authenticate(secret).await;
    assert!(matches!(refused, Err(AuthError::Revoked(_))));
    assert!(
        here.get(&created.key.id)
            .await
            .unwrap()
            .revoked_at
            .is_some()
    );
}

#[tokio::test]
async fn a_remembered_key_expires_to_the_millisecond() {
    let (keys, _, clock) = two();
    let mut new = reader();
    new.expires_at = Some(START.saturating_add(Duration::from_millis(1_000)));
    let created = keys.create(new).await.unwrap();
    clock.advance(Duration::from_millis(999));
    keys.authenticate(created.secret.expose()).await.unwrap();
    clock.advance(Duration::from_millis(1));
    let refused = keys.authenticate(created.secret.expose()).await;
    assert!(matches!(refused, Err(AuthError::Expired(_))));
}

#[tokio::test]
async fn only_the_first_admin_key_is_made_by_itself() {
    let (one, other, _) = two();
    let given = Secret::parse("tg_given-by-the-operator").unwrap();
    let first = one.bootstrap(Some(given)).await.unwrap().unwrap();
    assert!(first.key.scopes.allow(Scope::Admin));
    assert!(other.bootstrap(None).await.unwrap().is_none());
    let found = other.authenticate("tg_given-by-the-operator").await;
    assert_eq!(found.unwrap().id, first.key.id);
}

#[tokio::test]
async fn wrong_fields_and_taken_secrets_are_refused() {
    let (keys, _, _) = two();
    let wrong = |field: &str, change: fn(&mut NewKey)| {
        let mut new = reader();
        change(&mut new);
        (field.to_owned(), new)
    };
    for (expected, new) in [
        wrong("name", |new| new.name = " ".into()),
        wrong("name", |new| new.name = "x".repeat(101)),
        wrong("name", |new| new.name = "a\nb".into()),
        wrong("scopes", |new| new.scopes = [].into_iter().collect()),
        wrong("expires_at", |new| new.expires_at = Some(START)),
        wrong("domain", |new| {
            new.scopes = [Scope::Admin].into_iter().collect();
            new.domain = Some(Domain::default_domain());
        }),
    ] {
        match keys.create(new).await {
            Err(KeyError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let secret = Secret::generate().unwrap();
    keys.import(reader(), secret.clone()).await.unwrap();
    let again = keys.import(reader(), secret).await;
    assert!(matches!(again, Err(KeyError::SecretTaken)));
}

#[tokio::test]
async fn a_rotated_key_has_two_secrets_for_a_while() {
    let (here, there, clock) = two();
    let made = here.create(reader()).await.unwrap();
    let old = made.secret.expose();
    there.authenticate(old).await.unwrap();
    let grace = Duration::from_secs(60);
    let rotated = here.rotate(&made.key.id, grace).await.unwrap();
    assert_eq!(rotated.old_until, START.saturating_add(grace));
    let new = rotated.secret.expose();
    assert_ne!(new, old);
    for keys in [&here, &there] {
        for secret in [old, new] {
            assert_eq!(*keys.authenticate(secret).await.unwrap(), made.key);
        }
    }
    clock.advance(grace - Duration::from_millis(1));
    here.authenticate(old).await.unwrap();
    clock.advance(Duration::from_millis(1));
    for keys in [&here, &there] {
        let refused = keys.authenticate(old).await;
        assert!(
            matches!(refused, Err(AuthError::Unknown)),
            "to the millisecond"
        );
        keys.authenticate(new).await.unwrap();
    }
    here.revoke(&made.key.id).await.unwrap();
    let refused = here.rotate(&made.key.id, grace).await;
    assert!(matches!(
        refused,
        Err(KeyError::Invalid { field: "id", .. })
    ));
    let scopes = [Scope::LinksRead].into_iter().collect();
    let person = here.of_person("p", "Ann", scopes).await.unwrap();
    let refused = here.rotate(&person.id, grace).await;
    assert!(matches!(
        refused,
        Err(KeyError::Invalid { field: "id", .. })
    ));
}
