//! What is let in while more is asked than can be done: as much as is answered in time. The rest is refused at
//! once, which costs little, instead of waiting until nobody wants the answer any more.
//!
//! Each kind of work that can queue has a [`Gate`]. What memory answers has none: it never waits, and goes on
//! at its full rate while the rest is refused.

mod body;
mod gate;
mod reading;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::Clock;
use tollgate_limit::{AdaptiveError, QuotaError};

pub use gate::{Admitted, Gate, GateStats};
pub use reading::Admitting;
pub(crate) use requests::{Spare, admit_check, admit_long, admit_request, spare};

/// Why the bounds cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverloadError {
    /// The fewest are more than the most.
    #[error(transparent)]
    Range(#[from] AdaptiveError),
    /// Never, as the time is fixed.
    #[error(transparent)]
    Lease(#[from] QuotaError),
}

/// Bounds of what is worked on at once.
#[derive(Debug, Clone, Copy)]
pub struct OverloadOptions {
    /// What takes longer than this lowers the limit of its kind.
    pub latency: Duration,
    /// The fewest at once of a kind, however long they take.
    pub min: u64,
    /// The most at once of a kind, however quick they are.
    pub max: u64,
    /// The most requests at once that take long by nature, whose time says nothing.
    pub max_long: u64,
}

impl Default for OverloadOptions {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(250),
            min: 16,
            max: 4_096,
            max_long: 256,
        }
    }
}

/// The gates. Clones are the same.
#[derive(Debug, Clone)]
pub struct Overload {
    /// Reads of links that are not in memory.
    pub reads: Arc<Gate>,
    /// Visits of links with `max_clicks`, each of which is a commit.
    pub counted: Arc<Gate>,
    /// Decisions of the limit service over HTTP.
    pub checks: Arc<Gate>,
    /// All other requests to the API, but those that take long by nature.
    pub requests: Arc<Gate>,
    /// Those: bulk, imports, statistics, lists of clicks, watching clicks.
    pub long: Arc<Gate>,
}

impl Overload {
    /// Gates with these bounds.
    ///
    /// # Errors
    /// See [`OverloadError`].
    pub fn new(options: OverloadOptions, clock: &Arc<dyn Clock>) -> Result<Self, OverloadError> {
        let gate = || {
            let gate = Gate::adaptive(options, Arc::clone(clock))?;
            Ok::<_, OverloadError>(Arc::new(gate))
        };
        Ok(Self {
            reads: gate()?,
            counted: gate()?,
            checks: gate()?,
            requests: gate()?,
            long: Arc::new(Gate::fixed(options.max_long, Arc::clone(clock))?),
        })
    }

    /// Each with the name of its work.
    pub(crate) fn all(&self) -> [(&'static str, &Gate); 5] {
        [
            ("link_reads", &self.reads),
            ("counted_clicks", &self.counted),
            ("limit_checks", &self.checks),
            ("api_requests", &self.requests),
            ("long_requests", &self.long),
        ]
    }
}
