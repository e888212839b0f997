//! Who sent a request to the dashboard, and whether it comes from one of its own pages.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use tollgate_access::{ApiKey, AuthError, Scope};
use tollgate_links::Domain;

use super::client::{ApiPath, Client, Refusal};
use super::cookie::{Cookie, SameSite};
use super::form::Fields;
use super::session::Session;
use super::show::Stats;
use super::{Dashboard, layout, sign_in};
use crate::api::body;
use crate::problem::Problem;

/// The cookie of a session.
pub(super) const SESSION: Cookie = Cookie {
    name: "tollgate_session",
    path: "/",
    same_site: SameSite::Strict,
};
/// The field in which each form sends the token of its session.
pub(super) const CSRF_FIELD: &str = "csrf";

const FORM: &str = "application/x-www-form-urlencoded";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// A person who is signed in.
pub(super) struct Visitor {
    pub(super) dashboard: Dashboard,
    pub(super) session: Session,
    pub(super) client: Client,
}

/// A form that a person who is signed in has sent from a page of the dashboard.
pub(super) struct Posted {
    pub(super) visitor: Visitor,
    pub(super) fields: Fields,
}

/// An answer instead of the one that was asked for.
#[derive(Debug)]
pub(super) struct Failure(Box<Response>);

impl From<Response> for Failure {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        problem.into_response().into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// What a page answers.
pub(super) type Shown = Result<Response, Failure>;

impl FromRequestParts<Dashboard> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        dashboard: &Dashboard,
    ) -> Result<Self, Self::Rejection> {
        let Some(session) = dashboard.session(&parts.headers) else {
            return Err(to_sign_in(parts));
        };
        let key = match dashboard.admin.keys.still_active(&session.key).await {
            Ok(key) => key,
            Err(AuthError::Store(error)) => return Err(Problem::from(error).into()),
            Err(AuthError::Unknown | AuthError::Revoked(_) | AuthError::Expired(_)) => {
                dashboard.sessions.end(session.id);
                return Err(to_sign_in(parts));
            }
        };
        tracing::Span::current().record("key", key.id.as_str());
        let client = Client {
            router: dashboard.api.clone(),
            key: Arc::new(key),
        };
        Ok(Self {
            dashboard: dashboard.clone(),
            session,
            client,
        })
    }
}

impl FromRequest<Dashboard> for Posted {
    type Rejection = Failure;

    async fn from_request(request: Request, dashboard: &Dashboard) -> Result<Self, Failure> {
        own_page(request.headers())?;
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, dashboard).await?;
        let request = Request::from_parts(parts, body);
        let fields = fields(request, dashboard).await?;
        if !visitor.session.csrf.is(fields.raw(CSRF_FIELD)) {
            return Err(forged());
        }
        Ok(Self { visitor, fields })
    }
}

/// The fields of a form, whoever sent it.
pub(super) async fn fields(request: Request, dashboard: &Dashboard) -> Result<Fields, Failure> {
    if !body::is_media(request.headers(), &[FORM]) {
        let accept = HeaderName::from_static("accept-post");
        return Err(body::unsupported(&[FORM], accept).into());
    }
    let body = body::read(request, &dashboard.admin).await?;
    Ok(Fields::parse(&body))
}

/// Refuses what a page of somebody else made the browser send.
pub(super) fn own_page(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| headers.get(name).map(HeaderValue::as_bytes);
    let own = match (text(SEC_FETCH_SITE), text(ORIGIN)) {
        (Some(site), _) => matches!(site, b"same-origin" | b"none"),
        // Browsers that do not say it in this way say it in that.
        (None, Some(origin)) => {
            let host = text(HOST).unwrap_or_default();
            let from = origin
                .strip_prefix(b"https://")
                .or_else(|| origin.strip_prefix(b"http://"));
            from.is_some_and(|from| !host.is_empty() && from.eq_ignore_ascii_case(host))
        }
        (None, None) => true,
    };
    if own { Ok(()) } else { Err(forged()) }
}

fn forged() -> Failure {
    let text = "This form was not sent by a page of your session. Open the page again, and send it from there.";
    layout::bare(StatusCode::FORBIDDEN, "Not sent by this dashboard", text).into()
}

