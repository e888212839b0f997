//! From the spool to the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{Put, QueueError, SharedQueue};
use crate::spool::{MAX_PIECE, Piece, SpoolSource};
use crate::store::ClickStore;
use crate::{ClickSource as _, Position, SourceError};

/// The pace of forwarding.
#[derive(Debug, Clone)]
pub struct ForwardOptions {
    /// How long clicks gather after a piece that was less than half full.
    pub gather: Duration,
    /// How long to wait after a first failure, and while the queue is full; each further failure doubles it.
    pub first_retry: Duration,
    /// The longest that becomes.
    pub last_retry: Duration,
    /// How often the store is asked up to where this spool is counted.
    pub look: Duration,
    /// When nothing of what was forwarded is counted for so long, the queue may have lost it: it is
    /// forwarded again from where the store is. Each time in a row doubles it, up to 16 times.
    pub lost_after: Duration,
}

impl Default for ForwardOptions {
    fn default() -> Self {
        Self {
            gather: Duration::from_millis(100),
            first_retry: Duration::from_millis(100),
            last_retry: Duration::from_secs(10),
            look: Duration::from_secs(1),
            lost_after: Duration::from_secs(120),
        }
    }
}

/// What a [`Forwarder`] has done so far, for metrics.
#[derive(Debug, Default)]
pub struct ForwardStats {
    pieces: AtomicU64,
    full: AtomicU64,
    failures: AtomicU64,
    again: AtomicU64,
}

impl ForwardStats {
    /// Pieces that were put into the queue.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.pieces.load(Relaxed)
    }

    /// Times that the queue was full.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.full.load(Relaxed)
    }

    /// Times that the queue failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Times that clicks were forwarded again because the queue seemed to have lost them.
    #[must_use]
    pub fn again(&self) -> u64 {
        self.again.load(Relaxed)
    }
}

/// Forwards a spool to a queue that instances share, and deletes what is counted. Nobody waits for it: while
/// the queue is away or full, clicks stay in the spool.
pub struct Forwarder {
    spool: SpoolSource,
    queue: Arc<dyn SharedQueue>,
    store: Arc<dyn ClickStore>,
    options: ForwardOptions,
    stats: Arc<ForwardStats>,
}

/// Where the next piece begins.
#[derive(Clone, Copy)]
struct Next {
    after: Position,
    /// The queue knows of nothing before it, or of something else.
    anew: bool,
}

/// How counting goes on.
struct Counted {
    position: Position,
    since: Instant,
    /// Times in a row that it did not.
    standstills: u32,
}

enum Trouble {
    Queue(QueueError),
    Store,
    Spool(SourceError),
}

