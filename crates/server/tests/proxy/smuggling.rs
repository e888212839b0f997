//! What reaches the server behind the proxy of requests that are meant to be misunderstood.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::hostile::{cases, statuses};
use crate::server::Server;

/// A server that reads by the letter of RFC 9112, and writes down what it gets.
struct Strict {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Strict {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let writes = heads.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, writes.clone()));
            }
        });
        Self { address, heads }
    }

    /// The heads since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock())
    }
}

async fn serve(mut stream: TcpStream, heads: Arc<Mutex<Vec<String>>>) {
    let mut unread = Vec::new();
    while let Some(head) = until(&mut stream, &mut unread, b"\r\n\r\n").await {
        let head = String::from_utf8(head).unwrap();
        let header = |name: &str| {
            let mut lines = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(": "));
            lines
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.to_owned())
        };
        let (length, coding) = (header("content-length"), header("transfer-encoding"));
        if coding.as_deref() == Some("chunked") {
            loop {
                let Some(size) = until(&mut stream, &mut unread, b"\r\n").await else {
                    return;
                };
                let size =
                    usize::from_str_radix(str::from_utf8(&size).unwrap().trim(), 16).unwrap();
                if size == 0 {
                    // Trailers, and the end.
                    while let Some(line) = until(&mut stream, &mut unread, b"\r\n").await {
                        if line == b"\r\n" {
                            break;
                        }
                    }
                    break;
                }
                if !exactly(&mut stream, &mut unread, size + 2).await {
                    return;
                }
            }
        } else if let Some(length) = length
            && !exactly(&mut stream, &mut unread, length.parse().unwrap()).await
        {
            return;
        }
        // Only now it is a request: a body that is cut off makes none.
        heads.lock().push(head);
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Everything up to and with `end`; none if the connection ends before.
async fn until(stream: &mut TcpStream, unread: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = unread.windows(end.len()).position(|bytes| bytes == end) {
            return Some(unread.drain(..at + end.len()).collect());
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}

async fn exactly(stream: &mut TcpStream, unread: &mut Vec<u8>, length: usize) -> bool {
    while unread.len() < length {
        if stream.read_buf(unread).await.is_ok_and(|read| read > 0) {
            continue;
        }
        return false;
    }
    unread.drain(..length);
    true
}

#[tokio::test]
async fn no_request_hides_another() {
    let upstream = Strict::start().await;
    let server = Server::start(&format!("http://{}", upstream.address)).await;
    let mut wrong = Vec::new();
    for case in cases() {
        let mut client = server.client().await;
        client.send(&case.sent).await;
        let answered = statuses(&client.rest().await);
        let heads = upstream.take();
        let arrived: Vec<_> = heads
            .iter()
            .map(|head| head.lines().next().unwrap().trim_end_matches(" HTTP/1.1"))
            .collect();
        if answered != case.proxy || arrived != case.arrives {
            wrong.push(format!("{}: {answered:?}, {arrived:?}", case.name));
        }
        for head in &heads {
            // One length, one host, and nothing that could be read as two lines.
            let count = |name: &str| head.lines().filter(|line| line.starts_with(name)).count();
            let lengths = count("content-length: ") + count("transfer-encoding: ");
            assert!(
                lengths <= 1 && count("host: ") == 1,
                "{}: {head}",
                case.name
            );
            let lines = head.split("\r\n");
            assert!(
                lines.clone().all(|line| !line.contains(['\r', '\n', '\0'])),
                "{head:?}"
            );
            assert!(
                lines.skip(1).all(|line| !line.starts_with([' ', '\t'])),
                "{head:?}"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
