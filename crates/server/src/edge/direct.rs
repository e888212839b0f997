//! A connection in HTTP/1.1 without hyper, as long as all requests are [plain](super::plain).
//!
//! Two thirds of the processor's time for a redirect are the system's. Of the rest, hyper takes the larger part
//! for what a redirect has no use for: a request with a map of its fields, a response with another, a body. Here a head
//! is read where it lies in the buffer, and the answer is written behind the one before. Both buffers
//! are the thread's, so a connection that is idle takes none, and those in use stay in the
//! processor's cache.

use std::cell::RefCell;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread::LocalKey;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Empty;
use tollgate_clock::UnixMillis;

use super::accept::EdgeThread;
use super::handler::{Step, first_step, later};
use super::head::{Fields, RequestHead};
use super::plain::{self, Read};
use super::respond::{Answer, Redirection};
use crate::activity::Activity;
use crate::metrics::Outcome;
use crate::threads::{Batch, FLUSH_BYTES, Talk, Wants, with_unread};

thread_local! {
    static BATCH: RefCell<Option<Batch<Direct>>> = const { RefCell::new(None) };
}

type Later = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// See the module.
pub(super) struct Direct {
    peer: IpAddr,
    thread: Arc<EdgeThread>,
    activity: Arc<Activity>,
    /// Read, and not answered yet.
    unread: Vec<u8>,
    /// Whether there may be a whole request in that.
    may_be_whole: bool,
    /// The answer to a request that has to wait for something.
    waiting: Option<(Later, Method)>,
    next: Next,
    date: Date,
}

/// What comes after the answers so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Requests,
    HandOver,
    Close,
}

impl Direct {
    pub(super) fn new(peer: IpAddr, thread: Arc<EdgeThread>, activity: Arc<Activity>) -> Self {
        Self {
            peer,
            thread,
            activity,
            unread: Vec::new(),
            may_be_whole: false,
            waiting: None,
            next: Next::Requests,
            date: Date::default(),
        }
    }

    /// What was read and is not answered.
    pub(super) fn into_unread(self) -> Bytes {
        self.unread.into()
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

    /// Answers all requests that are whole in what was left before and this.
    fn answer_with(&mut self, fresh: &[u8], out: &mut Vec<u8>) {
        let mut unread = std::mem::take(&mut self.unread);
        with_unread(&mut unread, fresh, |bytes| self.answer_all(bytes, out));
        self.unread = unread;
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

impl Talk for Direct {
    fn batch() -> &'static LocalKey<RefCell<Option<Batch<Self>>>> {
        &BATCH
    }

    fn take(&mut self, fresh: &[u8], now: Instant, answers: &mut Vec<u8>) {
        if fresh.is_empty() {
            self.next = Next::Close;
            return;
        }
        self.activity.bytes_read(now);
        self.answer_with(fresh, answers);
    }

    fn go_on(&mut self, answers: &mut Vec<u8>) {
        self.answer_with(&[], answers);
    }

    /// The time of an answer is that of its decision, see [`Activity`].
    fn sent(&mut self, _: Instant) {}

    fn poll_late(&mut self, cx: &mut Context<'_>, answers: &mut Vec<u8>) -> Poll<()> {
        let Some((later, method)) = &mut self.waiting else {
            return Poll::Ready(());
        };
        let answer = ready!(later.as_mut().poll(cx));
        let head_only = *method == Method::HEAD;
        self.waiting = None;
        self.write(answers, answer, head_only);
        Poll::Ready(())
    }

    fn wants(&self) -> Wants {
        match self.next {
            _ if self.waiting.is_some() => Wants::Time,
            Next::HandOver => Wants::Other,
            Next::Close => Wants::Close,
            Next::Requests if self.may_be_whole => Wants::Turn,
            Next::Requests => Wants::Bytes,
        }
    }
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
