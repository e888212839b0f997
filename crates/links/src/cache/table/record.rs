//! What is remembered about one name, in one piece of memory.
//!
//! ```text
//! length  of all, two bytes
//! flags   one byte
//! fresh   until when, six bytes of microseconds
//! took    how long the read took, the upper half of a float of nanoseconds
//! code    its length and itself
//! domain  the same, unless it is the default one
//! absent  nothing more
//! whole   four bytes: which of the links that are kept as they are
//! plain   what of expiry (eight bytes), kind of redirect (one byte) and title there is, and the target
//! ```
//!
//! Lengths of texts take a byte up to 127, and two above. So a link takes twelve bytes and its texts; a structure of
//! pointers takes some hundreds.

use tollgate_clock::UnixMillis;

use crate::RedirectKind;
use crate::cached_link::PlainParts;

const FRESH_AT: usize = 3;
const FRESH_BYTES: usize = 6;
const TOOK_AT: usize = FRESH_AT + FRESH_BYTES;
const NAME_AT: usize = TOOK_AT + 2;

/// The latest moment that has a place, in microseconds: 8.9 years. Whatever runs for longer caches no more.
const LAST: u64 = (1 << (8 * FRESH_BYTES)) - 1;

const ABSENT: u8 = 0;
const PLAIN: u8 = 1;
const WHOLE: u8 = 2;
const KIND: u8 = 3;
const HAS_DOMAIN: u8 = 1 << 2;
const HAS_EXPIRY: u8 = 1 << 3;
const HAS_REDIRECT: u8 = 1 << 4;
const HAS_TITLE: u8 = 1 << 5;
const FORWARDS_QUERY: u8 = 1 << 6;

const KINDS: [RedirectKind; 4] = [
    RedirectKind::MovedPermanently,
    RedirectKind::Found,
    RedirectKind::Temporary,
    RedirectKind::Permanent,
];

/// How long it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Times {
    /// Until when, in nanoseconds on the monotonic clock. Kept in whole microseconds.
    pub(in super::super) fresh_until: u64,
    /// How long the read took, in nanoseconds. Kept to within a hundredth.
    pub(in super::super) took: u64,
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Absent,
    Plain(PlainParts<'a>),
    /// The number of a link that is kept as it is.
    Whole(u32),
}

/// Writes a record behind what is there. False, with nothing written, if it has too many bytes for one.
pub(super) fn write(
    out: &mut Vec<u8>,
    domain: &str,
    code: &str,
    times: Times,
    body: &Body<'_>,
) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut flags = match body {
        Body::Absent => ABSENT,
        Body::Plain(_) => PLAIN,
        Body::Whole(_) => WHOLE,
    };
    if !domain.is_empty() {
        flags |= HAS_DOMAIN;
    }
    if let Body::Plain(plain) = body {
        for (is_so, flag) in [
            (plain.expires_at.is_some(), HAS_EXPIRY),
            (plain.redirect.is_some(), HAS_REDIRECT),
            (!plain.title.is_empty(), HAS_TITLE),
            (plain.forward_query, FORWARDS_QUERY),
        ] {
            if is_so {
                flags |= flag;
            }
        }
    }
    out.push(flags);
    let fresh = (times.fresh_until / 1_000).min(LAST);
    out.extend_from_slice(&fresh.to_le_bytes()[..FRESH_BYTES]);
    out.extend_from_slice(&((times.took as f32).to_bits() >> 16).to_le_bytes()[..2]);
    let fits = write_text(out, code.as_bytes())
        && (domain.is_empty() || write_text(out, domain.as_bytes()))
        && match body {
            Body::Absent => true,
            Body::Whole(number) => {
                out.extend_from_slice(&number.to_le_bytes());
                true
            }
            Body::Plain(plain) => write_plain(out, plain),
        };
    match u16::try_from(out.len() - start) {
        Ok(length) if fits => {
            out[start..start + 2].copy_from_slice(&length.to_le_bytes());
            true
        }
        _ => {
            out.truncate(start);
            false
        }
    }
}

fn write_plain(out: &mut Vec<u8>, plain: &PlainParts<'_>) -> bool {
    if let Some(at) = plain.expires_at {
        out.extend_from_slice(&at.as_millis().to_le_bytes());
    }
    if let Some(kind) = plain.redirect {
        let number = KINDS.iter().position(|one| *one == kind);
        out.push(number.unwrap_or_default() as u8);
    }
    let fits = plain.title.is_empty() || write_text(out, plain.title);
    out.extend_from_slice(plain.target);
    fits
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let length = text.len();
    if length >= 1 << 15 {
        return false;
    }
    if length < 1 << 7 {
        out.push(length as u8);
    } else {
        out.extend_from_slice(&[(length >> 8) as u8 | 1 << 7, length as u8]);
    }
    out.extend_from_slice(text);
    true
}

