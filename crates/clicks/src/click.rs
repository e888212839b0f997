use std::net::IpAddr;

use smol_str::SmolStr;
use tollgate_clock::UnixMillis;

use crate::Snippet;

/// What tells one click from all others: 64 random bits of the process that took it, and its number
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClickId {
    /// Drawn when the process starts.
    pub process: u64,
    /// Counts up in the process.
    pub number: u64,
}

/// Whether there was a link to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClickKind {
    /// The visitor was redirected.
    Visit,
    /// The code does not exist: an orphan visit.
    Orphan,
}

/// What is kept of a visitor's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// The first address of its network: 24 bits of IPv4, 48 bits of IPv6.
    Truncated(IpAddr),
    /// All of it, which has to be asked for by configuration.
    Full(IpAddr),
}

/// One request for a code, as the edge saw it. Texts are cut to lengths that a record can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    /// Its name.
    pub id: ClickId,
    /// When it was answered.
    pub at: UnixMillis,
    /// The domain of the link, as its key names it: empty for the default one.
    pub domain: SmolStr,
    /// The code as the link has it; of an orphan, what was asked for, in the form codes have.
    pub code: SmolStr,
    /// Whether the code exists.
    pub kind: ClickKind,
    /// `Referer`.
    pub referrer: Option<Snippet>,
    /// `User-Agent`.
    pub user_agent: Option<Snippet>,
    /// `Accept-Language`.
    pub language: Option<Snippet>,
    /// The `utm_` parameters of the request's query, or else of where it was sent, as a query: still
    /// encoded, the rest left out.
    pub campaign: Option<Snippet>,
    /// A hash of address and user agent, salted by the day: tells visitors of one day apart, and
    /// nothing else. None if the visitor asked not to be tracked, and that is respected.
    pub visitor: Option<u64>,
    /// Where the visitor comes from, for the country. None if nothing of it is kept.
    pub network: Option<Network>,
}
