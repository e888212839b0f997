//! The queues between the edge and the spool: one for each thread of the edge, bounded in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use rtrb::{Consumer, Producer, RingBuffer};

use super::{Privacy, Seen, record};

/// All queues, and what may be put into them.
#[derive(Debug)]
pub struct Capture {
    privacy: Privacy,
    queue_bytes: usize,
    ends: Mutex<Vec<End>>,
}

/// The end of a queue that a thread of the edge has.
#[derive(Debug)]
pub struct ClickQueue {
    /// Only one thread comes here, so it never waits; and if one had to, it would drop the click.
    writing: Mutex<Writing>,
    privacy: Privacy,
    counted: Arc<Counted>,
}

#[derive(Debug)]
struct Writing {
    ring: Producer<u8>,
    /// The record being made; its memory is used again.
    record: Vec<u8>,
}

/// The other end of a queue.
#[derive(Debug)]
struct End {
    ring: Consumer<u8>,
    counted: Arc<Counted>,
}

/// What is known of a queue.
#[derive(Debug, Default)]
struct Counted {
    // Written by the edge.
    pushed: AtomicU64,
    dropped: AtomicU64,
    // Written by who empties the queue.
    taken: AtomicU64,
}

/// What happened to clicks before the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaptureStats {
    /// Clicks put into a queue.
    pub captured: u64,
    /// Clicks dropped because their queue was full.
    pub dropped: u64,
    /// Clicks in a queue now.
    pub queued: u64,
}

impl Capture {
    /// `queue_bytes` bounds each queue; at least one record has room.
    #[must_use]
    pub fn new(privacy: Privacy, queue_bytes: usize) -> Self {
        Self {
            privacy,
            queue_bytes: queue_bytes.max(record::MAX_RECORD),
            ends: Mutex::default(),
        }
    }

    /// A queue for one more thread.
    #[must_use]
    pub fn queue(&self) -> ClickQueue {
        let (producer, consumer) = RingBuffer::new(self.queue_bytes);
        let counted = Arc::new(Counted::default());
        self.ends.lock().push(End {
            ring: consumer,
            counted: Arc::clone(&counted),
        });
        ClickQueue {
            writing: Mutex::new(Writing {
                ring: producer,
                record: Vec::with_capacity(record::MAX_RECORD),
            }),
            privacy: self.privacy.clone(),
            counted,
        }
    }

    /// Appends all records that wait in queues to `records`, and answers how many clicks those are.
    pub(crate) fn drain(&self, records: &mut Vec<u8>) -> u64 {
        let mut taken = 0;
        for end in self.ends.lock().iter_mut() {
            taken += end.drain(records);
        }
        taken
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> CaptureStats {
        let mut stats = CaptureStats::default();
        for End { counted, .. } in self.ends.lock().iter() {
            // In this order, so that the difference is never negative.
            let taken = counted.taken.load(Relaxed);
            let pushed = counted.pushed.load(Relaxed);
            stats.captured += pushed;
            stats.queued += pushed.saturating_sub(taken);
            stats.dropped += counted.dropped.load(Relaxed);
        }
        stats
    }
}

impl ClickQueue {
    /// Captures a click, or drops and counts it if there is no room. Never waits.
    pub fn push(&self, seen: &Seen<'_>) {
        let kept = self.privacy.kept(seen);
        let pushed = self.writing.try_lock().is_some_and(|mut writing| {
            let Writing { ring, record } = &mut *writing;
            record::encode(seen, &kept, record);
            // All or nothing: the other end only ever sees whole records.
            ring.push_entire_slice(record).is_ok()
        });
        let count = match pushed {
            true => &self.counted.pushed,
            false => &self.counted.dropped,
        };
        count.fetch_add(1, Relaxed);
    }
}

impl End {
    fn drain(&mut self, records: &mut Vec<u8>) -> u64 {
        let begin = records.len();
        let Ok(chunk) = self.ring.read_chunk(self.ring.slots()) else {
            return 0;
        };
        let (first, second) = chunk.as_slices();
        records.extend_from_slice(first);
        records.extend_from_slice(second);
        chunk.commit_all();
        let mut rest = &records[begin..];
        let mut taken = 0;
        while record::next(&mut rest).is_some() {
            taken += 1;
        }
        debug_assert!(rest.is_empty(), "records are pushed as a whole");
        self.counted.taken.fetch_add(taken, Relaxed);
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::thread;

    use tollgate_clock::UnixMillis;

    use crate::capture::Addresses;
    use crate::{ClickId, ClickKind};

    use super::*;

    fn capture(queue_bytes: usize) -> Capture {
        let privacy = Privacy {
            addresses: Addresses::Truncated,
            respect_dnt: true,
            key: [1; 16],
        };
        Capture::new(privacy, queue_bytes)
    }

    fn push(queue: &ClickQueue, number: u64) {
        let agent = format!("agent {number}");
        queue.push(&Seen {
            at: UnixMillis::from_millis(1),
            kind: ClickKind::Visit,
            domain: "",
            code: "abc",
            address: IpAddr::from([192, 0, 2, 1]),
            referrer: None,
            user_agent: Some(agent.as_bytes()),
            language: None,
            query: None,
            target: None,
            objects: false,
        });
    }

    fn numbers(mut records: &[u8]) -> Vec<u64> {
        let id = ClickId {
            process: 0,
            number: 0,
        };
        std::iter::from_fn(|| record::next(&mut records))
            .map(|record| {
                let click = record::decode(record, id).unwrap();
                let agent = click.user_agent.unwrap();
                agent
                    .as_str()
                    .strip_prefix("agent ")
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_goes_on_when_there_is_room() {
        let capture = capture(0);
        let queue = capture.queue();
        for number in 0..1_000 {
            push(&queue, number);
        }
        let stats = capture.stats();
        assert_eq!(stats.captured + stats.dropped, 1_000);
        assert!(stats.captured > 10 && stats.dropped > 10, "{stats:?}");
        assert_eq!(stats.queued, stats.captured);
        let mut records = Vec::new();
        assert_eq!(capture.drain(&mut records), stats.captured);
        let first: Vec<u64> = (0..stats.captured).collect();
        assert_eq!(numbers(&records), first, "the newest are dropped");
        assert_eq!(capture.stats().queued, 0);
        push(&queue, 7);
        records.clear();
        assert_eq!(capture.drain(&mut records), 1);
        assert_eq!(numbers(&records), [7]);
    }

    #[test]
    fn threads_push_while_another_one_drains_and_all_arrive_in_order() {
        const EACH: u64 = 20_000;
        let capture = capture(1 << 16);
        let queues = [capture.queue(), capture.queue(), capture.queue()];
        let mut records = Vec::new();
        thread::scope(|scope| {
            let running: Vec<_> = queues
                .iter()
                .map(|queue| scope.spawn(|| (0..EACH).for_each(|number| push(queue, number))))
                .collect();
            while running.iter().any(|thread| !thread.is_finished()) {
                capture.drain(&mut records);
            }
        });
        capture.drain(&mut records);
        let stats = capture.stats();
        assert_eq!(stats.captured + stats.dropped, 3 * EACH);
        assert_eq!(numbers(&records).len() as u64, stats.captured);
        assert_eq!(stats.queued, 0);
    }
}
