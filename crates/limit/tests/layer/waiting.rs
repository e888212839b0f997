//! Requests that wait for their turn. The timer of tokio stands still unless all wait, and then goes
//! to the next moment: the times are exact.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use tokio::time::Instant;
use tollgate_limit::layer::RateLimitLayer;
use tower::{Layer as _, service_fn};

use crate::bench::{Body, SECOND, by_header, limits, send};

#[tokio::test(start_paused = true)]
async fn a_delayed_request_reaches_the_service_at_its_turn() {
    for (key, apart) in [("job", SECOND), ("mail", SECOND / 2)] {
        let (limits, _) = limits();
        let began = Instant::now();
        let service = RateLimitLayer::new(limits, "d", by_header).layer(service_fn(
            |_: Request<Body>| async {
                let at = Instant::now();
                let mut response = Response::new(Body::default());
                response.extensions_mut().insert(at);
                Ok::<_, Infallible>(response)
            },
        ));
        let headers = [(key, "j")];
        let send = || send(&service, &headers);
        let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
        let reached = |response: &Response<Body>| {
            let at: Option<&Instant> = response.extensions().get();
            at.unwrap().duration_since(began)
        };
        assert_eq!(
            [&a, &b, &c].map(reached),
            [Duration::ZERO, apart, 2 * apart],
            "{key}"
        );
        // There is no room for a fourth, and it did not wait to learn that.
        assert_eq!(d.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(c.headers().contains_key("ratelimit"));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_before_its_turn_gives_its_place_back() {
    let (limits, _) = limits();
    let service =
        RateLimitLayer::new(limits, "d", by_header).layer(service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::default()))
        }));
    let headers = [("job", "j")];
    let send = || send(&service, &headers);
    assert_eq!(send().await.status(), StatusCode::OK);
    // Its client is patient.
    let waited = tokio::time::timeout(2 * SECOND, send()).await;
    assert_eq!(waited.unwrap().status(), StatusCode::OK);
    // This one is not: for the limits no time has passed, and its turn is in two seconds.
    let left = tokio::time::timeout(SECOND, send()).await;
    assert!(left.is_err());
    // The place is given back by a task.
    tokio::task::yield_now().await;
    let began = Instant::now();
    assert_eq!(send().await.status(), StatusCode::OK);
    assert_eq!(began.elapsed(), 2 * SECOND, "the turn of the one that left");
    // The others went: what they took stays taken.
    assert_eq!(send().await.status(), StatusCode::TOO_MANY_REQUESTS);
}
