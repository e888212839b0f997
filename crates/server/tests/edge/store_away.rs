use std::num::NonZeroU64;
use std::time::Duration;

use crate::edge::{Edge, TTL};

#[test]
fn what_is_cached_is_served_while_the_store_is_away_and_the_rest_is_503() {
    let edge = Edge::start();
    edge.link("known", |_| ());
    edge.link("unknown", |_| ());
    let mut client = edge.client();
    assert_eq!(client.get("/known").status, 302);
    edge.store.set_away(true);
    edge.clock.advance(TTL + Duration::from_secs(1));
    assert_eq!(client.get("/known").status, 302, "stale");
    let unknown = client.get("/unknown");
    assert_eq!(unknown.status, 503);
    assert_eq!(unknown.header("retry-after"), Some("2"));
    assert_eq!(unknown.header("cache-control"), Some("no-store"));
    let text = edge.metrics.encode();
    assert!(
        text.contains("outcome=\"redirect\",tier=\"stale\""),
        "{text}"
    );
    assert!(
        text.contains("outcome=\"unavailable\",tier=\"none\""),
        "{text}"
    );
    edge.store.set_away(false);
    edge.clock.advance(Duration::from_secs(5));
    assert_eq!(client.get("/unknown").status, 302);
}

#[test]
fn no_click_is_given_without_the_store() {
    let edge = Edge::start();
    edge.link("few", |spec| spec.max_clicks = NonZeroU64::new(5));
    let mut client = edge.client();
    assert_eq!(client.get("/few").status, 302);
    edge.store.set_away(true);
    assert_eq!(client.get("/few").status, 503);
    edge.store.set_away(false);
    assert_eq!(client.get("/few").status, 302);
}
