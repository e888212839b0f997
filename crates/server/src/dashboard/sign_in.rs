//! Signing in with an API key, and out.

use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use maud::html;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde_json::json;
use tollgate_access::{ApiKey, AuthError};
use tollgate_audit::{Action, Actor, Outcome};
use tollgate_links::UNRESERVED;

use super::session::LONGEST;
use super::visitor::{Failure, Posted, SESSION, Shown, fields, own_page};
use super::{Dashboard, layout, single_sign_on};
use crate::admin::Peer;
use crate::audit::{self, Change};
use crate::client_ip::client_ip;
use crate::limits::headers::told;
use crate::problem::Problem;
use tollgate_limit::service::CheckAnswer;

pub(super) const PATH: &str = "/sign-in";
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    pub(super) next: String,
}

/// The page to sign in on, which leads back to `next`.
pub(super) fn address(next: &str) -> String {
    match next {
        "/" => PATH.to_owned(),
        next => format!("{PATH}?next={}", utf8_percent_encode(next, UNRESERVED)),
    }
}

/// A page of the dashboard, and of nobody else.
pub(super) fn own(next: &str) -> &str {
    let path = next.strip_prefix('/');
    // Browsers take `//host` and `/\host` for other hosts, and leave out control characters.
    let elsewhere = |path: &str| path.starts_with(['/', '\\']) || path.contains(char::is_control);
    match path {
        Some(path) if !elsewhere(path) => next,
        _ => "/",
    }
}

pub(super) async fn form(
    State(dashboard): State<Dashboard>,
    Query(Wanted { next }): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    if dashboard.session(&headers).is_some() {
        return Redirect::to(own(&next)).into_response();
    }
    page(&dashboard, StatusCode::OK, &next, None)
}

/// What somebody sees who has tried too often.
pub(super) fn too_many(dashboard: &Dashboard, next: &str, answer: &CheckAnswer) -> Response {
    let text = "There were too many tries from your address. Wait a minute, then try again.";
    let mut response = page(dashboard, StatusCode::TOO_MANY_REQUESTS, next, Some(text));
    response.headers_mut().extend(told(answer));
    response
}

pub(super) fn page(
    dashboard: &Dashboard,
    status: StatusCode,
    next: &str,
    wrong: Option<&str>,
) -> Response {
    let sign_on = dashboard.admin.sign_on.as_ref();
    let body = html! {
        h1 { "Sign in" }
        @if let Some(sign_on) = sign_on {
            p { a.button.primary href=(single_sign_on::address(own(next))) { "Sign in with " (sign_on.name) } }
        }
        p { "Use an API key. What you see and may do is what the key allows." }
        form.card method="post" action=(PATH) {
            @if let Some(wrong) = wrong {
                div.alert role="alert" id="key-error" { (wrong) }
            }
            input type="hidden" name="next" value=(own(next));
            div.field {
                label for="key" { "API key" }
                input #key name="key" type="password" required autofocus autocomplete="current-password"
                    spellcheck="false" placeholder="tg_…" aria-describedby="key-hint"
                    aria-invalid=[wrong.map(|_| "true")];
                p.hint #key-hint {
                    "The first key was printed when the server started for the first time. "
                    "A lost one is replaced on the machine itself, by " code { "tollgate key create admin --scopes admin" } "."
                }
            }
            button.primary { "Sign in" }
        }
    };
    layout::outside(status, "Sign in", &body)
}

