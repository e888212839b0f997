//! Errors as the API answers them: problem details by RFC 9457.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use tollgate_access::{AuthError, KeyError};
use tollgate_clicks::query::QueryError;
use tollgate_clicks::store::StoreError as ClickStoreError;
use tollgate_links::store::StoreError;
use tollgate_links::{FieldError, LinkError};
use tollgate_webhooks::{OutboxError, SecretError};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::limits::headers::QUOTA_EXCEEDED;

/// The media type of every error.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The media type of pages.
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// How long to wait before asking a store again that was away, in seconds.
const RETRY_AFTER_SECONDS: u16 = 1;

/// The kinds of problem. Each has an identifier that never changes, one status and one title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    MalformedJson,
    InvalidQuery,
    InvalidHeader,
    Unauthorized,
    MissingScope,
    ForeignDomain,
    NoRoute,
    LinkNotFound,
    KeyNotFound,
    PoliciesNotFound,
    ClicksOff,
    WebhookNotFound,
    MethodNotAllowed,
    RequestTimeout,
    CodeTaken,
    ClicksMissing,
    SecretTaken,
    VersionMismatch,
    QuotaExceeded,
    TooLarge,
    UriTooLong,
    UnsupportedMediaType,
    InvalidFields,
    IdempotencyMismatch,
    Internal,
    StoreUnavailable,
    StoreReadOnly,
    StoreFull,
    NoFreeCode,
    Slow,
    TooManyWaiting,
    Overloaded,
    Starting,
    UpstreamUnreachable,
    UpstreamFailed,
    UpstreamTimeout,
}

