//! Signing in at a provider: the way there, and back with what it says.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::header::{CACHE_CONTROL, REFRESH};
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::html;
use parking_lot::Mutex;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use tollgate_access::AuthError;
use tollgate_audit::Actor;
use tollgate_links::UNRESERVED;
use tollgate_oidc::{Begun, Person, SignInError};

use super::cookie::{Cookie, SameSite};
use super::session::make_room;
use super::sign_in::{Wanted, own, page, too_many};
use super::visitor::Shown;
use super::{Dashboard, layout};
use crate::admin::Peer;
use crate::client_ip::client_ip;
use crate::problem::Problem;
use crate::sign_on::SignOn;

pub(super) const PATH: &str = "/sign-in/provider";
/// How long somebody may take at the provider.
const LONGEST: Duration = Duration::from_mins(10);
/// The most people who are on their way. One more, and whoever has been longest has to begin anew.
const MAX_AWAY: usize = 1_024;

/// Binds who comes back to who was sent. The way back begins at the provider, so it has to come along from there.
const STATE: Cookie = Cookie {
    name: "tollgate_sign_in",
    path: "/sign-in",
    same_site: SameSite::Lax,
};

/// Those who are at the provider, by the state they come back with.
#[derive(Default)]
pub(super) struct Away(Mutex<HashMap<String, Sent>>);

struct Sent {
    begun: Begun,
    next: String,
    at: Duration,
}

impl Away {
    fn send(&self, begun: Begun, next: String, now: Duration) {
        let mut away = self.0.lock();
        away.retain(|_, one| now.saturating_sub(one.at) < LONGEST);
        make_room(&mut away, MAX_AWAY, |one| one.at);
        let state = begun.state.clone();
        away.insert(
            state,
            Sent {
                begun,
                next,
                at: now,
            },
        );
    }

    /// Whoever was sent with this state, once.
    fn back(&self, state: &str, now: Duration) -> Option<Sent> {
        let sent = self.0.lock().remove(state)?;
        (now.saturating_sub(sent.at) < LONGEST).then_some(sent)
    }
}

/// Where the button leads.
pub(super) fn address(next: &str) -> String {
    format!("{PATH}?next={}", utf8_percent_encode(next, UNRESERVED))
}

