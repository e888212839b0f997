//! A link as far as visitors need it.

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::SmallVec;
use tollgate_clock::UnixMillis;

use crate::visitor::forward;
use crate::{Link, LinkKey, LinkState, RedirectKind, Visitor};

/// Texts up to this length take no allocation: every redirect copies them out of the cache.
const INLINE_BYTES: usize = 128;

/// What the [cache](crate::LinkCache) knows of a link. It leaves out what only owners are shown: tags, origin, author,
/// times of edits.
#[derive(Debug, Clone)]
pub enum CachedLink {
    /// One without conditions on who follows it, and how often.
    Plain(PlainLink),
    /// Any other, and what was just read from the store.
    Whole(Arc<Link>),
}

/// A link that leads everybody to the same place until it expires: no rules, no password, no `max_clicks`, no
/// `starts_at`.
#[derive(Debug, Clone)]
pub struct PlainLink {
    /// The target, and behind it the title. Valid UTF-8, both of them.
    texts: SmallVec<[u8; INLINE_BYTES]>,
    target_bytes: usize,
    expires_at: Option<UnixMillis>,
    redirect: Option<RedirectKind>,
    forward_query: bool,
}

/// A [`PlainLink`] where it is kept. Its texts become texts when somebody asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlainParts<'a> {
    pub(crate) target: &'a [u8],
    pub(crate) title: &'a [u8],
    pub(crate) expires_at: Option<UnixMillis>,
    pub(crate) redirect: Option<RedirectKind>,
    pub(crate) forward_query: bool,
}

impl<'a> PlainParts<'a> {
    /// Of a link that is a plain one.
    pub(crate) fn of(link: &'a Link) -> Option<Self> {
        let spec = &link.spec;
        let plain = spec.rules.is_empty()
            && spec.password.is_none()
            && spec.max_clicks.is_none()
            && spec.starts_at.is_none();
        plain.then(|| Self {
            target: spec.target.as_str().as_bytes(),
            title: spec.title.as_deref().unwrap_or_default().as_bytes(),
            expires_at: spec.expires_at,
            redirect: spec.redirect,
            forward_query: spec.forward_query,
        })
    }
}

impl From<PlainParts<'_>> for PlainLink {
    fn from(parts: PlainParts<'_>) -> Self {
        let mut texts = SmallVec::from_slice(parts.target);
        texts.extend_from_slice(parts.title);
        Self {
            texts,
            target_bytes: parts.target.len(),
            expires_at: parts.expires_at,
            redirect: parts.redirect,
            forward_query: parts.forward_query,
        }
    }
}

impl PlainLink {
    fn text(&self, part: std::ops::Range<usize>) -> &str {
        // They were texts when they were put in.
        std::str::from_utf8(&self.texts[part]).unwrap_or_default()
    }
}

impl CachedLink {
    /// What the link is good for at `now`.
    #[must_use]
    pub fn state(&self, now: UnixMillis) -> LinkState {
        match self {
            Self::Plain(link) if link.expires_at.is_some_and(|at| at <= now) => LinkState::Expired,
            Self::Plain(_) => LinkState::Live,
            Self::Whole(link) => link.state(now),
        }
    }

    /// Where it leads when no rule fits.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Plain(link) => link.text(0..link.target_bytes),
            Self::Whole(link) => link.spec.target.as_str(),
        }
    }

    /// What people call it.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        match self {
            Self::Plain(link) => {
                let title = link.text(link.target_bytes..link.texts.len());
                (!title.is_empty()).then_some(title)
            }
            Self::Whole(link) => link.spec.title.as_deref(),
        }
    }

    /// Its own status of redirects.
    #[must_use]
    pub fn redirect(&self) -> Option<RedirectKind> {
        match self {
            Self::Plain(link) => link.redirect,
            Self::Whole(link) => link.spec.redirect,
        }
    }

    /// From when on it is gone.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        match self {
            Self::Plain(link) => link.expires_at,
            Self::Whole(link) => link.spec.expires_at,
        }
    }

    /// Whether some visitors are led elsewhere.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        self.whole().is_some_and(|link| !link.spec.rules.is_empty())
    }

    /// Whether a password has to be given.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.whole()
            .is_some_and(|link| link.spec.password.is_some())
    }

    /// Whether only so many visitors are led on.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.whole()
            .is_some_and(|link| link.spec.max_clicks.is_some())
    }

    /// The whole link, if it is at hand. It is for all that have a password, rules or `max_clicks`.
    #[must_use]
    pub fn whole(&self) -> Option<&Arc<Link>> {
        match self {
            Self::Plain(_) => None,
            Self::Whole(link) => Some(link),
        }
    }

    /// Whether it depends on the request where it leads.
    #[must_use]
    pub fn asks_who(&self) -> bool {
        let forwards = match self {
            Self::Plain(link) => link.forward_query,
            Self::Whole(link) => link.spec.forward_query,
        };
        forwards || self.has_rules()
    }

    /// Where this visitor is led, as [`LinkSpec::destination`](crate::LinkSpec::destination).
    #[must_use]
    pub fn destination(&self, key: &LinkKey, visitor: &Visitor<'_>) -> Cow<'_, str> {
        match self {
            Self::Plain(link) => forward::led_to(self.target(), link.forward_query, visitor),
            Self::Whole(link) => link.spec.destination(key, visitor),
        }
    }
}

impl From<Arc<Link>> for CachedLink {
    fn from(link: Arc<Link>) -> Self {
        Self::Whole(link)
    }
}
