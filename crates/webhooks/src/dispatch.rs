//! Sends what waits, and again what was not accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tollgate_clock::Clock;

use crate::outbox::Sent;
use crate::{Outbox, OutboxError, Sender, Waiting, retry_after};

/// Messages that are being sent at once.
const AT_ONCE: usize = 64;
/// Of one subscription: a slow one does not keep the others waiting.
const AT_ONCE_TO_ONE: usize = 8;
/// Longer than sending takes. A message that a killed process was sending is sent again after that.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);
/// How often is looked for what is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often is looked for what can be forgotten, and how much waits.
const UPKEEP: Duration = Duration::from_secs(10);

/// What became of messages since the start.
#[derive(Debug, Default)]
pub struct DispatchStats {
    delivered: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
    waiting: AtomicU64,
}

impl DispatchStats {
    /// Messages that were accepted.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// Attempts that were not accepted.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Messages that were given up.
    #[must_use]
    pub fn dead(&self) -> u64 {
        self.dead.load(Relaxed)
    }

    /// Messages that wait, as it was a few seconds ago.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }
}

/// Sends the messages of an [`Outbox`].
pub struct Dispatcher {
    outbox: Arc<Outbox>,
    sender: Sender,
    clock: Arc<dyn Clock>,
    rng: Mutex<StdRng>,
    /// How long messages are kept that are not sent again.
    keep: Duration,
    wake: Notify,
    stats: Arc<DispatchStats>,
}

impl Dispatcher {
    /// A dispatcher that keeps what was sent for `keep`.
    pub fn new(
        outbox: Arc<Outbox>,
        sender: Sender,
        clock: Arc<dyn Clock>,
        rng: StdRng,
        keep: Duration,
    ) -> Self {
        Self {
            outbox,
            sender,
            clock,
            rng: Mutex::new(rng),
            keep,
            wake: Notify::new(),
            stats: Arc::default(),
        }
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> Arc<DispatchStats> {
        Arc::clone(&self.stats)
    }

    /// Something was queued: it looks at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Sends until `end`, and then finishes what is being sent.
    pub async fn run(self: Arc<Self>, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut upkeep = tokio::time::interval(UPKEEP);
        upkeep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sending = JoinSet::new();
        let mut failing = false;
        loop {
            let round = tokio::select! {
                () = &mut end => break,
                () = self.wake.notified() => self.send_due(&mut sending).await,
                _ = look.tick() => self.send_due(&mut sending).await,
                Some(_) = sending.join_next(), if !sending.is_empty() => {
                    self.send_due(&mut sending).await
                }
                _ = upkeep.tick() => self.tend().await,
            };
            match round {
                Ok(()) => failing = false,
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    tracing::warn!(%error, "webhooks cannot be sent, and are tried again");
                }
                Err(error) => tracing::debug!(%error, "webhooks still cannot be sent"),
            }
        }
        while sending.join_next().await.is_some() {}
    }

    async fn send_due(self: &Arc<Self>, sending: &mut JoinSet<()>) -> Result<(), OutboxError> {
        while sending.try_join_next().is_some() {}
        let free = AT_ONCE - sending.len().min(AT_ONCE);
        if free == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        let claimed_until = now.saturating_add(self.sender.timeout() + CLAIM_MARGIN);
        let due = self
            .outbox
            .claim(now, claimed_until, AT_ONCE_TO_ONE, free)
            .await?;
        for message in due {
            let dispatcher = Arc::clone(self);
            sending.spawn(async move { dispatcher.send(message).await });
        }
        Ok(())
    }

    async fn send(&self, message: Waiting) {
        let answered = self.sender.send(&message, self.clock.now()).await;
        let now = self.clock.now();
        let mut sent = Sent {
            id: message.id,
            at: now,
            status: None,
            error: None,
            next_at: None,
        };
        match answered {
            Ok(status) => {
                sent.status = Some(status.as_u16());
                self.stats.delivered.fetch_add(1, Relaxed);
            }
            Err(error) => {
                let attempt = message.attempts.saturating_add(1);
                let delay = retry_after(attempt, &mut *self.rng.lock());
                sent.status = error.status().map(|status| status.as_u16());
                sent.next_at = delay.map(|delay| now.saturating_add(delay));
                self.stats.failed.fetch_add(1, Relaxed);
                if delay.is_none() {
                    self.stats.dead.fetch_add(1, Relaxed);
                }
                tracing::debug!(id = %sent.id, attempt, %error, "a webhook was not accepted");
                sent.error = Some(error.to_string());
            }
        }
        if let Err(error) = self.outbox.sent(sent).await {
            // It is sent once more when the claim has ended.
            tracing::warn!(%error, "what became of a webhook cannot be written");
        }
    }

    async fn tend(&self) -> Result<(), OutboxError> {
        self.stats
            .waiting
            .store(self.outbox.waiting().await?, Relaxed);
        let before = self.clock.now().saturating_sub(self.keep);
        while self.outbox.forget(before).await? > 0 {}
        Ok(())
    }
}
