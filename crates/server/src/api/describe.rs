//! What the description of the API says beside its handlers.

use std::collections::BTreeMap;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi};

use crate::problem::{PROBLEM_JSON, Problem};

/// The frame into which the handlers are put.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollgate",
        description = "Short links and rate limits. Errors are problem details (RFC 9457). Every answer has an X-Request-Id: the caller's own, or a new one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "links", description = "Make, find, edit and delete links: scopes links:read and links:write"),
        (name = "clicks", description = "See what was clicked: scope stats:read"),
        (name = "audit", description = "Who changed what: scope audit:read"),
        (name = "limits", description = "Decide requests by policies, and change these: scopes limits:check and admin"),
        (name = "webhooks", description = "Who is told of what happens to links: scope admin"),
        (name = "keys", description = "Who may use this API: scope admin"),
    ),
    components(schemas(Problem)),
    security(("key" = [])),
    modifiers(&Bearer),
)]
pub(super) struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("An API key: `tg_…`".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// Errors of every request.
pub(super) struct Reading;

/// Errors of every request with a body.
pub(super) struct Writing;

const READING: [(&str, &str); 6] = [
    ("400", "A parameter or header is wrong"),
    (
        "401",
        "There is no API key in the request, or it is not accepted",
    ),
    (
        "403",
        "The key lacks the scope, or is bound to another domain",
    ),
    ("414", "The request's URL is too long"),
    ("500", "A defect; the log has more under the request id"),
    ("503", "The store is away: see Retry-After"),
];

const WRITING: [(&str, &str); 5] = [
    ("408", "The body took too long to arrive"),
    ("413", "The body is too large"),
    ("415", "The body's type is not understood"),
    (
        "422",
        "Fields are wrong, or the Idempotency-Key was used for another request",
    ),
    ("507", "The store has no space left"),
];

impl IntoResponses for Reading {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&READING)
    }
}

impl IntoResponses for Writing {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = problems(&READING);
        all.append(&mut problems(&WRITING));
        all
    }
}

fn problems(list: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    list.iter()
        .map(|(status, description)| {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build();
            let response = ResponseBuilder::new()
                .description(*description)
                .content(PROBLEM_JSON, content)
                .build();
            ((*status).to_owned(), RefOr::T(response))
        })
        .collect()
}
