//! Another server, which answers what a test says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// Answers until the test ends.
pub(super) struct Stub {
    url: String,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// Answers a path, without its query, in JSON.
    pub(super) fn start(answer: impl Fn(&str) -> Value + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&keys);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &answer, &seen);
            }
        });
        Self { url, keys }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The keys of all requests.
    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: impl Fn(&str) -> Value, keys: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let path = path.split('?').next().unwrap();
    for line in lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
    {
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("x-api-key")
        {
            keys.lock().unwrap().push(value.to_owned());
        }
    }
    let body = answer(path).to_string();
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    // The client may have left.
    let _ = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
}
