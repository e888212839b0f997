//! The answers of a bulk request on their way to a client that may not read them yet.
//!
//! Most HTTP clients send their whole body before they read a byte of the answer. If answers were
//! held back until such a client reads, both sides would wait for each other for ever; if they
//! were kept in memory, memory would grow with the input. So what the client is behind by goes to
//! a temporary file without a name, which vanishes with the request.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Pieces kept in memory before the file is used.
const PIECES_IN_MEMORY: usize = 4;
/// The most bytes read back from the file at once.
const READ_BYTES: u64 = 64 * 1024;
/// The most bytes in the file; then the writer waits until the client has read them.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// The end into which answers go.
pub(super) struct SpoolWriter {
    shared: Arc<Shared>,
    finished: bool,
}

/// The end from which the client gets them.
struct SpoolReader {
    shared: Arc<Shared>,
}

struct Shared {
    // A blocking mutex, because nothing awaits and no file is touched while it is held.
    state: Mutex<State>,
    /// There is more to read, or the end.
    written: Notify,
    /// There is room again, or nobody reads any more.
    taken: Notify,
}

/// What is in memory is older than what is in the file: while the file holds anything unread, all
/// that comes goes there.
#[derive(Default)]
struct State {
    memory: VecDeque<Bytes>,
    file: Option<Arc<File>>,
    /// How far the file is written, and how far it is read.
    written: u64,
    read: u64,
    end: Option<End>,
    abandoned: bool,
}

#[derive(Clone, Copy)]
enum End {
    Complete,
    Broken,
}

/// Where a piece belongs now.
enum Placed {
    Memory,
    File(Bytes),
    Nowhere(Bytes),
}

/// Nobody reads the answers any more.
#[derive(Debug)]
pub(super) struct Abandoned;

/// Both ends.
pub(super) fn spool() -> (SpoolWriter, impl Stream<Item = io::Result<Bytes>> + Send) {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        written: Notify::new(),
        taken: Notify::new(),
    });
    let writer = SpoolWriter {
        shared: Arc::clone(&shared),
        finished: false,
    };
    let reader = SpoolReader { shared };
    let pieces = futures_util::stream::unfold(reader, |reader| async move {
        let piece = reader.next().await?;
        Some((piece, reader))
    });
    (writer, pieces)
}

impl SpoolWriter {
    /// Adds a piece. Waits for the client only while the file is full.
    pub(super) async fn push(&self, mut piece: Bytes) -> Result<(), Abandoned> {
        loop {
            match self.place(piece)? {
                Placed::Memory => return Ok(()),
                Placed::File(piece) => return self.spill(piece).await,
                Placed::Nowhere(back) => piece = back,
            }
            self.shared.taken.notified().await;
        }
    }

    fn place(&self, piece: Bytes) -> Result<Placed, Abandoned> {
        let mut state = self.shared.state.lock();
        if state.abandoned {
            return Err(Abandoned);
        }
        let behind = state.written - state.read;
        if behind == 0 && state.memory.len() < PIECES_IN_MEMORY {
            state.memory.push_back(piece);
            self.shared.written.notify_one();
            Ok(Placed::Memory)
        } else if behind == 0 || state.written + piece.len() as u64 <= MAX_FILE_BYTES {
            Ok(Placed::File(piece))
        } else {
            Ok(Placed::Nowhere(piece))
        }
    }

    async fn spill(&self, piece: Bytes) -> Result<(), Abandoned> {
        let (file, at) = {
            let mut state = self.shared.state.lock();
            if state.read == state.written {
                // All is read: the file is filled from its beginning again.
                (state.read, state.written) = (0, 0);
            }
            (state.file.clone(), state.written)
        };
        let length = piece.len() as u64;
        let written = tokio::task::spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile()?),
            };
            file.write_all_at(&piece, at)?;
            io::Result::Ok(file)
        })
        .await;
        let file = match written.map_err(io::Error::other).flatten() {
            Ok(file) => file,
            Err(error) => {
                tracing::error!(%error, "the answers of a bulk request cannot be kept");
                return Err(Abandoned);
            }
        };
        {
            let mut state = self.shared.state.lock();
            state.file = Some(file);
            state.written += length;
        }
        self.shared.written.notify_one();
        Ok(())
    }

    /// Ends the answer well. Without it the client sees the connection break.
    pub(super) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        let end = if self.finished {
            End::Complete
        } else {
            End::Broken
        };
        self.shared.state.lock().end = Some(end);
        self.shared.written.notify_one();
    }
}

