//! Pieces of a spool, as they are, to be read elsewhere.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use super::frame::{self, Found, MAX_FRAME};
use super::read::{SpoolSource, Written, first};
use super::segment::{self, SegmentId};
use super::state::{Readable, State};
use crate::{Click, Position, SourceError, SourceId};

/// The most bytes of a piece: several frames.
pub const MAX_PIECE: usize = 4 * MAX_FRAME;

/// A part of a segment, with at least one frame of clicks in it. Pieces of a spool follow each other: where
/// one ends, the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Of which spool.
    pub source: SourceId,
    /// What it follows: where the piece before it ended.
    pub after: Position,
    /// Where its bytes begin.
    pub from: Position,
    /// Where the last frame ends.
    pub to: Position,
    /// The frames, with the damage between them.
    pub bytes: Vec<u8>,
}

/// The clicks of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it ends.
    pub to: Position,
    /// In the order in which they were captured, more or less.
    pub clicks: Vec<Click>,
}

impl Piece {
    /// The clicks. What is no whole frame of this spool is left out.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let Some(spool) = State::identity_of(&self.source) else {
            return Vec::new();
        };
        let number = self.from.segment;
        let seed = SegmentId { spool, number }.seed();
        let (mut parts, mut rest, mut offset) = (Vec::new(), &self.bytes[..], self.from.offset);
        loop {
            let (skipped, found) = frame::find(rest, seed, true);
            let Found::Frame(frame) = found else {
                return parts;
            };
            let mut clicks = Vec::new();
            // What another version has written is told where it is read first.
            frame.clicks(&mut clicks);
            offset += (skipped + frame.bytes()) as u64;
            rest = &rest[skipped + frame.bytes()..];
            let to = Position {
                segment: number,
                offset,
            };
            parts.push(Part { to, clicks });
        }
    }
}

impl SpoolSource {
    /// The next piece behind `after`, of at most [`MAX_PIECE`]. Waits until there is one.
    ///
    /// # Errors
    /// [`SourceError`]; asking again is right.
    pub async fn piece(&self, after: Position) -> Result<Piece, SourceError> {
        let read = move |state: &State, from| written(state, after, from);
        self.wait_for(after, read).await
    }

    /// The same, without a wait for more.
    ///
    /// # Errors
    /// [`SourceError`]; asking again is right.
    pub async fn piece_now(&self, after: Position) -> Result<Option<Piece>, SourceError> {
        let read = self.blocking(move |state| written(state, after, after));
        Ok(match read.await? {
            Written::Clicks(piece) => Some(piece),
            Written::Nothing(_) => None,
        })
    }
}

/// The piece that follows `after`, if there is one now; nothing is before `from`.
pub(super) fn written(
    state: &State,
    after: Position,
    from: Position,
) -> io::Result<Written<Piece>> {
    first(state, from, |readable| {
        let at = |offset| Position {
            segment: readable.number,
            offset,
        };
        let Some((begin, bytes)) = read(state, readable)? else {
            return Ok(Written::Nothing(at(readable.to)));
        };
        Ok(Written::Clicks(Piece {
            source: state.source.clone(),
            after,
            from: at(begin),
            to: at(begin + bytes.len() as u64),
            bytes,
        }))
    })
}

/// Where the first frame begins, and the bytes from there to the end of the last one that is whole.
fn read(state: &State, readable: Readable) -> io::Result<Option<(u64, Vec<u8>)>> {
    let Readable { number, from, to } = readable;
    let seed = state.segment(number).seed();
    let mut file = File::open(segment::path(&state.directory, number))?;
    let (mut begin, mut window) = (from, Vec::new());
    while begin < to {
        window.clear();
        file.seek(SeekFrom::Start(begin))?;
        let wanted = (to - begin).min(MAX_PIECE as u64);
        let got = (&file).take(wanted).read_to_end(&mut window)? as u64;
        let last = begin + got >= to || got < wanted;
        let (mut first, mut end) = (None, 0);
        loop {
            let (skipped, found) = frame::find(&window[end..], seed, last);
            let at = Position {
                segment: number,
                offset: begin + end as u64,
            };
            state.damaged(at, skipped);
            let Found::Frame(frame) = found else {
                if first.is_none() {
                    end += skipped;
                }
                break;
            };
            first.get_or_insert(end + skipped);
            end += skipped + frame.bytes();
        }
        if let Some(first) = first {
            let bytes = window[first..end].to_vec();
            return Ok(Some((begin + first as u64, bytes)));
        }
        if last {
            break;
        }
        begin += end as u64;
    }
    Ok(None)
}
