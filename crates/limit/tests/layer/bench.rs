use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::policy::{Descriptor, PolicySet};
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{MemoryOptions, MemoryStore};
use tower::{Service, ServiceExt as _};

pub type Body = Full<Bytes>;

pub const POLICIES: &str = "
domain: d
descriptors:
  - key: user
    rate_limit: {name: per_user, unit: minute, requests_per_unit: 2, algorithm: gcra}
  - key: ip
    rate_limit: {name: per_ip, unit: hour, requests_per_unit: 3, algorithm: gcra}
  - key: job
    rate_limit: {name: spread, unit: second, requests_per_unit: 1, burst: 3, on_exceed: delay}
  - key: mail
    rate_limit: {name: queued, unit: second, requests_per_unit: 2, burst: 3, on_exceed: queue}
  - key: watched
    rate_limit: {name: watched, unit: minute, requests_per_unit: 1}
    shadow_mode: true
";

/// Limits, whose clock stands still.
pub fn limits() -> (Arc<LimitService>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_800_000_000_000)));
    let options = MemoryOptions::with_seed(7);
    let store = Arc::new(MemoryStore::new(options, clock.clone()));
    let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
    let service = LimitService::new(policies, store.clone(), store);
    (Arc::new(service), clock)
}

/// Every header of a request is a descriptor.
pub fn by_header(request: &Parts) -> Vec<Descriptor> {
    let headers = request.headers.iter();
    headers
        .map(|(name, value)| Descriptor::of([(name.as_str(), value.to_str().unwrap())]))
        .collect()
}

/// A service that counts what reaches it.
#[derive(Clone, Default)]
pub struct Reached(Arc<AtomicUsize>);

impl Reached {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub fn answer(&self) -> Response<Body> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Response::new(Body::from("reached"))
    }
}

pub fn request(headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().uri("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::default()).unwrap()
}

pub async fn send<S>(service: &S, headers: &[(&str, &str)]) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    service.clone().oneshot(request(headers)).await.unwrap()
}

pub async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

pub const SECOND: Duration = Duration::from_secs(1);
