//! Policies: what they decide, what they say, and what they would say to a request.

pub(super) mod edit;
pub(super) mod list;
pub(super) mod probe;
pub(super) use list::read;
