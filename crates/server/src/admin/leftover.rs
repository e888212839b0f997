//! Bodies that nobody read. hyper answers, and then closes the connection if more of the body is
//! still to come; a client that sends its next request on it loses that one. So what is left of a
//! body is read and thrown away before the answer goes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;

/// How much is read, in bytes; whoever has more to send gets the answer and a closed connection.
const MOST_BYTES: usize = 256 * 1024;
/// How long the rest may take.
const PATIENCE: Duration = Duration::from_secs(1);

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
        let mut body = body.into_inner();
        let rest = async {
            let mut bytes = 0;
            while !body.is_end_stream() && bytes < MOST_BYTES {
                match body.frame().await {
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) | None => return,
                }
            }
        };
        // Whoever is slower gets the answer all the same.
        let _ = tokio::time::timeout(PATIENCE, rest).await;
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
