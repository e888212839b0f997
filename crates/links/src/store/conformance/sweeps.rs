//! Taking away what has had its time.

use super::*;
use crate::store::Swept;

fn expiring(code: &str, at: UnixMillis, origin: Origin) -> Link {
    let mut link = simple(code);
    link.spec.expires_at = Some(at);
    link.origin = origin;
    link
}

/// Bounded, in order, and only what expired before the moment.
pub async fn a_sweep_takes_the_longest_expired_first<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    fill(
        &*store,
        [
            expiring("late", after(30), Origin::Pool),
            expiring("early", after(10), Origin::Pool),
            expiring("middle", after(20), Origin::Random),
            expiring("edge", after(40), Origin::Pool),
            simple("never"),
        ],
    )
    .await;
    let sweep = async |before, limit| store.sweep(before, START, limit).await.unwrap();
    assert_eq!(sweep(after(10), 9).await, Swept::default());
    assert_eq!(sweep(after(40), 0).await, Swept::default());
    let first = sweep(after(40), 2).await;
    assert_eq!(first.links, [key("early"), key("middle")]);
    assert_eq!(first.pool_codes, [key("early").code]);
    let second = sweep(after(40), 2).await;
    assert_eq!(second.links, [key("late")]);
    assert_eq!(second.pool_codes, [key("late").code]);
    assert_eq!(sweep(after(40), 2).await, Swept::default());
    assert_eq!(store.count().await.unwrap(), 2);
    assert_eq!(store.get(&key("early")).await.unwrap(), None);
}

/// The bound holds for tokens by itself.
pub async fn a_sweep_forgets_tokens_and_history<E: Engine>() {
    let (_engine, store, _) = fresh::<E>().await;
    for n in 0..4u8 {
        let insert = Insert {
            idempotency: token(n, n, after(n.into())),
            ..plain(expiring(&format!("c{n}"), after(100), Origin::Random))
        };
        insert_one(&*store, insert).await;
    }
    let mut longer = expiring("c0", after(90), Origin::Random).spec;
    longer.title = Some("edited".into());
    store.update(update(key("c0"), 1, longer)).await.unwrap();

    let swept = store.sweep(after(0), after(3), 2).await.unwrap();
    let tokens_only = Swept {
        tokens: 2,
        ..Swept::default()
    };
    assert_eq!(swept, tokens_only);
    let asked = |n: u8| Insert {
        idempotency: token(n, n, after(n.into())),
        ..plain(simple("fresh"))
    };
    assert!(matches!(
        insert_one(&*store, asked(2)).await,
        Inserted::Replayed(_)
    ));
    assert!(matches!(
        insert_one(&*store, asked(3)).await,
        Inserted::Replayed(_)
    ));
    assert!(matches!(
        insert_one(&*store, asked(0)).await,
        Inserted::Created(_)
    ));

    assert_eq!(store.history(&key("c0"), 9).await.unwrap().len(), 2);
    let swept = store.sweep(after(95), START, 9).await.unwrap();
    assert_eq!(swept.links, [key("c0")]);
    assert_eq!(store.history(&key("c0"), 9).await.unwrap(), []);
    assert_eq!(store.history(&key("c1"), 9).await.unwrap().len(), 1);
}
