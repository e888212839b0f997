//! The API's client, as far as the commands need it.

mod listing;
mod past_clicks;
mod problem;

use std::io::Read as _;
use std::time::Duration;

use percent_encoding::utf8_percent_encode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tollgate_links::{LinkDraft, LinkPatch, LinkView, UNRESERVED};
use ureq::http::{Method, Request, Response};
use ureq::{Agent, AsSendBody};
use url::Url;

pub(crate) use listing::Listing;
pub(crate) use past_clicks::{PastClick, PastClicks};
pub(crate) use problem::Problem;

use crate::BadUsage;
use crate::args::{PlaceArgs, ServerArgs};

/// The server that is meant when none is named.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:8081";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one request and its whole answer. A chunk of an import with passwords takes longest: hashing
/// each costs the server tens of milliseconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(300);
/// More than the longest page of links that the API can answer.
const MAX_ANSWER_BYTES: u64 = 512 << 20;

/// A server and who asks it.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    /// The header that says who asks.
    authorization: Option<(&'static str, String)>,
}

/// A row of a bulk request that is done.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// The link; none where it was only checked.
    pub(crate) link: Option<LinkView>,
}

/// Why a request got no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No answer at all.
    #[error("{server} does not answer: {error}")]
    NoAnswer { server: String, error: ureq::Error },
    /// The server refused, and says why.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// An answer that is none of the API's.
    #[error("{server} answered something else than the API would: {reason}")]
    Strange { server: String, reason: String },
}

/// Query parameters that are set.
pub(crate) type Query<'a> = &'a [(&'a str, Option<&'a str>)];