impl Forwarder {
    /// Nothing is forwarded yet.
    #[must_use]
    pub fn new(
        spool: SpoolSource,
        queue: Arc<dyn SharedQueue>,
        store: Arc<dyn ClickStore>,
        options: ForwardOptions,
    ) -> Self {
        Self {
            spool,
            queue,
            store,
            options,
            stats: Arc::default(),
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Arc<ForwardStats> {
        Arc::clone(&self.stats)
    }

    /// Forwards for ever. Drop the future to stop it; it may run again.
    pub async fn run(&self) -> std::convert::Infallible {
        let mut next = None;
        let mut counted = Counted {
            position: Position::default(),
            since: Instant::now(),
            standstills: 0,
        };
        let mut look = Instant::now();
        let mut failures = 0_u32;
        loop {
            if look <= Instant::now() {
                look = Instant::now() + self.options.look;
                if let Some(lost) = self.look(&mut counted, next).await {
                    next = Some(lost);
                }
            }
            match self.step(&mut next, look).await {
                Ok(()) => {
                    if std::mem::take(&mut failures) > 0 {
                        tracing::info!("clicks are forwarded to the queue again");
                    }
                }
                Err(trouble) => {
                    let what = match &trouble {
                        Trouble::Queue(error) => error.to_string(),
                        Trouble::Spool(error) => error.to_string(),
                        Trouble::Store => "the store of clicks does not answer".to_owned(),
                    };
                    if failures == 0 {
                        tracing::warn!(
                            error = what,
                            "clicks are not forwarded, and wait in the spool"
                        );
                    }
                    self.stats.failures.fetch_add(1, Relaxed);
                    let grown = 2_u32.saturating_pow(failures);
                    let wait = self.options.first_retry.saturating_mul(grown);
                    failures = failures.saturating_add(1);
                    sleep(wait.min(self.options.last_retry)).await;
                }
            }
        }
    }

    /// Forwards a piece, if there is one before it is time to look.
    async fn step(&self, next: &mut Option<Next>, look: Instant) -> Result<(), Trouble> {
        let from = match *next {
            Some(next) => next,
            None => *next.insert(self.begin().await?),
        };
        let piece = match timeout_at(look, self.spool.piece(from.after)).await {
            Ok(piece) => piece.map_err(Trouble::Spool)?,
            Err(_) => return Ok(()),
        };
        match self.put(next, from, &piece).await? {
            Put::Done if piece.bytes.len() < MAX_PIECE / 2 => sleep(self.options.gather).await,
            Put::Full => sleep(self.options.first_retry).await,
            Put::Done | Put::Elsewhere(_) => {}
        }
        Ok(())
    }

    async fn put(
        &self,
        next: &mut Option<Next>,
        from: Next,
        piece: &Piece,
    ) -> Result<Put, Trouble> {
        let put = self.queue.put(piece, from.anew).await;
        let put = put.map_err(Trouble::Queue)?;
        match put {
            Put::Done => {
                self.stats.pieces.fetch_add(1, Relaxed);
                *next = Some(Next {
                    after: piece.to,
                    anew: false,
                });
            }
            Put::Elsewhere(_) => *next = None,
            Put::Full => {
                self.stats.full.fetch_add(1, Relaxed);
            }
        }
        Ok(put)
    }

    /// Forwards what there is now. Answers whether all of it is in the queue.
    pub async fn finish(&self) -> bool {
        let mut next = None;
        loop {
            let from = match next {
                Some(next) => next,
                None => match self.begin().await {
                    Ok(begin) => *next.insert(begin),
                    Err(_) => return false,
                },
            };
            match self.spool.piece_now(from.after).await {
                Ok(None) => return true,
                Ok(Some(piece)) => match self.put(&mut next, from, &piece).await {
                    Ok(Put::Done | Put::Elsewhere(_)) => {}
                    Ok(Put::Full) | Err(_) => return false,
                },
                Err(_) => return false,
            }
        }
    }

    /// Where the queue is; if it does not know, where the store is.
    async fn begin(&self) -> Result<Next, Trouble> {
        let source = self.spool.id();
        let known = self.queue.position(source).await;
        if let Some(after) = known.map_err(Trouble::Queue)? {
            return Ok(Next { after, anew: false });
        }
        let after = self.store.position(source).await;
        after
            .map(|after| Next { after, anew: true })
            .map_err(|_| Trouble::Store)
    }

    /// Deletes what is counted. Answers where to go on, if what was forwarded seems to be lost.
    async fn look(&self, counted: &mut Counted, next: Option<Next>) -> Option<Next> {
        let Ok(position) = self.store.position(self.spool.id()).await else {
            // It does not count, and says nothing about the queue.
            counted.since = Instant::now();
            return None;
        };
        if let Err(error) = self.spool.counted(position).await {
            // They are only kept longer.
            tracing::debug!(%error, "clicks that are counted are still kept");
        }
        if counted.position != position || next.is_none_or(|next| next.after <= position) {
            *counted = Counted {
                position,
                since: Instant::now(),
                standstills: 0,
            };
            return None;
        }
        let patience = self.options.lost_after * 2_u32.pow(counted.standstills.min(4));
        if counted.since.elapsed() < patience {
            return None;
        }
        counted.since = Instant::now();
        counted.standstills += 1;
        self.stats.again.fetch_add(1, Relaxed);
        tracing::warn!(
            ?patience,
            "no forwarded click was counted: forwarding again what is not"
        );
        Some(Next {
            after: position,
            anew: true,
        })
    }
}
