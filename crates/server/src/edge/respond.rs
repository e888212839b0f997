//! Responses. A redirect carries nothing a client does not need; pages carry what protects people.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use maud::Markup;
use uuid::Uuid;

use super::cache_control::{no_store, one_day};
use super::pages;
use crate::limits::headers::seconds;
use crate::metrics::{Outcome, Source};
use crate::problem::HTML;
use crate::qr::{Logo, QrStyle};

pub(super) type Answer = Response<Bytes>;

/// An answer, and how it is counted.
pub(super) struct Reply {
    pub(super) answer: Answer,
    pub(super) outcome: Outcome,
    pub(super) source: Source,
}

/// To where somebody is led.
pub(super) struct Redirection<'l> {
    pub(super) status: StatusCode,
    pub(super) location: Cow<'l, str>,
    pub(super) cache_control: HeaderValue,
}

/// Seconds after which a client may try again when something is away or busy.
const RETRY_AFTER_SECONDS: &str = "2";

/// Crawlers may follow links, or what they lead to is never found; previews are not for them.
/// Links whose clicks are precious take a password.
const ROBOTS: &str = "User-agent: *\nDisallow: /*+$\n";

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Pages that are always the same, asked for by every scan for codes.
static NOT_FOUND: LazyLock<Bytes> = LazyLock::new(|| pages::not_found().into_string().into());
static BUSY: LazyLock<Bytes> = LazyLock::new(|| pages::busy().into_string().into());
static GONE: LazyLock<Bytes> = LazyLock::new(|| pages::gone().into_string().into());

impl Reply {
    fn new(answer: Answer, outcome: Outcome, source: Source) -> Self {
        Self {
            answer,
            outcome,
            source,
        }
    }

    /// A redirect. A location that cannot stand in a header is a defect, as no checked target is one.
    pub(super) fn redirect(redirection: Redirection<'_>, source: Source) -> Self {
        let Redirection {
            status,
            location,
            cache_control,
        } = redirection;
        let Ok(location) = HeaderValue::from_str(&location) else {
            return Self::failed("the target cannot stand in a header", source);
        };
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(LOCATION, location);
        headers.insert(CACHE_CONTROL, cache_control);
        Self::new(
            answer(status, headers, Bytes::new()),
            Outcome::Redirect,
            source,
        )
    }

    /// 404, for links that are absent and for those that have not begun: nobody learns of a code
    /// ahead of time.
    pub(super) fn not_found(outcome: Outcome, source: Source) -> Self {
        let answer = page(StatusCode::NOT_FOUND, NOT_FOUND.clone(), pages::POLICY);
        Self::new(answer, outcome, source)
    }

    /// 410.
    pub(super) fn gone(outcome: Outcome, source: Source) -> Self {
        let answer = page(StatusCode::GONE, GONE.clone(), pages::POLICY);
        Self::new(answer, outcome, source)
    }

    /// 403 and the password form.
    pub(super) fn password(wrong: bool, source: Source) -> Self {
        let outcome = if wrong {
            Outcome::WrongPassword
        } else {
            Outcome::Password
        };
        let body = bytes(pages::password(wrong));
        let answer = page(StatusCode::FORBIDDEN, body, pages::FORM_POLICY);
        Self::new(answer, outcome, source)
    }

    /// 200 and the preview.
    pub(super) fn preview(markup: Markup, source: Source) -> Self {
        let answer = page(StatusCode::OK, bytes(markup), pages::POLICY);
        Self::new(answer, Outcome::Preview, source)
    }