impl Client {
    /// From the command line's arguments.
    pub(crate) fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        let server = match args.server.as_str() {
            // Set, but to nothing.
            "" => DEFAULT_SERVER,
            server => server,
        };
        Self::to(server, args.key.as_deref())
    }

    /// For the server that is asked for; none if it is the store itself.
    pub(crate) fn of_place(args: &PlaceArgs) -> anyhow::Result<Option<Self>> {
        // Scripts and containers set variables that they have no value for.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (server, key) = (given(&args.server), given(&args.key));
        if server.is_none() && key.is_none() {
            return Ok(None);
        }
        let server = server.as_deref().unwrap_or(DEFAULT_SERVER);
        Self::to(server, key.as_deref()).map(Some)
    }

    /// For the server at this address.
    pub(crate) fn to(server: &str, key: Option<&str>) -> anyhow::Result<Self> {
        // Scripts and containers set variables that they have no value for.
        let key = key.filter(|key| !key.is_empty());
        let bearer = key.map(|key| format!("Bearer {key}"));
        Self::with_header(server, "authorization", bearer.as_deref())
    }

    /// For a server that takes its key in some header.
    pub(crate) fn with_header(
        server: &str,
        header: &'static str,
        value: Option<&str>,
    ) -> anyhow::Result<Self> {
        let url = Url::parse(server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
        let Some(url) = url else {
            let message =
                format!("{server:?} is no server: write it like --server http://127.0.0.1:8081");
            return Err(BadUsage(message).into());
        };
        let printable = |value: &str| {
            value
                .bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_graphic())
        };
        let authorization = match value {
            None => None,
            Some(value) if printable(value) => Some((header, value.to_owned())),
            Some(_) => {
                return Err(BadUsage("the key holds characters no key has".to_owned()).into());
            }
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(CALL_TIMEOUT))
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base: url.as_str().trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    /// Creates a link.
    pub(crate) fn create(&self, draft: &LinkDraft) -> Result<LinkView, ClientError> {
        self.call(Method::POST, "/api/v1/links", &[], &[], Some(draft))
    }

    /// One link.
    pub(crate) fn get(&self, code: &str, domain: Option<&str>) -> Result<LinkView, ClientError> {
        let query = [("domain", domain)];
        self.call(Method::GET, &link_path(code), &query, &[], NOTHING)
    }

    /// Edits a link.
    pub(crate) fn update(
        &self,
        code: &str,
        domain: Option<&str>,
        version: Option<u64>,
        patch: &LinkPatch,
    ) -> Result<LinkView, ClientError> {
        let query = [("domain", domain)];
        let if_match = version.map(|version| ("if-match", format!("\"{version}\"")));
        let headers: Vec<_> = if_match.into_iter().collect();
        self.call(
            Method::PATCH,
            &link_path(code),
            &query,
            &headers,
            Some(patch),
        )
    }

    /// Deletes a link.
    pub(crate) fn delete(&self, code: &str, domain: Option<&str>) -> Result<(), ClientError> {
        let query = [("domain", domain)];
        let body: Option<&()> = NOTHING;
        self.send(Method::DELETE, &link_path(code), &query, &[], body)?;
        Ok(())
    }

    /// Asks and reads the answer as JSON.
    pub(crate) fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        headers: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let bytes = self.send(method, path, query, headers, body)?;
        serde_json::from_slice(&bytes).map_err(|error| self.strange(error))
    }

    /// Creates the links in `lines`, which are NDJSON; without an idempotency key, they are only
    /// checked. Answers each of the `rows`, or why it was refused. If one is refused for no fault of its
    /// own, all count as refused: sent again under the same key, none is made twice.
    pub(crate) fn bulk(
        &self,
        lines: &[u8],
        idempotency_key: Option<&str>,
        rows: usize,
    ) -> Result<Vec<Result<Made, Problem>>, ClientError> {
        #[derive(Deserialize)]
        struct Line {
            link: Option<LinkView>,
            problem: Option<Problem>,
        }
        let mut headers = vec![("content-type", "application/x-ndjson".to_owned())];
        let mut query = [("dry_run", Some("true"))];
        if let Some(key) = idempotency_key {
            headers.push(("idempotency-key", key.to_owned()));
            query = [("dry_run", None)];
        }
        let request = self.request(&Method::POST, "/api/v1/links/bulk", &query, &headers);
        let answer = self.answer(request, lines)?;
        let mut answers = Vec::with_capacity(rows);
        for line in serde_json::Deserializer::from_slice(&answer).into_iter() {
            let Line { link, problem } = line.map_err(|error| self.strange(error))?;
            let answer = problem.map_or(Ok(Made { link }), Err);
            match answer.map_err(ClientError::Refused) {
                Err(error) if error.is_of_server() => return Err(error),
                Err(ClientError::Refused(problem)) => answers.push(Err(problem)),
                Err(error) => return Err(error),
                Ok(made) => answers.push(Ok(made)),
            }
        }
        if answers.len() != rows {
            let reason = format!("{} answers for {rows} rows", answers.len());
            return Err(self.strange(reason));
        }
        Ok(answers)
    }

    /// Asks and answers the bytes that come back.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        headers: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<Vec<u8>, ClientError> {
        let mut headers = headers.to_vec();
        match body {
            Some(body) => {
                headers.push(("content-type", "application/json".to_owned()));
                let bytes = serde_json::to_vec(body).map_err(|error| self.strange(error))?;
                let request = self.request(&method, path, query, &headers);
                self.answer(request, &bytes[..])
            }
            None => self.answer(self.request(&method, path, query, &headers), ()),
        }
    }

    /// Sends a text of some media type.
    pub(crate) fn send_text(
        &self,
        method: Method,
        path: &str,
        media: &str,
        text: &str,
    ) -> Result<Vec<u8>, ClientError> {
        let headers = [("content-type", media.to_owned())];
        self.answer(self.request(&method, path, &[], &headers), text.as_bytes())
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        query: Query<'_>,
        headers: &[(&str, String)],
    ) -> ureq::http::request::Builder {
        let mut uri = format!("{}{path}", self.base);
        let set = query
            .iter()
            .filter_map(|(name, value)| Some((name, (*value)?)));
        for (at, (name, value)) in set.enumerate() {
            uri.push(if at == 0 { '?' } else { '&' });
            uri.push_str(name);
            uri.push('=');
            uri.extend(utf8_percent_encode(value, UNRESERVED));
        }
        let mut request = Request::builder().method(method).uri(uri);
        request = request.header("accept", "application/json, application/x-ndjson");
        if let Some(authorization) = &self.authorization {
            let (name, value) = authorization;
            request = request.header(*name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request
    }

    fn answer(
        &self,
        request: ureq::http::request::Builder,
        body: impl AsSendBody,
    ) -> Result<Vec<u8>, ClientError> {
        let no_answer = |error| ClientError::NoAnswer {
            server: self.base.clone(),
            error,
        };
        let request = request.body(body).map_err(|error| self.strange(error))?;
        let response = self.agent.run(request).map_err(no_answer)?;
        let (head, body) = response.into_parts();
        let mut bytes = Vec::new();
        body.into_with_config()
            .limit(MAX_ANSWER_BYTES)
            .reader()
            .read_to_end(&mut bytes)
            .map_err(|error| no_answer(ureq::Error::Io(error)))?;
        if head.status.is_success() {
            return Ok(bytes);
        }
        Err(Problem::read(&Response::from_parts(head, ()), &bytes)
            .map_or_else(|reason| self.strange(reason), ClientError::Refused))
    }

    fn strange(&self, reason: impl std::fmt::Display) -> ClientError {
        ClientError::Strange {
            server: self.base.clone(),
            reason: reason.to_string(),
        }
    }
}

impl ClientError {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::NoAnswer { error, .. } => !matches!(
                error,
                ureq::Error::BadUri(_) | ureq::Error::HostNotFound | ureq::Error::Tls(_)
            ),
            Self::Refused(problem) => matches!(problem.status, 429 | 502..=504),
            Self::Strange { .. } => false,
        }
    }

    /// Whether the state of the server is to blame, and not what was sent.
    pub(crate) fn is_of_server(&self) -> bool {
        match self {
            Self::NoAnswer { .. } | Self::Strange { .. } => true,
            Self::Refused(problem) => problem.status >= 500 || self.is_temporary(),
        }
    }
}

/// No body.
pub(crate) const NOTHING: Option<&()> = None;

fn link_path(code: &str) -> String {
    format!("/api/v1/links/{}", segment(code))
}

/// A path segment, escaped.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}