/// The bytes of the record at the beginning.
pub(super) fn length(bytes: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// A record that was [written](write).
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    bytes: &'a [u8],
    domain: &'a [u8],
    code: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    /// The one at the beginning.
    #[inline]
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let bytes = &bytes[..length(bytes)];
        let mut rest = &bytes[NAME_AT..];
        let code = read_text(&mut rest);
        let domain = match bytes[2] & HAS_DOMAIN {
            0 => &[][..],
            _ => read_text(&mut rest),
        };
        Self {
            bytes,
            domain,
            code,
            rest,
        }
    }

    #[inline]
    pub(super) fn is_of(&self, domain: &str, code: &str) -> bool {
        self.code == code.as_bytes() && self.domain == domain.as_bytes()
    }

    pub(super) fn domain(&self) -> &'a [u8] {
        self.domain
    }

    pub(super) fn code(&self) -> &'a [u8] {
        self.code
    }

    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn times(&self) -> Times {
        let mut fresh = [0; 8];
        fresh[..FRESH_BYTES].copy_from_slice(&self.bytes[FRESH_AT..TOOK_AT]);
        let took = u16::from_le_bytes([self.bytes[TOOK_AT], self.bytes[TOOK_AT + 1]]);
        Times {
            fresh_until: u64::from_le_bytes(fresh) * 1_000,
            took: f32::from_bits(u32::from(took) << 16) as u64,
        }
    }

    /// The number of its whole link.
    pub(super) fn whole(&self) -> Option<u32> {
        match self.body() {
            Body::Whole(number) => Some(number),
            Body::Absent | Body::Plain(_) => None,
        }
    }

    pub(super) fn body(&self) -> Body<'a> {
        let flags = self.bytes[2];
        let mut rest = self.rest;
        match flags & KIND {
            ABSENT => Body::Absent,
            PLAIN => Body::Plain(PlainParts {
                expires_at: (flags & HAS_EXPIRY != 0)
                    .then(|| UnixMillis::from_millis(i64::from_le_bytes(read_bytes(&mut rest)))),
                redirect: (flags & HAS_REDIRECT != 0).then(|| {
                    let [number] = read_bytes(&mut rest);
                    KINDS[usize::from(number) % KINDS.len()]
                }),
                title: match flags & HAS_TITLE {
                    0 => &[],
                    _ => read_text(&mut rest),
                },
                forward_query: flags & FORWARDS_QUERY != 0,
                target: rest,
            }),
            _ => Body::Whole(u32::from_le_bytes(read_bytes(&mut rest))),
        }
    }
}

fn read_bytes<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (bytes, after) = rest.split_at(N);
    *rest = after;
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

fn read_text<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let [first] = read_bytes(rest);
    let length = match first >> 7 {
        0 => usize::from(first),
        _ => {
            let [second] = read_bytes(rest);
            usize::from(first & 0x7f) << 8 | usize::from(second)
        }
    };
    let (text, after) = rest.split_at(length);
    *rest = after;
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redirects() -> impl Strategy<Value = Option<RedirectKind>> {
        proptest::option::of((0..KINDS.len()).prop_map(|n| KINDS[n]))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            domain in "[a-z.]{0,253}",
            code in "\\PC{1,128}",
            target in "\\PC{0,3000}",
            title in "\\PC{0,512}",
            expires_at in proptest::option::of(any::<i64>()),
            redirect in redirects(),
            forward_query: bool,
            fresh_until in 0..LAST,
            took in 0..u64::from(u32::MAX),
            number: u32,
            before in 0..3_usize,
        ) {
            let times = Times { fresh_until: fresh_until * 1_000 + 999, took };
            let plain = PlainParts {
                target: target.as_bytes(),
                title: title.as_bytes(),
                expires_at: expires_at.map(UnixMillis::from_millis),
                redirect,
                forward_query,
            };
            for body in [Body::Absent, Body::Plain(plain), Body::Whole(number)] {
                let mut out = vec![7; before];
                prop_assert!(write(&mut out, &domain, &code, times, &body));
                out.extend_from_slice(&[9; 5]);
                let record = Record::read(&out[before..]);
                prop_assert_eq!(record.length() + before + 5, out.len());
                prop_assert!(record.is_of(&domain, &code));
                prop_assert_eq!(record.body(), body);
                prop_assert_eq!(record.times().fresh_until, fresh_until * 1_000);
                let told = record.times().took;
                prop_assert!(told <= took && took - told <= took / 128 + 1, "{} {}", told, took);
            }
        }
    }

    #[test]
    fn a_plain_link_takes_twelve_bytes_more_than_its_texts() {
        let mut out = Vec::new();
        let times = Times {
            fresh_until: 0,
            took: 0,
        };
        let plain = PlainParts {
            target: b"https://example.com/",
            title: b"",
            expires_at: None,
            redirect: None,
            forward_query: false,
        };
        assert!(write(&mut out, "", "abcdefg", times, &Body::Plain(plain)));
        assert_eq!(
            out.len(),
            "abcdefg".len() + "https://example.com/".len() + 12
        );
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        let long = &*"x".repeat(1 << 16).leak();
        let times = Times {
            fresh_until: 0,
            took: 0,
        };
        let plain = |target: &'static str, title: &'static str| {
            Body::Plain(PlainParts {
                target: target.as_bytes(),
                title: title.as_bytes(),
                expires_at: None,
                redirect: None,
                forward_query: false,
            })
        };
        let mut out = vec![1];
        assert!(!write(&mut out, "", "a", times, &plain(long, "")));
        assert!(!write(&mut out, "", "a", times, &plain("", long)));
        assert!(!write(&mut out, "", long, times, &Body::Absent));
        assert_eq!(out, [1]);
    }
}
