//! Reading commands, which come as arrays of bulk strings or as lines.
//!
//! The RESP crates read frames of any type and depth: `redis-protocol` and `resp-async` begin a
//! frame anew whenever more of it arrives, and wait for whatever length it announces. What clients
//! send is much less than that, so this reads it piece by piece, and refuses what is too large
//! when it is announced, before it is buffered.

use std::ops::Range;

use smallvec::SmallVec;

use super::inline;

/// The longest line that announces a number: `*` or `$`, the digits of 64 bits, the line end.
const MAX_COUNT_LINE: usize = 32;
/// More words than any command needs that is asked for often: so many take no allocation.
const USUAL_WORDS: usize = 8;

/// The words of a command, where they were read.
pub(super) type Words<'a> = SmallVec<[&'a [u8]; USUAL_WORDS]>;

/// What a command may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameLimits {
    /// The most words.
    pub(super) elements: usize,
    /// The most bytes in all words together, and in a line.
    pub(super) bytes: usize,
    /// Whether these are the limits of a client that has yet to say the password.
    pub(super) unauthenticated: bool,
}

/// Why what a client sends is not understood. The texts are those of Redis where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    #[error("invalid multibulk length")]
    Elements,
    #[error("unauthenticated multibulk length")]
    ElementsUnauthenticated,
    #[error("invalid bulk length")]
    Bulk,
    #[error("unauthenticated bulk length")]
    BulkUnauthenticated,
    #[error("expected '$', got '{}'", .0.escape_ascii())]
    NoBulk(u8),
    #[error("expected a line end after a bulk string")]
    BulkEnd,
    #[error("too big mbulk count string")]
    ElementsLine,
    #[error("too big bulk count string")]
    BulkLine,
    #[error("too big inline request")]
    Inline,
    #[error("unbalanced quotes in request")]
    Quotes,
}

/// How far the commands of a connection have been read. The bytes are with who asks: all that has arrived and was not yet
/// [done](Self::done) with, each time.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Where the command begins that is being read.
    start: usize,
    /// How far it has been read.
    at: usize,
    frame: Option<Frame>,
    /// Where the words of the array are.
    words: Vec<Range<usize>>,
    /// The words of the line.
    line: Vec<Vec<u8>>,
    /// How much behind `at` has no line end, as was seen before.
    searched: usize,
}

/// An array that has not arrived as a whole.
#[derive(Debug)]
struct Frame {
    missing: usize,
    /// The bytes announced so far.
    bytes: usize,
    /// The length of the word that is next, if it is known.
    next: Option<usize>,
}

/// What has arrived.
enum Arrived {
    Nothing,
    Array,
    Line,
}

impl Requests {
    /// The words of the next command, at least one; `None` if it has not arrived.
    pub(super) fn next<'a>(
        &'a mut self,
        bytes: &'a [u8],
        limits: &FrameLimits,
    ) -> Result<Option<Words<'a>>, ProtocolError> {
        Ok(match self.read(bytes, limits)? {
            Arrived::Array => {
                let words = self.words.iter();
                Some(words.map(|word| &bytes[word.clone()]).collect())
            }
            Arrived::Line => Some(self.line.iter().map(Vec::as_slice).collect()),
            Arrived::Nothing => None,
        })
    }

    /// How many of the bytes belong to commands that were read: they are not to be given again.
    pub(super) fn done(&mut self) -> usize {
        let done = match self.frame {
            Some(_) => self.start,
            None => {
                // What a large command took.
                self.words.clear();
                self.words.shrink_to(USUAL_WORDS);
                self.line = Vec::new();
                self.at
            }
        };
        for word in &mut self.words {
            word.start -= done;
            word.end -= done;
        }
        self.at -= done;
        self.start = 0;
        done
    }

    /// Reads on until a command is whole.
    fn read(&mut self, bytes: &[u8], limits: &FrameLimits) -> Result<Arrived, ProtocolError> {
        loop {
            let unread = &bytes[self.at..];
            let Some(frame) = &mut self.frame else {
                self.start = self.at;
                match unread.first() {
                    None => return Ok(Arrived::Nothing),
                    Some(b'*') => match self.begin(unread, limits)? {
                        true => continue,
                        false => return Ok(Arrived::Nothing),
                    },
                    Some(_) => match self.read_line(unread, limits)? {
                        // An empty line is no command, and has no answer.
                        true if self.line.is_empty() => continue,
                        true => return Ok(Arrived::Line),
                        false => return Ok(Arrived::Nothing),
                    },
                }
            };
            let Some(length) = frame.next else {
                match unread.first() {
                    None => return Ok(Arrived::Nothing),
                    Some(b'$') => {}
                    Some(&other) => return Err(ProtocolError::NoBulk(other)),
                }
                let Some(line) = count_line(unread, ProtocolError::BulkLine)? else {
                    return Ok(Arrived::Nothing);
                };
                frame.announce(line.number, limits)?;
                self.at += line.bytes;
                continue;
            };
            match unread.get(length..length + 2) {
                None => return Ok(Arrived::Nothing),
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError::BulkEnd),
            }
            self.words.push(self.at..self.at + length);
            self.at += length + 2;
            frame.next = None;
            frame.missing -= 1;
            if frame.missing == 0 {
                self.frame = None;
                return Ok(Arrived::Array);
            }
        }
    }

    /// Reads the head of an array; `false` if it has not arrived.
    fn begin(&mut self, unread: &[u8], limits: &FrameLimits) -> Result<bool, ProtocolError> {
        let Some(line) = count_line(unread, ProtocolError::ElementsLine)? else {
            return Ok(false);
        };
        let count = line.number.ok_or(ProtocolError::Elements)?;
        self.at += line.bytes;
        // An empty array, or none, is no command, and has no answer.
        let Ok(count @ 1..) = usize::try_from(count) else {
            return Ok(true);
        };
        if count > limits.elements {
            return Err(match limits.unauthenticated {
                true => ProtocolError::ElementsUnauthenticated,
                false => ProtocolError::Elements,
            });
        }
        self.words.clear();
        self.frame = Some(Frame {
            missing: count,
            bytes: 0,
            next: None,
        });
        Ok(true)
    }

    /// Reads a line of words; `false` if it has not arrived.
    fn read_line(&mut self, unread: &[u8], limits: &FrameLimits) -> Result<bool, ProtocolError> {
        let found = unread[self.searched..].iter().position(|&b| b == b'\n');
        let Some(length) = found.map(|at| at + self.searched) else {
            self.searched = unread.len();
            return match self.searched > limits.bytes {
                true => Err(ProtocolError::Inline),
                false => Ok(false),
            };
        };
        self.searched = 0;
        if length > limits.bytes {
            return Err(ProtocolError::Inline);
        }
        let words = inline::words(&unread[..length]);
        self.line = words.ok_or(ProtocolError::Quotes)?;
        self.at += length + 1;
        if self.line.len() > limits.elements {
            return Err(ProtocolError::Inline);
        }
        Ok(true)
    }
}

