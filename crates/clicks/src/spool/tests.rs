//! The spool as a whole: what comes out of it, whatever happened to its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use tollgate_clock::{ManualClock, UnixMillis};

use super::append::Appender;
use super::read::{Written, written};
use super::segment::{Disk, Files, SegmentFile};
use super::state::State;
use super::writer::{append_queued, open};
use super::*;
use super::{frame, piece, segment};
use crate::capture::{Addresses, Capture, ClickQueue, Privacy, Seen};
use crate::{Batch, ClickKind, ClickSource, Position};

const NOW: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);

/// A spool with everything that a process has, but no threads.
struct Process {
    state: Arc<State>,
    appender: Option<Appender>,
    clock: Arc<ManualClock>,
    capture: Capture,
    queue: ClickQueue,
}

fn options(home: &Path, max_bytes: u64) -> SpoolOptions {
    SpoolOptions {
        directory: home.join("spool"),
        max_bytes,
        sync: None,
        identity: 0xfeed,
        process: 7,
    }
}

impl Process {
    fn start(home: &TempDir) -> Self {
        Self::with(&options(home.path(), 1 << 30), Box::new(Files))
    }

    fn with(options: &SpoolOptions, disk: Box<dyn Disk>) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let (state, appender) = open(options, disk, clock.clone()).unwrap();
        let privacy = Privacy {
            addresses: Addresses::Truncated,
            respect_dnt: false,
            key: [3; 16],
        };
        let capture = Capture::new(privacy, 1 << 20);
        Self {
            state,
            appender: Some(appender),
            clock,
            queue: capture.queue(),
            capture,
        }
    }

    /// One batch of clicks, with these numbers as their codes.
    fn write(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let code = number.to_string();
            self.queue.push(&Seen {
                at: NOW,
                kind: ClickKind::Visit,
                domain: "",
                code: &code,
                address: [192, 0, 2, 1].into(),
                referrer: Some(b"https://r.example/"),
                user_agent: Some(b"a browser"),
                language: None,
                query: None,
                target: None,
                objects: false,
            });
        }
        append_queued(&self.capture, self.appender.as_mut().unwrap());
    }

    fn stats(&self) -> SpoolStats {
        self.state.stats()
    }

    /// As a kill would end it: nothing is done any more.
    fn kill(self) {}
}

/// All batches behind a position.
fn batches(state: &State, mut after: Position, most: usize) -> Vec<Batch> {
    let mut all: Vec<Batch> = Vec::new();
    while let Written::Clicks(batch) = written(state, after, most).unwrap() {
        assert!(batch.from >= after && batch.to > batch.from, "{batch:?}");
        after = batch.to;
        all.push(batch);
    }
    all
}

/// The numbers in all pieces.
fn in_pieces(state: &State) -> Vec<u64> {
    let (mut all, mut after) = (Vec::new(), Position::default());
    while let Written::Clicks(piece) = piece::written(state, after, after).unwrap() {
        assert!(piece.after == after && piece.from >= after && piece.to > piece.from);
        after = piece.to;
        let clicks = piece.parts().into_iter().flat_map(|part| part.clicks);
        all.extend(clicks.map(|click| click.code.parse::<u64>().unwrap()));
    }
    all
}

fn numbers(batches: &[Batch]) -> Vec<u64> {
    let clicks = batches.iter().flat_map(|batch| &batch.clicks);
    clicks.map(|click| click.code.parse().unwrap()).collect()
}

fn all(state: &State) -> Vec<u64> {
    numbers(&batches(state, Position::default(), 1_000))
}

