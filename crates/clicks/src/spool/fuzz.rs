//! What has to hold for any bytes of a segment, also where a disk has lost or changed some.

use std::net::IpAddr;

use tollgate_clock::UnixMillis;

use super::frame::{self, Found, MAX_RECORDS};
use super::piece::Piece;
use crate::capture::{Addresses, Capture, Privacy, Seen, decode};
use crate::{Click, ClickId, ClickKind, Position, SourceId};

const SEED: u64 = 11;
const FIRST: ClickId = ClickId {
    process: 3,
    number: 5,
};

/// Any bytes: what is found in them lies in them, in order, and all are looked at; the same as a piece of the spool of
/// another server, and as a single record.
pub fn spool_frames(data: &[u8]) {
    let (found, looked_at) = frames(data, SEED);
    assert_eq!(looked_at, data.len());
    assert!(found.iter().all(|(_, clicks)| clicks.len() <= MAX_RECORDS));
    if let Some(click) = decode(data, FIRST) {
        let texts = [
            &click.referrer,
            &click.user_agent,
            &click.language,
            &click.campaign,
        ];
        let long: usize = texts
            .iter()
            .filter_map(|text| text.as_ref())
            .map(|text| text.as_str().len())
            .sum();
        // A byte that is no text becomes three.
        assert!(long <= 3 * data.len());
    }
    let source = SourceId("spool-0000000000000007".into());
    let from = Position {
        segment: 1,
        offset: 0,
    };
    let piece = Piece {
        source,
        after: from,
        from,
        to: from,
        bytes: data.to_vec(),
    };
    let mut last = 0;
    for part in piece.parts() {
        assert!(part.to.offset > last && part.to.offset <= data.len() as u64);
        last = part.to.offset;
    }
}

/// Clicks as they are captured, written, and then damaged at one place: what is read are those clicks, without the
/// ones of damaged frames, and never others.
pub fn spool_damage(data: &[u8]) {
    let Some((&[at_low, at_high, change, frames_of], texts)) = data.split_first_chunk::<4>() else {
        return;
    };
    let (mut file, mut captured, mut next) = (Vec::new(), Vec::new(), FIRST);
    let per_frame = usize::from(frames_of % 8) + 1;
    let lines: Vec<&[u8]> = texts.split(|byte| *byte == b'\n').take(64).collect();
    for lines in lines.chunks(per_frame) {
        let records = records(lines);
        let written = frame::write(&records, next, SEED, &mut file);
        assert_eq!(written, lines.len() as u64);
        next.number += written;
    }
    let (whole, _) = frames(&file, SEED);
    for (_, clicks) in &whole {
        captured.extend(clicks.iter().cloned());
    }
    assert_eq!(captured.len(), lines.len());
    for (number, click) in captured.iter().enumerate() {
        assert_eq!(click.id.number, FIRST.number + number as u64);
    }
    assert!(frames(&file, SEED + 1).0.is_empty(), "of another segment");

    let at = usize::from(u16::from_le_bytes([at_low, at_high])) % file.len().max(1);
    match change {
        // A file that ends too early.
        0 => file.truncate(at),
        // One that has lost, or got, a byte.
        1 => drop(file.remove(at)),
        2 => file.insert(at, 0),
        change => file[at] ^= change,
    }
    let (left, _) = frames(&file, SEED);
    let hit = whole
        .iter()
        .filter(|frame| !left.iter().any(|(_, clicks)| *clicks == frame.1));
    assert!(hit.clone().count() <= if change == 0 { whole.len() } else { 1 });
    for (_, clicks) in &left {
        assert!(
            whole.iter().any(|(_, those)| those == clicks),
            "clicks that nobody made"
        );
    }
}

/// Frames with where they begin, and how many bytes were looked at.
fn frames(bytes: &[u8], seed: u64) -> (Vec<(usize, Vec<Click>)>, usize) {
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        let (skipped, one) = frame::find(&bytes[at..], seed, true);
        at += skipped;
        let Found::Frame(frame) = one else {
            return (found, at);
        };
        let mut clicks = Vec::new();
        if frame.clicks(&mut clicks) {
            assert_eq!(clicks.len(), frame.count as usize);
        }
        found.push((at, clicks));
        at += frame.bytes();
        assert!(at <= bytes.len());
    }
}

/// What the edge makes of requests with these lines in their headers.
fn records(lines: &[&[u8]]) -> Vec<u8> {
    let privacy = Privacy {
        addresses: Addresses::Truncated,
        respect_dnt: true,
        key: [7; 16],
    };
    let capture = Capture::new(privacy, 1 << 20);
    let queue = capture.queue();
    for (number, line) in lines.iter().enumerate() {
        let text = String::from_utf8_lossy(line);
        queue.push(&Seen {
            at: UnixMillis::from_millis(number as i64),
            kind: match number % 2 {
                0 => ClickKind::Visit,
                _ => ClickKind::Orphan,
            },
            domain: "",
            code: &text,
            address: IpAddr::from([198, 51, 100, 7]),
            referrer: Some(line),
            user_agent: Some(line),
            language: Some(line),
            query: Some(&text),
            target: Some(&text),
            objects: line.len() % 2 == 1,
        });
    }
    let mut records = Vec::new();
    capture.drain(|more, _| records.extend_from_slice(more));
    records
}
