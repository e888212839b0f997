//! A connection in HTTP/1.1 without hyper, as long as all requests are [plain](super::plain).
//!
//! Two thirds of the processor's time for a redirect are the system's. Of the rest, hyper takes the larger part
//! for what a redirect has no use for: a request with a map of its fields, a response with another, a body. Here a head
//! is read where it lies in the buffer, and the answer is written behind the one before. Both buffers
//! are the thread's, so a connection that is idle takes none, and those in use stay in the
//! processor's cache.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Empty;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tollgate_clock::UnixMillis;

use super::accept::EdgeThread;
use super::handler::{Step, first_step, later};
use super::head::{Fields, RequestHead};
use super::plain::{self, Read};
use super::respond::{Answer, Redirection};
use crate::activity::Activity;
use crate::metrics::Outcome;

/// What is read at once.
pub(super) const READ_BYTES: usize = 16 * 1024;
/// A connection that had to leave the others of its thread joins them again when so many reads in a row were
/// answered at once: leaving and joining takes some calls of the system.
const CALM_READS: u32 = 8;
/// So many bytes of answers are written before more requests are answered.
const FLUSH_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        read: vec![0; READ_BYTES],
        written: Vec::with_capacity(2 * READ_BYTES),
    });
}

struct Buffers {
    read: Vec<u8>,
    written: Vec<u8>,
}

/// How it came to an end.
pub(super) enum End {
    /// Nothing more is to be done.
    Closed,
    /// The rest is for hyper, see [`Direct::into_rest`].
    HandOver,
    /// Nothing is to be done until more is read, which can be done together with others.
    Calm,
}

type Later = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// See the module.
pub(super) struct Direct<S> {
    stream: S,
    peer: IpAddr,
    thread: Arc<EdgeThread>,
    activity: Arc<Activity>,
    /// Read, and not answered yet.
    unread: Vec<u8>,
    /// Whether there may be a whole request in that.
    may_be_whole: bool,
    /// Answers that the system did not take yet.
    unsent: Bytes,
    /// The answer to a request that has to wait for something.
    waiting: Option<(Later, Method)>,
    next: Next,
    date: Date,
    /// Reads that were answered at once since it has left the others of its thread, if it was among them.
    calm: Option<u32>,
}

/// What comes after the answers so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Requests,
    HandOver,
    Close,
}