impl Dashboard {
    /// The session whose cookie came along, if it has not ended.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<Session> {
        self.sessions.find(SESSION.find(headers)?)
    }
}

fn to_sign_in(parts: &Parts) -> Failure {
    // A part of a page cannot be replaced by the form: the whole page goes there.
    if parts.headers.contains_key(HX_REQUEST) {
        let mut response = StatusCode::OK.into_response();
        let address = HeaderValue::from_static(sign_in::PATH);
        response.headers_mut().insert(HX_REDIRECT, address);
        return response.into();
    }
    let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let reading = parts.method == http::Method::GET;
    let address = sign_in::address(if reading { wanted } else { "/" });
    Redirect::to(&address).into_response().into()
}

impl Visitor {
    pub(super) fn key(&self) -> &ApiKey {
        &self.client.key
    }

    /// The domains that the key is good for; the default one first.
    pub(super) fn domains(&self) -> Vec<Domain> {
        let mut domains = self.dashboard.admin.service.parts().domains.all();
        domains.retain(|domain| self.key().may_use(domain));
        domains
    }

    pub(super) fn may(&self, scope: Scope) -> bool {
        self.key().scopes.allow(scope)
    }

    /// What the page needs of the API.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: ApiPath) -> Result<T, Failure> {
        self.granted(self.client.get(path).await)
    }

    /// What came of asking the API, or a page that says why it refused.
    pub(super) fn granted<T>(&self, done: Result<T, Refusal>) -> Result<T, Failure> {
        done.map_err(|refusal| self.refused(&refusal))
    }

    /// Whether there are clicks, and the key may see them.
    pub(super) fn sees_clicks(&self) -> bool {
        self.may(Scope::StatsRead) && self.dashboard.admin.clicks.is_some()
    }

    /// Clicks of the last 30 days by the values of a dimension, of those that were clicked most; none if
    /// they may not be seen.
    pub(super) async fn clicks_by(
        &self,
        dimension: &str,
    ) -> Result<Option<HashMap<String, u64>>, Failure> {
        if !self.sees_clicks() {
            return Ok(None);
        }
        let path = ApiPath::new(["stats"])
            .with("by", dimension)
            .with("top", "1000");
        let mut stats: Stats = self.read(path).await?;
        let counted = stats.by.remove(dimension).unwrap_or_default();
        let counted = counted.into_iter().map(|one| (one.value, one.clicks));
        Ok(Some(counted.collect()))
    }

    /// Says on a page of its own why something is not done.
    pub(super) fn refused(&self, refusal: &Refusal) -> Failure {
        layout::refused(self, refusal).into()
    }

    /// Refuses what the key does not allow. The API would, too; this is for pages that show more
    /// than one of its answers.
    pub(super) fn require(&self, scope: Scope) -> Result<(), Failure> {
        if self.may(scope) {
            return Ok(());
        }
        Err(self.refused(&Refusal {
            status: 403,
            title: "The API key lacks a scope".to_owned(),
            detail: format!("This needs the scope {scope}. Sign in with a key that has it."),
            ..Refusal::default()
        }))
    }

    /// Goes to another page, which tells what was done.
    pub(super) fn done(&self, to: &str, notice: impl Into<String>) -> Response {
        self.dashboard.sessions.tell(self.session.id, notice.into());
        Redirect::to(to).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn forms_of_others_are_told_from_ours() {
        let own = |pairs: &[(&'static str, &str)]| own_page(&headers(pairs)).is_ok();
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[("sec-fetch-site", "none")]));
        assert!(!own(&[("sec-fetch-site", "same-site")]));
        assert!(!own(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://a"),
            ("host", "a")
        ]));
        assert!(own(&[("origin", "http://a:1"), ("host", "a:1")]));
        assert!(own(&[("origin", "https://A:1"), ("host", "a:1")]));
        assert!(!own(&[("origin", "http://a"), ("host", "a:1")]));
        assert!(!own(&[("origin", "null"), ("host", "a")]));
        assert!(!own(&[("origin", "http://")]));
        assert!(own(&[("host", "a")]), "programs say neither");
    }
}
