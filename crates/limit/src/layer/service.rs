use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use tower_service::Service;

use super::{RateLimitLayer, Refuse};
use crate::headers::told;
use crate::policy::Descriptor;
use crate::service::{CheckAnswer, CheckRequest};

/// A service behind limits, made by [`RateLimitLayer`].
///
/// It is ready when the inner service is. A request that is held, or for whose decision a store has to
/// be asked, keeps the readiness that the inner service has given it, such as its place in a
/// concurrency limit; one that is refused gives it back unused. To keep requests that wait from taking
/// such places, put the concurrency limit in front.
#[derive(Debug, Clone)]
pub struct RateLimit<S, D, R> {
    pub(super) inner: S,
    pub(super) by: RateLimitLayer<D, R>,
}

impl<S, D, R, I, B, C> Service<Request<B>> for RateLimit<S, D, R>
where
    S: Service<Request<B>, Response = Response<C>> + Clone + Send + 'static,
    S::Future: Send,
    D: Fn(&Parts) -> I,
    I: IntoIterator<Item = Descriptor>,
    R: Refuse<C> + Clone + Send + 'static,
    B: Send + 'static,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone may not be ready: the request takes the one that said it is.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let (head, body) = request.into_parts();
        let descriptors: Vec<Descriptor> = (self.by.describe)(&head).into_iter().collect();
        let request = Request::from_parts(head, body);
        if descriptors.is_empty() {
            return Box::pin(inner.call(request));
        }
        let check = CheckRequest {
            domain: self.by.domain.to_string(),
            descriptors,
            hits: 1,
        };
        let limits = self.by.limits.clone();
        let refuse = self.by.refuse.clone();
        Box::pin(async move {
            // A domain without a name has no policies.
            let Ok(mut answer) = limits.check(&check).await else {
                return inner.call(request).await;
            };
            let mut response = if answer.allowed {
                if let Some(place) = limits.hold(&mut answer) {
                    place.wait().await;
                }
                inner.call(request).await?
            } else {
                refuse.refuse(&answer)
            };
            add_told(response.headers_mut(), &answer);
            Ok(response)
        })
    }
}

/// `RateLimit` and `RateLimit-Policy` are lists, to which an inner layer may have written as well.
fn add_told(headers: &mut HeaderMap, answer: &CheckAnswer) {
    for (name, value) in &told(answer) {
        if name != RETRY_AFTER || !headers.contains_key(name) {
            headers.append(name, value.clone());
        }
    }
}
