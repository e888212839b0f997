//! Records one behind the other, in segments that are filled and emptied as a whole.

use std::collections::VecDeque;

use super::record;

/// Records begin at multiples of it, so that a place has room for flags.
const ALIGN: usize = 4;

/// The first buffer of a segment; it doubles until it is full, so that a cache with few links is small.
const FIRST_BYTES: usize = 1_024;

/// Where a record is, in units of [`ALIGN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(pub(super) u32);

/// See the module.
pub(super) struct Log {
    segment_bytes: usize,
    /// By number. Those that are in no use have no buffer.
    segments: Vec<Vec<u8>>,
    /// Numbers of those in use, the oldest first; the last one is being filled.
    order: VecDeque<usize>,
    unused: Vec<usize>,
    /// Of the last one: its records, and what goes with them.
    last_weight: usize,
    allocated: usize,
    filled: usize,
}

/// A segment that was taken out.
pub(super) struct Taken {
    number: usize,
    /// Where it was.
    base: usize,
    bytes: Vec<u8>,
}

impl Taken {
    /// Its records, and where they were.
    pub(super) fn records(&self) -> impl Iterator<Item = (Position, &[u8])> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            let rest = self.bytes.get(offset..).filter(|rest| !rest.is_empty())?;
            let position = Position(((self.base + offset) / ALIGN) as u32);
            let record = &rest[..record::length(rest)];
            offset += Log::room_for(record.len());
            Some((position, record))
        })
    }
}

impl Log {
    /// In segments of so many bytes, a power of two and at least four.
    pub(super) fn new(segment_bytes: usize) -> Self {
        debug_assert!(segment_bytes.is_power_of_two() && segment_bytes >= ALIGN);
        Self {
            segment_bytes,
            segments: Vec::new(),
            order: VecDeque::new(),
            unused: Vec::new(),
            last_weight: 0,
            allocated: 0,
            filled: 0,
        }
    }

    /// The bytes of its buffers.
    pub(super) fn allocated(&self) -> usize {
        self.allocated
    }

    /// The bytes of all records, of those that nobody knows any more as well.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// What a record takes.
    pub(super) fn room_for(bytes: usize) -> usize {
        bytes.next_multiple_of(ALIGN)
    }

    /// The bytes from a record on, up to the end of its segment.
    pub(super) fn at(&self, position: Position) -> &[u8] {
        let (segment, offset) = self.place(position);
        &self.segments[segment][offset..]
    }

    /// The same, to be overwritten.
    pub(super) fn at_mut(&mut self, position: Position) -> &mut [u8] {
        let (segment, offset) = self.place(position);
        &mut self.segments[segment][offset..]
    }

    /// By how much the buffers would grow for this record, with which other memory goes.
    pub(super) fn growth_for(&self, bytes: usize, other: usize) -> usize {
        let room = Self::room_for(bytes);
        match self.last_for(room + other) {
            Some(number) => {
                let last = &self.segments[number];
                self.capacity_for(last, room) - last.capacity()
            }
            None => self.capacity_for(&Vec::new(), room),
        }
    }

    /// Adds a record of at most a segment's bytes. Memory that goes when it goes counts as if it were in the segment, so
    /// that a segment never stands for much more than its size.
    pub(super) fn append(&mut self, record: &[u8], other: usize) -> Position {
        let room = Self::room_for(record.len());
        let number = match self.last_for(room + other) {
            Some(number) => number,
            None => self.open(),
        };
        self.last_weight += room + other;
        let capacity = self.capacity_for(&self.segments[number], room);
        let segment = &mut self.segments[number];
        self.allocated -= segment.capacity();
        segment.reserve_exact(capacity - segment.len());
        self.allocated += segment.capacity();
        let offset = segment.len();
        segment.extend_from_slice(record);
        segment.resize(offset + room, 0);
        self.filled += room;
        Position(((number * self.segment_bytes + offset) / ALIGN) as u32)
    }

    /// Takes the oldest segment out. No other has its place until it is [given back](Self::give_back).
    pub(super) fn take_oldest(&mut self) -> Option<Taken> {
        let number = self.order.pop_front()?;
        let bytes = std::mem::take(&mut self.segments[number]);
        self.allocated -= bytes.capacity();
        self.filled -= bytes.len();
        let base = number * self.segment_bytes;
        Some(Taken {
            number,
            base,
            bytes,
        })
    }

    pub(super) fn give_back(&mut self, taken: Taken) {
        self.unused.push(taken.number);
    }

    /// The segment that is being filled, if it is not full.
    fn last_for(&self, weight: usize) -> Option<usize> {
        let fits = self.last_weight + weight <= self.segment_bytes;
        self.order.back().copied().filter(|_| fits)
    }

    fn open(&mut self) -> usize {
        let number = self.unused.pop().unwrap_or_else(|| {
            self.segments.push(Vec::new());
            self.segments.len() - 1
        });
        self.order.push_back(number);
        self.last_weight = 0;
        number
    }

    fn capacity_for(&self, segment: &Vec<u8>, room: usize) -> usize {
        let wanted = segment.len() + room;
        if wanted <= segment.capacity() {
            return segment.capacity();
        }
        (2 * segment.capacity())
            .clamp(FIRST_BYTES.min(self.segment_bytes), self.segment_bytes)
            .max(wanted)
    }

    fn place(&self, position: Position) -> (usize, usize) {
        let offset = position.0 as usize * ALIGN;
        let bits = self.segment_bytes.trailing_zeros();
        (offset >> bits, offset & (self.segment_bytes - 1))
    }
}
