//! Files of lines, compressed or not, in bounded memory.

use std::fmt;
use std::io::{BufRead, BufReader, Cursor, Read, Result};

use flate2::read::MultiGzDecoder;

/// The longest line, in bytes; of what is longer, nothing is kept.
pub const MAX_LINE_BYTES: usize = 1 << 20;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BUFFER: usize = 256 << 10;

/// One access log.
pub struct Log {
    name: String,
    reader: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    number: u64,
}

/// A line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// With what is in it, without its end.
    Whole(&'a [u8]),
    /// One of more than [`MAX_LINE_BYTES`].
    TooLong,
}

impl Log {
    /// A log of this name. Whether it is compressed by gzip or zstd is found by how it begins.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn open(name: impl Into<String>, mut from: impl Read + Send + 'static) -> Result<Self> {
        let mut head = Vec::with_capacity(ZSTD.len());
        (&mut from).take(ZSTD.len() as u64).read_to_end(&mut head)?;
        let (gzip, zstd) = (head.starts_with(&GZIP), head.starts_with(&ZSTD));
        let whole = Cursor::new(head).chain(from);
        let plain: Box<dyn Read + Send> = if gzip {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, whole)))
        } else if zstd {
            Box::new(zstd::stream::read::Decoder::new(whole)?)
        } else {
            Box::new(whole)
        };
        Ok(Self {
            name: name.into(),
            reader: BufReader::with_capacity(BUFFER, plain),
            line: Vec::new(),
            number: 0,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the last line that was read, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// Those of the reader, also where a compressed file is damaged.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>> {
        self.line.clear();
        let most = MAX_LINE_BYTES as u64 + 1;
        let read = (&mut self.reader)
            .take(most)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if read > MAX_LINE_BYTES {
            self.line.clear();
            self.reader.skip_until(b'\n')?;
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Whole(&self.line)))
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("name", &self.name)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn lines(bytes: Vec<u8>) -> Vec<Option<String>> {
        let mut log = Log::open("log", Cursor::new(bytes)).unwrap();
        let mut lines = Vec::new();
        while let Some(line) = log.next_line().unwrap() {
            lines.push(match line {
                Line::Whole(line) => Some(String::from_utf8(line.to_vec()).unwrap()),
                Line::TooLong => None,
            });
        }
        assert_eq!(log.number(), lines.len() as u64);
        lines
    }

    #[test]
    fn logs_are_read_compressed_or_not() {
        let text = b"one\ntwo\n\nlast".to_vec();
        let whole = ["one", "two", "", "last"].map(|line| Some(line.to_owned()));
        assert_eq!(lines(text.clone()), whole);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text[..5]).unwrap();
        let mut members = gzip.finish().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text[5..]).unwrap();
        members.extend(gzip.finish().unwrap());
        assert_eq!(lines(members), whole);
        let mut frames = zstd::encode_all(&text[..5], 1).unwrap();
        frames.extend(zstd::encode_all(&text[5..], 1).unwrap());
        assert_eq!(lines(frames), whole);
        assert_eq!(lines(Vec::new()), []);
        assert_eq!(lines(b"a".to_vec()), [Some("a".to_owned())]);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let whole = zstd::encode_all(&b"one\ntwo\n"[..], 1).unwrap();
        let half = whole[..whole.len() - 3].to_vec();
        let mut log = Log::open("log", Cursor::new(half)).unwrap();
        let failed = std::iter::from_fn(|| match log.next_line() {
            Ok(line) => line.map(|_| false),
            Err(_) => Some(true),
        });
        assert!(failed.take(9).any(|failed| failed));
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut text = b"one\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 3 * MAX_LINE_BYTES));
        text.extend(b"\ntwo\n");
        text.extend(std::iter::repeat_n(b'y', MAX_LINE_BYTES));
        let kept = lines(text);
        assert_eq!(
            kept[..3],
            [Some("one".to_owned()), None, Some("two".to_owned())]
        );
        assert_eq!(kept[3].as_ref().map(String::len), Some(MAX_LINE_BYTES));
    }
}