/// The segments on the disk, by their numbers.
fn files(home: &TempDir) -> BTreeMap<u64, PathBuf> {
    let entries = fs::read_dir(home.path().join("spool")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter_map(|path| Some((segment::number(&path)?, path)))
        .collect()
}

fn newest(home: &TempDir) -> PathBuf {
    files(home).pop_last().unwrap().1
}

#[test]
fn what_is_captured_is_read_again_and_again_also_by_the_next_process() {
    let home = tempfile::tempdir().unwrap();
    let mut first = Process::start(&home);
    first.write(0..700);
    first.write(700..1_000);
    let expected: Vec<u64> = (0..1_000).collect();
    assert_eq!(all(&first.state), expected);
    assert_eq!(all(&first.state), expected);
    let source = first.state.source.clone();
    let read = batches(&first.state, Position::default(), 100);
    assert!(read.len() > 1, "in pieces");
    // From each batch on, the rest.
    for (at, batch) in read.iter().enumerate() {
        let rest = batches(&first.state, batch.to, usize::MAX);
        assert_eq!(numbers(&rest), numbers(&read[at + 1..]));
    }
    let names: Vec<u64> = read
        .iter()
        .flat_map(|b| &b.clicks)
        .map(|c| c.id.number)
        .collect();
    assert_eq!(names, expected, "clicks are numbered");
    first.kill();

    let mut second = Process::start(&home);
    assert_eq!(second.state.source, source);
    second.write(1_000..1_010);
    assert_eq!(all(&second.state), (0..1_010).collect::<Vec<_>>());
    assert_eq!(second.stats().torn_bytes, 0);
    let behind = batches(&second.state, read.last().unwrap().to, 10);
    assert_eq!(numbers(&behind), (1_000..1_010).collect::<Vec<_>>());
}

#[test]
fn what_was_not_written_whole_is_cut_off_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let mut first = Process::start(&home);
    first.write(0..10);
    let whole = fs::metadata(newest(&home)).unwrap().len();
    first.write(10..20);
    first.kill();
    let path = newest(&home);
    let length = fs::metadata(&path).unwrap().len();
    for cut in [length - 1, whole + 40, whole + 2] {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(cut).unwrap();
        let next = Process::start(&home);
        assert_eq!(next.stats().torn_bytes, cut - whole);
        assert_eq!(fs::metadata(&path).unwrap().len(), whole);
        assert_eq!(all(&next.state), (0..10).collect::<Vec<_>>());
        assert_eq!(next.stats().damaged_bytes, 0);
    }
    // Killed before there was anything in the file.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(5).unwrap();
    let mut next = Process::start(&home);
    assert_eq!(all(&next.state), Vec::<u64>::new());
    next.write(0..1);
    assert_eq!(all(&next.state), [0]);
}

#[test]
fn damage_in_the_middle_costs_its_frame_and_is_counted_once() {
    let home = tempfile::tempdir().unwrap();
    let mut process = Process::start(&home);
    let mut ends = Vec::new();
    for batch in 0..3 {
        process.write(batch * 10..(batch + 1) * 10);
        ends.push(usize::try_from(process.stats().bytes).unwrap());
    }
    let path = newest(&home);
    let mut bytes = fs::read(&path).unwrap();
    bytes[ends[0] + 100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let expected: Vec<u64> = (0..10).chain(20..30).collect();
    assert_eq!(all(&process.state), expected);
    assert_eq!(all(&process.state), expected);
    let damaged = (ends[1] - ends[0]) as u64;
    assert_eq!(process.stats().damaged_bytes, damaged);
    process.kill();
    let next = Process::start(&home);
    assert_eq!(all(&next.state), expected, "it is not taken for a torn end");
    assert_eq!(next.stats().torn_bytes, 0);
}

#[test]
fn segments_are_rotated_and_deleted_when_they_are_counted() {
    let home = tempfile::tempdir().unwrap();
    let mut process = Process::with(&options(home.path(), 1 << 20), Box::new(Files));
    let mut next = 0;
    // A segment is an eighth of it.
    while files(&home).len() < 4 {
        process.write(next..next + 100);
        next += 100;
    }
    let read = batches(&process.state, Position::default(), 500);
    assert_eq!(numbers(&read), (0..next).collect::<Vec<_>>());
    assert!(
        read.iter()
            .all(|batch| batch.from.segment == batch.to.segment)
    );
    let bytes = process.stats().bytes;

    let second = *files(&home).keys().nth(1).unwrap();
    let in_second = read
        .iter()
        .find(|batch| batch.to.segment == second)
        .unwrap();
    process.state.counted(in_second.from).unwrap();
    assert_eq!(
        files(&home).keys().next(),
        Some(&second),
        "the first is gone"
    );
    assert!(process.stats().bytes < bytes);
    let rest = batches(&process.state, in_second.from, 500);
    let from = in_second.clicks[0].id.number;
    assert_eq!(numbers(&rest), (from..next).collect::<Vec<_>>());

    process.state.counted(read.last().unwrap().to).unwrap();
    assert_eq!(files(&home).len(), 1, "the newest stays");
    let source = process.state.source.clone();
    process.kill();
    let mut other = options(home.path(), 1 << 20);
    other.identity = 1;
    let next = Process::with(&other, Box::new(Files));
    assert_eq!(next.state.source, source, "and with it the identity");
}

#[test]
fn a_full_spool_drops_the_newest_and_takes_more_when_some_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let most = 1 << 20;
    let mut process = Process::with(&options(home.path(), most), Box::new(Files));
    for batch in 0..200 {
        process.write(batch * 100..(batch + 1) * 100);
    }
    let stats = process.stats();
    assert!(stats.bytes <= most && stats.bytes > most / 2, "{stats:?}");
    assert_eq!(stats.written + stats.dropped_full, 20_000);
    assert!(stats.dropped_full > 0);
    assert_eq!(stats.health, SpoolHealth::Writing);
    assert_eq!(all(&process.state), (0..stats.written).collect::<Vec<_>>());
    let read = batches(&process.state, Position::default(), 100);
    process.state.counted(read[read.len() / 2].to).unwrap();
    process.write(50_000..50_010);
    assert_eq!(process.stats().written, stats.written + 10);
}

