//! What hours and days have in common, as it is stored.

use super::{Counts, Rollup, RollupBatch};
use crate::Sketch;

/// Stored bytes that nobody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a roll-up is damaged")]
pub(crate) struct DamagedRollup;

/// Visitors and counts of a roll-up.
#[derive(Default)]
pub(crate) struct Sums {
    visitors: Sketch,
    counts: Counts,
}

impl Sums {
    /// Reads what [`Self::into_bytes`] wrote.
    pub(crate) fn read(visitors: &[u8], counts: &[u8]) -> Result<Self, DamagedRollup> {
        let mut sketch = Sketch::default();
        sketch.union(visitors).map_err(|_| DamagedRollup)?;
        let counts = Counts::from_bytes(counts).map_err(|_| DamagedRollup)?;
        Ok(Self {
            visitors: sketch,
            counts,
        })
    }

    /// Adds what a batch has.
    pub(crate) fn add(&mut self, batch: &RollupBatch, rollup: &Rollup) {
        self.visitors.merge(&rollup.visitors);
        self.counts.add(batch.counts(rollup));
    }

    /// To be stored: visitors, counts.
    pub(crate) fn into_bytes(self) -> (Vec<u8>, Vec<u8>) {
        (self.visitors.into_bytes(), self.counts.to_bytes())
    }
}
