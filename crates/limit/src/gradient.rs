use std::time::Duration;

use crate::moment::nanos;
use crate::{AdaptiveError, LimitLaw, LimitRange, Permille, Sample};

/// Fractional bits of the limit and of round-trip times.
const FRACTION: u32 = 16;
const ONE: u128 = 1 << FRACTION;
/// Longer round trips count as this long, so that one in nanoseconds and its fraction fit 64 bits.
const MAX_RTT: Duration = Duration::from_secs(3_600);
/// The first so many samples make up the long-term round-trip time by their plain mean.
const WARM_UP: u32 = 10;

/// Gradient: the limit follows the ratio of the long-term to the present round-trip time.
///
/// - **Formula**, for each sample: `long` is the exponential mean of the round-trip times with
///   factor `2 / (long_window + 1)`, and is cut by a tenth while it is above twice the sample.
///   `gradient = clamp(tolerance × long / rtt, 0.5, 1)`;
///   `limit = (1 - smoothing) × limit + smoothing × (gradient × limit + queue)`, kept within
///   `min` and `max`. With less than half the limit in flight the limit stays.
/// - **Bound**: `min <= limit <= max`; one sample lowers it by at most `smoothing / 2` of itself
///   and raises it by at most `smoothing × queue`.
/// - **Memory per key**: 24 bytes beside the leases. Fixed point with 16 fractional bits: a step
///   is off by less than 2^-15 of a unit from the real-valued law.
/// - **Source**: `Gradient2Limit` of Netflix `concurrency-limits`, with its defaults: smoothing
///   0.2, queue 4, tolerance 1.5, long window 600 samples. A drop has no part in this law but by
///   the time it took.
///
/// A service with very uneven operations should be observed by the mean over a short time rather
/// than by each operation, as the source does with its `WindowedLimit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gradient {
    range: LimitRange,
    smoothing: Permille,
    /// In permille: 1000 to 10,000.
    tolerance: u16,
    queue: u32,
    long_window: u32,
}

/// What [`Gradient`] remembers: the limit and the long-term round-trip time, in fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradientState {
    limit: u64,
    long_rtt: u64,
    samples: u32,
}

impl Gradient {
    /// The gradient law within `range`, with the defaults of its source.
    #[must_use]
    pub const fn new(range: LimitRange) -> Self {
        Self {
            range,
            smoothing: Permille(200),
            tolerance: 1_500,
            queue: 4,
            long_window: 600,
        }
    }

    /// Moves this share of the way to the new estimate with each sample.
    #[must_use]
    pub const fn with_smoothing(self, smoothing: Permille) -> Self {
        Self { smoothing, ..self }
    }

    /// Takes a round-trip time up to `permille` thousandths of the long-term one for normal.
    ///
    /// # Errors
    /// [`AdaptiveError::Tolerance`] outside 1000 to 10,000.
    pub fn with_tolerance(self, permille: u16) -> Result<Self, AdaptiveError> {
        if !(1_000..=10_000).contains(&permille) {
            return Err(AdaptiveError::Tolerance(permille));
        }
        Ok(Self {
            tolerance: permille,
            ..self
        })
    }

    /// Lets so many units wait in queues of the service: by them the limit grows while the
    /// round-trip time is normal.
    #[must_use]
    pub const fn with_queue(self, queue: u32) -> Self {
        Self { queue, ..self }
    }

    /// Forms the long-term round-trip time over about so many samples.
    ///
    /// # Errors
    /// [`AdaptiveError::LongWindow`] outside 1 to 1,000,000.
    pub fn with_long_window(self, samples: u32) -> Result<Self, AdaptiveError> {
        if !(1..=1_000_000).contains(&samples) {
            return Err(AdaptiveError::LongWindow(samples));
        }
        Ok(Self {
            long_window: samples,
            ..self
        })
    }

    /// The long-term round-trip time after one more sample; both below 2^58.
    fn long_term(&self, state: &GradientState, rtt: u128) -> u128 {
        let long = u128::from(state.long_rtt);
        let long = if state.samples < WARM_UP {
            let seen = u128::from(state.samples);
            (long * seen + rtt) / (seen + 1)
        } else {
            let window = u128::from(self.long_window);
            (long * (window - 1) + rtt * 2) / (window + 1)
        };
        // Back from a long overload, the mean alone would take too long to come down.
        if long > 2 * rtt { long * 9 / 10 } else { long }
    }

    /// The next limit, in fixed point, below 2^66 before it is kept within its range.
    fn next(&self, limit: u128, long: u128, rtt: u128) -> u128 {
        let gradient =
            (u128::from(self.tolerance) * long * ONE / (1_000 * rtt)).clamp(ONE / 2, ONE);
        let target = limit * gradient / ONE + u128::from(self.queue) * ONE;
        let smoothing = u128::from(self.smoothing.get());
        (limit * (1_000 - smoothing) + target * smoothing) / 1_000
    }

    fn within_range(&self, limit: u128) -> u64 {
        let (min, max) = (self.range.min() << FRACTION, self.range.max() << FRACTION);
        u64::try_from(limit).unwrap_or(max).clamp(min, max)
    }
}

impl LimitLaw for Gradient {
    type State = GradientState;

    fn initial(&self) -> GradientState {
        GradientState {
            limit: self.range.initial() << FRACTION,
            long_rtt: 0,
            samples: 0,
        }
    }

