//! Bodies on their way: streamed, never collected, and given up if they stand still.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::epoch::{Epoch, NEVER};

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenBody {
    #[error("nothing came for {0:?}")]
    StoodStill(Duration),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// A body that is passed on. `G` is kept until it has ended.
pub(super) struct Relay<G> {
    body: Incoming,
    idle: Duration,
    pace: Arc<Pace>,
    waiting: Option<Pin<Box<Sleep>>>,
    guard: Option<G>,
}

/// How far a body has come.
#[derive(Debug)]
pub(super) struct Pace {
    epoch: Epoch,
    /// When whoever gets the body last took a piece, in nanoseconds after `epoch`; [`NEVER`] while it
    /// waits for whoever sends it.
    last_taken: AtomicU64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            epoch: Epoch(Instant::now()),
            last_taken: AtomicU64::new(0),
        }
    }

    /// When the body was last taken from, or has ended: now, if more of it is awaited.
    pub(super) fn last_taken(&self, now: Instant) -> Instant {
        match self.last_taken.load(Relaxed) {
            NEVER => now,
            nanos => self.epoch.instant(nanos),
        }
    }

    fn note(&self, awaited: bool) {
        let taken = match awaited {
            true => NEVER,
            false => self.epoch.nanos(Instant::now()),
        };
        self.last_taken.store(taken, Relaxed);
    }
}

impl<G> Relay<G> {
    /// A body that may stand still for `idle`.
    pub(super) fn new(body: Incoming, idle: Duration, pace: Arc<Pace>, guard: G) -> Self {
        let mut relay = Self {
            body,
            idle,
            pace,
            waiting: None,
            guard: Some(guard),
        };
        relay.end_if_empty();
        relay
    }

    fn end_if_empty(&mut self) {
        if self.body.is_end_stream() {
            self.guard = None;
        }
    }
}

impl<G: Unpin> Body for Relay<G> {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.waiting = None;
                this.pace.note(false);
                match frame {
                    None | Some(Err(_)) => this.guard = None,
                    Some(Ok(_)) => this.end_if_empty(),
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BrokenBody::Broken)))
            }
            Poll::Pending => {
                this.pace.note(true);
                let idle = this.idle;
                let waiting = this
                    .waiting
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                if waiting.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.guard = None;
                Poll::Ready(Some(Err(BrokenBody::StoodStill(idle))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