impl Kind {
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => (
                "urn:tollgate:problem:bad-request",
                StatusCode::BAD_REQUEST,
                "The request cannot be understood",
            ),
            Self::MalformedJson => (
                "urn:tollgate:problem:malformed-json",
                StatusCode::BAD_REQUEST,
                "The body is not JSON",
            ),
            Self::InvalidQuery => (
                "urn:tollgate:problem:invalid-query",
                StatusCode::BAD_REQUEST,
                "A query parameter is wrong",
            ),
            Self::InvalidHeader => (
                "urn:tollgate:problem:invalid-header",
                StatusCode::BAD_REQUEST,
                "A request header is wrong",
            ),
            Self::Unauthorized => (
                "urn:tollgate:problem:unauthorized",
                StatusCode::UNAUTHORIZED,
                "A valid API key is needed",
            ),
            Self::MissingScope => (
                "urn:tollgate:problem:missing-scope",
                StatusCode::FORBIDDEN,
                "The API key lacks a scope",
            ),
            Self::ForeignDomain => (
                "urn:tollgate:problem:foreign-domain",
                StatusCode::FORBIDDEN,
                "The API key is bound to another domain",
            ),
            Self::NoRoute => (
                "urn:tollgate:problem:no-route",
                StatusCode::NOT_FOUND,
                "There is nothing at this path",
            ),
            Self::LinkNotFound => (
                "urn:tollgate:problem:link-not-found",
                StatusCode::NOT_FOUND,
                "There is no such link",
            ),
            Self::KeyNotFound => (
                "urn:tollgate:problem:key-not-found",
                StatusCode::NOT_FOUND,
                "There is no such API key",
            ),
            Self::PoliciesNotFound => (
                "urn:tollgate:problem:policies-not-found",
                StatusCode::NOT_FOUND,
                "There are no such policies",
            ),
            Self::ClicksOff => (
                "urn:tollgate:problem:clicks-off",
                StatusCode::NOT_FOUND,
                "Clicks are not counted here",
            ),
            Self::WebhookNotFound => (
                "urn:tollgate:problem:webhook-not-found",
                StatusCode::NOT_FOUND,
                "There is no such webhook or message",
            ),
            Self::MethodNotAllowed => (
                "urn:tollgate:problem:method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This path does not know the method",
            ),
            Self::RequestTimeout => (
                "urn:tollgate:problem:request-timeout",
                StatusCode::REQUEST_TIMEOUT,
                "The body took too long to arrive",
            ),
            Self::CodeTaken => (
                "urn:tollgate:problem:code-taken",
                StatusCode::CONFLICT,
                "The code belongs to another link",
            ),
            Self::ClicksMissing => (
                "urn:tollgate:problem:clicks-missing",
                StatusCode::CONFLICT,
                "Clicks before these are missing",
            ),
            Self::SecretTaken => (
                "urn:tollgate:problem:secret-taken",
                StatusCode::CONFLICT,
                "The secret belongs to a key already",
            ),
            Self::VersionMismatch => (
                "urn:tollgate:problem:version-mismatch",
                StatusCode::PRECONDITION_FAILED,
                "The link is not the one If-Match names",
            ),
            Self::QuotaExceeded => (
                QUOTA_EXCEEDED,
                StatusCode::TOO_MANY_REQUESTS,
                "A limit is over",
            ),
            Self::TooLarge => (
                "urn:tollgate:problem:too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is too large",
            ),
            Self::UriTooLong => (
                "urn:tollgate:problem:uri-too-long",
                StatusCode::URI_TOO_LONG,
                "The request's URL is too long",
            ),
            Self::UnsupportedMediaType => (
                "urn:tollgate:problem:unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body's type is not understood",
            ),
            Self::InvalidFields => (
                "urn:tollgate:problem:invalid-fields",
                StatusCode::UNPROCESSABLE_ENTITY,
                "A field is wrong",
            ),
            Self::IdempotencyMismatch => (
                "urn:tollgate:problem:idempotency-mismatch",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key was used for another request",
            ),
            Self::Internal => (
                "urn:tollgate:problem:internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong here",
            ),
            Self::StoreUnavailable => (
                "urn:tollgate:problem:store-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store does not answer",
            ),
            Self::StoreReadOnly => (
                "urn:tollgate:problem:store-read-only",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store only allows reading",
            ),
            Self::StoreFull => (
                "urn:tollgate:problem:store-full",
                StatusCode::INSUFFICIENT_STORAGE,
                "The store has no space left",
            ),
            Self::NoFreeCode => (
                "urn:tollgate:problem:no-free-code",
                StatusCode::SERVICE_UNAVAILABLE,
                "No code could be made",
            ),
            Self::Slow => (
                "urn:tollgate:problem:slow",
                StatusCode::SERVICE_UNAVAILABLE,
                "The answer took too long",
            ),
            Self::TooManyWaiting => (
                "urn:tollgate:problem:too-many-waiting",
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many requests wait for their turn",
            ),
            Self::Overloaded => (
                "urn:tollgate:problem:overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "Too much is asked at once",
            ),
            Self::Starting => (
                "urn:tollgate:problem:starting",
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is starting",
            ),
            Self::UpstreamUnreachable => (
                "urn:tollgate:problem:upstream-unreachable",
                StatusCode::BAD_GATEWAY,
                "The server behind cannot be reached",
            ),
            Self::UpstreamFailed => (
                "urn:tollgate:problem:upstream-failed",
                StatusCode::BAD_GATEWAY,
                "The server behind gave no answer",
            ),
            Self::UpstreamTimeout => (
                "urn:tollgate:problem:upstream-timeout",
                StatusCode::GATEWAY_TIMEOUT,
                "The server behind took too long",
            ),
        }
    }

    /// The identifier, which never changes.
    pub(crate) const fn uri(self) -> &'static str {
        self.parts().0
    }

    /// What it means.
    pub(crate) const fn title(self) -> &'static str {
        self.parts().2
    }

    /// The kind of an error that something other than our handlers answered.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NoRoute,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::URI_TOO_LONG => Self::UriTooLong,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

/// Why a request failed (RFC 9457). A box, because it is the rare side of many results.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Problem(Box<Details>);

/// Why a request failed (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Details {
    /// Identifies the kind of problem; never changes.
    #[serde(rename = "type")]
    #[schema(example = "urn:tollgate:problem:code-taken")]
    kind: &'static str,
    /// What the kind means.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// What happened this time.
    detail: String,
    /// The fields, parameters or headers that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong>,
    /// Where in the body the JSON breaks: the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// Where in that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// The policies whose limits are over.
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<String>,
    /// The request's `X-Request-Id`, to be found in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip)]
    headers: HeaderMap,
    #[serde(skip)]
    what: Kind,
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        Details::schema()
    }
}

