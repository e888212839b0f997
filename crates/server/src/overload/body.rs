//! Bodies beside places: a place is taken when a body has arrived, and kept until an answer has gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Error;
use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

use super::gate::{Admitted, Gate};

/// What came of asking for a place.
#[derive(Debug)]
pub(super) enum Place {
    /// The body has not arrived.
    Awaited,
    Taken(Admitted),
    /// There was none.
    Refused,
}

impl Place {
    pub(super) fn ask(gate: &Arc<Gate>) -> Self {
        gate.admit().map_or(Self::Refused, Self::Taken)
    }
}

/// A body that asks for a place at its end: whoever sends it slowly keeps nobody else out meanwhile. Without one it
/// breaks off.
pub(super) struct Arriving {
    pub(super) body: Body,
    pub(super) gate: Arc<Gate>,
    pub(super) place: Arc<Mutex<Place>>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(None) = polled {
            let mut place = self.place.lock();
            if matches!(*place, Place::Awaited) {
                *place = Place::ask(&self.gate);
            }
            if matches!(*place, Place::Refused) {
                let refused = std::io::Error::other("too much is asked at once");
                return Poll::Ready(Some(Err(Error::new(refused))));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        // Or nobody would ask for the end, and the place.
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that keeps its place until it has gone, or its client has.
pub(super) struct Leaving {
    pub(super) body: Body,
    pub(super) _place: Admitted,
}

impl http_body::Body for Leaving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
