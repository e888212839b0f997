//! What is remembered about one name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::dice::Dice;
use super::{Lookup, Tier};
use crate::Link;

/// A link, or its absence, and how long that is believed. Times are nanoseconds on the monotonic
/// clock.
pub(super) struct Entry {
    link: Option<Arc<Link>>,
    generation: u64,
    fresh_until: u64,
    stale_until: u64,
    /// How long the read took.
    took: u64,
    /// Whether somebody refreshes it already.
    claimed: AtomicBool,
    /// The last read failed, and until this moment no other is tried.
    held_until: AtomicU64,
}

/// What an entry is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It is believed.
    Fresh,
    /// The store has just failed: it is served without asking again.
    HeldStale,
    /// It is served if the store fails.
    Stale,
    /// It is not served any more.
    Over,
}

impl Entry {
    pub(super) fn new(
        link: Option<Arc<Link>>,
        generation: u64,
        fresh_until: u64,
        stale_until: u64,
        took: u64,
    ) -> Self {
        Self {
            link,
            generation,
            fresh_until,
            stale_until,
            took,
            claimed: AtomicBool::new(false),
            held_until: AtomicU64::new(0),
        }
    }

    pub(super) fn link(&self) -> Option<&Link> {
        self.link.as_deref()
    }

    pub(super) fn lookup(&self, tier: Tier) -> Lookup {
        Lookup {
            link: self.link.clone(),
            tier,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn freshness(&self, now: u64) -> Freshness {
        if now < self.fresh_until {
            Freshness::Fresh
        } else if now >= self.stale_until {
            Freshness::Over
        } else if now < self.held_until.load(Ordering::Relaxed) {
            Freshness::HeldStale
        } else {
            Freshness::Stale
        }
    }

    /// Whether this hit is the one to refresh a fresh entry: XFetch draws how far ahead of time the
    /// entry seems to end, in multiples of how long its read takes. True for one caller only,
    /// until that refresh fails.
    pub(super) fn wants_refresh(&self, now: u64, beta: f64, dice: &Dice) -> bool {
        /// Minus the logarithm of the smallest number the dice show: no draw reaches further, and
        /// almost every hit is spared the draw.
        const FURTHEST: f64 = 36.8;
        let reach = self.took as f64 * beta;
        let left = self.fresh_until.saturating_sub(now) as f64;
        left <= reach * FURTHEST
            && now >= self.held_until.load(Ordering::Relaxed)
            && left <= reach * -dice.unit().ln()
            && !self.claimed.swap(true, Ordering::Relaxed)
    }

    /// The store failed: asks it again from `until` on, not before.
    pub(super) fn hold(&self, until: u64) {
        self.held_until.store(until, Ordering::Relaxed);
        self.claimed.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: u64 = 1_000;
    const END: u64 = 1_000_000;

    fn entry() -> Entry {
        Entry::new(None, 0, END, END, TOOK)
    }

    /// The share of hits at `now` that refresh.
    fn share(now: u64, beta: f64) -> f64 {
        const DRAWS: u32 = 20_000;
        let dice = Dice::new(42);
        let refreshing = (0..DRAWS)
            .filter(|_| entry().wants_refresh(now, beta, &dice))
            .count();
        refreshing as f64 / f64::from(DRAWS)
    }

    #[test]
    fn the_chance_of_an_early_refresh_is_that_of_the_paper() {
        // P(took * beta * -ln(u) >= left) = exp(-left / (took * beta)).
        for (left, beta) in [
            (0, 1.0),
            (500, 1.0),
            (1_000, 1.0),
            (3_000, 1.0),
            (2_000, 2.0),
        ] {
            let wanted = (-(left as f64) / (TOOK as f64 * beta)).exp();
            let found = share(END - left, beta);
            assert!(
                (found - wanted).abs() < 0.015,
                "{left} {beta}: {found} {wanted}"
            );
        }
        assert!(share(END - 40 * TOOK, 1.0) == 0.0);
        assert!(share(END - 1, 0.0) == 0.0, "0 is never early");
    }

    #[test]
    fn one_hit_refreshes_until_that_fails() {
        let dice = Dice::new(1);
        let entry = entry();
        let refreshes = || {
            (0..1_000)
                .filter(|_| entry.wants_refresh(END - 10, 1.0, &dice))
                .count()
        };
        assert_eq!(refreshes(), 1);
        entry.hold(END - 11);
        assert_eq!(refreshes(), 1);
        entry.hold(END - 9);
        assert_eq!(refreshes(), 0);
    }

    #[test]
    fn freshness_ends_before_staleness() {
        let entry = Entry::new(None, 0, 10, 20, 1);
        assert_eq!(entry.freshness(9), Freshness::Fresh);
        assert_eq!(entry.freshness(10), Freshness::Stale);
        entry.hold(15);
        assert_eq!(entry.freshness(9), Freshness::Fresh);
        assert_eq!(entry.freshness(14), Freshness::HeldStale);
        assert_eq!(entry.freshness(15), Freshness::Stale);
        entry.hold(99);
        assert_eq!(entry.freshness(20), Freshness::Over);
    }
}
