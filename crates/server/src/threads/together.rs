//! The connections of a thread, served together.
//!
//! Of a redirect, or a decision, four fifths of the processor's time are the system's, and what is left waits for code and data that the
//! system's calls have pushed out of the near caches. So what has arrived is taken from all connections first, then
//! all requests are answered, and then all answers are sent: each of the three finds its code where it left it. The
//! connections have an `epoll` of their own for that, at which the runtime looks as at one more connection.
//!
//! A connection leaves as soon as it needs more than that: an answer that has to wait, a request that somebody else
//! answers, a client that does not read. It goes on [`Alone`] then, until some reads in a row were answered at once.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::net::TcpStream;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use slab::Slab;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::alone::Alone;
use super::talk::{READ_BYTES, Talk, Wants};

/// So many connections are served together at most: other tasks of the thread wait that long.
const MOST: usize = 128;
/// Buffers that have become larger than this, by clients that ask for much at once, are given back.
const KEPT_BYTES: usize = 1024 * 1024;
/// What tells that nothing more comes than is there.
const ENDS: EventFlags = EventFlags::RDHUP
    .union(EventFlags::HUP)
    .union(EventFlags::ERR);

/// Those of one thread.
pub(crate) struct Batch<T> {
    epoll: Arc<OwnedFd>,
    /// Serves as long as the runtime does.
    serving: JoinHandle<()>,
    members: Slab<Member<T>>,
    buffers: Buffers,
    events: Vec<Event>,
    /// What may be there to read though nothing tells so.
    again: Vec<Event>,
    /// How often connections were served.
    turns: u64,
}

#[derive(Default)]
struct Buffers {
    /// What was read, one after the other.
    read: Vec<u8>,
    answers: Vec<u8>,
    /// Whose is which part of both.
    turns: Vec<Turn>,
}

struct Turn {
    key: usize,
    read: Range<usize>,
    answer: Range<usize>,
}

struct Member<T> {
    /// None once it has left.
    here: Option<Here<T>>,
    /// How it has left.
    left: Option<io::Result<Connection<T>>>,
    waker: Option<Waker>,
    /// The turn in which it was read last: once in each, for an answer that is not sent as a whole ends the turn.
    turn: u64,
}

struct Here<T> {
    stream: TcpStream,
    talk: T,
}

/// A connection before it enters, and after it has left.
pub(crate) type Connection<T> = Alone<tokio::net::TcpStream, T>;

/// A connection's place among those that are served together; it ends with it.
pub(crate) struct Ticket<T: Talk> {
    /// Of the batch that it is a place of.
    epoll: Arc<OwnedFd>,
    key: usize,
    talk: PhantomData<fn(T)>,
}

/// Takes in a connection.
///
/// # Errors
/// Those of the system. The connection has ended then.
pub(crate) fn enter<T: Talk>(connection: Connection<T>) -> io::Result<Ticket<T>> {
    let (stream, talk) = connection.into_parts();
    let stream = stream.into_std()?;
    T::batch().with_borrow_mut(|batch| {
        let batch = match batch {
            Some(batch) if !batch.serving.is_finished() => batch,
            _ => batch.insert(Batch::new()?),
        };
        let place = batch.members.vacant_entry();
        let key = place.key();
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(key as u64);
        epoll::add(&batch.epoll, &stream, data, flags)?;
        place.insert(Member {
            here: Some(Here { stream, talk }),
            left: None,
            waker: None,
            turn: 0,
        });
        let epoll = Arc::clone(&batch.epoll);
        Ok(Ticket {
            epoll,
            key,
            talk: PhantomData,
        })
    })
}

impl<T: Talk> Ticket<T> {
    /// Waits until the connection leaves.
    ///
    /// # Errors
    /// Those of the connection, which has ended then.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<io::Result<Connection<T>>> {
        let polled = self.with(|batch, key| {
            let member = batch.members.get_mut(key)?;
            let left = member.left.take();
            if left.is_none() {
                member.waker = Some(cx.waker().clone());
            }
            Some(left.map_or(Poll::Pending, Poll::Ready))
        });
        polled.unwrap_or_else(|| Poll::Ready(Err(io::ErrorKind::NotConnected.into())))
    }

    /// Takes the connection out.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub(crate) fn leave(&self) -> io::Result<Connection<T>> {
        let left = self.with(|batch, key| {
            let member = batch.members.get_mut(key)?;
            part(&batch.epoll, member, Ok(&[]));
            member.left.take()
        });
        left.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    /// Looks at what is said, if it is still there.
    pub(crate) fn look<R>(&self, at: impl FnOnce(&T) -> R) -> Option<R> {
        self.with(|batch, key| {
            let member = batch.members.get(key)?;
            member.here.as_ref().map(|here| at(&here.talk))
        })
    }

    fn with<R>(&self, work: impl FnOnce(&mut Batch<T>, usize) -> Option<R>) -> Option<R> {
        // There is none if the thread is about to end, and another one if this could not go on.
        let with = |batch: &RefCell<Option<Batch<T>>>| {
            let mut batch = batch.try_borrow_mut().ok()?;
            let batch = batch.as_mut()?;
            let own = Arc::ptr_eq(&batch.epoll, &self.epoll);
            own.then(|| work(batch, self.key)).flatten()
        };
        T::batch().try_with(with).ok().flatten()
    }
}

impl<T: Talk> Drop for Ticket<T> {
    fn drop(&mut self) {
        // The system forgets a connection that is closed.
        self.with(|batch, key| batch.members.try_remove(key));
    }
}

