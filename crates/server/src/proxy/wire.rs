//! The connection of a client, as bytes, watched: when something moved last, and whether the client
//! is gone.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::activity::Activity;
use crate::epoch::{Epoch, NEVER};

/// How often a client is looked at that has sent bytes which nobody reads yet: the system tells
/// once that there is more to read, and the end may come behind it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A client's connection.
#[derive(Debug)]
pub(super) struct Wire {
    tcp: TcpStream,
    epoch: Epoch,
    pub(super) activity: Arc<Activity>,
    /// Nanoseconds after `epoch`, as all times here.
    last_write: AtomicU64,
    /// [`NEVER`] while the client takes what it is sent.
    stalled_since: AtomicU64,
}

impl Wire {
    pub(super) fn new(tcp: TcpStream) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            tcp,
            epoch: Epoch(now),
            activity: Arc::new(Activity::new(now)),
            last_write: AtomicU64::new(0),
            stalled_since: AtomicU64::new(NEVER),
        })
    }

    /// Waits until the client has closed the connection, or its sending half: a request on its way
    /// is of no use to it then. hyper finds that out only while it reads, and it does not read
    /// while a body or another request waits to be.
    pub(super) async fn gone(&self) {
        loop {
            match self.tcp.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(LOOK_AGAIN).await,
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// When bytes moved last, in either direction.
    pub(super) fn last_moved(&self) -> Instant {
        let written = self.epoch.instant(self.last_write.load(Relaxed));
        self.activity.last_read().max(written)
    }

    /// Since when the client has taken nothing of what it is to be sent.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        let since = self.stalled_since.load(Relaxed);
        (since != NEVER).then(|| self.epoch.instant(since))
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        let now = self.epoch.nanos(Instant::now());
        if polled.is_ready() {
            self.last_write.store(now, Relaxed);
            self.stalled_since.store(NEVER, Relaxed);
        } else {
            // Since the first time that it took nothing.
            let _ = self
                .stalled_since
                .compare_exchange(NEVER, now, Relaxed, Relaxed);
        }
    }

    fn poll_write_by(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match write(&self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

/// The connection as a stream.
#[derive(Debug)]
pub(super) struct WireStream(pub(super) Arc<Wire>);

impl AsyncRead for WireStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &self.0;
        loop {
            ready!(wire.tcp.poll_read_ready(cx))?;
            match wire.tcp.try_read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    if read > 0 {
                        wire.activity.bytes_read(Instant::now());
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.0.poll_write_by(cx, |tcp| tcp.try_write(buf));
        self.0.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.0.poll_write_by(cx, |tcp| tcp.try_write_vectored(bufs));
        self.0.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept back here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.0.tcp).shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}
