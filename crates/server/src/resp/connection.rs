//! One connection: with others of its thread or alone, and when it ends.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::accept::RespThread;
use super::conversation::{Conversation, patience};
use crate::threads::{Alone, Connection, End as Stop, Talk as _, Wants, enter};

/// How long what a client still sends is read before a connection is closed. Closed earlier, the
/// system would throw away the last answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// The same at shutdown, where pools of clients do not look at their idle connections.
const LAST_FAREWELL: Duration = Duration::from_millis(250);

/// Why a connection ends.
enum End {
    /// The client may still send, and is to see the last answer.
    Told(TcpStream),
    /// The listener shuts down, and what had arrived has been answered.
    Drained(TcpStream),
    /// The client has left.
    Gone,
    /// It was too slow, or idle for too long.
    TimedOut,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: IpAddr, thread: Arc<RespThread>) {
    // Answers are small and complete: nothing is gained by waiting for more. It only fails on a
    // connection that is already dead.
    let _ = stream.set_nodelay(true);
    if peer.is_loopback() {
        // There is no network to be shared, and to be paced, as `bbr` does, costs 1 to 7 % of the rate. If a system
        // does not have it, its own will do.
        let _ = rustix::net::sockopt::set_tcp_congestion(&stream, "reno");
    }
    match converse(stream, &thread).await {
        Ok(End::Told(stream)) => say_goodbye(stream, FAREWELL).await,
        Ok(End::Drained(stream)) => say_goodbye(stream, LAST_FAREWELL).await,
        Ok(End::TimedOut) => {
            thread.recorder.connections.timed_out.fetch_add(1, Relaxed);
        }
        Ok(End::Gone) => {}
        Err(error) => tracing::debug!(%error, "a connection ended early"),
    }
}

async fn converse(stream: TcpStream, thread: &Arc<RespThread>) -> io::Result<End> {
    let patience = patience(thread);
    let drain = &thread.drain;
    let mut drained = pin!(drain.token().cancelled());
    // What is due never comes nearer than that: looking as often misses nothing.
    let mut timer = pin!(sleep(patience));
    let mut alone = Alone::new(stream, Conversation::new(Arc::clone(thread)));
    loop {
        if !drain.begun() {
            let together = enter(alone)?;
            alone = loop {
                tokio::select! {
                    biased;
                    left = poll_fn(|cx| together.poll(cx)) => break left?,
                    () = &mut drained => break together.leave()?,
                    () = &mut timer => {}
                }
                let due = together.look(Conversation::due);
                match next_look(due, patience) {
                    Some(next) => timer.as_mut().reset(next.into()),
                    // What has come meanwhile is looked at first.
                    None => break together.leave()?,
                }
            };
        }
        // Timer and drain wake whom they were told to. That is not told again at each command.
        let mut told = false;
        let stop = poll_fn(|cx| {
            loop {
                if let Poll::Ready(stop) = alone.poll_end(cx)? {
                    return Poll::Ready(io::Result::Ok(Some(stop)));
                }
                if drain.begun() && alone.is_idle() {
                    return Poll::Ready(Ok(Some(Stop::Calm)));
                }
                if told && !timer.is_elapsed() {
                    return Poll::Pending;
                }
                told = true;
                if !drain.begun() && drained.as_mut().poll(cx).is_ready() {
                    continue;
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                match next_look(due(&alone, patience), patience) {
                    Some(next) => timer.as_mut().reset(next.into()),
                    None => return Poll::Ready(Ok(None)),
                }
                told = false;
            }
        });
        return Ok(match stop.await? {
            None => End::TimedOut,
            Some(Stop::Calm) if !drain.begun() => continue,
            Some(Stop::Calm) => End::Drained(alone.into_parts().0),
            Some(Stop::Closed | Stop::Other) if alone.talk().has_left() => End::Gone,
            Some(Stop::Closed | Stop::Other) => End::Told(alone.into_parts().0),
        });
    }
}

/// When to look again whether something is due; none if it is.
fn next_look(due: Option<Instant>, patience: Duration) -> Option<Instant> {
    let now = Instant::now();
    let next = now + patience;
    match due {
        Some(due) if due <= now => None,
        Some(due) => Some(due.min(next)),
        None => Some(next),
    }
}

/// Until when the client has to do something, if it is its turn.
fn due(alone: &Connection<Conversation>, patience: Duration) -> Option<Instant> {
    match alone.unsent_since() {
        Some(since) => Some(since + patience),
        None if alone.talk().wants() == Wants::Time => None,
        None => Some(alone.talk().due()),
    }
}

/// Ends our side, and reads on for a moment until the client has ended its own.
async fn say_goodbye(mut stream: TcpStream, patience: Duration) {
    let ended = async {
        stream.shutdown().await?;
        let mut ignored = [0; 4096];
        while stream.read(&mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever comes of it, the connection is over.
    let _ = timeout(patience, ended).await;
}
