//! A plain HTTP client: no redirects are followed, no status is an error.

use std::io::Read as _;
use std::time::Duration;

use ureq::http::Request;
use ureq::http::request::Builder;
use ureq::{Agent, AsSendBody};

/// More than any answer these tests look at in one piece.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// One client; its connections are kept.
#[derive(Debug, Clone)]
pub(crate) struct Http(Agent);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(600)))
            .build();
        Self(config.new_agent())
    }

    pub(crate) fn get(&self, url: &str) -> Reply {
        self.send(Request::get(url), ())
    }

    pub(crate) fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> Reply {
        let request = headers
            .iter()
            .fold(Request::get(url), |request, (name, value)| {
                request.header(*name, *value)
            });
        self.send(request, ())
    }

    /// Panics when there is no answer at all.
    pub(crate) fn send(&self, request: Builder, body: impl AsSendBody) -> Reply {
        self.try_send(request, body).expect("an answer")
    }

    pub(crate) fn try_send(
        &self,
        request: Builder,
        body: impl AsSendBody,
    ) -> Result<Reply, ureq::Error> {
        let request = request.body(body).expect("a request");
        let (head, body) = self.0.run(request)?.into_parts();
        let mut bytes = Vec::new();
        body.into_with_config()
            .limit(MAX_ANSWER_BYTES)
            .reader()
            .read_to_end(&mut bytes)?;
        Ok(Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: bytes,
        })
    }
}

impl Reply {
    /// A header's value, or an empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("an ASCII header"))
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.text()))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Checks that this is a problem document of the status and kind, and answers it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:tollgate:problem:{kind}"));
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        problem
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
