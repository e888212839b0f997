//! How a link is shown: by the API, in exports and on the command line.

use serde::{Deserialize, Serialize};
use tollgate_clock::UnixMillis;

use crate::{Domains, Link, LinkState, Origin, Rule};

/// A link as the API shows it. Never holds the password, and its hash only where an administrator asks
/// for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkView {
    /// The part after the slash.
    pub code: String,
    /// The host it lives on; absent for the default domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The whole short link.
    pub short_url: String,
    /// Where it leads.
    pub url: String,
    /// What it is good for now.
    pub state: LinkState,
    /// From when on it can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub starts_at: Option<UnixMillis>,
    /// From when on it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<UnixMillis>,
    /// After how many clicks it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_clicks: Option<u64>,
    /// Clicks taken so far; present with `max_clicks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clicks_used: Option<u64>,
    /// The redirect's status where one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<u16>,
    /// Whether a password is asked for.
    pub has_password: bool,
    /// The hash of the password, as a PHC string; present only if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether the request's query is merged into the target's.
    pub forward_query: bool,
    /// Other targets for some visitors.
    pub rules: Vec<Rule>,
    /// Where the code came from.
    pub origin: Origin,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: UnixMillis,
    /// When it was last edited.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: UnixMillis,
    /// The identifier of the API key that made it.
    pub created_by: String,
    /// Grows by 1 with each edit; the entity tag is made of it.
    pub version: u64,
}

impl LinkView {
    /// Shows `link` as it is at `now`.
    #[must_use]
    pub fn of(link: &Link, domains: &Domains, now: UnixMillis) -> Self {
        let spec = &link.spec;
        let domain = &link.key.domain;
        Self {
            code: link.key.code.to_string(),
            domain: (!domain.is_default()).then(|| domain.to_string()),
            short_url: domains.short_url(&link.key),
            url: spec.target.to_string(),
            state: link.state(now),
            starts_at: spec.starts_at,
            expires_at: spec.expires_at,
            max_clicks: spec.max_clicks.map(Into::into),
            clicks_used: spec.max_clicks.map(|_| link.clicks_used),
            redirect: spec.redirect.map(Into::into),
            has_password: spec.password.is_some(),
            password_hash: None,
            tags: spec.tags.iter().map(ToString::to_string).collect(),
            title: spec.title.clone(),
            forward_query: spec.forward_query,
            rules: spec.rules.clone(),
            origin: link.origin,
            created_at: link.created_at,
            updated_at: link.updated_at,
            created_by: link.created_by.clone(),
            version: link.version,
        }
    }

    /// The same with the hash of the password, which is for exports alone.
    #[must_use]
    pub fn with_password_hash(self, link: &Link) -> Self {
        let hash = link.spec.password.as_ref();
        Self {
            password_hash: hash.map(|hash| hash.as_phc().to_owned()),
            ..self
        }
    }
}
