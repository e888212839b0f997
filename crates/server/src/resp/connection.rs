//! One connection: reading, answering all that has arrived, writing, and when it ends.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::io::poll_read_buf;

use super::accept::RespThread;
use super::answer::{Next, answer};
use super::reply::Replies;
use super::request::Requests;
use super::session::Session;

/// How long a client may take to send the rest of a command, or to take its answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many bytes of answers are written before more commands are answered: a few bytes can ask
/// for many.
const FLUSH_BYTES: usize = 64 * 1024;
/// How long what a client still sends is read before a connection is closed. Closed earlier, the
/// system would throw away the last answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// The same at shutdown, where pools of clients do not look at their idle connections.
const LAST_FAREWELL: Duration = Duration::from_millis(250);

/// Why a connection ends.
enum End {
    /// There is something to tell the client first, which has been written.
    Told,
    /// The listener shuts down, and what had arrived has been answered.
    Drained,
    /// The client has left, or cannot be reached.
    Gone,
    /// It was too slow, or idle for too long.
    TimedOut,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "a connection ended early");
        Self::Gone
    }
}

/// What a connection waits for.
enum Event {
    /// So many bytes were read.
    Read(usize),
    Drain,
    Timer,
}

struct Connection<'a> {
    thread: &'a RespThread,
    stream: TcpStream,
    session: Session,
    requests: Requests,
    replies: Replies,
    patience: Duration,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, thread: &RespThread) {
    // Answers are small and complete: nothing is gained by waiting for more. It only fails on a
    // connection that is already dead.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        thread,
        stream,
        session: thread.shared.session(),
        requests: Requests::default(),
        replies: Replies::default(),
        patience: PATIENCE.min(thread.shared.options.idle_timeout),
    };
    match connection.run().await {
        End::Told => connection.say_goodbye(FAREWELL).await,
        End::Drained => connection.say_goodbye(LAST_FAREWELL).await,
        End::TimedOut => {
            thread.recorder.connections.timed_out.fetch_add(1, Relaxed);
        }
        End::Gone => {}
    }
}

impl Connection<'_> {
    async fn run(&mut self) -> End {
        match self.converse().await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn converse(&mut self) -> Result<End, End> {
        let idle = self.thread.shared.options.idle_timeout;
        let mut deadline = Instant::now() + idle;
        let mut timer = pin!(sleep_until(deadline));
        let drain = &self.thread.drain;
        let mut drained = pin!(drain.token().cancelled());
        let mut was_in_the_midst = false;
        // Timer and drain wake whom they were told to. That is not told again at each command.
        let mut told = false;
        loop {
            if drain.begun() {
                return self.last_round().await;
            }
            // A timer that went off together with a read was not looked at, and wakes nobody again.
            let mut skip = told && !timer.is_elapsed();
            let event = poll_fn(|cx| {
                if let Poll::Ready(read) = self.poll_read(cx) {
                    return Poll::Ready(read.map(Event::Read));
                }
                // Asked first by a new wait and then again by each wake, which may be theirs.
                if !std::mem::take(&mut skip) {
                    if drained.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Ok(Event::Drain));
                    }
                    if timer.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Ok(Event::Timer));
                    }
                    told = true;
                }
                Poll::Pending
            });
            match event.await? {
                Event::Read(0) => return Ok(End::Gone),
                Event::Read(bytes) => self.requests.has_read(bytes),
                Event::Drain => continue,
                Event::Timer => {
                    // It is later now if a command came meanwhile: cheaper than setting the timer
                    // at each.
                    if deadline <= Instant::now() {
                        return Ok(End::TimedOut);
                    }
                    timer.as_mut().reset(deadline);
                    told = false;
                    continue;
                }
            }
            let commands = self.answer_all().await?;
            // The rest of a command has a time of its own, which its bytes do not prolong.
            let in_the_midst = self.requests.in_the_midst();
            if !in_the_midst {
                self.requests.rest();
                deadline = Instant::now() + idle;
            } else if commands > 0 || !was_in_the_midst {
                deadline = Instant::now() + self.patience;
                if timer.deadline() > deadline {
                    timer.as_mut().reset(deadline);
                    told = false;
                }
            }
            was_in_the_midst = in_the_midst;
        }
    }

    /// Waits for the first bytes without a buffer, which idle connections do without.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.requests.in_the_midst() {
            ready!(self.stream.poll_read_ready(cx))?;
        }
        poll_read_buf(Pin::new(&mut self.stream), cx, self.requests.room())
    }

    /// Answers every command that has arrived as a whole, and tells how many there were.
    async fn answer_all(&mut self) -> Result<usize, End> {
        let mut commands = 0;
        loop {
            let limits = self.thread.shared.limits(&self.session);
            let next = match self.requests.next(&limits) {
                Ok(Some(words)) => {
                    commands += 1;
                    answer(self.thread, &mut self.session, &words, &mut self.replies).await
                }
                Ok(None) => break,
                Err(error) => {
                    self.thread.recorder.malformed();
                    self.replies.error(&format!("ERR Protocol error: {error}"));
                    Next::Close
                }
            };
            if next == Next::Close {
                self.flush().await?;
                return Err(End::Told);
            }
            if self.replies.bytes().len() >= FLUSH_BYTES {
                self.flush().await?;
            }
        }
        self.flush().await?;
        Ok(commands)
    }

    async fn flush(&mut self) -> Result<(), End> {
        let mut rest = self.replies.bytes();
        if rest.is_empty() {
            return Ok(());
        }
        // Nearly always the system takes it all at once, and no time has to be kept.
        match self.stream.try_write(rest) {
            Ok(bytes) => rest = &rest[bytes..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if !rest.is_empty() {
            let written = self.stream.write_all(rest);
            timeout(self.patience, written)
                .await
                .map_err(|_| End::TimedOut)??;
        }
        self.replies.written();
        Ok(())
    }

    /// At shutdown: answers what has arrived by now.
    async fn last_round(&mut self) -> Result<End, End> {
        match self.stream.try_read_buf(self.requests.room()) {
            Ok(0) => return Ok(End::Gone),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        self.answer_all().await?;
        Ok(End::Drained)
    }

    /// Ends our side, and reads on for a moment until the client has ended its own.
    async fn say_goodbye(&mut self, patience: Duration) {
        let ended = async {
            self.stream.shutdown().await?;
            let mut ignored = [0; 4096];
            while self.stream.read(&mut ignored).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever comes of it, the connection is over.
        let _ = timeout(patience, ended).await;
    }
}
