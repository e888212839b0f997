use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tollgate_server::edge::TlsFiles;

use crate::edge::{Edge, block_on, options};

#[test]
fn a_connection_goes_on_after_a_body_that_nobody_wanted() {
    let edge = Edge::start();
    edge.link("abc", |_| ());
    let mut client = edge.client();
    client.send("PUT /abc HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n");
    // The refusal is known by now, or will be before the body comes: it is the same either way.
    std::thread::sleep(std::time::Duration::from_millis(30));
    client.send("bodyGET /abc HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(client.receive().status, 405);
    assert_eq!(client.receive().status, 302);
}

#[test]
fn a_connection_is_kept_and_requests_may_be_sent_ahead() {
    let edge = Edge::start();
    for i in 0..20 {
        edge.link(&format!("c{i}"), |_| ());
    }
    let mut client = edge.client();
    for round in 0..2 {
        let requests: String = (0..20)
            .map(|i| format!("GET /c{i} HTTP/1.1\r\nhost: x\r\n\r\n"))
            .collect();
        client.send(requests);
        for i in 0..20 {
            let response = client.receive();
            assert_eq!(response.status, 302, "round {round}");
            assert_eq!(response.location(), format!("https://example.com/c{i}"));
        }
    }
}

#[test]
fn old_and_broken_clients_get_an_answer() {
    let edge = Edge::start();
    edge.link("abc", |_| ());
    let mut client = edge.client();
    assert_eq!(
        client.send("GET /abc HTTP/1.0\r\n\r\n").receive().status,
        302
    );
    assert!(client.is_closed());

    let mut client = edge.client();
    client.send("GET /abc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(client.receive().status, 302);
    assert!(client.is_closed());

    let without_host = edge.client().send("GET /abc HTTP/1.1\r\n\r\n").receive();
    assert_eq!(without_host.status, 400);
    let two_hosts = "GET /abc HTTP/1.1\r\nhost: a.example\r\nhost: b.example\r\n\r\n";
    assert_eq!(edge.client().send(two_hosts).receive().status, 400);
    assert_eq!(edge.client().send("not HTTP\r\n\r\n").receive().status, 400);
    // Begins as HTTP/2 does, in pieces, and is not.
    let mut client = edge.client();
    client.send("P");
    client.send("RI");
    assert_eq!(
        client
            .send("CE / HTTP/1.1\r\nhost: x\r\n\r\n")
            .receive()
            .status,
        405
    );
}

async fn ask_http2<S>(stream: S, path: &str) -> (StatusCode, Version, String)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("https://other.example{path}"))
        .body(Empty::new())
        .unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(sender.send_request(request.clone()));
    }
    let mut last = None;
    for answer in answers {
        last = Some(answer.await.unwrap());
    }
    let response = last.unwrap();
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    (response.status(), response.version(), location)
}

#[test]
fn http_2_without_tls_is_spoken_by_prior_knowledge() {
    let edge = Edge::start();
    let other = tollgate_links::Domain::parse("other.example").unwrap();
    edge.link_on(other, "abc", |_| ());
    let answer = block_on(async {
        ask_http2(TcpStream::connect(edge.address).await.unwrap(), "/abc").await
    });
    let location = "https://example.com/abc".to_owned();
    assert_eq!(answer, (StatusCode::FOUND, Version::HTTP_2, location));
}

#[test]
fn tls_offers_both_protocols() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["other.example".to_owned()]).unwrap();
    let files = TlsFiles {
        cert: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
    };
    fs::write(&files.cert, made.cert.pem()).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut options = options();
    options.tls = Some(files);
    let edge = Edge::with(options);
    let other = tollgate_links::Domain::parse("other.example").unwrap();
    edge.link_on(other, "abc", |_| ());

    let connect = async |protocols: &[&[u8]]| {
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
            .connect(
                "other.example".try_into().unwrap(),
                TcpStream::connect(edge.address).await.unwrap(),
            )
            .await
            .unwrap()
    };
    let location = "https://example.com/abc".to_owned();
    block_on(async {
        let stream = connect(&[b"h2", b"http/1.1"]).await;
        let answer = ask_http2(stream, "/abc").await;
        assert_eq!(answer, (StatusCode::FOUND, Version::HTTP_2, location));

        for protocols in [&[b"http/1.1".as_slice()][..], &[]] {
            let stream = TokioIo::new(connect(protocols).await);
            let (mut sender, connection) =
                http1::handshake::<_, Empty<Bytes>>(stream).await.unwrap();
            tokio::spawn(connection);
            let request = Request::get("/abc").header("host", "other.example");
            let response = sender
                .send_request(request.body(Empty::new()).unwrap())
                .await
                .unwrap();
            assert_eq!(response.status(), StatusCode::FOUND);
        }
    });
    // Plain text on the port of TLS is refused, and the next client is served all the same.
    let mut plain = edge.client();
    plain.send("GET /abc HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(plain.is_closed());
    block_on(connect(&[]));
}

#[test]
fn http_2_is_spoken_by_the_letter() {
    let edge = Edge::start();
    edge.link("a", |_| ());
    let wrong = crate::frames::wrong(edge.address);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
