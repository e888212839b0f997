//! An index of records, and what makes room for others (S3-FIFO: Yang, Zhang, Qiu, Yue, Rashmi: FIFO Queues are All You
//! Need for Cache Eviction, 2023; by segments, as Segcache: Yang, Yue, Vinayak, 2021).
//!
//! Records are added to the end of a [log](super::log), of which there are two. New ones go to the first. When it has a
//! tenth of the room, its oldest segment is cleaned: what was asked for again moves on to the second log, the rest is
//! forgotten, but for a trace of its name. Whoever has left a trace goes to the second log at once. There, what was
//! asked for since it was written is written anew at the end, with one visit less of up to three; the rest is forgotten.
//!
//! So names that are asked for once pass through the first log, however many they are. Asking writes nothing but
//! visits, and nothing any more once there are three.

use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashTable;
use slab::Slab;

use super::log::{Log, Position};
use super::record::{self, Body, Record, Times};
use super::traces::Traces;
use super::{Hasher, Kept, Name, hash_of};
use crate::Link;
use crate::cache::weight;
use crate::cached_link::{CachedLink, PlainParts};

/// Up to so many visits count.
const MOST_VISITS: u32 = 3;
/// Somebody reads it anew already.
const CLAIMED: u32 = 1 << 2;
const FLAG_BITS: u32 = 3;

/// The second log, and not the first.
const SECOND: u32 = 1 << 31;

/// The bytes a shard can address: positions are multiples of four.
pub(super) const MOST_BYTES: u64 = 1 << (31 - FLAG_BITS + 2);

/// The part of the room that the first log has.
const FIRST_PART: usize = 10;

/// A link that takes a larger part of the room is not kept: too many would have to make way.
const LARGEST_PART: usize = 4;

/// Of a segment of the second log, so many quarters are written anew at most: it has to make room.
const KEPT_QUARTERS: usize = 3;

/// Where a record is, and what became of it since.
struct Place(AtomicU32);

/// The log, and the position in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spot(Nth, Position);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nth {
    First,
    Second,
}

impl Place {
    fn new(Spot(nth, position): Spot, visits: u32) -> Self {
        let nth = match nth {
            Nth::First => 0,
            Nth::Second => SECOND,
        };
        Self(AtomicU32::new(nth | position.0 << FLAG_BITS | visits))
    }

    fn spot(&self) -> Spot {
        let bits = self.0.load(Ordering::Relaxed);
        let nth = match bits & SECOND {
            0 => Nth::First,
            _ => Nth::Second,
        };
        Spot(nth, Position((bits & !SECOND) >> FLAG_BITS))
    }

    fn visits(&self) -> u32 {
        self.0.load(Ordering::Relaxed) & MOST_VISITS
    }