impl Frame {
    /// Takes note of the length of the next word.
    fn announce(&mut self, length: Option<i64>, limits: &FrameLimits) -> Result<(), ProtocolError> {
        let length = length
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(ProtocolError::Bulk)?;
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > limits.bytes {
            return Err(match limits.unauthenticated {
                true => ProtocolError::BulkUnauthenticated,
                false => ProtocolError::Bulk,
            });
        }
        self.next = Some(length);
        Ok(())
    }
}

/// A line that announces a number.
struct CountLine {
    /// `None` if there is something else.
    number: Option<i64>,
    /// With its line end.
    bytes: usize,
}

/// The line at the beginning; `None` if it has not arrived.
fn count_line(unread: &[u8], too_long: ProtocolError) -> Result<Option<CountLine>, ProtocolError> {
    // Most numbers are of one digit.
    if let [_, digit @ b'0'..=b'9', b'\r', b'\n', ..] = unread {
        return Ok(Some(CountLine {
            number: Some(i64::from(digit - b'0')),
            bytes: 4,
        }));
    }
    let within = &unread[..unread.len().min(MAX_COUNT_LINE)];
    let Some(end) = within.iter().position(|&b| b == b'\n') else {
        return match unread.len() > MAX_COUNT_LINE {
            true => Err(too_long),
            false => Ok(None),
        };
    };
    // Without its `\r` the line is no number.
    let digits = within[1..=end].strip_suffix(b"\r\n");
    Ok(Some(CountLine {
        number: digits.and_then(number),
        bytes: end + 1,
    }))
}