impl SpoolReader {
    async fn next(&self) -> Option<io::Result<Bytes>> {
        loop {
            let (file, at, length) = {
                let mut state = self.shared.state.lock();
                if let Some(piece) = state.memory.pop_front() {
                    return Some(Ok(piece));
                }
                let behind = state.written - state.read;
                match (&state.file, state.end) {
                    (Some(file), _) if behind > 0 => {
                        (Some(Arc::clone(file)), state.read, behind.min(READ_BYTES))
                    }
                    (_, Some(End::Complete)) => return None,
                    (_, Some(End::Broken)) => {
                        // Said once: after an error the response is over.
                        state.end = Some(End::Complete);
                        return Some(Err(io::Error::other("the bulk request broke off")));
                    }
                    (_, None) => (None, 0, 0),
                }
            };
            match file {
                Some(file) => return Some(self.read_back(file, at, length).await),
                None => self.shared.written.notified().await,
            }
        }
    }

    async fn read_back(&self, file: Arc<File>, at: u64, length: u64) -> io::Result<Bytes> {
        let piece = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
            file.read_exact_at(&mut piece, at)?;
            io::Result::Ok(piece)
        })
        .await
        .map_err(io::Error::other)
        .flatten()?;
        self.shared.state.lock().read += length;
        self.shared.taken.notify_one();
        Ok(piece.into())
    }
}

impl Drop for SpoolReader {
    fn drop(&mut self) {
        self.shared.state.lock().abandoned = true;
        self.shared.taken.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::StreamExt;

    use super::*;

    fn piece(number: u32) -> Bytes {
        number.to_be_bytes().repeat(10_000).into()
    }

    #[tokio::test]
    async fn nothing_is_lost_and_little_is_in_memory_while_nobody_reads() {
        let (writer, pieces) = spool();
        for number in 0..100 {
            writer.push(piece(number)).await.unwrap();
            assert!(writer.shared.state.lock().memory.len() <= PIECES_IN_MEMORY);
        }
        let mut pieces = pin!(pieces);
        let mut got = Vec::new();
        let mut expected: Vec<u8> = (0..100).flat_map(piece).collect();
        while got.len() < expected.len() {
            got.extend(pieces.next().await.unwrap().unwrap());
        }
        // Caught up: from here on memory is used again, in order.
        writer.push(piece(100)).await.unwrap();
        assert_eq!(writer.shared.state.lock().memory.len(), 1);
        writer.finish();
        expected.extend(piece(100));
        while let Some(more) = pieces.next().await {
            got.extend(more.unwrap());
        }
        assert!(got == expected);
    }

    #[tokio::test]
    async fn the_file_is_used_again_once_the_client_has_caught_up() {
        let (writer, pieces) = spool();
        let mut pieces = pin!(pieces);
        for round in 0..10 {
            let numbers = round * 10..(round + 1) * 10;
            let expected: Vec<u8> = numbers.clone().flat_map(piece).collect();
            for number in numbers {
                writer.push(piece(number)).await.unwrap();
            }
            let mut got = Vec::new();
            while got.len() < expected.len() {
                got.extend(pieces.next().await.unwrap().unwrap());
            }
            assert!(got == expected, "round {round}");
        }
        let file = writer.shared.state.lock().file.clone().unwrap();
        let round_bytes = 10 * piece(0).len() as u64;
        assert!(file.metadata().unwrap().len() <= round_bytes);
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_stops_the_writer() {
        let (writer, pieces) = spool();
        drop(pieces);
        assert!(writer.push(piece(1)).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_an_error() {
        let (writer, pieces) = spool();
        writer.push(piece(1)).await.unwrap();
        drop(writer);
        let mut pieces = pin!(pieces);
        assert!(pieces.next().await.unwrap().is_ok());
        assert!(pieces.next().await.unwrap().is_err());
        assert!(pieces.next().await.is_none());
    }
}
