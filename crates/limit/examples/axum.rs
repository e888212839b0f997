//! An axum server behind limits: each address has 5 requests at once and 1 more a second; work is
//! spread to 2 requests a second, and those that come faster wait.
//!
//! ```sh
//! cargo run -p tollgate-limit --example axum --features tower
//! for i in 1 2 3 4 5 6; do curl -i http://127.0.0.1:3000/; done
//! sleep 5
//! for i in 1 2 3; do curl -w '%{time_total}\n' http://127.0.0.1:3000/work; done
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::request::Parts;
use tokio::net::TcpListener;
use tollgate_clock::{Clock, CounterClock};
use tollgate_limit::layer::RateLimitLayer;
use tollgate_limit::policy::{Descriptor, PolicyError, PolicySet};
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{MemoryOptions, MemoryStore};

const POLICIES: &str = "
domain: example
descriptors:
  - key: remote_address
    rate_limit: {name: per_address, unit: second, requests_per_unit: 1, algorithm: gcra, burst: 5}
  - key: path
    value: /work
    rate_limit: {name: work, unit: second, requests_per_unit: 2, burst: 10, on_exceed: queue}
";

fn limits(clock: Arc<dyn Clock>, seed: u64) -> Result<Arc<LimitService>, PolicyError> {
    let policies = PolicySet::parse("the example", POLICIES)?;
    let store = Arc::new(MemoryStore::new(MemoryOptions::with_seed(seed), clock));
    Ok(Arc::new(LimitService::new(policies, store.clone(), store)))
}

fn describe(request: &Parts) -> Vec<Descriptor> {
    let mut descriptors = vec![Descriptor::of([("path", request.uri.path())])];
    if let Some(ConnectInfo(client)) = request.extensions.get::<ConnectInfo<SocketAddr>>() {
        let address = client.ip().to_string();
        descriptors.push(Descriptor::of([("remote_address", &*address)]));
    }
    descriptors
}

async fn serve(listener: TcpListener, limits: Arc<LimitService>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(|| async { "Hello.\n" }))
        .route("/work", get(|| async { "Done.\n" }))
        .layer(RateLimitLayer::new(limits, "example", describe));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let limits = limits(Arc::new(CounterClock::new()), getrandom::u64()?)?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}", listener.local_addr()?);
    Ok(serve(listener, limits).await?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tollgate_clock::{ManualClock, UnixMillis};

    use super::*;

    /// The whole answer, as bytes of HTTP/1.1.
    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_server_is_limited() {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_800_000_000_000)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = limits(clock.clone(), 7).unwrap();
        tokio::spawn(serve(listener, limits));
        for left in (0..5).rev() {
            let answer = get(address, "/").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            let header = format!("\r\nratelimit: \"per_address\";r={left};t=");
            assert!(answer.contains(&header), "{answer}");
            assert!(answer.ends_with("\r\n\r\nHello.\n"), "{answer}");
        }
        let refused = get(address, "/").await;
        for part in [
            "HTTP/1.1 429 Too Many Requests\r\n",
            "\r\nretry-after: 1\r\n",
            "\r\nratelimit-policy: \"per_address\";q=1;w=1\r\n",
            "\r\ncontent-type: application/problem+json\r\n",
            "\"violated-policies\":[\"per_address\"]",
        ] {
            assert!(refused.contains(part), "{part} {refused}");
        }
        clock.advance(Duration::from_secs(1));
        let answer = get(address, "/").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}
