//! Who follows a link, as far as rules care, and where that leads.

use std::borrow::Cow;

use tollgate_clock::UnixMillis;

use crate::{LinkKey, LinkSpec};

/// What rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// The `User-Agent` header.
    pub user_agent: Option<&'a str>,
    /// The `Accept-Language` header.
    pub accept_language: Option<&'a str>,
    /// The request's raw query, without the question mark.
    pub query: Option<&'a str>,
    /// The same for the same visitor (a keyed hash of address and user agent): makes percentage
    /// splits sticky.
    pub hash: u64,
    /// When.
    pub now: UnixMillis,
}

impl LinkSpec {
    /// The URL this visitor is sent to: the first rule that fits, or the target; with the
    /// request's query merged in if the link wants that. `key` keeps the splits of different links
    /// independent of each other.
    #[must_use]
    pub fn destination(&self, key: &LinkKey, visitor: &Visitor<'_>) -> Cow<'_, str> {
        todo!()
    }
}
