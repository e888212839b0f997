//! The dashboard: pages for people on the admin listener.
//!
//! It is a client of the API that happens to live in the same process ([`client`]). It adds sessions
//! ([`session`]), pages that are made here as HTML, and scripts that only make them nicer.

mod assets;
mod audit;
mod client;
mod cookie;
mod domains;
mod form;
mod keys;
mod layout;
mod limits;
mod links;
mod live;
mod overview;
mod planner;
mod replay;
mod session;
mod show;
mod sign_in;
mod simulator;
mod single_sign_on;
mod slider;
mod system;
mod visitor;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::admin::AdminState;
use crate::sign_on::BACK_PATH;
use session::Sessions;

/// What pages work with.
#[derive(Clone)]
pub(crate) struct Dashboard {
    admin: AdminState,
    /// The API, as it is served.
    api: Router,
    sessions: Arc<Sessions>,
    forecasts: Arc<replay::Forecasts>,
    away: Arc<single_sign_on::Away>,
}

/// All pages, of a server whose API is `api`.
pub(crate) fn router(admin: AdminState, api: Router) -> Router<AdminState> {
    let clock = Arc::clone(&admin.service.parts().clock);
    let dashboard = Dashboard {
        admin,
        api,
        sessions: Arc::new(Sessions::new(clock)),
        forecasts: Arc::default(),
        away: Arc::default(),
    };
    Router::new()
        .route("/", get(overview::page))
        .route("/assets/{version}/{name}", get(assets::serve))
        .route("/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route(single_sign_on::PATH, get(single_sign_on::begin))
        .route(BACK_PATH, get(single_sign_on::back))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/live", get(live::clicks))
        .route("/links", get(links::list::page).post(links::bulk::post))
        .route("/new", get(links::create::form).post(links::create::post))
        .route("/new/check", get(links::create::check))
        .route("/links/{code}", get(links::one::page))
        .route("/links/{code}/qr", get(links::one::qr))
        .route(
            "/links/{code}/edit",
            get(links::edit::form).post(links::edit::post),
        )
        .route(
            "/links/{code}/delete",
            get(links::remove::ask).post(links::remove::post),
        )
        .route("/limits", get(limits::list::page))
        .route("/limits/try", post(limits::probe::post))
        .route("/limits/new", get(limits::edit::create))
        .route(
            "/limits/of/{domain}",
            get(limits::edit::form).post(limits::edit::post),
        )
        .route("/limits/of/{domain}/shadow", post(limits::edit::shadow))
        .route(
            "/limits/of/{domain}/delete",
            get(limits::edit::ask).post(limits::edit::remove),
        )
        .route("/replay", get(replay::form).post(replay::post))
        .route("/keys", get(keys::page).post(keys::create))
        .route("/keys/{id}/revoke", get(keys::ask).post(keys::revoke))
        .route(
            "/keys/{id}/rotate",
            get(keys::ask_to_rotate).post(keys::rotate),
        )
        .route("/audit", get(audit::page))
        .route("/domains", get(domains::page))
        .route("/webhooks", get(webhooks::page).post(webhooks::create))
        .route("/webhooks/{id}", get(webhooks::one))
        .route("/webhooks/{id}/pause", post(webhooks::pause))
        .route("/webhooks/{id}/ping", post(webhooks::ping))
        .route("/webhooks/{id}/rotate", post(webhooks::rotate))
        .route("/webhooks/{id}/resend/{message}", post(webhooks::resend))
        .route(
            "/webhooks/{id}/delete",
            get(webhooks::ask).post(webhooks::remove),
        )
        .route("/planner", get(planner::page))
        .route("/simulator", get(simulator::page))
        .route("/system", get(system::page))
        .with_state(dashboard)
}
