//! Webhooks: who wants to be told of what, the messages that wait, signing and sending them.
//!
//! Messages follow [Standard Webhooks](https://www.standardwebhooks.com): a body
//! `{"type", "timestamp", "data"}` and the headers `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`. An event is written to the [`Outbox`] together with the position up to which events
//! were looked for; so each is sent at least once, also after a crash, under an identifier that stays
//! the same.

mod address;
mod dispatch;
mod event;
mod outbox;
mod schedule;
mod send;
mod signature;
mod subscription;

pub use address::{AddressRules, is_public};
pub use dispatch::{DispatchStats, Dispatcher};
pub use event::{Event, EventKind, UnknownEvent};
pub use outbox::{Delivery, DeliveryPage, DeliveryState, Outbox, Passed, Queued, Waiting};
pub use schedule::{ATTEMPTS, retry_after};
pub use send::{Lookup, SendError, Sender, SystemLookup};
pub use signature::{SecretError, SigningSecret};
pub use subscription::{Draft, DraftError, Subscription};
pub use tollgate_sqlite::Error as OutboxError;
