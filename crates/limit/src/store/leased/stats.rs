use std::sync::atomic::{AtomicU64, Ordering};

/// What has become of the tokens of a [`Leased`](super::Leased) store since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaseStats {
    /// Leases taken.
    pub leases: u64,
    /// Tokens in them.
    pub leased: u64,
    /// Tokens of leases that requests used.
    pub used: u64,
    /// Tokens given back: their instance did not need them.
    pub returned: u64,
    /// Tokens that ended with their window, or that the store did not take back.
    pub lost: u64,
    /// Requests with leased limits that the store decided nevertheless.
    pub exact: u64,
    /// Requests decided without the store.
    pub local: u64,
    /// Tokens held now.
    pub held: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) leases: AtomicU64,
    pub(super) leased: AtomicU64,
    pub(super) used: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) exact: AtomicU64,
    pub(super) local: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn read(&self, held: u64) -> LeaseStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LeaseStats {
            leases: read(&self.leases),
            leased: read(&self.leased),
            used: read(&self.used),
            returned: read(&self.returned),
            lost: read(&self.lost),
            exact: read(&self.exact),
            local: read(&self.local),
            held,
        }
    }
}
