//! One connection: which protocol it speaks, and when it ends.

use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use super::accept::EdgeThread;
use super::direct::Direct;
use super::handler::EdgeService;
use crate::activity::{Activity, Due};
use crate::threads::{Alone, Connection, End, Ticket, enter};

/// How every HTTP/2 connection begins (RFC 9113, 3.4). No HTTP/1 method begins with these bytes
/// and a space.
const PREFACE: &[u8] = b"PRI ";
/// How often a connection that has sent only a part of [`PREFACE`] is looked at again.
const PREFACE_RETRY: Duration = Duration::from_millis(10);
/// Requests one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;
/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// hyper does not read with less.
const MIN_BUFFER_BYTES: usize = 8192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Serves a connection to its end. Errors of the client, such as leaving early, are its own affair.
pub(super) async fn serve(stream: TcpStream, peer: IpAddr, thread: Arc<EdgeThread>) {
    let activity = Arc::new(Activity::new(Instant::now()));
    // Answers are small and complete: nothing is gained by waiting for more. It only fails on a
    // connection that is already dead.
    let _ = stream.set_nodelay(true);
    let patience = thread.shared.options.header_timeout;
    let opening = async {
        match &thread.shared.tls {
            Some(acceptor) => {
                let stream = acceptor.accept(stream).await?;
                let protocol = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Protocol::Http2,
                    _ => Protocol::Http1,
                };
                Ok((Opened::Tls(Box::new(stream)), protocol))
            }
            None => {
                let protocol = detect(&stream).await?;
                Ok::<_, io::Error>((Opened::Plain(stream), protocol))
            }
        }
    };
    let opened = tokio::select! {
        opened = timeout(patience, opening) => opened,
        // Nothing was asked, and what was on its way had time to come.
        () = drained(&thread, thread.shared.options.linger) => return,
    };
    match opened {
        Ok(Ok((Opened::Plain(stream), protocol))) => {
            speak(stream, protocol, peer, &thread, activity).await;
        }
        Ok(Ok((Opened::Tls(stream), protocol))) => {
            speak(stream, protocol, peer, &thread, activity).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a connection failed before its first request"),
        Err(_) => timed_out(&thread),
    }
}

enum Opened {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Looks at the first bytes without taking them. Once for each connection; what follows runs on
/// hyper's HTTP/1 alone, without a buffer in between.
async fn detect(stream: &TcpStream) -> io::Result<Protocol> {
    let mut first = [0; PREFACE.len()];
    loop {
        let n = stream.peek(&mut first).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..n] != PREFACE[..n] {
            return Ok(Protocol::Http1);
        }
        if n == PREFACE.len() {
            return Ok(Protocol::Http2);
        }
        // Peeking again would return the same bytes at once.
        sleep(PREFACE_RETRY).await;
    }
}

async fn speak<S>(
    stream: S,
    protocol: Protocol,
    peer: IpAddr,
    thread: &Arc<EdgeThread>,
    activity: Arc<Activity>,
) where
    S: Transport,
{
    match protocol {
        Protocol::Http1 => {
            let direct = Direct::new(peer, Arc::clone(thread), Arc::clone(&activity));
            let direct = Alone::new(stream, direct);
            let connection = Http1 {
                state: unless_ended(S::together(direct)),
                peer,
                thread: Arc::clone(thread),
                activity: Arc::clone(&activity),
                ending: false,
            };
            drive(connection, thread, &activity).await;
        }
        Protocol::Http2 => {
            activity.multiplexed();
            let max_header_bytes = thread.shared.options.max_header_bytes;
            let (io, service) = for_hyper(stream, Bytes::new(), peer, thread, &activity);
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .keep_alive_interval(PING_INTERVAL)
                .max_header_list_size(u32::try_from(max_header_bytes).unwrap_or(u32::MAX))
                .serve_connection(io, service);
            drive(connection, thread, &activity).await;
        }
    }
}

/// What a connection comes by.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send + Sized + 'static {
    /// How plain requests are answered at first.
    fn together(direct: Alone<Self, Direct>) -> io::Result<State<Self>>;

    /// What has left the others of its thread.
    fn apart(left: Connection<Direct>) -> io::Result<State<Self>>;
}