impl ToSchema for Problem {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Details::schemas(schemas);
    }
}

/// One thing that is wrong in a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Wrong {
    /// Its name.
    #[schema(example = "rules[2].url")]
    field: String,
    /// What is wrong, and what to do.
    reason: String,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (uri, status, title) = kind.parts();
        Self(Box::new(Details {
            kind: uri,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            line: None,
            column: None,
            violated_policies: Vec::new(),
            request_id: None,
            headers: HeaderMap::new(),
            what: kind,
        }))
    }

    /// One wrong field, parameter or header.
    pub(crate) fn wrong(kind: Kind, field: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let mut problem = Self::new(kind, format!("{field}: {reason}"));
        problem.0.errors.push(Wrong {
            field: field.to_owned(),
            reason,
        });
        problem
    }

    /// For everything that is a defect of ours; the cause goes to the log only.
    pub(crate) fn internal() -> Self {
        Self::new(
            Kind::Internal,
            "The request failed through no fault of yours. The log has more under the request id.",
        )
    }

    pub(crate) fn no_such_link(detail: impl Into<String>) -> Self {
        Self::new(Kind::LinkNotFound, detail)
    }

    pub(crate) fn at(mut self, line: usize, column: usize) -> Self {
        self.0.line = Some(line);
        self.0.column = Some(column);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    pub(crate) fn retry_later(self) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
    }

    fn full() -> Self {
        let detail = "What is there can be read but not changed until the operator makes space.";
        Self::new(Kind::StoreFull, detail).retry_later()
    }

    fn read_only() -> Self {
        let detail =
            "What is there can be read but not changed until the operator makes it writable.";
        Self::new(Kind::StoreReadOnly, detail).retry_later()
    }

    pub(crate) fn slow() -> Self {
        Self::new(Kind::Slow, "The store may be overloaded. Try again later.").retry_later()
    }

    /// So much is worked on that this would not be answered in time.
    pub(crate) fn overloaded() -> Self {
        Self::new(
            Kind::Overloaded,
            "Try again in a moment, and ask for less at once.",
        )
        .retry_later()
    }

    /// Whether it was refused because so much else was asked.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.0.what == Kind::Overloaded
    }

    /// Over the limits of these policies.
    pub(crate) fn quota_exceeded(policies: Vec<String>) -> Self {
        let detail = match &policies[..] {
            [] => "There were too many requests.".to_owned(),
            names => format!("There were too many requests for: {}.", names.join(", ")),
        };
        let mut problem = Self::new(Kind::QuotaExceeded, detail);
        problem.0.violated_policies = policies;
        problem
    }

    /// No key, or one that is not accepted.
    pub(crate) fn unauthorized(detail: &str, challenge: &'static str) -> Self {
        Self::new(Kind::Unauthorized, detail)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// With another status than its kind has, for those who understand no other.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }

    /// Which kind it is.
    pub(crate) fn kind(&self) -> Kind {
        self.0.what
    }

    /// What happened this time.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The fields, parameters or headers that are wrong, each with the reason.
    pub(crate) fn wrong_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .errors
            .iter()
            .map(|wrong| (&*wrong.field, &*wrong.reason))
    }

    /// What the answer has to tell beside its body.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn with_request_id(mut self, id: &str) -> Self {
        self.0.request_id = Some(id.to_owned());
        self
    }

    fn render(&self) -> Response {
        // Strings and numbers only: this cannot fail, and if it did the status would still tell.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.extend(self.0.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.render();
        // Kept beside the body, so that `finish` can add the request id.
        response.extensions_mut().insert(self);
        response
    }
}

/// Marks an error that has a form of its own, which [`finish`] leaves as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnForm;

/// Gives every error its final form: a problem with the request's id, whoever answered it.
pub(crate) fn finish(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    // A handler that fails in JSON of its own, as health does, means it.
    let own = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|media| media == "application/json")
        || response.extensions().get::<OwnForm>().is_some();
    if !failed || own {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.unwrap_or_else(|| {
        let kind = Kind::of_status(status);
        // The router adds the header after this.
        let detail = match kind {
            Kind::MethodNotAllowed => "The header Allow names the methods it knows.",
            kind => kind.parts().2,
        };
        let mut problem = Problem::new(kind, detail);
        problem.0.status = status.as_u16();
        problem
    });
    problem.with_request_id(request_id).render()
}

