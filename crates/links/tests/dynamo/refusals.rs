//! What an engine that refuses is understood to say. It needs no server: the answers are made here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tollgate_clock::SystemClock;
use tollgate_links::store::{
    DynamoAddress, DynamoCredentials, DynamoLinkStore, DynamoOptions, StoreError,
};

/// Reads requests and answers each with the same.
fn answer(stream: &TcpStream, status: u16, body: &str, asked: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        asked.fetch_add(1, Ordering::Relaxed);
        let length = body.len();
        write!(
            &mut &*stream,
            "HTTP/1.1 {status} Refused\r\ncontent-type: application/x-amz-json-1.0\r\n\
             content-length: {length}\r\n\r\n{body}"
        )?;
    }
}

/// Opens a store where every request is answered so; what that says, and how often it was asked.
async fn open(status: u16, error: &str) -> (StoreError, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{error}","message":"no"}}"#);
    // It ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (body, asked) = (body.clone(), Arc::clone(&counted));
            std::thread::spawn(move || answer(&stream, status, &body, &asked));
        }
    });
    let url = format!("dynamodb://local/links?endpoint=http://127.0.0.1:{port}");
    let options = DynamoOptions {
        deadline: Duration::from_secs(60),
        credentials: DynamoCredentials::Static {
            id: "id".into(),
            secret: "secret".into(),
        },
        ..DynamoOptions::default()
    };
    let address = DynamoAddress::parse(&url).unwrap();
    let clock = Arc::new(SystemClock::new());
    let opened = DynamoLinkStore::open(&address, clock, &options).await;
    let error = opened.err().expect("it is refused");
    (error, asked.load(Ordering::Relaxed))
}

#[tokio::test]
async fn too_much_is_tried_again_and_then_told() {
    for error in [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
    ] {
        let (told, asked) = open(400, error).await;
        assert!(matches!(told, StoreError::Overloaded), "{told:?}");
        assert_eq!(asked, 5);
    }
}

#[tokio::test]
async fn failures_of_the_engine_are_tried_again_and_then_told() {
    let (told, asked) = open(500, "InternalServerError").await;
    assert!(matches!(told, StoreError::Unavailable(_)), "{told:?}");
    assert_eq!(asked, 5);
}

#[tokio::test]
async fn what_an_operator_has_to_put_right_is_told_at_once() {
    let (told, asked) = open(400, "AccessDeniedException").await;
    let StoreError::Unavailable(text) = told else {
        panic!("{told:?}");
    };
    assert!(text.contains("AccessDeniedException"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(asked, 1);
}