impl Transport for TcpStream {
    fn together(direct: Alone<Self, Direct>) -> io::Result<State<Self>> {
        enter(direct).map(State::Together)
    }

    fn apart(left: Connection<Direct>) -> io::Result<State<Self>> {
        Ok(State::Direct(left))
    }
}

impl Transport for Box<TlsStream<TcpStream>> {
    fn together(direct: Alone<Self, Direct>) -> io::Result<State<Self>> {
        Ok(State::Direct(direct))
    }

    fn apart(_: Connection<Direct>) -> io::Result<State<Self>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What hyper needs for a connection, from which these bytes were read.
fn for_hyper<S>(
    stream: S,
    read: Bytes,
    peer: IpAddr,
    thread: &Arc<EdgeThread>,
    activity: &Arc<Activity>,
) -> (TokioIo<Watched<S>>, EdgeService) {
    let io = TokioIo::new(Watched {
        stream,
        read,
        activity: Arc::clone(activity),
    });
    let service = EdgeService {
        thread: Arc::clone(thread),
        activity: Arc::clone(activity),
        peer,
    };
    (io, service)
}

/// A connection in HTTP/1: answered directly up to the first request that is not plain, and by hyper from
/// there on.
struct Http1<S> {
    /// `None` once it has ended.
    state: Option<State<S>>,
    peer: IpAddr,
    thread: Arc<EdgeThread>,
    activity: Arc<Activity>,
    ending: bool,
}

enum State<S> {
    /// With others of the thread.
    Together(Ticket<Direct>),
    Direct(Alone<S, Direct>),
    Hyper(Pin<Box<http1::Connection<TokioIo<Watched<S>>, EdgeService>>>),
}

/// How a connection goes on, if it does.
fn unless_ended<S>(state: io::Result<State<S>>) -> Option<State<S>> {
    state.map_err(|error| log_end(&error)).ok()
}

impl<S: Transport> Http1<S> {
    fn hand_over(&self, direct: Alone<S, Direct>) -> State<S> {
        let (stream, direct) = direct.into_parts();
        let read = direct.into_unread();
        let (io, service) = for_hyper(stream, read, self.peer, &self.thread, &self.activity);
        let max_header_bytes = self.thread.shared.options.max_header_bytes;
        let connection = http1::Builder::new()
            // See the `activity` module.
            .header_read_timeout(None)
            // Answers are a few hundred bytes: one buffer is cheaper than a vector of them.
            // (`pipeline_flush` would save writes too, but loses the answers to broken heads.)
            .writev(false)
            .max_header_size(max_header_bytes)
            .max_buf_size(max_header_bytes.max(MIN_BUFFER_BYTES))
            .serve_connection(io, service);
        let mut connection = Box::pin(connection);
        if self.ending {
            connection.as_mut().graceful_shutdown();
        }
        State::Hyper(connection)
    }
}

impl<S: Transport> Served for Http1<S> {
    const SAYS_GOODBYE: bool = false;

    fn poll_served(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let end = match &mut this.state {
                None => return Poll::Ready(()),
                Some(State::Together(ticket)) => {
                    let left = ready!(ticket.poll(cx)).and_then(S::apart);
                    this.state = unless_ended(left);
                    continue;
                }
                Some(State::Direct(direct)) => ready!(direct.poll_end(cx)),
                Some(State::Hyper(connection)) => {
                    let end = ready!(connection.as_mut().poll(cx));
                    end.unwrap_or_else(|error| log_end(&error));
                    Ok(End::Closed)
                }
            };
            match (end, this.state.take()) {
                (Ok(End::Calm), Some(State::Direct(direct))) => {
                    this.state = unless_ended(S::together(direct));
                }
                (Ok(End::Other), Some(State::Direct(direct))) => {
                    this.state = Some(this.hand_over(direct));
                }
                (Ok(_), _) => {}
                (Err(error), _) => log_end(&error),
            }
        }
    }