impl From<Vec<FieldError>> for Problem {
    fn from(errors: Vec<FieldError>) -> Self {
        let detail: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let mut problem = Self::new(Kind::InvalidFields, detail.join("; "));
        problem.0.errors = errors
            .into_iter()
            .map(|FieldError { field, reason }| Wrong { field, reason })
            .collect();
        problem
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Invalid(errors) => errors.into(),
            LinkError::NotFound(_) => Self::no_such_link(error.to_string()),
            LinkError::CodeTaken(_) => Self::new(Kind::CodeTaken, error.to_string()),
            LinkError::VersionMismatch(_) => Self::new(Kind::VersionMismatch, error.to_string()),
            LinkError::IdempotencyMismatch => Self::new(
                Kind::IdempotencyMismatch,
                "Use a new Idempotency-Key for a new request, and the same body for a repeated one.",
            ),
            LinkError::NoFreeCode(_) => {
                tracing::error!(%error, "no free code");
                Self::new(Kind::NoFreeCode, error.to_string())
            }
            LinkError::Strategy(_) => {
                tracing::error!(%error, "the strategy failed");
                let detail = "The strategy makes no codes now: try again later, or another one.";
                Self::new(Kind::NoFreeCode, detail).retry_later()
            }
            LinkError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::BadCursor) {
            return Self::wrong(Kind::InvalidQuery, "cursor", error.to_string());
        }
        if matches!(error, StoreError::Overloaded) {
            return Self::overloaded();
        }
        tracing::error!(%error, "the store failed");
        match error {
            StoreError::Unavailable(_) => {
                Self::new(Kind::StoreUnavailable, "Try again in a moment.").retry_later()
            }
            StoreError::ReadOnly(_) => Self::read_only(),
            StoreError::Full(_) => Self::full(),
            _ => Self::internal(),
        }
    }
}

impl From<OutboxError> for Problem {
    fn from(error: OutboxError) -> Self {
        tracing::error!(%error, "the store of webhooks failed");
        match error {
            OutboxError::Busy { .. }
            | OutboxError::CannotOpen { .. }
            | OutboxError::Disk { .. } => {
                Self::new(Kind::StoreUnavailable, "Try again in a moment.").retry_later()
            }
            OutboxError::ReadOnly { .. } => Self::read_only(),
            OutboxError::Full { .. } => Self::full(),
            _ => Self::internal(),
        }
    }
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        tracing::error!(%error, "a secret of a webhook cannot be made");
        Self::internal()
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let parameter = error.parameter();
        let error = match (parameter, error) {
            (Some(parameter), error) => {
                return Self::wrong(Kind::InvalidQuery, parameter, error.to_string());
            }
            (None, QueryError::Store(error)) => error,
            (None, _) => return Self::internal(),
        };
        tracing::error!(%error, "the store of clicks failed");
        match error {
            ClickStoreError::Unavailable(_) => {
                Self::new(Kind::StoreUnavailable, "Try again in a moment.").retry_later()
            }
            ClickStoreError::ReadOnly(_) => Self::read_only(),
            ClickStoreError::Full(_) => Self::full(),
            _ => Self::internal(),
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Invalid { field, reason } => Self::wrong(Kind::InvalidFields, field, reason),
            KeyError::NotFound(_) => Self::new(Kind::KeyNotFound, error.to_string()),
            KeyError::SecretTaken => Self::new(Kind::SecretTaken, error.to_string()),
            KeyError::Secret(error) => {
                tracing::error!(%error, "no secret could be made");
                Self::internal()
            }
            KeyError::Store(error) => error.into(),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        const INVALID: &str = r#"Bearer realm="tollgate", error="invalid_token""#;
        match error {
            AuthError::Store(error) => error.into(),
            // Only who holds the secret learns that it was one.
            AuthError::Unknown | AuthError::Revoked(_) | AuthError::Expired(_) => {
                Self::unauthorized(&error.to_string(), INVALID)
            }
        }
    }
}
