use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use tollgate_clock::UnixMillis;

use crate::{Code, Domain, Rule, Tag, TargetUrl};

/// What names a link: the host it lives on and the code after the slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey {
    /// The host.
    pub domain: Domain,
    /// The code on that host.
    pub code: Code,
}

/// A link as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub key: LinkKey,
    /// What its owner chose, and may edit.
    pub spec: LinkSpec,
    /// Where its code came from.
    pub origin: Origin,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last edited.
    pub updated_at: UnixMillis,
    /// Who made it: the identifier of an API key.
    pub created_by: String,
    /// 1 when made, plus 1 with each edit; the entity tag of the API.
    pub version: u64,
    /// Clicks taken so far, counted exactly and only while `max_clicks` is set.
    pub clicks_used: u64,
}

/// The part of a link its owner chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSpec {
    /// Where it leads when no rule fits.
    pub target: TargetUrl,
    /// From when on it can be used.
    pub starts_at: Option<UnixMillis>,
    /// From when on it is gone.
    pub expires_at: Option<UnixMillis>,
    /// After how many clicks it is gone.
    pub max_clicks: Option<NonZeroU64>,
    /// The redirect's status; `None` takes the configured default at the time of the redirect.
    pub redirect: Option<RedirectKind>,
    /// Asked for before the redirect.
    pub password: Option<PasswordHash>,
    /// Sorted, without duplicates.
    pub tags: Vec<Tag>,
    /// For people; shown on the preview page.
    pub title: Option<String>,
    /// Whether the request's query is merged into the target's.
    pub forward_query: bool,
    /// Other targets for some visitors, tried in order.
    pub rules: Vec<Rule>,
}

/// What a link is good for at a given moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// `starts_at` is still to come.
    Pending,
    /// It redirects.
    Live,
    /// `expires_at` has passed.
    Expired,
    /// `max_clicks` are taken.
    UsedUp,
}

/// The redirect statuses a link may answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum RedirectKind {
    /// 301: browsers and proxies remember it, so later clicks are not seen.
    MovedPermanently,
    /// 302: every click is seen.
    Found,
    /// 307: as 302, and the method stays.
    Temporary,
    /// 308: as 301, and the method stays.
    Permanent,
}

/// Where a link's code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Chosen by the user.
    Alias,
    /// A leased counter block and a keyed bijection.
    Counter,
    /// A hash of the target.
    Hash,
    /// Time, worker and sequence.
    Snowflake,
    /// Made ahead, popped when needed.
    Pool,
    /// The operating system's randomness.
    Random,
}

/// An argon2id hash in PHC string form. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

impl Link {
    /// Whether all clicks that it is good for are taken.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        let max = self.spec.max_clicks;
        max.is_some_and(|max| self.clicks_used >= max.get())
    }

    /// Whether it can be answered instead of a new link with this spec on this domain.
    pub(crate) fn is_as_good_as(&self, domain: &Domain, spec: &LinkSpec, now: UnixMillis) -> bool {
        self.key.domain == *domain
            && self.spec == *spec
            && !matches!(self.state(now), LinkState::Expired | LinkState::UsedUp)
    }

    /// What the link is good for at `now`.
    #[must_use]
    pub fn state(&self, now: UnixMillis) -> LinkState {
        let spec = &self.spec;
        if spec.expires_at.is_some_and(|at| at <= now) {
            LinkState::Expired
        } else if self.is_used_up() {
            LinkState::UsedUp
        } else if spec.starts_at.is_some_and(|at| at > now) {
            LinkState::Pending
        } else {
            LinkState::Live
        }
    }
}

impl LinkSpec {
    /// A link to `target` with nothing else chosen.
    #[must_use]
    pub fn to(target: TargetUrl) -> Self {
        Self {
            target,
            starts_at: None,
            expires_at: None,
            max_clicks: None,
            redirect: None,
            password: None,
            tags: Vec::new(),
            title: None,
            forward_query: false,
            rules: Vec::new(),
        }
    }
}

impl RedirectKind {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MovedPermanently => 301,
            Self::Found => 302,
            Self::Temporary => 307,
            Self::Permanent => 308,
        }
    }
}

impl From<RedirectKind> for u16 {
    fn from(kind: RedirectKind) -> Self {
        kind.status()
    }
}

impl TryFrom<u16> for RedirectKind {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, Self::Error> {
        match status {
            301 => Ok(Self::MovedPermanently),
            302 => Ok(Self::Found),
            307 => Ok(Self::Temporary),
            308 => Ok(Self::Permanent),
            other => Err(format!(
                "redirect is one of 301, 302, 307 and 308, not {other}"
            )),
        }
    }
}

impl Origin {
    /// The name used in stores, the API and the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alias => "alias",
            Self::Counter => "counter",
            Self::Hash => "hash",
            Self::Snowflake => "snowflake",
            Self::Pool => "pool",
            Self::Random => "random",
        }
    }
}

impl PasswordHash {
    /// From a PHC string.
    #[must_use]
    pub fn from_phc(phc: impl Into<Box<str>>) -> Self {
        Self(phc.into())
    }

    /// The PHC string, for the store and the verifier only.
    #[must_use]
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.domain.is_default() {
            write!(f, "/{}", self.code)
        } else {
            write!(f, "{}/{}", self.domain, self.code)
        }
    }
}
