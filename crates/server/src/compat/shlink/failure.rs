//! Errors as Shlink answers them: problem details with types of its own.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_links::LinkError;

use crate::problem::{Kind, OwnForm, PROBLEM_JSON, Problem};

/// What the types of Shlink begin with.
const TYPES: &str = "https://shlink.io/api/error/";

/// An error. A box, because it is the rare side of many results.
#[derive(Debug)]
pub(super) struct Failure(Box<Details>);

#[derive(Debug)]
struct Details {
    status: StatusCode,
    headers: HeaderMap,
    body: Map<String, Value>,
}

impl Failure {
    fn new(status: StatusCode, kind: &str, title: &str, detail: &str) -> Self {
        let mut failure = Self(Box::new(Details {
            status,
            headers: HeaderMap::new(),
            body: Map::new(),
        }));
        for (name, value) in [("type", kind), ("title", title), ("detail", detail)] {
            failure = failure.with(name, value);
        }
        failure.with("status", status.as_u16())
    }

    fn of_shlink(status: StatusCode, kind: &str, title: &str, detail: &str) -> Self {
        Self::new(status, &format!("{TYPES}{kind}"), title, detail)
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.body.insert(name.to_owned(), value.into());
        self
    }

    /// A field or parameter that cannot be as it is.
    pub(super) fn invalid(element: &str, reason: impl Into<String>) -> Self {
        Problem::wrong(Kind::InvalidFields, element, reason).into()
    }

    /// There is no key in the request.
    pub(super) fn no_key() -> Self {
        let detail = "Expected authentication to be provided in one of the following headers, \
                      [\"X-Api-Key\"]";
        let title = "Invalid authorization";
        Self::of_shlink(
            StatusCode::UNAUTHORIZED,
            "missing-authentication",
            title,
            detail,
        )
        .with("expectedHeaders", json!(["X-Api-Key"]))
    }

    /// There is no such domain.
    pub(super) fn no_such_domain(name: &str) -> Self {
        let name: String = name.chars().take(128).collect();
        let detail = format!("Domain with authority \"{name}\" could not be found");
        let title = "Domain not found";
        Self::of_shlink(StatusCode::NOT_FOUND, "domain-not-found", title, &detail)
            .with("authority", name)
    }

    /// No link has this tag.
    pub(super) fn no_such_tag(tag: &str) -> Self {
        let detail = format!("Tag with name \"{tag}\" could not be found");
        let title = "Tag not found";
        Self::of_shlink(StatusCode::NOT_FOUND, "tag-not-found", title, &detail).with("tag", tag)
    }

    /// Another tag has this name.
    pub(super) fn tag_taken(old: &str, new: &str) -> Self {
        let detail = format!("You cannot rename tag {old} to {new}, because it already exists");
        Self::of_shlink(
            StatusCode::CONFLICT,
            "tag-conflict",
            "Tag conflict",
            &detail,
        )
        .with("oldName", old)
        .with("newName", new)
    }

    /// What Shlink answers where no Mercure hub is configured.
    pub(super) fn no_mercure() -> Self {
        let title = "Mercure integration not configured";
        let detail = "This Shlink instance is not integrated with a mercure hub.";
        let status = StatusCode::NOT_IMPLEMENTED;
        Self::of_shlink(status, "mercure-not-configured", title, detail)
    }

    /// Something that Shlink does and this service does not.
    pub(super) fn not_done_here(detail: &str) -> Self {
        let status = StatusCode::NOT_IMPLEMENTED;
        Self::new(status, "about:blank", "Not Implemented", detail)
    }

    /// Names the link that an error is about, by what the request called it.
    pub(super) fn of_link(problem: Problem, code: &str, domain: Option<&str>) -> Self {
        let is_missing = problem.kind() == Kind::LinkNotFound;
        let mut failure = Self::from(problem);
        if !is_missing {
            return failure;
        }
        let code: String = code.chars().take(128).collect();
        let mut detail = format!("No URL found with short code \"{code}\"");
        if let Some(domain) = domain {
            let domain: String = domain.chars().take(128).collect();
            detail += &format!(" for domain \"{domain}\"");
            failure = failure.with("domain", domain);
        }
        failure.with("shortCode", code).with("detail", detail)
    }

    /// Names the slug that is taken.
    pub(super) fn of_slug(problem: Problem, slug: Option<&str>, domain: Option<&str>) -> Self {
        let is_taken = problem.kind() == Kind::CodeTaken;
        let failure = Self::from(problem);
        if !is_taken {
            return failure;
        }
        let failure = failure.with("customSlug", slug.unwrap_or_default());
        match domain {
            Some(domain) => failure.with("domain", domain),
            None => failure,
        }
    }
}

/// What Shlink calls one of our fields.
fn renamed(field: &str) -> &str {
    match field.split(['[', '.']).next().unwrap_or_default() {
        "url" => "longUrl",
        "code" => "customSlug",
        "starts_at" => "validSince",
        "expires_at" => "validUntil",
        "max_clicks" => "maxVisits",
        "forward_query" => "forwardQuery",
        "rules" => "redirectRules",
        other => other,
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let detail = problem.detail();
        let mut failure = match problem.kind() {
            Kind::InvalidFields | Kind::InvalidQuery | Kind::MalformedJson | Kind::BadRequest => {
                let fields = problem.wrong_fields().map(|(field, _)| renamed(field));
                let mut elements: Vec<&str> = fields.collect();
                elements.dedup();
                Self::of_shlink(
                    StatusCode::BAD_REQUEST,
                    "invalid-data",
                    "Invalid data",
                    detail,
                )
                .with("invalidElements", elements)
            }
            Kind::Unauthorized => {
                let detail = "Provided API key does not exist or is invalid.";
                let title = "Invalid API key";
                Self::of_shlink(StatusCode::UNAUTHORIZED, "invalid-api-key", title, detail)
            }
            Kind::LinkNotFound => {
                let title = "Short URL not found";
                Self::of_shlink(StatusCode::NOT_FOUND, "short-url-not-found", title, detail)
            }
            Kind::CodeTaken => {
                let title = "Invalid custom slug";
                Self::of_shlink(StatusCode::BAD_REQUEST, "non-unique-slug", title, detail)
            }
            Kind::NoRoute => {
                Self::of_shlink(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
            }
            // Shlink has none of these.
            kind => Self::new(problem.status(), kind.uri(), kind.title(), detail),
        };
        failure.0.headers = problem.headers().clone();
        failure
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        Problem::from(error).into()
    }
}

impl From<tollgate_clicks::query::QueryError> for Failure {
    fn from(error: tollgate_clicks::query::QueryError) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Details {
            status,
            headers,
            body,
        } = *self.0;
        let mut response = (status, headers, Value::Object(body).to_string()).into_response();
        let media = HeaderValue::from_static(PROBLEM_JSON);
        response.headers_mut().insert(CONTENT_TYPE, media);
        response.extensions_mut().insert(OwnForm);
        response
    }
}
