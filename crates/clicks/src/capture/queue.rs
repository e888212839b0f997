//! The queues between the edge and the spool: one for each thread of the edge, bounded in bytes.
//!
//! A queue is a buffer that its thread writes records into, and that the writer of the spool now and
//! then exchanges for an empty one. Both do so by swapping a pointer, so neither ever waits for the
//! other, and the few buffers there are stay in the processor's caches: what is not read again soon
//! never needs more room.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::atomic::AtomicCell;
use parking_lot::Mutex;

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
    privacy: Privacy,
    queue_bytes: usize,
    shared: Arc<Shared>,
}

/// The other end of a queue.
#[derive(Debug)]
struct End {
    shared: Arc<Shared>,
    /// What the thread of the edge is given next. None after it was at work the last time.
    empty: Option<Buffer>,
}

/// What both ends of a queue know.
#[derive(Default)]
struct Shared {
    /// The buffer that is written into; none while it is.
    current: AtomicCell<Option<Buffer>>,
    /// A buffer that the edge was given while it wrote into another one.
    returned: AtomicCell<Option<Buffer>>,
    // Written by the edge.
    pushed: AtomicU64,
    dropped: AtomicU64,
    // Written by who empties the queue.
    taken: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("pushed", &self.pushed)
            .field("dropped", &self.dropped)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

// Otherwise the edge would wait for a lock.
const _: () = assert!(AtomicCell::<Option<Buffer>>::is_lock_free());

/// Records, one after the other.
type Buffer = Box<Records>;

#[derive(Debug)]
struct Records {
    bytes: Vec<u8>,
    clicks: u64,
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
        let shared = Arc::new(Shared::default());
        shared.current.store(Some(self.buffer()));
        self.ends.lock().push(End {
            shared: Arc::clone(&shared),
            empty: None,
        });
        ClickQueue {
            privacy: self.privacy.clone(),
            queue_bytes: self.queue_bytes,
            shared,
        }
    }

    /// An empty buffer, with room for one record that will turn out not to fit.
    fn buffer(&self) -> Buffer {
        Box::new(Records {
            bytes: Vec::with_capacity(self.queue_bytes + record::MAX_RECORD),
            clicks: 0,
        })
    }

    /// Hands over all records that wait in queues, those of one queue at a time, with how many clicks
    /// they are. A queue that is written into at this very moment keeps its records until the next time.
    pub(crate) fn drain(&self, mut take: impl FnMut(&[u8], u64)) {
        for end in self.ends.lock().iter_mut() {
            let empty = end.empty.take().or_else(|| end.shared.returned.take());
            let empty = empty.unwrap_or_else(|| self.buffer());
            let Some(mut full) = end.shared.current.swap(Some(empty)) else {
                continue;
            };
            if full.clicks > 0 {
                take(&full.bytes, full.clicks);
                end.shared.taken.fetch_add(full.clicks, Relaxed);
                full.bytes.clear();
                full.clicks = 0;
            }
            end.empty = Some(full);
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> CaptureStats {
        let mut stats = CaptureStats::default();
        for End { shared, .. } in self.ends.lock().iter() {
            // In this order, so that the difference is never negative.
            let taken = shared.taken.load(Relaxed);
            let pushed = shared.pushed.load(Relaxed);
            stats.captured += pushed;
            stats.queued += pushed.saturating_sub(taken);
            stats.dropped += shared.dropped.load(Relaxed);
        }
        stats
    }
}

impl ClickQueue {
    /// Captures a click, or drops and counts it if there is no room. Never waits.
    pub fn push(&self, seen: &Seen<'_>) {
        let kept = self.privacy.kept(seen);
        let shared = &*self.shared;
        // Only one thread comes here. If there were another, and it had the buffer, this click would be
        // dropped.
        let pushed = shared.current.take().is_some_and(|mut buffer| {
            let begin = buffer.bytes.len();
            record::encode(seen, &kept, &mut buffer.bytes);
            let fits = buffer.bytes.len() <= self.queue_bytes;
            match fits {
                true => buffer.clicks += 1,
                false => buffer.bytes.truncate(begin),
            }
            if let Some(empty) = shared.current.swap(Some(buffer)) {
                shared.returned.store(Some(empty));
            }
            fits
        });
        let count = match pushed {
            true => &shared.pushed,
            false => &shared.dropped,
        };
        count.fetch_add(1, Relaxed);
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

    /// What the queues hold, and how many clicks that is said to be.
    fn drain(capture: &Capture, records: &mut Vec<u8>) -> u64 {
        let mut all = 0;
        capture.drain(|bytes, clicks| {
            records.extend_from_slice(bytes);
            all += clicks;
        });
        all
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
        assert_eq!(drain(&capture, &mut records), stats.captured);
        let first: Vec<u64> = (0..stats.captured).collect();
        assert_eq!(numbers(&records), first, "the newest are dropped");
        assert_eq!(capture.stats().queued, 0);
        push(&queue, 7);
        records.clear();
        assert_eq!(drain(&capture, &mut records), 1);
        assert_eq!(numbers(&records), [7]);
    }

    #[test]
    fn threads_push_while_another_one_drains_and_all_arrive_in_order() {
        const EACH: u64 = 20_000;
        let capture = capture(1 << 16);
        let queues = [0, 1, 2].map(|thread| (thread, capture.queue()));
        let mut records = Vec::new();
        thread::scope(|scope| {
            let running: Vec<_> = queues
                .iter()
                .map(|(thread, queue)| {
                    let numbers = thread * EACH..(thread + 1) * EACH;
                    scope.spawn(|| numbers.for_each(|number| push(queue, number)))
                })
                .collect();
            while running.iter().any(|thread| !thread.is_finished()) {
                drain(&capture, &mut records);
            }
        });
        drain(&capture, &mut records);
        let stats = capture.stats();
        assert_eq!(stats.captured + stats.dropped, 3 * EACH);
        assert_eq!(stats.queued, 0);
        let arrived = numbers(&records);
        assert_eq!(arrived.len() as u64, stats.captured);
        for (thread, _) in &queues {
            let of_thread = arrived.iter().filter(|number| *number / EACH == *thread);
            assert!(of_thread.is_sorted_by(|a, b| a < b));
        }
    }
}
