//! What is said on a connection, apart from how its bytes come and go: alone or together with others of its thread.

use std::cell::RefCell;
use std::task::{Context, Poll};
use std::thread::LocalKey;
use std::time::Instant;

use super::together::Batch;

/// What is read at once.
pub(crate) const READ_BYTES: usize = 16 * 1024;
/// So many bytes of answers are sent before more is answered: a few bytes can ask for many.
pub(crate) const FLUSH_BYTES: usize = 64 * 1024;

/// What a [`Talk`] needs to go on, once its answers so far are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// More from the client.
    Bytes,
    /// Another turn: there may be more to answer in what was read.
    Turn,
    /// What an answer waits for.
    Time,
    /// Nothing; our side ends.
    Close,
    /// Somebody else, who goes on with the connection.
    Other,
}

/// One side of a conversation: it is given bytes, and adds its answers to others.
pub(crate) trait Talk: Sized + 'static {
    /// Where the thread keeps those that are served together.
    fn batch() -> &'static LocalKey<RefCell<Option<Batch<Self>>>>;

    /// Takes what was read at `now`, nothing if the client has said that no more comes, and answers all of it that
    /// can be answered.
    fn take(&mut self, fresh: &[u8], now: Instant, answers: &mut Vec<u8>);

    /// Answers more of what was read.
    fn go_on(&mut self, answers: &mut Vec<u8>);

    /// Takes note that all answers are sent, after the client or something else had to be waited for.
    fn sent(&mut self, now: Instant);

    /// Answers what had to wait.
    fn poll_late(&mut self, cx: &mut Context<'_>, answers: &mut Vec<u8>) -> Poll<()>;

    /// What comes next.
    fn wants(&self) -> Wants;
}

/// Gives `answer` all that was read before and is not answered yet, and what was read now. It tells how many bytes are
/// done with.
pub(crate) fn with_unread(unread: &mut Vec<u8>, fresh: &[u8], answer: impl FnOnce(&[u8]) -> usize) {
    if unread.is_empty() {
        let done = answer(fresh);
        unread.extend_from_slice(&fresh[done..]);
        return;
    }
    unread.extend_from_slice(fresh);
    let done = answer(unread);
    if done < unread.len() {
        unread.drain(..done);
    } else {
        // An idle connection keeps no buffer.
        *unread = Vec::new();
    }
}
