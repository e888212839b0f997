//! Forward auth: a proxy asks about each request before it lets it pass.

use axum::extract::{Extension, Request, State};
use axum::response::IntoResponse;
use http::{HeaderName, StatusCode};
use tollgate_access::Scope;
use tollgate_limit::service::CheckRequest;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::Answer;
use super::caller::Caller;
use super::describe::Reading;
use super::query::Params;
use crate::admin::{AdminState, Peer};
use crate::limits::headers::{over, told};
use crate::limits::{Attribute, Forwarded};
use crate::problem::{Kind, Problem};

/// Where a proxy puts its own key, beside the `Authorization` of its client.
const OWN_KEY: HeaderName = HeaderName::from_static("x-tollgate-key");
/// The most descriptors in one request.
const MAX_DESCRIPTORS: usize = 32;

/// The status of a refusal.
struct Refusal;

impl PartialSchema for Refusal {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        number.enum_values(Some([429, 403, 401])).into()
    }
}

impl ToSchema for Refusal {}

/// Decide a forwarded request
///
/// For nginx `auth_request`, Traefik `forwardAuth` and Caddy `forward_auth`: what the request is
/// comes from its headers. The policies' domain and what to count by are configured, or given in the
/// query, which only the proxy can set. `Authorization` is the proxy's key unless the key is in
/// `X-Tollgate-Key`, or none is needed by the configuration.
#[utoipa::path(
    get,
    path = "/api/v1/limits/authorize",
    tag = "limits",
    operation_id = "authorizeRequest",
    params(
        ("domain" = Option<String>, Query, description = "The domain of the policies; the configured one if absent", min_length = 1),
        ("by" = Option<Vec<String>>, Query, description = "A descriptor: one or more of `remote_address`, `method`, `host`, `path`, `api_key` and `header:NAME`, joined by commas. May be repeated; the configured ones if absent"),
        ("deny" = inline(Option<Refusal>), Query, description = "The status of a refusal: 429 (the default), 403 or 401, for proxies that know no other"),
        ("X-Tollgate-Key" = Option<String>, Header, description = "An API key"),
    ),
    responses(
        (status = 200, description = "Let it pass", headers(
            ("RateLimit" = String, description = "What is left, by draft-ietf-httpapi-ratelimit-headers-10"),
            ("RateLimit-Policy" = String, description = "The limits"),
        )),
        (status = 429, description = "Refuse it: a limit is over. With the headers of 200, and Retry-After", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn authorize(
    State(state): State<AdminState>,
    Extension(Peer(peer)): Extension<Peer>,
    mut params: Params,
    request: Request,
) -> Answer {
    let headers = request.headers();
    let forwarding = &state.limits.forwarding;
    let own_key = headers.get(OWN_KEY);
    if own_key.is_some() || !forwarding.without_key {
        let caller = match own_key.and_then(|key| key.to_str().ok()) {
            Some(secret) => Caller::of(secret, &state).await?,
            None => Caller::from_headers(headers, &state).await?,
        };
        caller.require(Scope::LimitsCheck)?;
    }
    let forwarded = Forwarded {
        peer,
        method: request.method(),
        headers,
        authorization: own_key.is_some() || forwarding.without_key,
    };
    let domain = params.take("domain")?;
    let by = params.take_all("by");
    let refusal = refusal(params.take("deny")?)?;
    params.finish()?;
    let given = attributes(&by)?;
    let by = if given.is_empty() {
        &forwarding.by
    } else {
        &given
    };
    let trusted = &forwarding.trusted_proxies;
    let descriptors = by.iter().filter_map(|by| forwarded.descriptor(by, trusted));
    let request = CheckRequest {
        domain: domain.unwrap_or_else(|| forwarding.domain.clone()),
        descriptors: descriptors.collect(),
        hits: 1,
    };
    if request.descriptors.is_empty() {
        // It has none of what is counted by: there is no limit to be over.
        return Ok(StatusCode::OK.into_response());
    }
    let answer = state.limits.service.check(&request).await;
    let mut answer =
        answer.map_err(|error| Problem::wrong(Kind::InvalidQuery, "domain", error.to_string()))?;
    if answer.allowed {
        if let Some(place) = state.limits.service.hold(&mut answer) {
            place.wait().await;
        }
        return Ok((StatusCode::OK, told(&answer)).into_response());
    }
    Err(over(&answer).with_status(refusal))
}

/// Decide a forwarded request
///
/// As by GET.
#[utoipa::path(
    post,
    path = "/api/v1/limits/authorize",
    tag = "limits",
    operation_id = "authorizeRequestByPost",
    params(
        ("domain" = Option<String>, Query, description = "As by GET", min_length = 1),
        ("by" = Option<Vec<String>>, Query, description = "As by GET"),
        ("deny" = inline(Option<Refusal>), Query, description = "As by GET"),
        ("X-Tollgate-Key" = Option<String>, Header, description = "As by GET"),
    ),
    responses(
        (status = 200, description = "Let it pass"),
        (status = 429, description = "Refuse it: a limit is over", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn authorize_by_post(
    state: State<AdminState>,
    peer: Extension<Peer>,
    params: Params,
    request: Request,
) -> Answer {
    authorize(state, peer, params, request).await
}

fn refusal(given: Option<String>) -> Result<StatusCode, Problem> {
    match given.as_deref() {
        None | Some("429") => Ok(StatusCode::TOO_MANY_REQUESTS),
        Some("403") => Ok(StatusCode::FORBIDDEN),
        Some("401") => Ok(StatusCode::UNAUTHORIZED),
        Some(_) => Err(Params::wrong("deny", "give 429, 403 or 401")),
    }
}

fn attributes(by: &[String]) -> Result<Vec<Vec<Attribute>>, Problem> {
    if by.len() > MAX_DESCRIPTORS {
        return Err(Params::wrong(
            "by",
            format!("give it at most {MAX_DESCRIPTORS} times"),
        ));
    }
    let wrong = || {
        let known = "remote_address, method, host, path, api_key and header:NAME";
        Params::wrong("by", format!("give some of {known}, joined by commas"))
    };
    by.iter()
        .map(|by| {
            let by = by.split(',').map(Attribute::parse);
            by.collect::<Option<Vec<_>>>().ok_or_else(wrong)
        })
        .collect()
}
