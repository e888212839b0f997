//! What is said on one connection: commands are read from bytes, and their answers are written.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread::LocalKey;
use std::time::{Duration, Instant};

use super::accept::RespThread;
use super::answer::{Late, Step, answer};
use super::reply::{Protocol, Replies};
use super::request::Requests;
use super::session::Session;
use crate::threads::{Batch, FLUSH_BYTES, Talk, Wants, with_unread};

/// How long a client may take to send the rest of a command, or to take its answers.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    static BATCH: RefCell<Option<Batch<Conversation>>> = const { RefCell::new(None) };
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client is told so.
    Ours,
    /// The client has left.
    Theirs,
}

/// See the module.
pub(super) struct Conversation {
    thread: Arc<RespThread>,
    session: Session,
    protocol: Protocol,
    requests: Requests,
    /// Read, and not answered yet.
    unread: Vec<u8>,
    /// Whether there may be a whole command in that.
    may_be_whole: bool,
    late: Option<Late>,
    /// Answers that came late, until those to all commands that came with them are there.
    held_back: Vec<u8>,
    end: Option<End>,
    /// When something was read last, or the answers to it were sent if that took longer.
    active_at: Instant,
    /// When that was for the command that has not arrived as a whole, which its bytes do not prolong.
    begun_at: Instant,
}

impl Conversation {
    pub(super) fn new(thread: Arc<RespThread>) -> Self {
        let now = Instant::now();
        Self {
            session: thread.shared.session(),
            protocol: Protocol::default(),
            requests: Requests::default(),
            unread: Vec::new(),
            may_be_whole: false,
            late: None,
            held_back: Vec::new(),
            end: None,
            active_at: now,
            begun_at: now,
            thread,
        }
    }

    /// Until when the client has to say something, or the rest of what it says.
    pub(super) fn due(&self) -> Instant {
        match self.unread.is_empty() {
            true => self.active_at + self.thread.shared.options.idle_timeout,
            false => self.begun_at + patience(&self.thread),
        }
    }

    /// Whether it ends by the client's leaving.
    pub(super) fn has_left(&self) -> bool {
        self.end == Some(End::Theirs)
    }

    /// Answers all commands that are whole in what was left before and this, and tells how many there were.
    fn answer_with(&mut self, fresh: &[u8], answers: &mut Vec<u8>) -> usize {
        let mut unread = std::mem::take(&mut self.unread);
        let mut commands = 0;
        with_unread(&mut unread, fresh, |bytes| {
            commands = self.answer_all(bytes, answers);
            self.requests.done()
        });
        self.unread = unread;
        commands
    }

    /// Answers every command that has arrived as a whole, and tells how many there were.
    fn answer_all(&mut self, bytes: &[u8], answers: &mut Vec<u8>) -> usize {
        let begin = answers.len();
        let mut commands = 0;
        let mut replies = Replies {
            out: answers,
            protocol: self.protocol,
        };
        self.may_be_whole = false;
        loop {
            if self.late.is_some() || replies.out.len() - begin >= FLUSH_BYTES {
                self.may_be_whole = true;
                break;
            }
            let limits = self.thread.shared.limits(&self.session);
            let step = match self.requests.next(bytes, &limits) {
                Ok(Some(words)) => {
                    commands += 1;
                    answer(&self.thread, &mut self.session, &words, &mut replies)
                }
                Ok(None) => break,
                Err(error) => {
                    self.thread.recorder.malformed();
                    replies.error(&format!("ERR Protocol error: {error}"));
                    Step::Close
                }
            };
            match step {
                Step::GoOn => {}
                Step::Late(late) => self.late = Some(late),
                Step::Close => {
                    self.end = Some(End::Ours);
                    break;
                }
            }
        }
        self.protocol = replies.protocol;
        commands
    }
}

/// How long a client may take, see [`PATIENCE`].
pub(super) fn patience(thread: &RespThread) -> Duration {
    PATIENCE.min(thread.shared.options.idle_timeout)
}

impl Talk for Conversation {
    fn batch() -> &'static LocalKey<RefCell<Option<Batch<Self>>>> {
        &BATCH
    }

    fn take(&mut self, fresh: &[u8], now: Instant, answers: &mut Vec<u8>) {
        if fresh.is_empty() {
            self.end = Some(End::Theirs);
            return;
        }
        let in_the_midst = !self.unread.is_empty();
        self.active_at = now;
        if self.answer_with(fresh, answers) > 0 || !in_the_midst {
            self.begun_at = now;
        }
    }

    fn go_on(&mut self, answers: &mut Vec<u8>) {
        self.answer_with(&[], answers);
    }

    fn sent(&mut self, now: Instant) {
        self.active_at = now;
        self.begun_at = now;
    }

    fn poll_late(&mut self, cx: &mut Context<'_>, answers: &mut Vec<u8>) -> Poll<()> {
        while let Some(late) = &mut self.late {
            let mut replies = Replies {
                out: &mut self.held_back,
                protocol: self.protocol,
            };
            ready!(late.poll(cx, &self.thread, &mut replies));
            self.late = None;
            // To send each by itself takes more time than to wait for it does.
            if self.may_be_whole && self.held_back.len() < FLUSH_BYTES {
                let mut held_back = std::mem::take(&mut self.held_back);
                self.answer_with(&[], &mut held_back);
                self.held_back = held_back;
            }
        }
        answers.append(&mut std::mem::take(&mut self.held_back));
        Poll::Ready(())
    }

    fn wants(&self) -> Wants {
        match self.end {
            _ if self.late.is_some() => Wants::Time,
            Some(_) => Wants::Close,
            None if self.may_be_whole => Wants::Turn,
            None => Wants::Bytes,
        }
    }
}
