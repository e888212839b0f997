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
#[derive(Debug)]
pub(super) struct Lines {
    /// What may stand between records.
    blanks: &'static [u8],
    /// Where lines end that are not blank: offset of the last byte of a record, and number of the line less one.
    ends: VecDeque<(u64, u64)>,
    offset: u64,
    newlines: u64,
}

impl<R: Read> CountLines<R> {
    /// Counts what is read from `inner`, in which `blanks` may stand between records beside line feeds; the lines are
    /// asked for by the other handle.
    pub(super) fn new(inner: R, blanks: &'static [u8]) -> (Self, Rc<RefCell<Lines>>) {
        let lines = Rc::new(RefCell::new(Lines {
            blanks,
            ends: VecDeque::new(),
            offset: 0,
            newlines: 0,
        }));
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
        if byte == b'\n' {
            self.newlines += 1;
        } else if !self.blanks.contains(&byte) {
            match self.ends.back_mut() {
                Some((end, line)) if *line == self.newlines => *end = self.offset,
                _ => self.ends.push_back((self.offset, self.newlines)),
            }
        }
        self.offset += 1;
    }

    /// The number of the line of the first byte at `offset` or later that is not blank, from 1.
    /// Offsets must not go back.
    pub(super) fn at(&mut self, offset: u64) -> u64 {
        while self.ends.front().is_some_and(|(end, _)| *end < offset) {
            self.ends.pop_front();
        }
        let newlines = self.ends.front().map_or(self.newlines, |(_, n)| *n);
        newlines + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, offsets: &[u64]) -> Vec<u64> {
        let (mut reader, lines) = CountLines::new(text.as_bytes(), b" \r");
        io::copy(&mut reader, &mut io::sink()).unwrap();
        let at = |offset: &u64| lines.borrow_mut().at(*offset);
        offsets.iter().map(at).collect()
    }

    #[test]
    fn a_record_is_on_the_line_of_its_first_byte() {
        assert_eq!(lines("a\nb\n\r\n\nc", &[0, 1, 2, 3]), [1, 2, 2, 5]);
        // Several on a line.
        assert_eq!(lines("a b  \n c", &[0, 1, 3, 6]), [1, 1, 2, 2]);
        assert_eq!(lines("a\rb\rc\nd", &[0, 2, 4, 5]), [1, 1, 1, 2]);
        assert_eq!(lines("a\n\n", &[1]), [3], "the end");
    }
}
