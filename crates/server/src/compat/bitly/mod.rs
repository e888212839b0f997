//! Version 4 of the API of Bitly: links, their clicks, and the one group that there is.

mod bitlinks;
mod clicks;
mod failure;
mod groups;
mod shown;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::routing::{get, post};
use http::request::Parts;

use self::failure::Failure;
use super::in_time;
use crate::admin::{AdminOptions, AdminState};
use crate::api::caller::Caller;
use crate::problem::{Kind, Problem};

/// The host that clients name who know no other: it means our own.
const ALIAS: &str = "bit.ly";

pub(super) fn router(options: &AdminOptions) -> Router<AdminState> {
    let routes = Router::new()
        .route("/shorten", post(bitlinks::shorten))
        .route("/expand", post(bitlinks::expand))
        .route("/bitlinks", post(bitlinks::create))
        // A bitlink is a host, a slash and a code, and may have its clicks behind.
        .route(
            "/bitlinks/{*bitlink}",
            get(bitlinks::get).patch(bitlinks::update),
        )
        .route("/groups", get(groups::list))
        .route("/groups/{group}", get(groups::get))
        .fallback(|| async { Failure::from(Problem::new(Kind::NoRoute, "There is no such path.")) })
        .method_not_allowed_fallback(|| async {
            let detail = "This path does not know the method.";
            Failure::from(Problem::new(Kind::MethodNotAllowed, detail))
        });
    Router::new().nest("/v4", in_time::<Failure>(routes, options))
}

/// The holder of a key, or an error in Bitly's form.
struct User(Caller);

impl FromRequestParts<AdminState> for User {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self(caller))
    }
}