/// A number as the protocol writes it.
fn number(digits: &[u8]) -> Option<i64> {
    if digits.starts_with(b"+") {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use redis_protocol::resp2::encode;
    use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame as _};

    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        elements: 4,
        bytes: 100,
        unauthenticated: false,
    };

    fn all(chunks: &[&[u8]], limits: &FrameLimits) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let (mut requests, mut commands) = (Requests::default(), Vec::new());
        let mut unread = Vec::new();
        for chunk in chunks {
            unread.extend_from_slice(chunk);
            while let Some(words) = requests.next(&unread, limits)? {
                commands.push(words.iter().map(|word| word.to_vec()).collect());
            }
            unread.drain(..requests.done());
        }
        Ok(commands)
    }

    fn one(bytes: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        all(&[bytes], &LIMITS)
    }

    #[test]
    fn arrays_and_lines_follow_each_other() {
        let read = one(
            b"*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\nPING\r\n\r\n*0\r\n*-1\r\nping x\n*1\r\n$0\r\n\r\n",
        );
        let words: Vec<Vec<Vec<u8>>> = vec![
            vec!["ECHO".into(), "\r\n".into()],
            vec!["PING".into()],
            vec!["ping".into(), "x".into()],
            vec!["".into()],
        ];
        assert_eq!(read, Ok(words));
    }

    #[test]
    fn each_fault_has_its_text() {
        for (bytes, text) in [
            (&b"*x\r\n"[..], "invalid multibulk length"),
            (b"*+1\r\n", "invalid multibulk length"),
            (b"*1\n", "invalid multibulk length"),
            (b"*5\r\n", "invalid multibulk length"),
            (b"*99999999999999999999\r\n", "invalid multibulk length"),
            (b"*1\r\n:1\r\n", "expected '$', got ':'"),
            (b"*1\r\n\r\n", "expected '$', got '\\r'"),
            (b"*1\r\n$x\r\n", "invalid bulk length"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$101\r\n", "invalid bulk length"),
            (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
            (
                b"*1\r\n$1\r\nabc",
                "expected a line end after a bulk string",
            ),
            (
                b"*0000000000000000000000000000000000001\r\n",
                "too big mbulk count string",
            ),
            (
                b"*1\r\n$000000000000000000000000000000000001\r\n",
                "too big bulk count string",
            ),
            (b"say \"hello\r\n", "unbalanced quotes in request"),
            (b"1 2 3 4 5\r\n", "too big inline request"),
        ] {
            let error = one(bytes).unwrap_err();
            assert_eq!(error.to_string(), text, "{}", bytes.escape_ascii());
        }
        assert_eq!(one(&[b'x'; 101]), Err(ProtocolError::Inline));
        let ended = [&[b'x'; 101][..], b"\r\n"].concat();
        assert_eq!(one(&ended), Err(ProtocolError::Inline));
    }

    #[test]
    fn the_words_of_a_command_share_one_bound() {
        let half = format!("$50\r\n{}\r\n", "x".repeat(50));
        assert_eq!(
            one(format!("*2\r\n{half}{half}").as_bytes()).unwrap().len(),
            1
        );
        let over = format!("*3\r\n{half}{half}$1\r\n");
        assert_eq!(one(over.as_bytes()), Err(ProtocolError::Bulk));
    }

    #[test]
    fn a_client_without_a_password_is_told_so() {
        let limits = FrameLimits {
            unauthenticated: true,
            ..LIMITS
        };
        let text = |bytes: &[u8]| all(&[bytes], &limits).unwrap_err().to_string();
        assert_eq!(text(b"*5\r\n"), "unauthenticated multibulk length");
        assert_eq!(text(b"*1\r\n$101\r\n"), "unauthenticated bulk length");
    }

    #[test]
    fn commands_are_done_with_one_by_one() {
        let bytes = b"*1\r\n$1\r\na\r\n*0\r\nb\r\n*2\r\n$1\r\nc\r\n$1\r\n";
        let mut requests = Requests::default();
        let read = |requests: &mut Requests, bytes| {
            let words = requests.next(bytes, &LIMITS).unwrap();
            words.map(|words| words[0].to_vec())
        };
        assert_eq!(read(&mut requests, bytes), Some(b"a".to_vec()));
        assert_eq!(requests.done(), 11);
        let bytes = &bytes[11..];
        assert_eq!(read(&mut requests, bytes), Some(b"b".to_vec()));
        assert_eq!(read(&mut requests, bytes), None);
        assert_eq!(requests.done(), 7);
        let rest = [&bytes[7..], b"d\r\n"].concat();
        assert_eq!(read(&mut requests, &rest), Some(b"c".to_vec()));
        assert_eq!(requests.done(), rest.len());
    }

    proptest! {
        /// However it is cut, what another library writes is read as it was meant.
        #[test]
        fn what_others_write_is_read(
            commands in vec(vec(vec(any::<u8>(), 0..20), 1..4), 1..6),
            cut in 1..40_usize,
        ) {
            let mut bytes = Vec::new();
            for words in &commands {
                let frame = OwnedFrame::Array(
                    words.iter().cloned().map(OwnedFrame::BulkString).collect(),
                );
                let start = bytes.len();
                bytes.resize(start + frame.encode_len(false), 0);
                encode::encode(&mut bytes[start..], &frame, false).unwrap();
            }
            let chunks: Vec<&[u8]> = bytes.chunks(cut).collect();
            prop_assert_eq!(all(&chunks, &LIMITS).unwrap(), commands);
        }

        /// Any bytes are commands or a fault, the same however they are cut.
        #[test]
        fn any_bytes_are_read_the_same_in_pieces(
            bytes in vec(proptest::sample::select(b"*$1290-\r\n\"'\\x ab".to_vec()), 0..200),
            cut in 1..20_usize,
        ) {
            let chunks: Vec<&[u8]> = bytes.chunks(cut).collect();
            let (whole, pieces) = (one(&bytes), all(&chunks, &LIMITS));
            prop_assert!(whole == pieces, "{whole:?} {pieces:?}");
        }
    }
}
