//! Keeping a body at hand while a handler may or may not read it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Error;
use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

/// Where the body is while nobody reads it.
pub(super) struct Leftover(Arc<Mutex<Body>>);

/// What the handler gets. It may go on reading after the answer has begun.
struct Shared(Arc<Mutex<Body>>);

/// Splits a body into what is read and what is left of it.
pub(super) fn split(body: Body) -> (Body, Leftover) {
    let body = Arc::new(Mutex::new(body));
    (Body::new(Shared(Arc::clone(&body))), Leftover(body))
}

impl Leftover {
    /// Reads what is left, if nobody else will.
    pub(super) async fn discard(self) {
        let Ok(body) = Arc::try_unwrap(self.0) else {
            return;
        };
        crate::leftover::discard(body.into_inner()).await;
    }
}

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}
