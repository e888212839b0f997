//! The audit log: who changed what, when and from where. Entries are durable before whoever asked for the
//! change is answered, and each can hold the hash of the one before, so that nobody takes one out or edits
//! it unnoticed.

mod action;
mod chain;
mod entry;
mod query;
mod store;

pub use action::{Action, Group, UnknownAction};
pub use chain::{Broken, Head, Verified, VerifyError, verify, verify_export};
pub use entry::{Actor, Entry, MAX_TEXT_BYTES, Origin, Outcome, UnknownOutcome, Via};
pub use query::{Numbered, Page, Query, Recorded};
pub use store::{AuditLog, AuditOptions, Tidied};
pub use tollgate_sqlite::Error;
