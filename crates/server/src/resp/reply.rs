//! Writing answers, in either version of the protocol.

use std::io::Write as _;

/// The version of the protocol, which `HELLO` chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Protocol {
    /// What every client understands.
    #[default]
    Resp2,
    /// With maps, sets and a null of its own.
    Resp3,
}

impl Protocol {
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Writes answers behind what is there.
#[derive(Debug)]
pub(super) struct Replies<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) protocol: Protocol,
}

impl Replies<'_> {
    /// A short text of ours.
    pub(super) fn simple(&mut self, text: &str) {
        self.line('+', text);
    }

    /// Code and message, such as `ERR syntax error`. Bytes that would end the line, or that a
    /// terminal would obey, become spaces.
    pub(super) fn error(&mut self, text: &str) {
        let clean = text.replace(|c: char| c.is_control(), " ");
        self.line('-', &clean);
    }

    pub(super) fn integer(&mut self, n: i64) {
        self.number(b':', n);
    }

    pub(super) fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.number(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A text for people.
    pub(super) fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.line('=', text.len() + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(super) fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.line('$', -1),
            Protocol::Resp3 => self.line('_', ""),
        }
    }

    /// Instead of an array.
    pub(super) fn null_array(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.line('*', -1),
            Protocol::Resp3 => self.null(),
        }
    }

    /// Begins an array of so many elements.
    pub(super) fn array(&mut self, length: usize) {
        self.number(b'*', length);
    }

    /// Begins a set of so many elements.
    pub(super) fn set(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(length),
            Protocol::Resp3 => self.line('~', length),
        }
    }

    /// Begins a map of so many keys, each followed by its value.
    pub(super) fn map(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(2 * length),
            Protocol::Resp3 => self.line('%', length),
        }
    }

    fn number(&mut self, kind: u8, n: impl itoa::Integer) {
        self.out.push(kind);
        self.out
            .extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, kind: char, text: impl std::fmt::Display) {
        // A vector takes everything.
        let _ = write!(self.out, "{kind}{text}\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol) -> String {
        let mut out = Vec::new();
        let mut replies = Replies {
            out: &mut out,
            protocol,
        };
        replies.map(1);
        replies.bulk("a");
        replies.null();
        replies.set(1);
        replies.integer(-3);
        replies.verbatim("é");
        replies.error("ERR a\r\n+OK\x1b[");
        replies.simple("OK");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_versions() {
        assert_eq!(
            written(Protocol::Resp2),
            "*2\r\n$1\r\na\r\n$-1\r\n*1\r\n:-3\r\n$2\r\né\r\n-ERR a  +OK [\r\n+OK\r\n"
        );
        assert_eq!(
            written(Protocol::Resp3),
            "%1\r\n$1\r\na\r\n_\r\n~1\r\n:-3\r\n=6\r\ntxt:é\r\n-ERR a  +OK [\r\n+OK\r\n"
        );
    }
}
