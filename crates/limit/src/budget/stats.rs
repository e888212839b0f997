use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What has become of budgets since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetStats {
    /// Keys whose budget is followed.
    pub keys: u64,
    /// Rounds of reports that were made.
    pub rounds: u64,
    /// Reports of one key each that were answered.
    pub reports: u64,
    /// Reports that were not.
    pub failures: u64,
    /// Descriptors of requests that were refused because their budget was used up.
    pub refusals: u64,
    /// Descriptors of requests whose budget was not enforced, because too many keys are followed.
    pub unheld: u64,
    /// How long the last round took.
    pub last_round: Duration,
}

/// The same, where it is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) rounds: AtomicU64,
    pub(super) reports: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) unheld: AtomicU64,
    pub(super) last_round_nanos: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self, keys: u64) -> BudgetStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BudgetStats {
            keys,
            rounds: read(&self.rounds),
            reports: read(&self.reports),
            failures: read(&self.failures),
            refusals: read(&self.refusals),
            unheld: read(&self.unheld),
            last_round: Duration::from_nanos(read(&self.last_round_nanos)),
        }
    }
}
