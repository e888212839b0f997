use std::convert::Infallible;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use tollgate_limit::headers::{QUOTA_EXCEEDED, RATE_LIMIT, RATE_LIMIT_POLICY};
use tollgate_limit::layer::RateLimitLayer;
use tollgate_limit::service::CheckAnswer;
use tower::{Layer as _, ServiceBuilder, service_fn};

use crate::bench::{Body, Reached, by_header, limits, send, text};

fn values(headers: &HeaderMap, name: http::HeaderName) -> Vec<&str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn what_passes_is_answered_by_the_service_and_told_what_is_left() {
    let (limits, _) = limits();
    let reached = Reached::default();
    let inner = reached.clone();
    let service =
        RateLimitLayer::new(limits, "d", by_header).layer(service_fn(move |_: Request<Body>| {
            let answer = inner.answer();
            async { Ok::<_, Infallible>(answer) }
        }));
    let response = send(&service, &[("user", "u1"), ("ip", "192.0.2.7")]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        values(response.headers(), RATE_LIMIT),
        [r#""per_user";r=1;t=30, "per_ip";r=2;t=1200"#]
    );
    assert_eq!(
        values(response.headers(), RATE_LIMIT_POLICY),
        [r#""per_user";q=2;w=60, "per_ip";q=3;w=3600"#]
    );
    assert!(!response.headers().contains_key(RETRY_AFTER));
    assert_eq!(text(response).await, "reached");
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_service_and_costs_nothing_elsewhere() {
    let (limits, clock) = limits();
    let reached = Reached::default();
    let inner = reached.clone();
    let service =
        RateLimitLayer::new(limits, "d", by_header).layer(service_fn(move |_: Request<Body>| {
            let answer = inner.answer();
            async { Ok::<_, Infallible>(answer) }
        }));
    let both = [("user", "u1"), ("ip", "192.0.2.7")];
    for _ in 0..2 {
        assert_eq!(send(&service, &both).await.status(), StatusCode::OK);
    }
    let refused = send(&service, &both).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()[RETRY_AFTER], "30");
    assert_eq!(refused.headers()[CONTENT_TYPE], "application/problem+json");
    assert_eq!(
        values(refused.headers(), RATE_LIMIT),
        [r#""per_user";r=0;t=30, "per_ip";r=1;t=2400"#]
    );
    let problem: serde_json::Value = serde_json::from_str(&text(refused).await).unwrap();
    assert_eq!(problem["type"], QUOTA_EXCEEDED);
    assert_eq!(problem["status"], 429);
    assert_eq!(
        problem["violated-policies"],
        serde_json::json!(["per_user"])
    );
    assert_eq!(reached.count(), 2);
    // The other limit was not charged: one is left.
    let other = [("user", "u2"), ("ip", "192.0.2.7")];
    assert_eq!(send(&service, &other).await.status(), StatusCode::OK);
    clock.advance(std::time::Duration::from_secs(30));
    let again = send(&service, &[("user", "u1")]).await;
    assert_eq!(again.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_nothing_is_known_of_passes_without_a_word() {
    let (limits, _) = limits();
    for domain in ["d", "unheard", ""] {
        let reached = Reached::default();
        let inner = reached.clone();
        let layer = RateLimitLayer::new(limits.clone(), domain, by_header);
        let service = layer.layer(service_fn(move |_: Request<Body>| {
            let answer = inner.answer();
            async { Ok::<_, Infallible>(answer) }
        }));
        for headers in [&[][..], &[("colour", "red")]] {
            for _ in 0..5 {
                let response = send(&service, headers).await;
                assert_eq!(response.status(), StatusCode::OK);
                assert!(response.headers().is_empty(), "{:?}", response.headers());
            }
        }
        assert_eq!(reached.count(), 10);
    }
}

#[tokio::test]
async fn shadow_mode_refuses_nothing() {
    let (limits, _) = limits();
    let service = RateLimitLayer::new(limits.clone(), "d", by_header).layer(service_fn(
        |_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::default())) },
    ));
    for _ in 0..5 {
        let response = send(&service, &[("watched", "w")]).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
    let stats = limits.stats();
    let watched = stats.rules.iter().find(|r| &*r.rule.name == "watched");
    assert_eq!(watched.unwrap().would_deny, 4);
}

/// With the headers of the limits, but for what it says itself.
#[tokio::test]
async fn refusals_can_be_answered_in_another_way() {
    let (limits, _) = limits();
    let layer = RateLimitLayer::new(limits, "d", by_header).refuse_with(|answer: &CheckAnswer| {
        let after = answer.retry_after().unwrap().as_secs();
        let response = Response::builder().status(503).header(RETRY_AFTER, "7");
        response.body(Body::from(format!("{after}"))).unwrap()
    });
    let service = layer.layer(service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::default()))
    }));
    let _ = send(&service, &[("user", "u1")]).await;
    let _ = send(&service, &[("user", "u1")]).await;
    let refused = send(&service, &[("user", "u1")]).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(values(refused.headers(), RETRY_AFTER), ["7"]);
    assert_eq!(
        values(refused.headers(), RATE_LIMIT),
        [r#""per_user";r=0;t=30"#]
    );
    assert_eq!(text(refused).await, "30");
}

/// Both lists are told: they are one to whoever reads them.
#[tokio::test]
async fn layers_stand_in_front_of_each_other() {
    let (limits, _) = limits();
    let only = |key: &'static str| {
        move |request: &http::request::Parts| {
            let all = by_header(request).into_iter();
            all.filter(move |one| one.entries[0].key == key)
        }
    };
    let service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(limits.clone(), "d", only("ip")))
        .layer(RateLimitLayer::new(limits, "d", only("user")))
        .service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::default()))
        });
    let response = send(&service, &[("user", "u1"), ("ip", "192.0.2.7")]).await;
    assert_eq!(
        values(response.headers(), RATE_LIMIT),
        [r#""per_user";r=1;t=30"#, r#""per_ip";r=2;t=1200"#]
    );
}
