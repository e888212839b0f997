use std::time::Duration;

/// What to do with a request, and what to tell the client about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It passes, and its cost has been charged.
    Allowed,
    /// It does not pass now; the same request passes after this time, if nothing else does before.
    /// Nothing has been charged.
    RetryAfter(Duration),
    /// It can never pass: it costs more than the limit. Nothing has been charged.
    Never,
}

/// The answer of a limiter to one request.
///
/// Whatever the protocol, the answer is made from these five: `allowed`, `limit`, `remaining`,
/// `reset_after` and `retry_after`. They are exact to the nanosecond; a protocol that speaks in
/// seconds rounds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub struct Decision {
    verdict: Verdict,
    limit: u64,
    remaining: u64,
    reset_after: Duration,
}

impl Decision {
    /// A decision of these parts.
    pub const fn new(verdict: Verdict, limit: u64, remaining: u64, reset_after: Duration) -> Self {
        Self {
            verdict,
            limit,
            remaining,
            reset_after,
        }
    }

    /// Allowed, or refused until when.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether the request passes. A request of cost 0 always does: it only peeks.
    #[must_use]
    pub const fn allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allowed)
    }

    /// The most that can pass at once: the limit of the quota, or the capacity of the bucket.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The greatest cost that would pass at this moment, after this request.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// How long until the key is as if it had never been used, if nothing else passes before. A
    /// store may drop the key's state then.
    #[must_use]
    pub const fn reset_after(&self) -> Duration {
        self.reset_after
    }

    /// How long until this request would pass: `None` if it passed, and if it never can.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.verdict {
            Verdict::RetryAfter(after) => Some(after),
            Verdict::Allowed | Verdict::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_that_ends_tells_when() {
        let second = Duration::from_secs(1);
        let of = |verdict| Decision::new(verdict, 5, 0, second);
        assert_eq!(of(Verdict::Allowed).retry_after(), None);
        assert_eq!(of(Verdict::Never).retry_after(), None);
        assert_eq!(of(Verdict::RetryAfter(second)).retry_after(), Some(second));
        assert!(!of(Verdict::Never).allowed());
    }
}