    fn end_gracefully(self: Pin<&mut Self>) {
        let this = self.get_mut();
        this.ending = true;
        if let Some(State::Together(ticket)) = &this.state {
            this.state = unless_ended(ticket.leave().and_then(S::apart));
        }
        match &mut this.state {
            Some(State::Direct(direct)) => direct.talk_mut().end_gracefully(),
            Some(State::Hyper(connection)) => connection.as_mut().graceful_shutdown(),
            Some(State::Together(_)) | None => {}
        }
    }
}

/// Runs a connection until it ends by itself, runs out of time, or has drained.
async fn drive<C: Served>(connection: C, thread: &EdgeThread, activity: &Activity) {
    let patience = thread.shared.patience();
    let mut connection = pin!(connection);
    // What is due can come nearer, as when a head begins on an idle connection, but never nearer
    // than the shorter patience: looking that often misses nothing.
    let look_again = patience.header.min(patience.idle);
    let mut timer = pin!(sleep_until((Instant::now() + look_again).into()));
    let linger = match C::SAYS_GOODBYE {
        true => Duration::ZERO,
        false => thread.shared.options.linger,
    };
    let mut drained = pin!(drained(thread, linger));
    let mut waits_for_drain = false;
    let mut told_to_end = false;
    let mut ending_idle = false;
    // Polled once to wake this task when it goes off; after that it is cheaper to ask whether it has.
    let mut timer_waits = false;
    poll_fn(|cx| {
        loop {
            // Polled once to be woken; after that the flag is cheaper to ask.
            if !told_to_end && (!waits_for_drain || thread.drain.begun()) {
                waits_for_drain = true;
                if drained.as_mut().poll(cx).is_ready() {
                    told_to_end = true;
                    connection.as_mut().end_gracefully();
                }
            }
            if connection.as_mut().poll_served(cx).is_ready() {
                return Poll::Ready(());
            }
            if timer_waits && !timer.is_elapsed() {
                return Poll::Pending;
            }
            timer_waits = true;
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            let next = match activity.due(patience) {
                Due::Busy => now + look_again,
                Due::Head(at) | Due::Idle(at) if at > now => at.min(now + look_again),
                Due::Head(_) => {
                    timed_out(thread);
                    return Poll::Ready(());
                }
                Due::Idle(_) if ending_idle => return Poll::Ready(()),
                // Not dropped at once: HTTP/2 says goodbye, and what arrives now is still answered.
                Due::Idle(_) => {
                    timed_out(thread);
                    ending_idle = true;
                    connection.as_mut().end_gracefully();
                    now + patience.header
                }
            };
            timer.as_mut().reset(next.into());
            timer_waits = false;
        }
    })
    .await;
}

fn timed_out(thread: &EdgeThread) {
    let timed_out = &thread.recorder.connections.timed_out;
    timed_out.fetch_add(1, Relaxed);
}

/// Waits until connections shall end, and `linger` longer.
async fn drained(thread: &EdgeThread, linger: Duration) {
    thread.drain.token().cancelled().await;
    sleep(linger).await;
}

/// What both protocols' connections can do.
trait Served {
    /// Whether the client of an idle connection is told of its end, and asks again elsewhere. In
    /// HTTP/1 only an answer can tell it: a request that crosses the end would be lost.
    const SAYS_GOODBYE: bool;

    fn poll_served(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
    /// Answers what was asked, then ends.
    fn end_gracefully(self: Pin<&mut Self>);
}

impl<I> Served for http2::Connection<I, EdgeService, TokioExecutor>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    const SAYS_GOODBYE: bool = true;

    fn poll_served(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(cx)
            .map(|end| end.unwrap_or_else(|error| log_end(&error)))
    }

    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

fn log_end(error: &dyn std::error::Error) {
    tracing::debug!(%error, "a connection ended early");
}

/// A stream whose reads are noted, and what was read from it before.
struct Watched<S> {
    stream: S,
    read: Bytes,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let length = self.read.len().min(buf.remaining());
            buf.put_slice(&self.read.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.bytes_read(Instant::now());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
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
