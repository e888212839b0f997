//! Access logs: lines into requests.
//!
//! The format is found line by line, so that a log may change it half-way:
//!
//! - **text**: the common and the combined log format of Apache and nginx, also with a virtual host in front, and
//!   with more fields behind;
//! - **JSON**: one object a line. Which of its keys mean what is told by [`Fields`]; the defaults know those that
//!   nginx, Apache, Traefik and Envoy are commonly set up with, and Caddy's.

mod fields;
mod json;
mod source;
mod text;
mod time;

use std::borrow::Cow;

use tollgate_limit::attribute::{Attribute, digest};

pub use fields::{FieldError, Fields};
pub use source::{Line, Log, MAX_LINE_BYTES};
pub use time::LogTime;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The common log format.
    Common,
    /// The same with referrer and user agent.
    Combined,
    /// An object of JSON.
    Json,
    /// An object of JSON as Caddy writes it.
    Caddy,
}

impl Format {
    /// As reports call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::Combined => "combined",
            Self::Json => "json",
            Self::Caddy => "caddy",
        }
    }
}

/// A request, as a line tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// When it was written.
    pub time: LogTime,
    /// How.
    pub format: Format,
    /// The client's address, as it is counted by: an IPv6 address in its shortest form. Text of another kind, such
    /// as a host name, stays as it is.
    pub client: Cow<'a, str>,
    /// The method.
    pub method: Option<Cow<'a, str>>,
    /// The path, without the query.
    pub path: Option<Cow<'a, str>>,
    /// The host, as it is written.
    pub host: Option<Cow<'a, str>>,
    /// The user agent.
    pub user_agent: Option<Cow<'a, str>>,
    /// The referrer.
    pub referrer: Option<Cow<'a, str>>,
    /// The API key itself.
    pub api_key: Option<Cow<'a, str>>,
    /// Other headers, as far as [`Fields::with_header`] asks for them: number and value.
    pub headers: Vec<(usize, Cow<'a, str>)>,
}

/// Why a line is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither text of a known format nor JSON.
    #[error("neither common or combined log format nor JSON")]
    Format,
    /// JSON that ends too early or goes wrong.
    #[error("not an object of JSON")]
    Json,
    /// No key of the time.
    #[error("no time: name its key by --field time=KEY")]
    NoTime,
    /// A time that cannot be read.
    #[error("its time cannot be read")]
    Time,
    /// No client.
    #[error("no client: name its key by --field client=KEY")]
    NoClient,
    /// Over [`MAX_LINE_BYTES`].
    #[error("longer than 1 MiB")]
    TooLong,
}

/// Reads lines.
#[derive(Debug, Clone)]
pub struct Parser {
    fields: Fields,
    times: time::Times,
}

impl Parser {
    /// A parser that finds the values of JSON by these names.
    #[must_use]
    pub fn new(fields: Fields) -> Self {
        Self {
            fields,
            times: time::Times::default(),
        }
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// [`Malformed`], for a line that is no request.
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> Result<Request<'a>, Malformed> {
        let line = line.trim_ascii();
        if line.starts_with(b"{") {
            json::parse(line, &self.fields, &mut self.times)
        } else {
            text::parse(line, &mut self.times)
        }
    }

    /// The value that a request is counted by; none if the log does not tell it.
    #[must_use]
    pub fn value<'r>(
        &self,
        request: &'r Request<'_>,
        attribute: &Attribute,
    ) -> Option<Cow<'r, str>> {
        let plain = |value: &'r Option<Cow<'_, str>>| value.as_deref().map(Cow::Borrowed);
        match attribute {
            Attribute::RemoteAddress => Some(Cow::Borrowed(&*request.client)),
            Attribute::Method => plain(&request.method),
            Attribute::Host => request.host.as_deref().map(lowercase),
            Attribute::Path => plain(&request.path),
            Attribute::ApiKey => {
                let key = request.api_key.as_ref();
                key.map(|key| Cow::Owned(digest(key.as_bytes())))
            }
            Attribute::Header(name) => match name.as_str() {
                "user-agent" => plain(&request.user_agent),
                "referer" => plain(&request.referrer),
                "host" => plain(&request.host),
                name => {
                    let number = self.fields.header(name)?;
                    let mut headers = request.headers.iter();
                    let found = headers.find(|(header, _)| *header == number);
                    found.map(|(_, value)| Cow::Borrowed(&**value))
                }
            },
        }
    }
}

fn lowercase(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// A request line such as `GET /path?query HTTP/1.1`: method, path and, of an absolute form, the host.
fn request_line<'a>(line: &Cow<'a, str>) -> Option<[Option<Cow<'a, str>>; 3]> {
    let (method, rest) = line.split_once(' ')?;
    let target = rest.rsplit_once(' ').map_or(rest, |(target, _)| target);
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_method || target.is_empty() {
        return None;
    }
    let (host, target) = split_target(target);
    Some([
        Some(part(line, method)),
        Some(part(line, path(target))),
        host.map(|host| part(line, host)),
    ])
}

/// A part of a text, borrowed as long as the text is. What is no part of it, such as the path that a target
/// without one means, is copied.
fn part<'a>(whole: &Cow<'a, str>, part: &str) -> Cow<'a, str> {
    if let Cow::Borrowed(whole) = whole
        && let Some(at) = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)
        && let Some(found) = whole.get(at..).and_then(|rest| rest.get(..part.len()))
    {
        return Cow::Borrowed(found);
    }
    Cow::Owned(part.to_owned())
}

/// The host of an absolute target, and what follows.
fn split_target(target: &str) -> (Option<&str>, &str) {
    let Some((scheme, rest)) = target.split_once("://") else {
        return (None, target);
    };
    if target.starts_with('/') || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return (None, target);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(end);
    (
        Some(host),
        if target.starts_with('/') { target } else { "/" },
    )
}

/// A target without its query.
fn path(target: &str) -> &str {
    let end = memchr::memchr2(b'?', b'#', target.as_bytes()).unwrap_or(target.len());
    &target[..end]
}

/// The client's address as every front end counts it.
fn address(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(':') {
        return text;
    }
    match text.parse::<std::net::IpAddr>() {
        Ok(address) => Cow::Owned(address.to_canonical().to_string()),
        Err(_) => match text.parse::<std::net::SocketAddr>() {
            Ok(socket) => Cow::Owned(socket.ip().to_canonical().to_string()),
            Err(_) => text,
        },
    }
}
