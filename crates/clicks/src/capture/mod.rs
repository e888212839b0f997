//! From a request to a record in a queue, on the thread that answers it: no wait, no lock that
//! anybody else takes, no allocation.

mod campaign;
mod privacy;
mod queue;
mod record;

use std::net::IpAddr;

use tollgate_clock::UnixMillis;

use crate::ClickKind;

pub use privacy::{Addresses, Privacy};
pub use queue::{Capture, CaptureStats, ClickQueue};

pub(crate) use campaign::parameters as campaign_parameters;
pub(crate) use record::{
    MAX_CAMPAIGN, MAX_RECORD, MAX_REFERRER, MAX_USER_AGENT, decode, next as next_record,
};

/// A request for a code, as the edge saw it: raw, and borrowed from the request.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// When it was answered.
    pub at: UnixMillis,
    /// Whether there was a link to follow.
    pub kind: ClickKind,
    /// The domain of the link; empty for the default one.
    pub domain: &'a str,
    /// The code.
    pub code: &'a str,
    /// Who sent it.
    pub address: IpAddr,
    /// `Referer`.
    pub referrer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Accept-Language`.
    pub language: Option<&'a [u8]>,
    /// The query of the request.
    pub query: Option<&'a str>,
    /// Where it was sent, if it was.
    pub target: Option<&'a str>,
    /// Whether the visitor asks not to be tracked.
    pub objects: bool,
}