    fn limit(&self, state: &GradientState) -> u64 {
        self.within_range(u128::from(state.limit)) >> FRACTION
    }

    fn observe(&self, state: &mut GradientState, sample: Sample) {
        // At least a nanosecond, so that the ratio exists.
        let rtt = u128::from(nanos(sample.rtt.min(MAX_RTT)).max(1)) * ONE;
        let long = self.long_term(state, rtt);
        state.long_rtt = u64::try_from(long).unwrap_or(u64::MAX);
        state.samples = state.samples.saturating_add(1);
        let limit = u128::from(state.limit);
        if u128::from(sample.in_flight) * 2 * ONE >= limit {
            state.limit = self.within_range(self.next(limit, long, rtt));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn law() -> Gradient {
        Gradient::new(LimitRange::new(20, 20, 200).unwrap())
    }

    fn observe(law: &Gradient, state: &mut GradientState, rtt_ms: u64, times: usize) -> u64 {
        for _ in 0..times {
            let sample = Sample {
                rtt: Duration::from_millis(rtt_ms),
                in_flight: 1_000,
                dropped: false,
            };
            law.observe(state, sample);
        }
        law.limit(state)
    }

    #[test]
    fn a_steady_service_grows_to_the_most_and_a_slow_one_shrinks_to_the_least() {
        let law = law();
        let mut state = law.initial();
        assert_eq!(observe(&law, &mut state, 10, 300), 200);
        assert!(observe(&law, &mut state, 100, 30) < 60);
        // The long-term time follows, so what was slow becomes normal.
        assert_eq!(observe(&law, &mut state, 100, 2_000), 200);
        // And normal again afterwards, without a dip.
        assert_eq!(observe(&law, &mut state, 10, 1), 200);
    }

    #[test]
    fn an_idle_service_keeps_its_limit() {
        let law = law();
        let mut state = law.initial();
        for _ in 0..100 {
            let sample = Sample {
                rtt: Duration::from_millis(10),
                in_flight: 9,
                dropped: false,
            };
            law.observe(&mut state, sample);
        }
        assert_eq!(law.limit(&state), 20);
    }

    #[test]
    fn its_state_takes_24_bytes() {
        assert_eq!(size_of::<GradientState>(), 24);
    }

    #[test]
    fn the_settings_are_checked() {
        assert_eq!(
            law().with_tolerance(999),
            Err(AdaptiveError::Tolerance(999))
        );
        assert_eq!(law().with_long_window(0), Err(AdaptiveError::LongWindow(0)));
    }

    /// The law of the source in floating point.
    struct Real {
        limit: f64,
        long: f64,
        sum: f64,
        samples: u32,
    }

    impl Real {
        fn observe(&mut self, rtt: f64, in_flight: f64) {
            if self.samples < 10 {
                self.samples += 1;
                self.sum += rtt;
                self.long = self.sum / f64::from(self.samples);
            } else {
                self.long += (rtt - self.long) * 2.0 / 601.0;
            }
            let long = self.long;
            if long / rtt > 2.0 {
                self.long *= 0.9;
                // The plain mean goes on from the cut value, as an exponential one would.
                self.sum = self.long * f64::from(self.samples);
            }
            if in_flight < self.limit / 2.0 {
                return;
            }
            let gradient = (1.5 * long / rtt).clamp(0.5, 1.0);
            let target = self.limit * gradient + 4.0;
            self.limit = (self.limit * 0.8 + target * 0.2).clamp(20.0, 200.0);
        }
    }

    proptest! {
        #[test]
        fn fixed_point_follows_the_real_valued_law(
            trace in prop::collection::vec((1_u32..2_000_000_000, 0_u32..300), 1..400)
        ) {
            let law = law();
            let mut state = law.initial();
            let mut real = Real { limit: 20.0, long: 0.0, sum: 0.0, samples: 0 };
            for (rtt, in_flight) in trace {
                // Where the real limit is as good as twice the load, either branch is right.
                prop_assume!((real.limit / 2.0 - f64::from(in_flight)).abs() > 0.01);
                real.observe(f64::from(rtt), f64::from(in_flight));
                law.observe(&mut state, Sample {
                    rtt: Duration::from_nanos(u64::from(rtt)),
                    in_flight: u64::from(in_flight),
                    dropped: false,
                });
                let fixed = state.limit as f64 / 65_536.0;
                prop_assert!((fixed - real.limit).abs() < 0.01, "{fixed} {}", real.limit);
            }
        }

        #[test]
        fn no_sample_overflows_or_leaves_the_range(
            max in 1_u64..=1 << 32, queue: u32, smoothing in 0_u16..=1000,
            trace in prop::collection::vec((0_u64..=u64::MAX, 0_u64..=u64::MAX), 1..50)
        ) {
            let law = Gradient::new(LimitRange::new(1, max, max).unwrap())
                .with_queue(queue)
                .with_smoothing(Permille::new(smoothing).unwrap());
            let mut state = law.initial();
            for (rtt, in_flight) in trace {
                let rtt = Duration::from_nanos(rtt);
                law.observe(&mut state, Sample { rtt, in_flight, dropped: false });
                prop_assert!((1..=max).contains(&law.limit(&state)));
            }
        }
    }
}
