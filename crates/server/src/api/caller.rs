//! Who sent a request, and what they may do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use tollgate_access::{ApiKey, Scope};
use tollgate_audit::Actor;
use tollgate_links::{Domain, LinkError, LinkKey, LinkService};

use crate::admin::AdminState;
use crate::limits::headers::over;
use crate::problem::{Kind, Problem};

/// The key a request came with. The request is counted.
pub(crate) struct Caller {
    key: Arc<ApiKey>,
}

impl FromRequestParts<AdminState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        let caller = Self::from_parts(parts, state).await?;
        caller.counted(state).await
    }
}

/// Whose request it is, where this process has found that out before: put into the extensions of
/// a request by the dashboard. Nothing that comes from outside can.
#[derive(Clone)]
pub(crate) struct SignedIn(pub(crate) Arc<ApiKey>);

/// The key of a request that is not counted: a question to the limit service.
pub(crate) struct Asker(pub(crate) Caller);

impl FromRequestParts<AdminState> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        Caller::from_parts(parts, state).await.map(Self)
    }
}

/// The token of a bearer header (RFC 6750); the scheme's case does not matter.
fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

impl Caller {
    /// Who has signed in, or whose key is in `Authorization`.
    async fn from_parts(parts: &Parts, state: &AdminState) -> Result<Self, Problem> {
        match parts.extensions.get::<SignedIn>() {
            // Its identifier is in the span since the dashboard found it.
            Some(SignedIn(key)) => Ok(Self {
                key: Arc::clone(key),
            }),
            None => Self::from_headers(&parts.headers, state).await,
        }
    }

    /// Whose key is in `Authorization`.
    pub(crate) async fn from_headers(
        headers: &HeaderMap,
        state: &AdminState,
    ) -> Result<Self, Problem> {
        const MISSING: &str = r#"Bearer realm="tollgate""#;
        let header = headers.get(AUTHORIZATION);
        let secret = header.and_then(bearer).ok_or_else(|| {
            Problem::unauthorized("Send the header Authorization: Bearer tg_…", MISSING)
        })?;
        Self::of(secret, state).await
    }

    /// Whose key this is.
    pub(crate) async fn of(secret: &str, state: &AdminState) -> Result<Self, Problem> {
        let key = state.keys.authenticate(secret).await?;
        tracing::Span::current().record("key", key.id.as_str());
        Ok(Self { key })
    }

    /// Whose key this is, wherever it came from. The request is counted.
    pub(crate) async fn admitted(secret: &str, state: &AdminState) -> Result<Self, Problem> {
        Self::of(secret, state).await?.counted(state).await
    }

    /// Counts a request, and refuses it if there are too many.
    async fn counted(self, state: &AdminState) -> Result<Self, Problem> {
        let admitted = state.limits.guard.api_key(self.id()).await;
        admitted.map_err(|answer| over(&answer))?;
        Ok(self)
    }

    /// Refuses a caller that makes links too often.
    pub(crate) async fn may_create(&self, state: &AdminState) -> Result<(), Problem> {
        let admitted = state.limits.guard.create(self.id()).await;
        admitted.map_err(|answer| over(&answer))
    }

    /// This caller, as the audit log names them.
    pub(crate) fn actor(&self) -> Actor {
        crate::audit::actor(&self.key)
    }

    /// The name under which this caller's work is recorded.
    pub(crate) fn id(&self) -> &str {
        self.key.id.as_str()
    }

    /// Refuses a caller whose key lacks `scope`.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.key.scopes.allow(scope) {
            return Ok(());
        }
        let challenge =
            format!(r#"Bearer realm="tollgate", error="insufficient_scope", scope="{scope}""#);
        let problem = Problem::wrong(
            Kind::MissingScope,
            "scope",
            format!("this needs the scope {scope}, which the key does not have"),
        );
        // Names of scopes are plain ASCII, so the header is always there.
        Err(match HeaderValue::from_str(&challenge) {
            Ok(value) => problem.header(WWW_AUTHENTICATE, value),
            Err(_) => problem,
        })
    }

    /// Refuses a caller whose key is bound to another domain.
    pub(crate) fn enter(&self, domain: &Domain) -> Result<(), Problem> {
        if self.key.may_use(domain) {
            return Ok(());
        }
        let own = match &self.key.domain {
            Some(own) if !own.is_default() => format!("links of {own}"),
            _ => "links of the default domain".to_owned(),
        };
        let reason = format!("the key may touch {own} only");
        Err(Problem::wrong(Kind::ForeignDomain, "domain", reason))
    }

    /// The only domain this caller may touch.
    pub(crate) fn own_domain(&self) -> Option<&Domain> {
        self.key.domain.as_ref()
    }

    /// Refuses a caller whose key is bound to a domain: what is asked for belongs to all.
    pub(crate) fn all_domains(&self) -> Result<(), Problem> {
        match self.own_domain() {
            None => Ok(()),
            Some(_) => {
                let reason = "this needs a key that is bound to no domain";
                Err(Problem::wrong(Kind::ForeignDomain, "domain", reason))
            }
        }
    }

    /// The domain this caller means by naming none.
    pub(crate) fn home(&self) -> Option<&str> {
        self.own_domain()
            .filter(|own| !own.is_default())
            .map(Domain::as_str)
    }

    /// The link a path and a `domain` parameter name.
    pub(crate) fn link(
        &self,
        service: &LinkService,
        domain: Option<&str>,
        code: &str,
    ) -> Result<LinkKey, Problem> {
        let key = service
            .key(domain.or(self.home()), code)
            .map_err(|error| match error {
                LinkError::Invalid(errors) => unnamed(&errors),
                other => other.into(),
            })?;
        self.enter(&key.domain)?;
        Ok(key)
    }
}

/// What cannot be a code names no link; what is no domain of ours is a mistake in the query.
fn unnamed(errors: &[tollgate_links::FieldError]) -> Problem {
    match errors.iter().find(|error| error.field == "domain") {
        Some(error) => Problem::wrong(Kind::InvalidQuery, "domain", &error.reason),
        None => {
            let reasons: Vec<&str> = errors.iter().map(|error| &*error.reason).collect();
            Problem::no_such_link(reasons.join("; "))
        }
    }
}
