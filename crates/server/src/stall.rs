//! Clients that take nothing of their answers: hyper would wait for them as long as they keep the connection.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A connection that fails once its client has taken nothing for too long of what it is to be sent, and sent nothing
/// either: many clients send all of a long body before they read a byte of the answer.
pub(crate) struct Stallable<S> {
    stream: S,
    patience: Duration,
    /// Made at the first stall, which most connections never have.
    timer: Option<Pin<Box<Sleep>>>,
    stalled: bool,
}

impl<S> Stallable<S> {
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            timer: None,
            stalled: false,
        }
    }

    fn watched(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if polled.is_ready() {
            self.stalled = false;
            return polled;
        }
        let patience = self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        if !self.stalled {
            self.stalled = true;
            timer.as_mut().reset(Instant::now() + patience);
        }
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stallable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            // The next write that is not taken begins anew.
            self.stalled = false;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stallable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_may_read_later() {
        let (near, mut far) = duplex(8);
        let mut near = Stallable::new(near, Duration::from_secs(60));
        let serving = tokio::spawn(async move {
            near.write_all(&[0; 8]).await?;
            // What is not taken is tried again whenever something comes.
            for _ in 0..3 {
                near.read_exact(&mut [0; 8]).await?;
                let tried = tokio::time::timeout(Duration::from_secs(1), near.write(&[0]));
                if let Ok(written) = tried.await {
                    written?;
                }
            }
            near.write_all(&[0]).await
        });
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(59)).await;
            far.write_all(&[0; 8]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert!(!serving.is_finished());
        let ended = serving.await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let (near, mut far) = duplex(8);
        let mut near = Stallable::new(near, Duration::from_secs(60));
        let writing = tokio::spawn(async move {
            near.write_all(&[0; 24]).await?;
            near.write_all(&[0; 24]).await
        });
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(59)).await;
            far.read_exact(&mut [0; 8]).await.unwrap();
        }
        assert!(!writing.is_finished());
        let ended = writing.await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
