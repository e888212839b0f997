//! Clicks as they are counted, for whoever looks on.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::EnrichedClick;

/// The last clicks that an onlooker who is slow can still get.
const KEPT: usize = 1_024;

/// Tells onlookers of clicks. Nobody is waited for: who is too slow misses some.
#[derive(Debug, Clone)]
pub struct LiveClicks(broadcast::Sender<Arc<EnrichedClick>>);

/// What an onlooker gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// A click that is counted.
    Click(Arc<EnrichedClick>),
    /// So many were missed.
    Missed(u64),
}

/// An onlooker.
#[derive(Debug)]
pub struct LiveReceiver(broadcast::Receiver<Arc<EnrichedClick>>);

impl LiveClicks {
    /// Without onlookers.
    #[must_use]
    pub fn new() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }

    /// Looks on from now on.
    #[must_use]
    pub fn subscribe(&self) -> LiveReceiver {
        LiveReceiver(self.0.subscribe())
    }

    /// How many look on.
    #[must_use]
    pub fn onlookers(&self) -> usize {
        self.0.receiver_count()
    }

    pub(crate) fn tell(&self, clicks: &[Arc<EnrichedClick>]) {
        if self.onlookers() == 0 {
            return;
        }
        for click in clicks {
            // All may have gone away meanwhile.
            let _ = self.0.send(Arc::clone(click));
        }
    }
}

impl Default for LiveClicks {
    fn default() -> Self {
        Self::new()
    }
}

impl LiveReceiver {
    /// Waits for the next click; none if there will be no more. To give up waiting loses nothing.
    pub async fn next(&mut self) -> Option<Live> {
        match self.0.recv().await {
            Ok(click) => Some(Live::Click(click)),
            Err(RecvError::Lagged(missed)) => Some(Live::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