pub(super) async fn begin(
    State(dashboard): State<Dashboard>,
    axum::Extension(Peer(peer)): axum::Extension<Peer>,
    Query(Wanted { next }): Query<Wanted>,
    headers: HeaderMap,
) -> Shown {
    let Some(sign_on) = dashboard.admin.sign_on.clone() else {
        return Ok(Redirect::to(super::sign_in::PATH).into_response());
    };
    let limits = &dashboard.admin.limits;
    let visitor = client_ip(peer, &headers, &limits.forwarding.trusted_proxies);
    if let Err(answer) = limits.guard.sign_in(visitor).await {
        return Ok(too_many(&dashboard, &next, &answer));
    }
    let (url, begun) = match sign_on.provider.begin().await {
        Ok(begun) => begun,
        Err(error) => return Ok(failed(&dashboard, &next, &error)),
    };
    let cookie = STATE.set(&begun.state, LONGEST, sign_on.over_tls);
    let now = dashboard.now();
    dashboard.away.send(begun, own(&next).to_owned(), now);
    let mut response = Redirect::to(url.as_str()).into_response();
    response.headers_mut().extend(cookie);
    // Whoever goes there again needs another state.
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

/// What the provider has sent back.
#[derive(Deserialize)]
pub(super) struct Back {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

pub(super) async fn back(
    State(dashboard): State<Dashboard>,
    Query(back): Query<Back>,
    headers: HeaderMap,
) -> Shown {
    let Some(sign_on) = dashboard.admin.sign_on.clone() else {
        return Ok(Redirect::to(super::sign_in::PATH).into_response());
    };
    let mine = STATE.find(&headers) == Some(&*back.state);
    let now = dashboard.now();
    let sent = mine.then(|| dashboard.away.back(&back.state, now));
    let Some(sent) = sent.flatten() else {
        let text = "This sign-in was not begun in this browser, or too long ago. Begin it again.";
        return Ok(page(&dashboard, StatusCode::BAD_REQUEST, "/", Some(text)));
    };
    if !back.error.is_empty() || back.code.is_empty() {
        let said = match &*back.error_description {
            "" => &back.error,
            description => description,
        };
        tracing::info!(error = back.error, "the provider let somebody not sign in");
        let why = format!("the provider said: {said}");
        dashboard.refused(Actor::Nobody, "", why).await?;
        let text = format!("{} said: {said}", sign_on.name);
        let status = StatusCode::UNAUTHORIZED;
        return Ok(page(&dashboard, status, &sent.next, Some(&text)));
    }
    let person = match sign_on.provider.finish(sent.begun, back.code).await {
        Ok(person) => person,
        Err(error) => {
            dashboard
                .refused(Actor::Nobody, "", error.to_string())
                .await?;
            return Ok(failed(&dashboard, &sent.next, &error));
        }
    };
    enter(&dashboard, &sign_on, &headers, &person, &sent.next).await
}

/// Lets a person in who may do anything here.
async fn enter(
    dashboard: &Dashboard,
    sign_on: &SignOn,
    headers: &HeaderMap,
    person: &Person,
    next: &str,
) -> Shown {
    let refused = async |text: &str| {
        tracing::info!(subject = person.subject, name = person.name, "{text}");
        let who = Actor::Person {
            id: String::new(),
            name: person.name.clone(),
            subject: person.subject.clone(),
        };
        dashboard.refused(who, "", text.to_owned()).await?;
        Ok(page(dashboard, StatusCode::FORBIDDEN, next, Some(text)))
    };
    if person.scopes.is_empty() {
        let text = format!(
            "{} may do nothing here. Whoever runs this server can change that: admin.oidc.grants.",
            person.name
        );
        return refused(&text).await;
    }
    let keys = &dashboard.admin.keys;
    let key = keys.of_person(&person.subject, &person.name, person.scopes);
    let key = key.await.map_err(Problem::from)?;
    match keys.still_active(&key.id).await {
        Ok(_) => (),
        Err(AuthError::Store(error)) => return Err(Problem::from(error).into()),
        Err(error) => {
            return refused(&format!("{} is not let in: {error}.", person.name)).await;
        }
    }
    let cookie = dashboard.begin(&key, headers, sign_on.over_tls).await?;
    tracing::info!(key = %key.id, subject = person.subject, "signed in");
    // The cookie of a session is sent from our own pages only, and a redirect from the provider is none: this page is.
    let next = own(next);
    let body = html! {
        h1 { "Signed in" }
        p { a href=(next) { "Go on" } }
    };
    let mut response = layout::outside(StatusCode::OK, "Signed in", &body);
    response.headers_mut().extend([cookie]);
    let refresh = HeaderValue::from_str(&format!("0; url={next}"));
    let refresh = refresh.unwrap_or_else(|_| HeaderValue::from_static("0; url=/"));
    response.headers_mut().insert(REFRESH, refresh);
    Ok(response)
}

fn failed(dashboard: &Dashboard, next: &str, error: &SignInError) -> Response {
    tracing::warn!(%error, "somebody could not sign in at the provider");
    let (status, text) = match error {
        SignInError::Provider(_) => (
            StatusCode::BAD_GATEWAY,
            "The provider does not answer as it should. Try again in a while; the log of the server has more.",
        ),
        SignInError::Proof(_) => (
            StatusCode::UNAUTHORIZED,
            "What the provider said is not accepted. The log of the server has more.",
        ),
    };
    page(dashboard, status, next, Some(text))
}

impl Dashboard {
    fn now(&self) -> Duration {
        self.admin.service.parts().clock.monotonic()
    }
}
