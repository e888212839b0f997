//! Frames: up to 64 KiB of records with a checksum. What is damaged costs one frame, and the next
//! one is found by its mark.
//!
//! | bytes | hold |
//! |---|---|
//! | 4 | [`MARK`] |
//! | 4 | length of the records |
//! | 8 | XXH3 of all that follows, seeded by spool and segment |
//! | 8, 8 | process and number of the first click |
//! | 4 | how many clicks |
//! | n | records |
//!
//! Nobody outside knows the seed: what looks like a frame inside of a visitor's header is none.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::capture::{self, MAX_RECORD};
use crate::{Click, ClickId};

/// Has bytes that no header and no text of UTF-8 can hold.
const MARK: [u8; 4] = [0x01, 0xff, b'T', b'G'];
/// Bytes before the records.
pub(super) const HEADER: usize = 36;
/// Where that begins which the checksum is of.
const CHECKED: usize = 16;
/// The most bytes of records.
pub(super) const MAX_RECORDS: usize = 64 << 10;
/// The longest frame.
pub(super) const MAX_FRAME: usize = HEADER + MAX_RECORDS;

const _: () = assert!(MAX_RECORD <= MAX_RECORDS);

/// A whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) first: ClickId,
    pub(super) count: u32,
    pub(super) records: &'a [u8],
}

/// What bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Frame(Frame<'a>),
    /// It may become a frame with more bytes.
    Begun,
    /// No frame.
    Nothing,
}

/// Appends frames with all of `records`, which have to be whole, to `out`. The first click is
/// `first`; answers how many there are.
pub(super) fn write(mut records: &[u8], first: ClickId, seed: u64, out: &mut Vec<u8>) -> u64 {
    let mut written = 0;
    while !records.is_empty() {
        let (mut rest, mut count) = (records, 0_u32);
        let mut taken = 0;
        while let Some(record) = capture::next_record(&mut rest) {
            if taken + record.len() > MAX_RECORDS {
                break;
            }
            taken += record.len();
            count += 1;
        }
        if count == 0 {
            debug_assert!(false, "records are whole, and none is as long as a frame");
            break;
        }
        let begin = out.len();
        out.extend_from_slice(&MARK);
        // Bounded above.
        out.extend_from_slice(&u32::try_from(taken).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&first.process.to_le_bytes());
        out.extend_from_slice(&first.number.wrapping_add(written).to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&records[..taken]);
        let checksum = xxh3_64_with_seed(&out[begin + CHECKED..], seed);
        out[begin + 8..begin + CHECKED].copy_from_slice(&checksum.to_le_bytes());
        written += u64::from(count);
        records = &records[taken..];
    }
    written
}

/// What `bytes` begin with.
fn at_start(bytes: &[u8], seed: u64) -> Found<'_> {
    let known = bytes.len().min(MARK.len());
    if bytes[..known] != MARK[..known] {
        return Found::Nothing;
    }
    let (Some(length), Some(checksum)) = (u32_at(bytes, 4), u64_at(bytes, 8)) else {
        return Found::Begun;
    };
    let end = match usize::try_from(length) {
        Ok(length) if length <= MAX_RECORDS => HEADER + length,
        _ => return Found::Nothing,
    };
    let Some(checked) = bytes.get(CHECKED..end) else {
        return Found::Begun;
    };
    if xxh3_64_with_seed(checked, seed) != checksum {
        return Found::Nothing;
    }
    let fields = || {
        Some(Frame {
            first: ClickId {
                process: u64_at(bytes, 16)?,
                number: u64_at(bytes, 24)?,
            },
            count: u32_at(bytes, 32)?,
            records: bytes.get(HEADER..end)?,
        })
    };
    fields().map_or(Found::Nothing, Found::Frame)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The first frame in `bytes`, and how many bytes before it are none. If no more bytes follow
/// (`last`), what has only begun is none either.
pub(super) fn find(bytes: &[u8], seed: u64, last: bool) -> (usize, Found<'_>) {
    let mut at = 0;
    loop {
        match at_start(&bytes[at..], seed) {
            Found::Frame(frame) => return (at, Found::Frame(frame)),
            Found::Begun if !last || at == bytes.len() => return (at, Found::Begun),
            _ => {}
        }
        let next = bytes[at + 1..].iter().position(|&byte| byte == MARK[0]);
        at = next.map_or(bytes.len(), |next| at + 1 + next);
    }
}

impl Frame<'_> {
    /// Its length in the file.
    pub(super) fn bytes(&self) -> usize {
        HEADER + self.records.len()
    }

    /// Appends its clicks to `clicks`. False if some of it is no record, though the checksum is
    /// right: written by another version.
    pub(super) fn clicks(&self, clicks: &mut Vec<Click>) -> bool {
        let mut records = self.records;
        for number in 0..u64::from(self.count) {
            let id = ClickId {
                process: self.first.process,
                number: self.first.number.wrapping_add(number),
            };
            let click = capture::next_record(&mut records);
            match click.and_then(|record| capture::decode(record, id)) {
                Some(click) => clicks.push(click),
                None => return false,
            }
        }
        records.is_empty()
    }
}
