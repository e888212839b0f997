//! A client that sends exactly the bytes it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::edge::PATIENCE;

pub struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// Asks from another address of this machine.
    pub fn connect_from(from: SocketAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends as much as the other end takes.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.get_with(path, "")
    }

    /// `headers` are whole lines.
    #[track_caller]
    pub fn get_with(&mut self, path: &str, headers: &str) -> Response {
        self.send(format!(
            "GET {path} HTTP/1.1\r\nhost: go.example.com\r\n{headers}\r\n"
        ))
        .receive()
    }

    pub fn request(&mut self, method: &str, path: &str) -> Response {
        self.send(format!(
            "{method} {path} HTTP/1.1\r\nhost: go.example.com\r\ncontent-length: 0\r\n\r\n"
        ));
        if method == "HEAD" {
            self.receive_head()
        } else {
            self.receive()
        }
    }

    pub fn post_form(&mut self, path: &str, form: &str) -> Response {
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: go.example.com\r\n\
             content-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{form}",
            form.len()
        ))
        .receive()
    }

    #[track_caller]
    pub fn receive(&mut self) -> Response {
        let mut response = self.receive_head();
        let length = response
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        response.body = String::from_utf8(body).unwrap();
        response
    }

    #[track_caller]
    pub fn receive_head(&mut self) -> Response {
        let line = self.line();
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        Response {
            status: status.unwrap_or_else(|| panic!("no status in {line:?}")),
            headers,
            body: String::new(),
        }
    }

    /// Whether the server closed the connection; waits for it. What it still sends is dropped.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// Everything until the server closes the connection, or resets it.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        rest
    }

    /// Whether anything comes before the end of the connection.
    pub fn answers(&mut self) -> bool {
        self.stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "the connection ended: {line:?}");
        line.truncate(line.len() - 2);
        line
    }
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn location(&self) -> &str {
        self.header("location")
            .unwrap_or_else(|| panic!("no location in {self:?}"))
    }
}