    /// 200 and the QR code, or 400.
    pub(super) fn qr(short_url: &str, query: &str, logo: Option<&Logo>, source: Source) -> Self {
        let drawn = QrStyle::from_query(query, logo).and_then(|style| {
            let image = style.draw(short_url)?;
            Ok((style, image))
        });
        let (style, image) = match drawn {
            Ok(drawn) => drawn,
            Err(error) => return Self::refused(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(style.format().media_type()),
        );
        // It says what its address and the configuration say, whatever becomes of the link.
        headers.insert(CACHE_CONTROL, one_day());
        let policy = HeaderValue::from_static(style.policy());
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let answer = answer(StatusCode::OK, headers, image.into());
        Self::new(answer, Outcome::QrCode, source)
    }

    /// `/`
    pub(super) fn landing() -> Self {
        let mut answer = page(StatusCode::OK, bytes(pages::landing()), pages::POLICY);
        answer.headers_mut().insert(CACHE_CONTROL, one_day());
        Self::new(answer, Outcome::Page, Source::None)
    }

    /// `/robots.txt`
    pub(super) fn robots() -> Self {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, one_day());
        let answer = answer(
            StatusCode::OK,
            headers,
            Bytes::from_static(ROBOTS.as_bytes()),
        );
        Self::new(answer, Outcome::Page, Source::None)
    }

    /// `/favicon.ico`: there is none, and browsers shall not ask again soon.
    pub(super) fn no_icon() -> Self {
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(CACHE_CONTROL, one_day());
        let answer = answer(StatusCode::NO_CONTENT, headers, Bytes::new());
        Self::new(answer, Outcome::Page, Source::None)
    }

    /// 405.
    pub(super) fn method_not_allowed(allow: &'static str, source: Source) -> Self {
        let mut reply = Self::refused(
            StatusCode::METHOD_NOT_ALLOWED,
            &format!("This address answers {allow} only."),
        );
        reply.source = source;
        let headers = reply.answer.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(allow));
        reply
    }

    /// Another status from 400 to 499.
    pub(super) fn refused(status: StatusCode, text: &str) -> Self {
        let title = status.canonical_reason().unwrap_or("Bad request");
        let body = bytes(pages::message(title, text));
        Self::new(
            page(status, body, pages::POLICY),
            Outcome::Refused,
            Source::None,
        )
    }

    /// 429: the same visitor asked too often.
    pub(super) fn too_many(retry_after: Option<Duration>, source: Source) -> Self {
        let text = "You have asked too often. Wait a little and try again.";
        let body = bytes(pages::message("Too many requests", text));
        let mut answer = page(StatusCode::TOO_MANY_REQUESTS, body, pages::POLICY);
        let seconds = retry_after.map_or(60, |after| seconds(after).max(1));
        let headers = answer.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        Self::new(answer, Outcome::Limited, source)
    }

    /// 503: worth trying again.
    pub(super) fn unavailable() -> Self {
        Self {
            outcome: Outcome::Unavailable,
            ..Self::shed()
        }
    }

    /// 503: more is asked than can be answered in time. It has to cost little.
    pub(super) fn shed() -> Self {
        let mut answer = page(StatusCode::SERVICE_UNAVAILABLE, BUSY.clone(), pages::POLICY);
        let headers = answer.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        Self::new(answer, Outcome::Shed, Source::None)
    }

    /// 500: a defect. The log has the reason under the request's identifier.
    pub(super) fn failed(reason: impl Display, source: Source) -> Self {
        let request_id = Uuid::now_v7().to_string();
        tracing::error!(request_id, %reason, "an edge request failed");
        let text = format!("This is a fault of the service. Its number is {request_id}.");
        let body = bytes(pages::message("Something went wrong", &text));
        let mut answer = page(StatusCode::INTERNAL_SERVER_ERROR, body, pages::POLICY);
        if let Ok(id) = HeaderValue::try_from(request_id) {
            answer.headers_mut().insert(X_REQUEST_ID, id);
        }
        Self::new(answer, Outcome::Failed, source)
    }
}

fn bytes(markup: Markup) -> Bytes {
    markup.into_string().into()
}

fn page(status: StatusCode, body: Bytes, policy: &'static str) -> Answer {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(HTML));
    headers.insert(CACHE_CONTROL, no_store());
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer(status, headers, body)
}

fn answer(status: StatusCode, headers: HeaderMap, body: Bytes) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}
