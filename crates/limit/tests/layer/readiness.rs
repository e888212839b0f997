use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tollgate_limit::layer::RateLimitLayer;
use tower::limit::ConcurrencyLimit;
use tower::{Layer as _, Service, ServiceExt as _};

use crate::bench::{Body, by_header, limits, request};

/// Panics if it is called before it was ready, as services may; a clone of it is not ready.
#[derive(Default)]
struct Strict {
    ready: bool,
    /// Whether it is ready when it is asked.
    open: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            open: self.open,
        }
    }
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self.open {
            true => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            false => Poll::Pending,
        }
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "it was not ready");
        ready(Ok(Response::new(Body::default())))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let (limits, _) = limits();
    let open = Strict {
        open: true,
        ..Strict::default()
    };
    let mut service = RateLimitLayer::new(limits, "d", by_header).layer(open);
    for headers in [&[][..], &[("user", "u1")], &[("user", "u1")]] {
        let ready = service.ready().await.unwrap();
        let response = ready.call(request(headers)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn it_is_as_ready_as_the_service_behind_it() {
    let (limits, _) = limits();
    let mut service = RateLimitLayer::new(limits, "d", by_header).layer(Strict::default());
    let polled = poll_fn(|context| {
        let polled = Service::<Request<Body>>::poll_ready(&mut service, context);
        Poll::Ready(polled.is_pending())
    });
    assert!(polled.await);
}

/// One place: whoever is refused gives it back at once, whoever waits keeps it.
#[tokio::test(start_paused = true)]
async fn a_refused_request_gives_back_its_place() {
    let (limits, _) = limits();
    let open = Strict {
        open: true,
        ..Strict::default()
    };
    let inner = ConcurrencyLimit::new(open, 1);
    let mut service = RateLimitLayer::new(limits, "d", by_header).layer(inner);
    for status in [200, 200, 429, 429] {
        let ready = service.ready().await.unwrap();
        let response = ready.call(request(&[("user", "u1")])).await.unwrap();
        assert_eq!(response.status(), status);
    }
    let first = service
        .ready()
        .await
        .unwrap()
        .call(request(&[("job", "j")]));
    first.await.unwrap();
    let mut other = service.clone();
    let held = service
        .ready()
        .await
        .unwrap()
        .call(request(&[("job", "j")]));
    let polled = poll_fn(|context| {
        let polled = Service::<Request<Body>>::poll_ready(&mut other, context);
        Poll::Ready(polled.is_pending())
    });
    assert!(polled.await, "the place is taken");
    // Its client goes away.
    drop(held);
    other.ready().await.unwrap();
}
