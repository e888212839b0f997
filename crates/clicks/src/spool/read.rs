//! Reading the spool, from any position, as often as it takes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::frame::{self, Found, MAX_FRAME};
use super::segment;
use super::state::{Readable, State};
use crate::{Batch, Click, ClickSource, Position, SourceError, SourceId};

/// Bytes read at once: at least one frame.
const WINDOW: usize = 4 * MAX_FRAME;

/// Gives the clicks of a spool, those of earlier processes first.
///
/// A batch ends with a frame, and with a segment: it may hold some hundreds of clicks more than was
/// asked for, or fewer.
#[derive(Debug, Clone)]
pub struct SpoolSource {
    state: Arc<State>,
}

impl SpoolSource {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// What there is now behind `after`, without a wait for more. It blocks on the disk: not for
    /// async tasks.
    ///
    /// # Errors
    /// [`SourceError`]; asking again is right.
    pub fn ready(&self, after: Position, most: usize) -> Result<Option<Batch>, SourceError> {
        match written(&self.state, after, most).map_err(unavailable)? {
            Written::Clicks(batch) => Ok(Some(batch)),
            Written::Nothing(_) => Ok(None),
        }
    }

    /// Reads from `after` on, as often as there is more, until something is found.
    pub(super) async fn wait_for<T: Send + 'static>(
        &self,
        after: Position,
        read: impl Fn(&State, Position) -> io::Result<Written<T>> + Copy + Send + 'static,
    ) -> Result<T, SourceError> {
        let mut more = self.state.more();
        let mut from = after;
        loop {
            more.borrow_and_update();
            match self.blocking(move |state| read(state, from)).await? {
                Written::Clicks(found) => return Ok(found),
                Written::Nothing(behind) => from = behind,
            }
            // The sender is in the state, which is held here.
            more.changed().await.map_err(unavailable)?;
        }
    }

    /// Work that waits for the disk.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&State) -> io::Result<T> + Send + 'static,
    ) -> Result<T, SourceError> {
        let state = Arc::clone(&self.state);
        let done = spawn_blocking(move || work(&state)).await;
        done.map_err(unavailable)?.map_err(unavailable)
    }
}

#[async_trait]
impl ClickSource for SpoolSource {
    fn id(&self) -> &SourceId {
        &self.state.source
    }

    async fn next(&self, after: Position, most: usize) -> Result<Batch, SourceError> {
        let read = move |state: &State, from| written(state, from, most);
        self.wait_for(after, read).await
    }

    async fn counted(&self, position: Position) -> Result<(), SourceError> {
        self.blocking(move |state| state.counted(position)).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(error: impl ToString) -> SourceError {
    SourceError::Unavailable(error.to_string())
}

/// What there is behind a position.
#[derive(Debug)]
pub(super) enum Written<T> {
    Clicks(T),
    /// Nothing up to here.
    Nothing(Position),
}

/// What there is now behind a position.
pub(super) fn written(state: &State, after: Position, most: usize) -> io::Result<Written<Batch>> {
    first(state, after, |readable| {
        let batch = read(state, readable, most)?;
        Ok(match batch.clicks.is_empty() {
            true => Written::Nothing(batch.to),
            false => Written::Clicks(batch),
        })
    })
}

/// What is found first behind a position, segment by segment.
pub(super) fn first<T>(
    state: &State,
    after: Position,
    read: impl Fn(Readable) -> io::Result<Written<T>>,
) -> io::Result<Written<T>> {
    let mut after = after;
    while let Some(readable) = state.readable(after) {
        match read(readable) {
            Ok(Written::Nothing(behind)) => after = behind,
            Ok(found) => return Ok(found),
            // Somebody deleted it: nothing of it is to be had any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if state.forget(readable.number) {
                    tracing::error!(
                        segment = readable.number,
                        "a segment of the spool is gone before it was counted"
                    );
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Written::Nothing(after))
}

/// Clicks from here on: about `most`, or fewer where there is no more. Without any, `to` is where
/// something may come.
fn read(state: &State, readable: Readable, most: usize) -> io::Result<Batch> {
    let Readable { number, from, to } = readable;
    let seed = state.segment(number).seed();
    let at = |offset| Position {
        segment: number,
        offset,
    };
    let mut file = File::open(segment::path(&state.directory, number))?;
    let mut clicks: Vec<Click> = Vec::new();
    let mut begin = None;
    let mut end = from;
    let mut window = Vec::new();
    while end < to && clicks.len() < most.max(1) {
        window.clear();
        file.seek(SeekFrom::Start(end))?;
        let wanted = (to - end).min(WINDOW as u64);
        let got = (&file).take(wanted).read_to_end(&mut window)? as u64;
        // Shorter than it was: what is missing is damage as well.
        let last = end + got >= to || got < wanted;
        let mut rest = &window[..];
        while clicks.len() < most.max(1) {
            let (skipped, found) = frame::find(rest, seed, last);
            rest = &rest[skipped..];
            state.damaged(at(end), skipped);
            end += skipped as u64;
            let Found::Frame(frame) = found else { break };
            begin.get_or_insert(end);
            if !frame.clicks(&mut clicks) {
                state.damaged(at(end), frame.bytes());
            }
            rest = &rest[frame.bytes()..];
            end += frame.bytes() as u64;
        }
        if last && rest.is_empty() {
            if end < to {
                state.damaged(at(end), usize::try_from(to - end).unwrap_or(usize::MAX));
            }
            end = to;
        }
    }
    Ok(Batch {
        from: at(begin.unwrap_or(end)),
        to: at(end),
        clicks,
    })
}
