//! A queue in memory, which fails as a script says.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tollgate_clicks::queue::{Put, QueueError, SharedQueue, Taken};
use tollgate_clicks::spool::Piece;
use tollgate_clicks::{Position, SourceId};

/// Pieces are given to others after this.
const CLAIM_AFTER: Duration = Duration::from_millis(50);

/// What becomes of a question.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    Works,
    Fails,
    LosesTheAnswer,
}

struct Entry {
    number: u64,
    piece: Piece,
    taken: Option<(usize, Instant)>,
}

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    positions: HashMap<SourceId, Position>,
    next: u64,
    fates: VecDeque<Fate>,
}

/// The queue.
pub(crate) struct Memory {
    inner: Mutex<Inner>,
    most: usize,
}

/// The queue, as one of several has it.
struct Of {
    memory: Arc<Memory>,
    who: usize,
}

impl Memory {
    pub(crate) fn new(most: usize, fates: Vec<Fate>) -> Self {
        let inner = Inner {
            fates: fates.into(),
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
            most,
        }
    }

    pub(crate) fn of(self: &Arc<Self>, who: usize) -> Arc<dyn SharedQueue> {
        Arc::new(Of {
            memory: Arc::clone(self),
            who,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.lock().unwrap().entries.len()
    }

    /// Loses all entries, but still knows what it had: the worst that can be.
    pub(crate) fn empty(&self) {
        self.inner.lock().unwrap().entries.clear();
    }
}

impl Of {
    fn ask<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> Result<T, QueueError> {
        let inner = &mut *self.memory.inner.lock().unwrap();
        let failed = || QueueError::Unavailable("on purpose".into());
        match inner.fates.pop_front().unwrap_or(Fate::Works) {
            Fate::Works => Ok(work(inner)),
            Fate::Fails => Err(failed()),
            Fate::LosesTheAnswer => {
                work(inner);
                Err(failed())
            }
        }
    }
}

#[async_trait]
impl SharedQueue for Of {
    async fn position(&self, source: &SourceId) -> Result<Option<Position>, QueueError> {
        self.ask(|inner| inner.positions.get(source).copied())
    }

    async fn put(&self, piece: &Piece, anew: bool) -> Result<Put, QueueError> {
        let most = self.memory.most;
        self.ask(|inner| {
            let at = inner.positions.get(&piece.source).copied();
            if !anew && at == Some(piece.to) {
                return Put::Done;
            }
            if !anew && at != Some(piece.after) {
                return Put::Elsewhere(at);
            }
            if inner.entries.len() >= most {
                return Put::Full;
            }
            inner.next += 1;
            inner.entries.push(Entry {
                number: inner.next,
                piece: piece.clone(),
                taken: None,
            });
            inner.positions.insert(piece.source.clone(), piece.to);
            Put::Done
        })
    }

    async fn take(&self, most: usize, again: bool) -> Result<Vec<Taken>, QueueError> {
        let now = Instant::now();
        self.ask(|inner| {
            let free = inner.entries.iter_mut().filter(|entry| match entry.taken {
                None => true,
                Some((who, at)) => (again && who == self.who) || now - at >= CLAIM_AFTER,
            });
            free.take(most)
                .map(|entry| {
                    entry.taken = Some((self.who, now));
                    Taken {
                        name: entry.number.to_string().into_bytes(),
                        piece: entry.piece.clone(),
                    }
                })
                .collect()
        })
    }

    async fn done(&self, names: &[Vec<u8>]) -> Result<(), QueueError> {
        self.ask(|inner| {
            let is_done = |entry: &Entry| names.contains(&entry.number.to_string().into_bytes());
            inner.entries.retain(|entry| !is_done(entry));
        })
    }
}
