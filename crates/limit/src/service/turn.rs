//! Turns in a queue, which requests that wait in it may trade.

use super::Receipt;
use crate::store::{LimitKey, Refund};

/// A queue, among requests that take equally much of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueId {
    key: LimitKey,
    units: u64,
    /// Whether it is that of this process, because the store failed.
    local: bool,
}

impl Receipt {
    /// The queue that the request waits in; none if it waits in several, or in none.
    ///
    /// Whoever holds the requests of one queue can close the gap that one leaves: it trades turns
    /// with each behind it, and is refunded for the last one. Otherwise a later request gets the
    /// last turn a second time, and two of them leave at once.
    #[must_use]
    pub fn queue(&self) -> Option<QueueId> {
        let stored = self.stored.iter().map(|refund| (refund, false));
        let local = self.local.iter().map(|refund| (refund, true));
        let mut queues = stored.chain(local).filter(|(refund, _)| refund.is_queued());
        let (refund, local) = queues.next()?;
        let id = QueueId {
            key: refund.key().clone(),
            units: refund.units(),
            local,
        };
        queues.next().is_none().then_some(id)
    }

    /// Trades turns with another request, if both wait in the same [`queue`](Self::queue): each
    /// receipt is then for the turn of the other.
    pub fn trade_turns(&mut self, other: &mut Self) {
        if self
            .queue()
            .is_some_and(|queue| other.queue() == Some(queue))
            && let (Some(own), Some(others)) = (self.turn(), other.turn())
        {
            std::mem::swap(own, others);
        }
    }

    fn turn(&mut self) -> Option<&mut Refund> {
        let mut charged = self.stored.iter_mut().chain(&mut self.local);
        charged.find(|refund| refund.is_queued())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use tollgate_clock::{ManualClock, UnixMillis};

    use crate::policy::{Descriptor, PolicySet};
    use crate::service::{CheckAnswer, CheckRequest, LimitService};
    use crate::store::{MemoryOptions, MemoryStore};

    const POLICIES: &str = "\
domain: d
descriptors:
  - key: queue
    rate_limit: {unit: second, requests_per_unit: 10, on_exceed: queue}
  - key: other
    rate_limit: {unit: second, requests_per_unit: 10, on_exceed: queue}
  - key: user
    rate_limit: {unit: second, requests_per_unit: 99}
";

    fn service() -> LimitService {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_800_000_000_000)));
        let store = Arc::new(MemoryStore::new(MemoryOptions::with_seed(1), clock));
        let policies = PolicySet::parse("limits.yaml", POLICIES).unwrap();
        LimitService::new(policies, store.clone(), store)
    }

    fn ask(service: &LimitService, by: &[(&str, &str)]) -> CheckAnswer {
        let request = CheckRequest {
            domain: "d".to_owned(),
            descriptors: by.iter().map(|one| Descriptor::of([*one])).collect(),
            hits: 1,
        };
        // The store in memory waits for nothing.
        service.check(&request).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn turns_of_one_queue_are_traded_and_nothing_else_is() {
        let service = service();
        let _ = ask(&service, &[("queue", "a"), ("queue", "b")]);
        let mut first = ask(&service, &[("queue", "a"), ("user", "u")]).receipt;
        let mut second = ask(&service, &[("queue", "a"), ("user", "v")]).receipt;
        let (before, after) = (first.clone(), second.clone());
        first.trade_turns(&mut second);
        // The queue stands first, the users stay.
        assert_eq!(
            first.stored,
            [after.stored[0].clone(), before.stored[1].clone()]
        );
        assert_eq!(
            second.stored,
            [before.stored[0].clone(), after.stored[1].clone()]
        );

        let mut elsewhere = ask(&service, &[("queue", "b")]).receipt;
        let untraded = (first.clone(), elsewhere.clone());
        first.trade_turns(&mut elsewhere);
        assert_eq!((first, elsewhere), untraded);
    }

    #[test]
    fn who_waits_in_several_queues_or_in_none_is_in_no_queue_of_one() {
        let service = service();
        let _ = ask(&service, &[("queue", "a"), ("other", "a")]);
        let both = ask(&service, &[("queue", "a"), ("other", "a")]).receipt;
        assert!(!both.is_empty());
        assert_eq!(both.queue(), None);
        assert_eq!(ask(&service, &[("user", "u")]).receipt.queue(), None);
    }
}
