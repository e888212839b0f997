//! The webhooks as the API sees them.

use std::sync::Arc;

use tollgate_webhooks::{Dispatcher, Outbox};

/// Where webhooks are kept, and what sends their messages.
#[derive(Clone)]
pub struct Webhooks {
    /// Subscriptions and messages.
    pub outbox: Arc<Outbox>,
    /// It is woken when somebody waits for a message.
    pub dispatcher: Arc<Dispatcher>,
}
