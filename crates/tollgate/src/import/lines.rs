//! On which line of the file a record begins.
//!
//! A CSV reader cannot tell: it names the place where it stopped, before the blank lines and the
//! second half of a line's end that it skips next.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// Counts the lines of what is read through it.
pub(super) struct CountLines<R> {
    inner: R,
    lines: Rc<RefCell<Lines>>,
}

/// The lines that were read and not yet asked for: as many as the reader's buffer holds.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where lines begin that are not blank: offset in bytes, and number of the line less one.
    starts: VecDeque<(u64, u64)>,
    offset: u64,
    newlines: u64,
    /// Whether something other than a line's end has come on this line.
    begun: bool,
}

impl<R: Read> CountLines<R> {
    /// Counts what is read from `inner`; the lines are asked for by the other handle.
    pub(super) fn new(inner: R) -> (Self, Rc<RefCell<Lines>>) {
        let lines = Rc::<RefCell<Lines>>::default();
        let handle = Rc::clone(&lines);
        (Self { inner, lines }, handle)
    }
}

impl<R: Read> Read for CountLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let mut lines = self.lines.borrow_mut();
        for byte in buffer.iter().take(read) {
            lines.see(*byte);
        }
        Ok(read)
    }
}

impl Lines {
    fn see(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.newlines += 1;
                self.begun = false;
            }
            b'\r' => {}
            _ if !self.begun => {
                self.begun = true;
                self.starts.push_back((self.offset, self.newlines));
            }
            _ => {}
        }
        self.offset += 1;
    }

    /// The number of the first line that begins at `offset` or later and is not blank, from 1.
    /// Offsets must not go back.
    pub(super) fn at(&mut self, offset: u64) -> u64 {
        while self.starts.front().is_some_and(|(at, _)| *at < offset) {
            self.starts.pop_front();
        }
        let newlines = self.starts.front().map_or(self.newlines, |(_, n)| *n);
        newlines + 1
    }
}
