//! What happens when the upstream does not do its part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tollgate_server::proxy::{ProxyOptions, UpstreamAddress};

use crate::client::head;
use crate::server::{Server, options};
use crate::upstream::Upstream;

#[tokio::test]
async fn while_it_is_down_there_is_a_problem_and_then_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = Server::start(&format!("http://{address}")).await;
    let mut client = server.client().await;
    let answer = client.get("/limited").await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.json()["type"],
        "urn:tollgate:problem:upstream-unreachable"
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(answer.header("ratelimit").is_some());
    assert!(!answer.text().contains(&address.port().to_string()));
    server.counts("tollgate_proxy_upstream_reachable 0").await;
    let _upstream = Upstream::on(TcpListener::bind(address).await.unwrap(), |_| {
        http::Response::new(crate::upstream::full("back"))
    });
    assert_eq!(client.get("/").await.text(), "back");
    server.counts("tollgate_proxy_upstream_reachable 1").await;
    assert_eq!(server.outcome("upstream_unreachable"), 1);
}

/// Reads requests, and answers those on the first connection as often as told; what follows on it,
/// and on the next ones if told so, ends it.
async fn moody(answers: usize, later: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    tokio::spawn(async move {
        let mut left = answers;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await.unwrap() > 0 {
                    counted.fetch_add(1, Ordering::SeqCst);
                    if left == 0 {
                        return;
                    }
                    left -= 1;
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    stream.write_all(answer).await.unwrap();
                }
            });
            left = if later { usize::MAX } else { 0 };
        }
    });
    (address, requests)
}

#[tokio::test]
async fn a_kept_connection_that_has_ended_is_tried_again() {
    let (upstream, requests) = moody(1, true).await;
    let server = Server::start(&format!("http://{upstream}")).await;
    assert_eq!(server.get("/").await.status, 200);
    assert_eq!(server.get("/").await.status, 200);
    // One of them was sent twice.
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_may_not_happen_twice_is_sent_once() {
    for request in [
        head("POST", "/", "content-length: 0\r\n"),
        head("PUT", "/", "content-length: 1\r\n") + "x",
    ] {
        let (upstream, requests) = moody(1, true).await;
        let server = Server::start(&format!("http://{upstream}")).await;
        assert_eq!(server.get("/").await.status, 200);
        let answer = server.client().await.send(&request).await.receive().await;
        assert_eq!(answer.status, 502, "{request}");
        assert_eq!(requests.load(Ordering::SeqCst), 2, "{request}");
    }
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_asked_once() {
    let (upstream, requests) = moody(0, false).await;
    let server = Server::start(&format!("http://{upstream}")).await;
    let answer = server.get("/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.json()["type"],
        "urn:tollgate:problem:upstream-failed"
    );
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert_eq!(server.outcome("upstream_failed"), 1);
}

#[tokio::test]
async fn an_answer_has_to_begin_in_time() {
    // The system accepts for it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::with(ProxyOptions {
        response_timeout: Duration::from_millis(50),
        ..options(&upstream)
    })
    .await;
    let answer = server.get("/").await;
    assert_eq!(answer.status, 504);
    assert_eq!(
        answer.json()["type"],
        "urn:tollgate:problem:upstream-timeout"
    );
    assert_eq!(server.outcome("upstream_timeout"), 1);
}

#[tokio::test]
async fn a_slow_client_does_not_use_up_the_time_of_the_upstream() {
    let upstream = Upstream::start().await;
    let server = Server::with(ProxyOptions {
        response_timeout: Duration::from_millis(200),
        ..options(&upstream.url())
    })
    .await;
    let mut client = server.client().await;
    client
        .send(head("POST", "/", "content-length: 2\r\n"))
        .await
        .send("a")
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(client.send("b").await.receive().await.status, 200);
}

#[tokio::test]
async fn a_handshake_has_to_end_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let files = Authority::new();
    let server = Server::with(ProxyOptions {
        connect_timeout: Duration::from_millis(50),
        upstream_ca: Some(files.file()),
        ..options(&format!("https://{}", listener.local_addr().unwrap()))
    })
    .await;
    let answer = server.get("/").await;
    assert_eq!(answer.status, 504);
    server.counts("tollgate_proxy_upstream_reachable 0").await;
}

/// An authority of certificates, with its own in a file.
struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), own.pem()).unwrap();
        Self {
            directory,
            issuer: Issuer::new(params, key),
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A server on `localhost` that answers one request a connection.
    async fn server(&self) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                key.serialize_der().try_into().unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut bytes = [0; 4096];
                let read = stream.read(&mut bytes).await.unwrap();
                assert!(bytes[..read].starts_with(b"GET / HTTP/1.1\r\n"));
                let answer =
                    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nsecret";
                stream.write_all(answer).await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        address
    }
}

#[tokio::test]
async fn tls_is_spoken_to_those_an_authority_vouches_for() {
    let ours = Authority::new();
    let port = ours.server().await.port();
    let with = |ca| ProxyOptions {
        upstream_ca: Some(ca),
        ..options(&format!("https://localhost:{port}"))
    };
    let server = Server::with(with(ours.file())).await;
    assert_eq!(server.get("/").await.text(), "secret");
    let others = Authority::new();
    let server = Server::with(with(others.file())).await;
    let answer = server.get("/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.json()["type"],
        "urn:tollgate:problem:upstream-unreachable"
    );
}

#[test]
fn addresses_of_upstreams() {
    for good in [
        "http://127.0.0.1:3000",
        "https://a.example",
        "http://[::1]:80/",
    ] {
        let address: UpstreamAddress = good.parse().unwrap();
        assert_eq!(address.to_string(), good.trim_end_matches('/'));
    }
    for bad in [
        "",
        "127.0.0.1:3000",
        "ftp://a",
        "http://",
        "http://a/b",
        "http://a?b",
        "http://u@a",
    ] {
        assert!(bad.parse::<UpstreamAddress>().is_err(), "{bad}");
    }
}
