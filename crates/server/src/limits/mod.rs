//! The limit service behind its front ends: where policies come from, what a request
//! counts by, and what clients are told.

mod audit;
mod book;
mod forward;
mod guard;
pub(crate) mod headers;
mod received;

pub use audit::{AuditGuard, AuditLog, AuditOptions};
pub use book::{BookError, ChangedText, PolicyBook, PolicySources, ReadSources};
pub use forward::Forwarding;
pub use guard::{BUILT_IN, Guard};
pub use tracing_appender::non_blocking::ErrorCounter;

use std::sync::Arc;

pub use tollgate_limit::attribute::Attribute;
use tollgate_limit::service::LimitService;

pub(crate) use book::{Origin, PutError};
pub(crate) use forward::Forwarded;
pub(crate) use received::Received;

/// The most descriptors in one request.
pub(crate) const MAX_DESCRIPTORS: usize = 100;
/// The most entries of one descriptor.
pub(crate) const MAX_ENTRIES: usize = 32;
/// The longest key or value, in bytes.
pub(crate) const MAX_ENTRY_BYTES: usize = 4096;

/// What the front ends of the limit service work with.
#[derive(Clone)]
pub struct Limits {
    /// What decides.
    pub service: Arc<LimitService>,
    /// What guards the API itself.
    pub guard: Guard,
    /// Where its policies come from.
    pub book: Arc<PolicyBook>,
    /// How forwarded requests are counted.
    pub forwarding: Arc<Forwarding>,
}
