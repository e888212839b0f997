//! What passes and what is refused.

use std::sync::Arc;

use async_trait::async_trait;
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::Shaped;
use tollgate_limit::store::{Charge, LimitStore, Refund, StoreError};

use crate::client::head;
use crate::server::{Server, options};
use crate::upstream::{Upstream, full};

#[tokio::test]
async fn who_is_over_a_limit_is_refused_and_told_when_to_come_back() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut client = server.client().await;
    for left in [1, 0] {
        let answer = client.get("/limited?x").await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some(r#""limited";q=2;w=60"#)
        );
        let told = format!(r#""limited";r={left};t=60"#);
        assert_eq!(answer.header("ratelimit"), Some(&*told));
        assert_eq!(answer.header("retry-after"), None);
    }
    let answer = client.get("/limited").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some(r#""limited";q=2;w=60"#)
    );
    assert_eq!(answer.header("ratelimit"), Some(r#""limited";r=0;t=60"#));
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(
        problem["type"],
        "https://iana.org/assignments/http-problem-types#quota-exceeded"
    );
    assert_eq!(problem["violated-policies"][0], "limited");
    // The connection goes on, and nobody else is concerned.
    assert_eq!(client.get("/other").await.status, 200);
    assert_eq!(upstream.seen().len(), 3);
    server.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(client.get("/limited").await.status, 200);
    assert_eq!(server.outcome("limited"), 1);
    assert_eq!(server.outcome("forwarded"), 4);
}

#[tokio::test]
async fn what_the_upstream_tells_of_its_own_limits_stays() {
    let upstream = Upstream::answering(|_| {
        http::Response::builder()
            .header("ratelimit", r#""own";r=7;t=1"#)
            .body(full(""))
            .unwrap()
    })
    .await;
    let server = Server::start(&upstream.url()).await;
    let answer = server.get("/limited").await;
    let told = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "ratelimit");
    let told: Vec<_> = told.map(|(_, value)| value.as_str()).collect();
    assert_eq!(told, [r#""own";r=7;t=1"#, r#""limited";r=1;t=60"#]);
}

#[tokio::test]
async fn costs_count() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(server.get("/dear").await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn shadow_mode_passes_and_counts() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    for _ in 0..3 {
        assert_eq!(server.get("/watched").await.status, 200);
    }
    let stats = server.service.stats();
    let watched = stats
        .rules
        .iter()
        .find(|rule| &*rule.rule.name == "watched");
    assert_eq!(watched.unwrap().would_deny, 2);
}

#[tokio::test]
async fn a_body_is_not_asked_for_if_it_is_refused() {
    let upstream = Upstream::start().await;
    let server = Server::start(&upstream.url()).await;
    let mut client = server.client().await;
    let expecting = head(
        "POST",
        "/limited",
        "content-length: 4\r\nexpect: 100-continue\r\n",
    );
    for _ in 0..2 {
        let go_on = client.send(&expecting).await.receive_head().await;
        assert_eq!(go_on.status, 100);
        assert_eq!(client.send("body").await.receive().await.status, 200);
    }
    let answer = client.send(&expecting).await.receive().await;
    assert_eq!(answer.status, 429);
    // Without having asked, it is on its way, and is read.
    let mut client = server.client().await;
    let post = head("POST", "/limited", "content-length: 4\r\n");
    let answer = client.send(&post).await.send("body").await.receive().await;
    assert_eq!(answer.status, 429);
    assert_eq!(client.get("/").await.status, 200);
    assert!(upstream.seen()[..2].iter().all(|seen| seen.body == b"body"));
}

/// A store that is away.
struct Away;

#[async_trait]
impl LimitStore for Away {
    async fn decide(&self, _: &[Charge]) -> Result<Vec<Shaped>, StoreError> {
        Err(StoreError::Unavailable("away".to_owned()))
    }

    async fn refund(&self, _: &[Refund]) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("away".to_owned()))
    }
}

#[tokio::test]
async fn while_the_store_is_away_policies_say_what_happens() {
    let upstream = Upstream::start().await;
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_800_000_000_000)));
    let server = Server::counting_in(options(&upstream.url()), clock, Arc::new(Away)).await;
    assert_eq!(server.get("/closed").await.status, 429);
    // This process counts by itself.
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(server.get("/limited").await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(server.get("/unlimited").await.status, 200);
}
