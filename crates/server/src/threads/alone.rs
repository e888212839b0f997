//! A connection that is served by its own task.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::talk::{READ_BYTES, Talk, Wants};

/// A connection that had to leave the others of its thread joins them again when so many reads in a row were
/// answered at once: leaving and joining takes some calls of the system.
const CALM_READS: u32 = 8;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        read: vec![0; READ_BYTES],
        answers: Vec::with_capacity(2 * READ_BYTES),
    });
}

/// Those of the thread: a connection that is idle takes none, and those in use stay in the processor's cache.
struct Buffers {
    read: Vec<u8>,
    answers: Vec<u8>,
}

/// How it came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Our side is closed.
    Closed,
    /// Somebody else goes on, see [`Wants::Other`].
    Other,
    /// Nothing is to be done until more is read, which can be done together with others.
    Calm,
}

/// See the module.
pub(crate) struct Alone<S, T> {
    stream: S,
    talk: T,
    /// Answers that the system did not take yet.
    unsent: Bytes,
    unsent_since: Option<Instant>,
    /// Reads that were answered at once since it has left the others of its thread, if it was among them.
    calm: Option<u32>,
}

impl<S, T> Alone<S, T> {
    /// One that was never among others.
    pub(crate) fn new(stream: S, talk: T) -> Self {
        Self {
            stream,
            talk,
            unsent: Bytes::new(),
            unsent_since: None,
            calm: None,
        }
    }

    /// One that leaves others, with bytes of an answer that the system did not take yet.
    pub(super) fn leaving(stream: S, talk: T, unsent: &[u8]) -> Self {
        let mut alone = Self::new(stream, talk);
        alone.calm = Some(0);
        alone.keep(Bytes::copy_from_slice(unsent));
        alone
    }

    pub(crate) fn talk(&self) -> &T {
        &self.talk
    }

    pub(crate) fn talk_mut(&mut self) -> &mut T {
        &mut self.talk
    }

    /// Since when the client has not taken what it was sent.
    pub(crate) fn unsent_since(&self) -> Option<Instant> {
        self.unsent_since
    }

    /// Both, once it has come to an end.
    pub(crate) fn into_parts(self) -> (S, T) {
        (self.stream, self.talk)
    }

    /// Whether it waits for nothing but more from the client.
    pub(crate) fn is_idle(&self) -> bool
    where
        T: Talk,
    {
        self.unsent.is_empty() && self.talk.wants() == Wants::Bytes
    }

    fn keep(&mut self, unsent: Bytes) {
        if !unsent.is_empty() {
            self.unsent = unsent;
            self.unsent_since = Some(Instant::now());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: Talk> Alone<S, T> {
    /// Answers until there is an end.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<End>> {
        loop {
            ready!(poll_send(&mut self.stream, cx, &mut self.unsent))?;
            if self.unsent_since.take().is_some() {
                self.talk.sent(Instant::now());
            }
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            match self.talk.wants() {
                Wants::Time => {
                    let mut answers = Vec::new();
                    ready!(self.talk.poll_late(cx, &mut answers));
                    self.keep(answers.into());
                    continue;
                }
                Wants::Close => {
                    ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                    return Poll::Ready(Ok(End::Closed));
                }
                Wants::Other => return Poll::Ready(Ok(End::Other)),
                Wants::Bytes if self.calm.is_some_and(|reads| reads >= CALM_READS) => {
                    return Poll::Ready(Ok(End::Calm));
                }
                Wants::Bytes | Wants::Turn => {}
            }
            ready!(BUFFERS.with_borrow_mut(|buffers| self.poll_turn(cx, buffers)))?;
        }
    }

    /// Reads once, unless there is something to go on with, answers, and sends what the system takes.
    fn poll_turn(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<io::Result<()>> {
        let Buffers { read, answers } = buffers;
        answers.clear();
        if self.talk.wants() == Wants::Turn {
            self.talk.go_on(answers);
        } else {
            let mut fresh = ReadBuf::new(read);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut fresh))?;
            self.talk.take(fresh.filled(), Instant::now(), answers);
        }
        let waits = self.talk.wants() == Wants::Time;
        self.calm = self.calm.map(|reads| if waits { 0 } else { reads + 1 });
        let mut rest = answers.as_slice();
        if poll_send(&mut self.stream, cx, &mut rest)?.is_pending() {
            self.keep(Bytes::copy_from_slice(rest));
        }
        Poll::Ready(Ok(()))
    }
}

/// Sends bytes until none are left.
fn poll_send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes: &mut impl Buf,
) -> Poll<io::Result<()>> {
    while bytes.has_remaining() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, bytes.chunk()))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => bytes.advance(written),
        }
    }
    Poll::Ready(Ok(()))
}
