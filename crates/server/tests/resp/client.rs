//! A client that sends exactly the bytes it is told to, and reads with a library of others.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use redis_protocol::resp2;
use redis_protocol::resp3::decode::complete as resp3_decode;
use redis_protocol::resp3::types::OwnedFrame as Frame3;

use crate::server::PATIENCE;

pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer, short enough to compare: `+OK`, `-ERR …`, `:1`, `$text`, `nil`, `[:1 :2]`; in
/// version 3 also `{$key=:1}`, `~[…]` and `=text`.
pub type Answer = String;

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends as much as the other end takes.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends the words between spaces, and reads the answer.
    #[track_caller]
    pub fn call(&mut self, line: &str) -> Answer {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.call_words(&words)
    }

    #[track_caller]
    pub fn call_words(&mut self, words: &[&[u8]]) -> Answer {
        self.send(command(words)).receive()
    }

    #[track_caller]
    pub fn receive(&mut self) -> Answer {
        self.receive_as(|bytes| {
            let decoded = resp2::decode::decode(bytes).unwrap();
            decoded.map(|(frame, length)| (show(&frame), length))
        })
    }

    /// The same in version 3.
    #[track_caller]
    pub fn receive3(&mut self) -> Answer {
        self.receive_as(|bytes| {
            let decoded = resp3_decode::decode(bytes).unwrap();
            decoded.map(|(frame, length)| (show3(&frame), length))
        })
    }

    #[track_caller]
    pub fn call3(&mut self, line: &str) -> Answer {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.send(command(&words)).receive3()
    }

    #[track_caller]
    fn receive_as(&mut self, decode: impl Fn(&[u8]) -> Option<(Answer, usize)>) -> Answer {
        loop {
            if !self.read.is_empty()
                && let Some((answer, length)) = decode(&self.read)
            {
                self.read.drain(..length);
                return answer;
            }
            let mut chunk = [0; 4096];
            let n = self.stream.read(&mut chunk).unwrap();
            assert!(n > 0, "closed after {}", self.read.escape_ascii());
            self.read.extend_from_slice(&chunk[..n]);
        }
    }

    /// What has come together with the last answer.
    pub fn read_ahead(&self) -> &[u8] {
        &self.read
    }

    /// What is read to the end of the connection, which has to come.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.read);
        match self.stream.read_to_end(&mut rest) {
            // A reset ends it as well.
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                panic!("{error} after {}", rest.escape_ascii())
            }
            _ => rest,
        }
    }

    /// Whether the server closed the connection without a word; waits for it.
    #[track_caller]
    pub fn is_closed(&mut self) -> bool {
        self.rest().is_empty()
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        self
    }
}

/// An array of bulk strings.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend(*word);
        out.extend(b"\r\n");
    }
    out
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn show(frame: &resp2::types::OwnedFrame) -> Answer {
    use resp2::types::OwnedFrame as Frame;
    match frame {
        Frame::SimpleString(bytes) => format!("+{}", text(bytes)),
        Frame::Error(message) => format!("-{message}"),
        Frame::Integer(n) => format!(":{n}"),
        Frame::BulkString(bytes) => format!("${}", text(bytes)),
        Frame::Array(items) => format!("[{}]", joined(items.iter().map(show))),
        Frame::Null => "nil".to_owned(),
    }
}

fn show3(frame: &Frame3) -> Answer {
    match frame {
        Frame3::BlobString { data, .. } => format!("${}", text(data)),
        Frame3::SimpleString { data, .. } => format!("+{}", text(data)),
        Frame3::SimpleError { data, .. } => format!("-{data}"),
        Frame3::Number { data, .. } => format!(":{data}"),
        Frame3::VerbatimString { data, .. } => format!("={}", text(data)),
        Frame3::Null => "nil".to_owned(),
        Frame3::Array { data, .. } => format!("[{}]", joined(data.iter().map(show3))),
        Frame3::Set { data, .. } => {
            let mut items: Vec<_> = data.iter().map(show3).collect();
            items.sort();
            format!("~[{}]", joined(items.into_iter()))
        }
        Frame3::Map { data, .. } => {
            let pairs = data.iter();
            let mut pairs: Vec<_> = pairs
                .map(|(key, value)| format!("{}={}", show3(key), show3(value)))
                .collect();
            pairs.sort();
            format!("{{{}}}", joined(pairs.into_iter()))
        }
        other => panic!("{other:?}"),
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" ")
}