/// A disk with so many bytes left.
#[derive(Clone)]
struct SmallDisk(Arc<AtomicU64>);

struct SmallFile(Box<dyn SegmentFile>, SmallDisk);

impl Disk for SmallDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(SmallFile(Files.create(path)?, self.clone())))
    }
}

impl SegmentFile for SmallFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        // What fits is written, as real disks do.
        let left = self.1.0.load(Relaxed);
        let fits = bytes.len().min(usize::try_from(left).unwrap());
        self.0.append(&bytes[..fits])?;
        self.1.0.store(left - fits as u64, Relaxed);
        match fits < bytes.len() {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.0.cut(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn a_full_disk_drops_and_counts_until_it_has_room() {
    let home = tempfile::tempdir().unwrap();
    let left = Arc::new(AtomicU64::new(5_000));
    let disk = SmallDisk(Arc::clone(&left));
    let mut process = Process::with(&options(home.path(), 1 << 30), Box::new(disk));
    process.write(0..10);
    assert_eq!(process.stats().health, SpoolHealth::Writing);
    process.write(10..1_000);
    let stats = process.stats();
    assert_eq!(stats.health, SpoolHealth::Failing);
    assert_eq!((stats.written, stats.dropped_failing), (10, 990));
    assert_eq!(
        all(&process.state),
        (0..10).collect::<Vec<_>>(),
        "nothing by halves"
    );

    left.store(1 << 20, Relaxed);
    process.write(1_000..1_005);
    assert_eq!(
        process.stats().dropped_failing,
        995,
        "it is not tried at once"
    );
    process.clock.advance(Duration::from_secs(1));
    process.write(2_000..2_005);
    assert_eq!(process.stats().health, SpoolHealth::Writing);
    let expected: Vec<u64> = (0..10).chain(2_000..2_005).collect();
    assert_eq!(all(&process.state), expected);
    process.kill();
    let next = Process::start(&home);
    assert_eq!(all(&next.state), expected);
    assert_eq!(next.stats().torn_bytes, 0);
}

#[test]
fn a_disk_without_room_for_a_segment_is_tried_again_without_clicks() {
    let home = tempfile::tempdir().unwrap();
    let left = Arc::new(AtomicU64::new(5));
    let disk = SmallDisk(Arc::clone(&left));
    let mut process = Process::with(&options(home.path(), 1 << 30), Box::new(disk));
    for _ in 0..3 {
        process.write(0..10);
        process.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(process.stats().dropped_failing, 30);
    assert_eq!(files(&home).len(), 0, "no rubbish is left");
    left.store(1 << 20, Relaxed);
    process.write([]);
    assert_eq!(process.stats().health, SpoolHealth::Writing);
    process.write(0..10);
    assert_eq!(all(&process.state).len(), 10);
}

#[test]
fn two_processes_cannot_write_one_spool() {
    let home = tempfile::tempdir().unwrap();
    let first = Process::start(&home);
    let again = || {
        open(
            &options(home.path(), 1 << 30),
            Box::new(Files),
            first.clock.clone(),
        )
    };
    assert!(matches!(again().err(), Some(SpoolError::Locked(_))));
    let clock = Arc::clone(&first.clock);
    first.kill();
    assert!(open(&options(home.path(), 1 << 30), Box::new(Files), clock).is_ok());
}

#[test]
fn files_of_others_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = options(elsewhere.path(), 1 << 30);
    other.identity = 1;
    Process::with(&other, Box::new(Files)).write(0..10);
    let mut process = Process::start(&home);
    process.write(0..5);
    let newest_number = *files(&home).last_key_value().unwrap().0;
    process.kill();
    let spool = home.path().join("spool");
    let older = segment::path(&spool, newest_number - 1);
    fs::copy(newest(&elsewhere), &older).unwrap();
    fs::write(spool.join("notes.txt"), "mine").unwrap();
    let process = Process::start(&home);
    assert_eq!(all(&process.state), (0..5).collect::<Vec<_>>());
    let end = batches(&process.state, Position::default(), 10)
        .pop()
        .unwrap()
        .to;
    process.state.counted(end).unwrap();
    assert!(older.exists() && spool.join("notes.txt").exists());
}

#[test]
fn a_segment_that_somebody_deletes_is_passed_over() {
    let home = tempfile::tempdir().unwrap();
    Process::start(&home).write(0..5);
    let mut process = Process::start(&home);
    process.write(5..10);
    fs::remove_file(files(&home).pop_first().unwrap().1).unwrap();
    assert_eq!(all(&process.state), (5..10).collect::<Vec<_>>());
}

#[test]
fn what_a_visitor_sends_is_never_taken_for_a_frame() {
    // A frame of the right spool and segment, inside of a record whose frame is damaged.
    let id = crate::ClickId {
        process: 1,
        number: 0,
    };
    let mut inner = Vec::new();
    let record = [2_u16.to_le_bytes().as_slice(), b"xx"].concat();
    frame::write(&record, id, 1, &mut inner);
    assert!(
        std::str::from_utf8(&inner).is_err(),
        "no text can hold its mark"
    );
    assert!(matches!(
        frame::find(&inner, 1, true),
        (0, frame::Found::Frame(_))
    ));
    let (skipped, found) = frame::find(&inner, 2, true);
    assert_eq!(
        (skipped, found),
        (inner.len(), frame::Found::Begun),
        "nor is it one elsewhere"
    );
}

#[test]
fn the_threads_write_what_is_captured_and_wake_who_waits() {
    let home = tempfile::tempdir().unwrap();
    for sync in [None, Some(Duration::from_millis(1))] {
        let options = SpoolOptions {
            sync,
            ..options(&home.path().join(format!("{sync:?}")), 1 << 30)
        };
        let privacy = Privacy {
            addresses: Addresses::None,
            respect_dnt: true,
            key: [3; 16],
        };
        let capture = Arc::new(Capture::new(privacy, 1 << 20));
        let clock = Arc::new(ManualClock::at(NOW));
        let spool = Spool::start(&options, Arc::clone(&capture), clock).unwrap();
        let (source, stats) = (spool.source(), spool.stats());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let queue = capture.queue();
        let push = |code: &str| {
            queue.push(&Seen {
                at: NOW,
                kind: ClickKind::Orphan,
                domain: "go.example",
                code,
                address: [192, 0, 2, 1].into(),
                referrer: None,
                user_agent: None,
                language: None,
                query: None,
                target: None,
                objects: false,
            });
        };
        let waiting = source.clone();
        let batch = runtime.block_on(async {
            let next = tokio::spawn(async move { waiting.next(Position::default(), 10).await });
            tokio::task::yield_now().await;
            push("early");
            next.await.unwrap().unwrap()
        });
        assert_eq!(batch.clicks[0].code, "early");
        push("late");
        spool.finish();
        assert_eq!(
            (stats)().written,
            2,
            "what was in a queue is written at the end"
        );
        let batch = runtime.block_on(source.next(batch.to, 10)).unwrap();
        assert_eq!(batch.clicks[0].code, "late");
        assert_eq!(batch.clicks[0].kind, ClickKind::Orphan);
        assert_eq!((stats)().sync_failures, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to the bytes of a segment, frames that were not touched are read, in their
    /// order, and nothing else.
    #[test]
    fn damage_costs_no_more_than_what_it_touches(
        batches_of in prop::collection::vec(1_u64..60, 1..12),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        restart in any::<bool>(),
        most in 1_usize..80,
    ) {
        let home = tempfile::tempdir().unwrap();
        let mut process = Process::start(&home);
        // Where each batch, which is a frame, begins and ends, and its numbers.
        let mut frames = Vec::new();
        let mut next = 0;
        for count in batches_of {
            let begin = process.stats().bytes.max(segment::HEAD);
            process.write(next..next + count);
            frames.push((begin..process.stats().bytes, next..next + count));
            next += count;
        }
        let path = newest(&home);
        let mut bytes = fs::read(&path).unwrap();
        let head = usize::try_from(segment::HEAD).unwrap();
        let touched: BTreeSet<u64> = flips
            .iter()
            .map(|flip| (head + flip.index(bytes.len() - head)) as u64)
            .collect();
        for &at in &touched {
            bytes[usize::try_from(at).unwrap()] ^= 0x10;
        }
        if let Some(cut) = cut {
            bytes.truncate(head + cut.index(bytes.len() - head));
        }
        let length = bytes.len() as u64;
        if restart {
            process.kill();
            fs::write(&path, bytes).unwrap();
            process = Process::start(&home);
        } else {
            fs::write(&path, bytes).unwrap();
        }
        let expected: Vec<u64> = frames
            .into_iter()
            .filter(|(range, _)| range.end <= length && touched.range(range.clone()).next().is_none())
            .flat_map(|(_, numbers)| numbers)
            .collect();
        let read = batches(&process.state, Position::default(), most);
        prop_assert_eq!(numbers(&read), &expected[..]);
        prop_assert_eq!(in_pieces(&process.state), expected);
    }
}