/// Serves until the runtime ends.
async fn serve<T: Talk>(connections: AsyncFd<Arc<OwnedFd>>) {
    loop {
        let Ok(mut ready) = connections.readable().await else {
            return;
        };
        let served = T::batch().with_borrow_mut(|batch| batch.as_mut().map(Batch::turn));
        match served {
            // What has arrived meanwhile makes it ready again.
            Some(Ok(false)) => ready.clear_ready(),
            Some(Ok(true)) => tokio::task::yield_now().await,
            Some(Err(error)) => {
                tracing::error!(%error, "connections cannot be waited for");
                T::batch().with_borrow_mut(|batch| batch.as_mut().map(Batch::end));
                return;
            }
            None => return,
        }
    }
}

impl<T: Talk> Batch<T> {
    fn new() -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        // What replaces it is unsafe, for those whose descriptor could be closed meanwhile: this one is its own.
        #[expect(deprecated)]
        let connections = AsyncFd::with_interest(Arc::clone(&epoll), Interest::READABLE)?;
        Ok(Self {
            epoll,
            serving: tokio::spawn(serve::<T>(connections)),
            members: Slab::new(),
            buffers: Buffers::default(),
            events: Vec::with_capacity(MOST),
            again: Vec::new(),
            turns: 0,
        })
    }

    /// Serves the connections for which something has arrived; whether there may be more.
    fn turn(&mut self) -> io::Result<bool> {
        let mut events = std::mem::take(&mut self.events);
        let waited = epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&Timespec::default()),
        );
        let more = match waited {
            Ok(ready) => ready == MOST,
            Err(Errno::INTR) => true,
            Err(error) => return Err(error.into()),
        };
        events.append(&mut self.again);
        self.turns += 1;
        self.read(&events);
        self.answer();
        self.send();
        for buffer in [&mut self.buffers.read, &mut self.buffers.answers] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        events.clear();
        self.events = events;
        Ok(more || !self.again.is_empty())
    }

    /// Lets all leave, for they would not be served.
    fn end(&mut self) {
        for (_, member) in &mut self.members {
            part(&self.epoll, member, Ok(&[]));
        }
    }

    fn read(&mut self, events: &[Event]) {
        let Buffers { read, turns, .. } = &mut self.buffers;
        turns.clear();
        let mut at = 0;
        for event in events {
            let key = event.data.u64() as usize;
            let Some(member) = self.members.get_mut(key) else {
                continue;
            };
            if member.turn == self.turns {
                self.again.push(*event);
                continue;
            }
            member.turn = self.turns;
            let Some(here) = &member.here else {
                continue;
            };
            if read.len() < at + READ_BYTES {
                read.resize(at + READ_BYTES, 0);
            }
            let place = &mut read[at..at + READ_BYTES];
            match rustix::net::recv(&here.stream, place, RecvFlags::empty()) {
                Ok((_, length)) => {
                    turns.push(Turn {
                        key,
                        read: at..at + length,
                        answer: 0..0,
                    });
                    at += length;
                    // Nothing more is told of what was there before.
                    let flags = event.flags;
                    let ends = flags.intersects(ENDS);
                    if length == READ_BYTES || (ends && length > 0) {
                        self.again.push(*event);
                    }
                }
                Err(Errno::AGAIN) => {}
                Err(Errno::INTR) => self.again.push(*event),
                Err(error) => part(&self.epoll, member, Err(error.into())),
            }
        }
    }

    fn answer(&mut self) {
        let Buffers {
            read,
            answers,
            turns,
        } = &mut self.buffers;
        answers.clear();
        let now = Instant::now();
        turns.retain_mut(|turn| {
            let Some(member) = self.members.get_mut(turn.key) else {
                return false;
            };
            let Some(here) = &mut member.here else {
                return false;
            };
            let begin = answers.len();
            let taken = catch_unwind(AssertUnwindSafe(|| {
                here.talk.take(&read[turn.read.clone()], now, answers);
            }));
            if taken.is_err() {
                // As the end of its task would: of this connection alone.
                answers.truncate(begin);
                let error = Err(io::Error::other("an answer panicked"));
                part(&self.epoll, member, error);
                return false;
            }
            turn.answer = begin..answers.len();
            true
        });
    }

    fn send(&mut self) {
        let Buffers { answers, turns, .. } = &self.buffers;
        for turn in turns {
            let Some(member) = self.members.get_mut(turn.key) else {
                continue;
            };
            let Some(here) = &member.here else {
                continue;
            };
            let answer = &answers[turn.answer.clone()];
            let sent = match answer {
                [] => Ok(0),
                _ => rustix::net::send(&here.stream, answer, SendFlags::NOSIGNAL),
            };
            let rest = match sent {
                Ok(sent) => &answer[sent..],
                Err(Errno::AGAIN | Errno::INTR) => answer,
                Err(error) => {
                    part(&self.epoll, member, Err(error.into()));
                    continue;
                }
            };
            if !rest.is_empty() || here.talk.wants() != Wants::Bytes {
                part(&self.epoll, member, Ok(rest));
            }
        }
    }
}

/// Lets a connection leave: for an error, or with what could not be sent.
fn part<T>(epoll: &OwnedFd, member: &mut Member<T>, how: io::Result<&[u8]>) {
    let Some(Here { stream, talk }) = member.here.take() else {
        return;
    };
    let how = how.and_then(|unsent| {
        epoll::delete(epoll, &stream)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        Ok(Alone::leaving(stream, talk, unsent))
    });
    member.left = Some(how);
    if let Some(waker) = member.waker.take() {
        waker.wake();
    }
}
