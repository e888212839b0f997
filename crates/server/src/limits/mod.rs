//! The limit service behind its front ends: where policies come from, what a forwarded request
//! counts by, and what clients are told.

mod book;
mod collector;
mod forward;
pub(crate) mod headers;

pub use book::{BookError, Origin, PolicyBook, PolicySources};
pub use forward::{Attribute, Forwarding};

pub(crate) use book::{Kept, PutError};
pub(crate) use collector::LimitsCollector;