pub(super) async fn sign_in(
    State(dashboard): State<Dashboard>,
    axum::Extension(Peer(peer)): axum::Extension<Peer>,
    request: Request,
) -> Shown {
    let headers = request.headers().clone();
    own_page(&headers)?;
    let fields = fields(request, &dashboard).await?;
    let limits = &dashboard.admin.limits;
    let visitor = client_ip(peer, &headers, &limits.forwarding.trusted_proxies);
    if let Err(answer) = limits.guard.sign_in(visitor).await {
        return Ok(too_many(&dashboard, fields.raw("next"), &answer));
    }
    let key = match dashboard.admin.keys.authenticate(fields.text("key")).await {
        Ok(key) => key,
        Err(tollgate_access::AuthError::Store(error)) => return Err(Problem::from(error).into()),
        Err(error) => {
            tracing::info!(%visitor, "somebody could not sign in");
            dashboard.not_begun(Actor::Nobody, &error).await?;
            let text = format!("This key is not accepted: {error}.");
            let next = fields.raw("next");
            let status = StatusCode::UNAUTHORIZED;
            return Ok(page(&dashboard, status, next, Some(&text)));
        }
    };
    let cookie = dashboard.begin(&key, &headers, false).await?;
    tracing::info!(key = %key.id, %visitor, "signed in");
    let mut response = Redirect::to(own(fields.raw("next"))).into_response();
    response.headers_mut().extend([cookie]);
    Ok(response)
}

pub(super) async fn sign_out(headers: HeaderMap, posted: Posted) -> Shown {
    let visitor = posted.visitor;
    // Whatever becomes of the audit log: whoever leaves has left.
    visitor.dashboard.sessions.end(visitor.session.id);
    let admin = &visitor.dashboard.admin;
    let change = Change::new(visitor.key().id.as_str(), json!({}));
    let entry = admin.entry(audit::actor(visitor.key()), Action::SessionEnd, change);
    admin.write_down(entry).await?;
    let mut response = Redirect::to(PATH).into_response();
    let gone = SESSION.set("", Duration::ZERO, over_tls(&headers));
    response.headers_mut().extend(gone);
    Ok(response)
}

/// Whether the visitor came over TLS, which only a proxy in front speaks.
fn over_tls(headers: &HeaderMap) -> bool {
    headers
        .get(X_FORWARDED_PROTO)
        .is_some_and(|scheme| scheme == "https")
}

impl Dashboard {
    /// Writes down that somebody was not let in.
    pub(super) async fn not_begun(&self, who: Actor, why: &AuthError) -> Result<(), Failure> {
        let resource = match why {
            AuthError::Revoked(id) | AuthError::Expired(id) => id.as_str(),
            AuthError::Unknown | AuthError::Store(_) => "",
        };
        self.refused(who, resource, why.to_string()).await
    }

    /// Writes down that somebody was not let in.
    pub(super) async fn refused(
        &self,
        who: Actor,
        resource: &str,
        why: String,
    ) -> Result<(), Failure> {
        let change = Change::new(resource, json!({}));
        let mut entry = self.admin.entry(who, Action::SessionBegin, change);
        entry.result = Outcome::Refused;
        entry.reason = Some(why);
        Ok(self.admin.write_down(entry).await?)
    }

    /// Begins a session with a key, and answers its cookie.
    pub(super) async fn begin(
        &self,
        key: &ApiKey,
        headers: &HeaderMap,
        surely_over_tls: bool,
    ) -> Result<(HeaderName, HeaderValue), Failure> {
        // Whoever signs in anew leaves the session of before.
        if let Some(old) = self.session(headers) {
            self.sessions.end(old.id);
        }
        let change = Change::new(key.id.as_str(), json!({}));
        let actor = audit::actor(key);
        let entry = self.admin.entry(actor, Action::SessionBegin, change);
        self.admin.write_down(entry).await?;
        let token = self.sessions.begin(key.id.clone()).map_err(|error| {
            tracing::error!(%error, "a session cannot begin");
            Failure::from(Problem::internal())
        })?;
        let over_tls = surely_over_tls || over_tls(headers);
        let cookie = SESSION.set(token.expose(), LONGEST, over_tls);
        cookie.ok_or_else(|| Problem::internal().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_nowhere_else() {
        for inside in ["/", "/links?q=a", "/links/x%2Fy"] {
            assert_eq!(own(inside), inside);
        }
        for outside in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "evil",
            "/\t/evil.example",
        ] {
            assert_eq!(own(outside), "/", "{outside:?}");
        }
        assert_eq!(address("/"), "/sign-in");
        assert_eq!(address("/links?q=a"), "/sign-in?next=%2Flinks%3Fq%3Da");
    }
}