impl<S> Direct<S> {
    pub(super) fn new(
        stream: S,
        peer: IpAddr,
        thread: Arc<EdgeThread>,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            stream,
            peer,
            thread,
            activity,
            unread: Vec::new(),
            may_be_whole: false,
            unsent: Bytes::new(),
            waiting: None,
            next: Next::Requests,
            date: Date::default(),
            calm: None,
        }
    }

    pub(super) const fn stream(&self) -> &S {
        &self.stream
    }

    /// The same connection by another kind of stream.
    pub(super) fn with_stream<T>(
        self,
        convert: impl FnOnce(S) -> io::Result<T>,
    ) -> io::Result<Direct<T>> {
        Ok(Direct {
            stream: convert(self.stream)?,
            peer: self.peer,
            thread: self.thread,
            activity: self.activity,
            unread: self.unread,
            may_be_whole: self.may_be_whole,
            unsent: self.unsent,
            waiting: self.waiting,
            next: self.next,
            date: self.date,
            calm: self.calm,
        })
    }

    /// As it leaves the others of its thread, with bytes of an answer that the system did not take yet.
    pub(super) fn leaving(mut self, rest: &[u8]) -> Self {
        self.calm = Some(0);
        self.unsent = Bytes::copy_from_slice(rest);
        self
    }

    /// Whether there is something to do before more is read.
    pub(super) fn needs_more(&self) -> bool {
        self.next != Next::Requests || self.waiting.is_some() || self.may_be_whole
    }

    /// The stream, and what was read from it and is not answered.
    pub(super) fn into_rest(self) -> (S, Bytes) {
        (self.stream, self.unread.into())
    }

    /// No more requests: what was asked is answered, and then it ends. For a request that has begun, hyper
    /// waits.
    pub(super) fn end_gracefully(&mut self) {
        if self.next == Next::Requests {
            self.next = match self.unread.is_empty() {
                true => Next::Close,
                false => Next::HandOver,
            };
        }
    }

    /// Takes what was read at `now`, nothing if the client has said that no more comes, and answers all requests in
    /// it that are whole.
    pub(super) fn take(&mut self, fresh: &[u8], now: Instant, written: &mut Vec<u8>) {
        if fresh.is_empty() {
            self.next = Next::Close;
            return;
        }
        self.activity.bytes_read(now);
        self.answer_with(fresh, written);
    }

    /// Answers all requests that are whole in what was left before and this.
    fn answer_with(&mut self, fresh: &[u8], written: &mut Vec<u8>) {
        if self.unread.is_empty() {
            let answered = self.answer_all(fresh, written);
            self.unread.extend_from_slice(&fresh[answered..]);
        } else {
            let mut unread = std::mem::take(&mut self.unread);
            unread.extend_from_slice(fresh);
            let answered = self.answer_all(&unread, written);
            unread.drain(..answered);
            // An idle connection keeps no buffer.
            self.unread = if unread.is_empty() {
                Vec::new()
            } else {
                unread
            };
        }
    }

    /// Answers the plain requests that `bytes` begin with; how many bytes they are.
    fn answer_all(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let max_bytes = self.thread.shared.options.max_header_bytes;
        let begin = out.len();
        let mut answered = 0;
        self.may_be_whole = false;
        while answered < bytes.len() {
            let goes_on = self.next == Next::Requests && self.waiting.is_none();
            if !goes_on || out.len() - begin >= FLUSH_BYTES {
                self.may_be_whole = true;
                break;
            }
            let mut lines = plain::lines();
            match plain::read(&bytes[answered..], &mut lines, max_bytes) {
                Read::Plain(head, length) if self.answer(head, out) => answered += length,
                Read::Partial => break,
                Read::Plain(..) | Read::Other => {
                    self.next = Next::HandOver;
                    break;
                }
            }
        }
        answered
    }

    /// Answers a request, or notes what its answer waits for. False if hyper has to.
    fn answer(&mut self, head: RequestHead<'_>, out: &mut Vec<u8>) -> bool {
        let started = self.activity.last_read();
        let step = first_step(&self.thread, head);
        let reply = match step {
            Step::Lead(key, link, source, now) => {
                let place = (&key, &link);
                let Some(redirection) = self.thread.lead(self.peer, head, place, None, now) else {
                    return self.answer_later(head, Step::Lead(key, link, source, now));
                };
                let answered = Instant::now();
                self.activity.answered(answered);
                let took = answered.saturating_duration_since(started);
                self.thread
                    .recorder
                    .observe(Outcome::Redirect, source, took);
                self.write_redirect(out, &redirection, *head.method == Method::HEAD, now);
                return true;
            }
            Step::Answer(reply) => reply,
            step => return self.answer_later(head, step),
        };
        let answered = Instant::now();
        self.activity.answered(answered);
        let answer = self.thread.count(reply, started, answered);
        self.write(out, answer, *head.method == Method::HEAD);
        true
    }

    fn answer_later(&mut self, head: RequestHead<'_>, step: Step) -> bool {
        let Some(parts) = owned(head) else {
            return false;
        };
        let started = self.activity.last_read();
        let in_flight = self.activity.begin();
        let (thread, peer) = (Arc::clone(&self.thread), self.peer);
        let later = async move {
            let reply = later(&thread, peer, parts, Empty::<Bytes>::new(), step).await;
            drop(in_flight);
            thread.count(reply, started, Instant::now())
        };
        self.waiting = Some((Box::pin(later), head.method.clone()));
        true
    }

    fn write_redirect(
        &mut self,
        out: &mut Vec<u8>,
        redirection: &Redirection<'_>,
        head_only: bool,
        now: UnixMillis,
    ) {
        write_status(out, redirection.status);
        write_field(out, "location", redirection.location.as_bytes());
        write_field(out, "cache-control", redirection.cache_control.as_bytes());
        self.write_rest(out, Some(0), head_only, now);
    }

    fn write(&mut self, out: &mut Vec<u8>, answer: Answer, head_only: bool) {
        let (parts, body) = answer.into_parts();
        write_status(out, parts.status);
        for (name, value) in &parts.headers {
            write_field(out, name.as_str(), value.as_bytes());
        }
        let length = (parts.status != StatusCode::NO_CONTENT).then_some(body.len());
        let now = self.thread.shared.parts().clock.now();
        self.write_rest(out, length, head_only, now);
        if !head_only {
            out.extend_from_slice(&body);
        }
    }

    /// The fields that every answer has, and the end of the head. The last one before an end says so.
    fn write_rest(
        &mut self,
        out: &mut Vec<u8>,
        length: Option<usize>,
        head_only: bool,
        now: UnixMillis,
    ) {
        if self.thread.drain.begun() {
            self.next = Next::Close;
            write_field(out, "connection", b"close");
        }
        // As hyper has it: the answer to HEAD tells the length of what is left out, not that there is nothing.
        if let Some(length) = length.filter(|length| !head_only || *length > 0) {
            let mut digits = itoa::Buffer::new();
            write_field(out, "content-length", digits.format(length).as_bytes());
        }
        write_field(out, "date", self.date.at(now).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Direct<S> {
    /// Answers until there is an end.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<End>> {
        loop {
            ready!(poll_send(&mut self.stream, cx, &mut self.unsent))?;
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            if let Some((later, method)) = &mut self.waiting {
                let answer = ready!(later.as_mut().poll(cx));
                let head_only = *method == Method::HEAD;
                self.waiting = None;
                let mut out = Vec::new();
                self.write(&mut out, answer, head_only);
                self.unsent = out.into();
                continue;
            }
            match self.next {
                Next::Requests if self.is_calm() => return Poll::Ready(Ok(End::Calm)),
                Next::Requests => {}
                Next::HandOver => return Poll::Ready(Ok(End::HandOver)),
                Next::Close => {
                    ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                    return Poll::Ready(Ok(End::Closed));
                }
            }
            ready!(BUFFERS.with_borrow_mut(|buffers| self.poll_requests(cx, buffers)))?;
        }
    }

    fn is_calm(&self) -> bool {
        !self.may_be_whole && self.calm.is_some_and(|reads| reads >= CALM_READS)
    }

    /// Reads once, unless there are requests to go on with, and answers all that are whole.
    fn poll_requests(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
    ) -> Poll<io::Result<()>> {
        let Buffers { read, written } = buffers;
        let mut fresh = ReadBuf::new(read);
        written.clear();
        if self.may_be_whole {
            self.answer_with(&[], written);
        } else {
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut fresh))?;
            self.take(fresh.filled(), Instant::now(), written);
        }
        let waits = self.waiting.is_some();
        self.calm = self.calm.map(|reads| if waits { 0 } else { reads + 1 });
        let mut rest = written.as_slice();
        if poll_send(&mut self.stream, cx, &mut rest)?.is_pending() {
            self.unsent = Bytes::copy_from_slice(rest);
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

fn write_status(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The head as hyper would have read it, for what outlives the buffer.
fn owned(head: RequestHead<'_>) -> Option<Parts> {
    let Fields::Lines(lines) = head.fields else {
        return None;
    };
    let target = match head.query {
        Some(query) => format!("{}?{query}", head.path),
        None => head.path.to_owned(),
    };
    let mut request = Request::builder()
        .method(head.method)
        .uri(target)
        .body(())
        .ok()?;
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(line.value).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request.into_parts().0)
}

/// The date of answers (RFC 9110, 6.6.1), which is written once a second.
#[derive(Debug, Default)]
struct Date {
    second: Option<i64>,
    text: String,
}

impl Date {
    fn at(&mut self, now: UnixMillis) -> &str {
        let second = now.as_millis().div_euclid(1_000);
        if self.second != Some(second) {
            let since_epoch = Duration::from_secs(u64::try_from(second).unwrap_or(0));
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + since_epoch);
            self.second = Some(second);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_second() {
        let mut date = Date::default();
        let mut at = |ms| date.at(UnixMillis::from_millis(ms)).to_owned();
        assert_eq!(at(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_778_000), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(at(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
