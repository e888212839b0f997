//! One connection: reading, answering all that has arrived, writing, and when it ends.

use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

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
        loop {
            if drain.begun() {
                return self.last_round().await;
            }
            // Waits for the first bytes without a buffer, which idle connections do without.
            let read = async {
                if !self.requests.in_the_midst() {
                    self.stream.readable().await?;
                }
                self.stream.read_buf(self.requests.room()).await
            };
            tokio::select! {
                biased;
                read = read => match read? {
                    0 => return Ok(End::Gone),
                    bytes => self.requests.has_read(bytes),
                },
                () = &mut drained => continue,
                () = &mut timer => {
                    // It is later now if a command came meanwhile: cheaper than setting the timer
                    // at each.
                    if deadline <= Instant::now() {
                        return Ok(End::TimedOut);
                    }
                    timer.as_mut().reset(deadline);
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
                }
            }
            was_in_the_midst = in_the_midst;
        }
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
                Ok(None) => {
                    self.flush().await?;
                    return Ok(commands);
                }
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
    }

    async fn flush(&mut self) -> Result<(), End> {
        if self.replies.bytes().is_empty() {
            return Ok(());
        }
        let written = self.stream.write_all(self.replies.bytes());
        timeout(self.patience, written)
            .await
            .map_err(|_| End::TimedOut)??;
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
