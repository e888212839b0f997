//! The REST API of Shlink, version 3. Versions 1 and 2 are the same, as they are in Shlink 4.

mod asked;
mod cross_origin;
mod domains;
mod failure;
mod health;
mod list;
mod paging;
mod rules;
mod short_urls;
mod shown;
mod tags;
mod visit_list;
mod visits;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::middleware::from_fn;
use axum::routing::{get, patch};
use http::HeaderName;
use http::request::Parts;

use self::failure::Failure;
pub use self::rules::{Written as ShlinkCondition, read as condition_of_shlink};
use super::in_time;
use crate::admin::{AdminOptions, AdminState};
use crate::api::caller::Caller;
use crate::problem::{Kind, Problem};

/// Where clients put their key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

pub(super) fn router(options: &AdminOptions) -> Router<AdminState> {
    let routes = Router::new()
        .route("/short-urls", get(list::list).post(short_urls::create))
        .route("/short-urls/shorten", get(short_urls::shorten))
        .route(
            "/short-urls/{code}",
            get(short_urls::get)
                .patch(short_urls::update)
                .delete(short_urls::delete),
        )
        .route(
            "/short-urls/{code}/visits",
            get(visits::of_short_url).delete(visits::delete_of_short_url),
        )
        .route(
            "/short-urls/{code}/redirect-rules",
            get(rules::get).post(rules::set),
        )
        .route(
            "/tags",
            get(tags::list).put(tags::rename).delete(tags::delete),
        )
        .route("/tags/stats", get(tags::stats))
        .route("/tags/{tag}/visits", get(visits::of_tag))
        .route("/domains", get(domains::list))
        .route("/domains/redirects", patch(domains::redirect))
        .route("/domains/{domain}/visits", get(visits::of_domain))
        .route("/visits", get(visits::overview))
        .route("/visits/non-orphan", get(visits::non_orphan))
        .route(
            "/visits/orphan",
            get(visits::orphan).delete(visits::delete_orphan),
        )
        .route("/mercure-info", get(health::mercure))
        .route("/health", get(health::health))
        .fallback(|| async { Failure::from(Problem::new(Kind::NoRoute, "There is no such path.")) })
        .method_not_allowed_fallback(|| async {
            let detail = "This path does not know the method.";
            Failure::from(Problem::new(Kind::MethodNotAllowed, detail))
        });
    let routes = in_time::<Failure>(routes, options).layer(from_fn(cross_origin::allow));
    let health = get(health::health).layer(from_fn(cross_origin::allow));
    ["/rest/v1", "/rest/v2", "/rest/v3"]
        .into_iter()
        .fold(Router::new(), |all, version| {
            all.nest(version, routes.clone())
        })
        .route("/rest/health", health)
}

/// The holder of a key, or an error in Shlink's form.
struct Holder(Caller);

impl FromRequestParts<AdminState> for Holder {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        let key = parts.headers.get(X_API_KEY);
        let key = key.and_then(|key| key.to_str().ok());
        let key = key.filter(|key| !key.is_empty());
        let key = key.ok_or_else(Failure::no_key)?;
        Ok(Self(Caller::admitted(key, state).await?))
    }
}