    fn visit(&self) {
        let now = self.0.load(Ordering::Relaxed);
        if now & MOST_VISITS < MOST_VISITS {
            // Lost if another writes at the same time: it is a visit, too.
            let _ =
                self.0
                    .compare_exchange_weak(now, now + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn claim(&self) -> bool {
        self.0.fetch_or(CLAIMED, Ordering::Relaxed) & CLAIMED == 0
    }

    fn unclaim(&self) {
        self.0.fetch_and(!CLAIMED, Ordering::Relaxed);
    }
}

struct Logs {
    first: Log,
    second: Log,
}

impl Logs {
    fn of(&mut self, nth: Nth) -> &mut Log {
        match nth {
            Nth::First => &mut self.first,
            Nth::Second => &mut self.second,
        }
    }

    #[inline]
    fn record(&self, place: &Place) -> Record<'_> {
        let Spot(nth, position) = place.spot();
        Record::read(match nth {
            Nth::First => self.first.at(position),
            Nth::Second => self.second.at(position),
        })
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.second.is_empty()
    }

    fn allocated(&self) -> usize {
        self.first.allocated() + self.second.allocated()
    }

    fn filled(&self) -> usize {
        self.first.filled() + self.second.filled()
    }
}

/// See the module.
pub(super) struct Shard {
    hasher: Hasher,
    max_bytes: usize,
    segment_bytes: usize,
    index: HashTable<Place>,
    logs: Logs,
    /// Of names that were forgotten after they were asked for once.
    traces: Traces,
    /// Bytes of the records that the index knows.
    live: usize,
    /// The links that are more than a record can say.
    whole: Slab<Arc<Link>>,
    whole_bytes: usize,
    scratch: Vec<u8>,
}

impl Shard {
    pub(super) fn new(hasher: Hasher, max_bytes: usize, segment_bytes: usize) -> Self {
        Self {
            hasher,
            max_bytes,
            segment_bytes,
            index: HashTable::new(),
            logs: Logs {
                first: Log::new(segment_bytes),
                second: Log::new(segment_bytes),
            },
            traces: Traces::default(),
            live: 0,
            whole: Slab::new(),
            whole_bytes: 0,
            scratch: Vec::new(),
        }
    }

    pub(super) fn entries(&self) -> usize {
        self.index.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.logs.allocated()
            + self.traces.bytes()
            + self.index.allocation_size()
            + self.whole_bytes
            + self.whole.capacity() * size_of::<(usize, Arc<Link>)>()
    }

    pub(super) fn get(&self, name: &Name<'_>) -> Option<Kept> {
        let (place, record) = self.find(name)?;
        place.visit();
        let link = match record.body() {
            Body::Absent => None,
            Body::Plain(parts) => Some(CachedLink::Plain(parts.into())),
            Body::Whole(number) => Some(CachedLink::Whole(Arc::clone(
                self.whole.get(number as usize)?,
            ))),
        };
        Some(Kept {
            times: record.times(),
            link,
        })
    }

    /// Whether nobody else has; until it is kept anew or [given back](Self::unclaim).
    pub(super) fn claim(&self, name: &Name<'_>) -> bool {
        self.find(name).is_some_and(|(place, _)| place.claim())
    }

    pub(super) fn unclaim(&self, name: &Name<'_>) {
        if let Some((place, _)) = self.find(name) {
            place.unclaim();
        }
    }

    /// Keeps what a read brought, instead of what is known of that name; not if it is too large.
    pub(super) fn keep(&mut self, name: &Name<'_>, times: Times, link: Option<&Arc<Link>>) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let mut write =
            |body: &Body<'_>| record::write(&mut bytes, name.domain, name.code, times, body);
        let says_all = match link {
            None => write(&Body::Absent),
            Some(link) => PlainParts::of(link).is_some_and(|parts| write(&Body::Plain(parts))),
        };
        let kept = match link {
            Some(link) if !says_all => self.put_whole(&mut bytes, name, times, link),
            _ => says_all && self.put(&bytes, name, 0),
        };
        if !kept {
            self.forget(name);
        }
        self.scratch = bytes;
        self.fit();
    }

    /// Puts a link that is kept as it is, and a record that leads to it; whether it is not too large.
    fn put_whole(
        &mut self,
        bytes: &mut Vec<u8>,
        name: &Name<'_>,
        times: Times,
        link: &Arc<Link>,
    ) -> bool {
        let weight = weight::of(link);
        let Ok(number) = u32::try_from(self.whole.vacant_key()) else {
            return false;
        };
        if weight > self.max_bytes / LARGEST_PART {
            return false;
        }
        self.whole.insert(Arc::clone(link));
        self.whole_bytes += weight;
        let body = Body::Whole(number);
        let kept = record::write(bytes, name.domain, name.code, times, &body)
            && self.put(bytes, name, weight);
        if !kept {
            self.drop_whole(Some(number));
        }
        kept
    }

    /// Puts a record in the place of the one of that name, with a link of so many bytes; whether it is not too large.
    fn put(&mut self, bytes: &[u8], name: &Name<'_>, link: usize) -> bool {
        let known = self.find(name).map(|(place, record)| {
            let fits = record.length() == bytes.len();
            (place.spot(), fits && link == 0 && record.whole().is_none())
        });
        if let Some((Spot(nth, position), true)) = known {
            // The same link, read again: its record takes no other place.
            self.logs.of(nth).at_mut(position)[..bytes.len()].copy_from_slice(bytes);
            self.unclaim(name);
            return true;
        }
        let room = Log::room_for(bytes.len());
        let other = part_of(self.segment_bytes, link);
        if room + other > self.segment_bytes {
            return false;
        }
        let nth = match known {
            Some((Spot(nth, _), _)) => nth,
            None if self.traces.take(name.hash) => Nth::Second,
            None => Nth::First,
        };
        self.forget(name);
        self.make_room(nth, room, other);
        let spot = Spot(nth, self.logs.of(nth).append(bytes, other));
        self.live += room;
        let (hasher, logs) = (&self.hasher, &self.logs);
        let hash = |place: &Place| hash_at(hasher, logs, place);
        self.index
            .insert_unique(name.hash, Place::new(spot, 0), hash);
        self.traces.fit(self.index.len());
        true
    }

    /// Forgets what is known of a name.
    pub(super) fn forget(&mut self, name: &Name<'_>) {
        let Self { index, logs, .. } = self;
        let found = index.find_entry(name.hash, |place| {
            logs.record(place).is_of(name.domain, name.code)
        });
        let Ok(entry) = found else { return };
        let (place, _) = entry.remove();
        let record = logs.record(&place);
        let whole = record.whole();
        self.live -= Log::room_for(record.length());
        self.drop_whole(whole);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.hasher.clone(), self.max_bytes, self.segment_bytes);
    }

    fn find(&self, name: &Name<'_>) -> Option<(&Place, Record<'_>)> {
        let mut found = None;
        let place = self.index.find(name.hash, |place| {
            let record = self.logs.record(place);
            found = Some(record);
            record.is_of(name.domain, name.code)
        })?;
        Some((place, found?))
    }

    fn drop_whole(&mut self, number: Option<u32>) {
        if let Some(link) = number.and_then(|number| self.whole.try_remove(number as usize)) {
            self.whole_bytes -= weight::of(&link);
        }
    }

    /// Before a record is added.
    fn make_room(&mut self, nth: Nth, room: usize, other: usize) {
        // What nobody knows any more takes no more than what somebody does.
        if self.logs.filled() > 2 * self.live + 2 * self.segment_bytes {
            let nth = match self.logs.first.filled() > self.logs.second.filled() {
                true => Nth::First,
                false => Nth::Second,
            };
            self.clean_oldest(nth, &Cleaning::Compact);
        }
        let quota = self.segment_bytes / 4 * KEPT_QUARTERS;
        let quota = quota.min(self.segment_bytes - room - other);
        while !self.logs.is_empty() {
            let growth = self.logs.of(nth).growth_for(room, other);
            if self.bytes() + growth <= self.max_bytes {
                break;
            }
            self.clean(&Cleaning::Evict { quota });
        }
    }

    /// Whatever has grown: the bound holds.
    fn fit(&mut self) {
        while self.bytes() > self.max_bytes && !self.logs.is_empty() {
            self.clean(&Cleaning::Evict { quota: 0 });
        }
        // Small records may have made way for few large ones.
        if self.index.capacity() > 64 + 4 * self.index.len() {
            let (hasher, logs) = (&self.hasher, &self.logs);
            let hash = |place: &Place| hash_at(hasher, logs, place);
            self.index.shrink_to(0, hash);
            self.traces.fit(self.index.len());
        }
        if self.whole.capacity() > 64 + 4 * self.whole.len() {
            self.whole.shrink_to_fit();
        }
    }

    /// Cleans the log that has too much.
    fn clean(&mut self, how: &Cleaning) {
        let first = &self.logs.first;
        let full = first.allocated() > self.max_bytes / FIRST_PART;
        let nth = match !first.is_empty() && (full || self.logs.second.is_empty()) {
            true => Nth::First,
            false => Nth::Second,
        };
        self.clean_oldest(nth, how);
    }

    /// Gives the oldest segment of a log back.
    fn clean_oldest(&mut self, nth: Nth, how: &Cleaning) {
        let Some(taken) = self.logs.of(nth).take_oldest() else {
            return;
        };
        let mut kept = 0;
        for (position, bytes) in taken.records() {
            let record = Record::read(bytes);
            let hash = hash_of(&self.hasher, record.domain(), record.code());
            let spot = Spot(nth, position);
            let found = self.index.find_entry(hash, |place| place.spot() == spot);
            // Overwritten or forgotten since.
            let Ok(mut entry) = found else { continue };
            let room = Log::room_for(bytes.len());
            let whole = record.whole();
            let link = whole.and_then(|number| self.whole.get(number as usize));
            let other = link.map_or(0, |link| part_of(self.segment_bytes, weight::of(link)));
            let visits = entry.get().visits();
            let goes_on = match (how, nth) {
                (Cleaning::Compact, _) => Some((nth, visits)),
                // However many they are: the second log has more than a segment.
                (Cleaning::Evict { quota }, Nth::First) => {
                    (visits > 0 && *quota > 0).then_some((Nth::Second, 0))
                }
                (Cleaning::Evict { quota }, Nth::Second) => {
                    let goes_on = visits > 0 && kept + room + other <= *quota;
                    goes_on.then(|| (Nth::Second, visits - 1))
                }
            };
            if let Some((to, visits)) = goes_on {
                kept += room + other;
                let spot = Spot(to, self.logs.of(to).append(bytes, other));
                *entry.get_mut() = Place::new(spot, visits);
            } else {
                entry.remove();
                self.live -= room;
                self.drop_whole(whole);
                if nth == Nth::First {
                    self.traces.leave(hash);
                }
            }
        }
        self.logs.of(nth).give_back(taken);
    }
}

/// What cleaning is for.
enum Cleaning {
    /// To evict what is asked for least. Of a segment of the second log at most `quota` bytes are written anew; 0 keeps
    /// nothing of either log.
    Evict { quota: usize },
    /// To be rid of records that nobody knows any more.
    Compact,
}

/// What a link that is kept as it is counts for in its segment: a large one for no more than half of it.
fn part_of(segment_bytes: usize, bytes: usize) -> usize {
    bytes.min(segment_bytes / 2)
}

fn hash_at(hasher: &Hasher, logs: &Logs, place: &Place) -> u64 {
    let record = logs.record(place);
    hash_of(hasher, record.domain(), record.code())
}

#[cfg(test)]
impl Shard {
    /// What it counts is what there is.
    pub(super) fn check(&self) {
        let mut live = 0;
        let mut wholes = 0;
        for place in &self.index {
            let record = self.logs.record(place);
            live += Log::room_for(record.length());
            wholes += usize::from(record.whole().is_some());
        }
        assert_eq!(live, self.live);
        assert_eq!(wholes, self.whole.len());
        let bytes: usize = self.whole.iter().map(|(_, link)| weight::of(link)).sum();
        assert_eq!(bytes, self.whole_bytes);
        let logs = &self.logs;
        assert!(self.live <= logs.filled() && logs.filled() <= logs.allocated());
    }
}
