//! Bodies that nobody read. hyper answers, and then closes the connection if more of the body is
//! still to come; a client that sends its next request on it loses that one. So what is left of a
//! body is read and thrown away before the answer goes.

use std::pin::pin;
use std::time::Duration;

use bytes::Buf;
use http_body::Body;
use http_body_util::BodyExt;

/// How much is read, in bytes; whoever has more to send gets the answer and a closed connection.
const MOST_BYTES: usize = 256 * 1024;
/// How long the rest may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads what is left of a body.
pub(crate) async fn discard(body: impl Body) {
    let mut body = pin!(body);
    let rest = async {
        let mut bytes = 0;
        while !body.is_end_stream() && bytes < MOST_BYTES {
            match body.frame().await {
                Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Buf::remaining),
                Some(Err(_)) | None => return,
            }
        }
    };
    // Whoever is slower gets the answer all the same.
    let _ = tokio::time::timeout(PATIENCE, rest).await;
}
