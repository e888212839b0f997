//! How long what is remembered is believed. Times are nanoseconds on the monotonic clock.

use super::dice::Dice;
use super::table::Times;

/// What something remembered is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It is believed.
    Fresh,
    /// It is served if the store fails, or has just failed.
    Stale,
    /// It is not served any more.
    Over,
}

impl Times {
    /// `stale_for` is how long it may be served after that if the store fails.
    pub(super) fn freshness(self, now: u64, stale_for: u64) -> Freshness {
        if now < self.fresh_until {
            Freshness::Fresh
        } else if now < self.fresh_until.saturating_add(stale_for) {
            Freshness::Stale
        } else {
            Freshness::Over
        }
    }

    /// Whether this hit is the one to refresh something fresh: XFetch draws how far ahead of time it
    /// seems to end, in multiples of how long its read takes.
    pub(super) fn want_refresh(self, now: u64, beta: f64, dice: &Dice) -> bool {
        /// Minus the logarithm of the smallest number the dice show: no draw reaches further, and
        /// almost every hit is spared the draw.
        const FURTHEST: f64 = 36.8;
        let reach = self.took as f64 * beta;
        let left = self.fresh_until.saturating_sub(now) as f64;
        left <= reach * FURTHEST && left <= reach * -dice.unit().ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: u64 = 1_000;
    const END: u64 = 1_000_000;
    const TIMES: Times = Times {
        fresh_until: END,
        took: TOOK,
    };

    /// The share of hits at `now` that refresh.
    fn share(now: u64, beta: f64) -> f64 {
        const DRAWS: u32 = 20_000;
        let dice = Dice::new(42);
        let refreshing = (0..DRAWS)
            .filter(|_| TIMES.want_refresh(now, beta, &dice))
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
    fn freshness_ends_before_staleness() {
        assert_eq!(TIMES.freshness(END - 1, 10), Freshness::Fresh);
        assert_eq!(TIMES.freshness(END, 10), Freshness::Stale);
        assert_eq!(TIMES.freshness(END + 9, 10), Freshness::Stale);
        assert_eq!(TIMES.freshness(END + 10, 10), Freshness::Over);
        assert_eq!(TIMES.freshness(END, 0), Freshness::Over);
    }
}
