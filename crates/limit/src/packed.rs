//! States as integers, for stores that keep them in cells of one size or write them down.

use std::time::Duration;

use crate::{
    Algorithm, FixedWindowState, GcraState, LeakyMeterState, LeakyQueueState, Limiter,
    LimiterState, Moment, Shaped, SlidingCounterState, SlidingLogState, TokenBucketState,
};

/// Which algorithm three words belong to. The numbers are in files: they are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    Gcra = 1,
    TokenBucket = 2,
    LeakyMeter = 3,
    LeakyQueue = 4,
    FixedWindow = 5,
    SlidingCounter = 6,
    SlidingLog = 7,
}

impl Tag {
    /// The tag of this number.
    #[inline]
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Gcra,
            2 => Self::TokenBucket,
            3 => Self::LeakyMeter,
            4 => Self::LeakyQueue,
            5 => Self::FixedWindow,
            6 => Self::SlidingCounter,
            7 => Self::SlidingLog,
            _ => return None,
        })
    }
}

/// A state as a store keeps it.
#[derive(Debug)]
pub(crate) enum Packed {
    /// A key never seen.
    Nothing,
    /// Whatever fits three words.
    Words(Tag, [u64; 3]),
    /// A log, which does not.
    Log(Box<SlidingLogState>),
}

impl LimiterState {
    /// Takes the state apart.
    #[inline]
    pub(crate) fn into_packed(self) -> Packed {
        match self {
            Self::New => Packed::Nothing,
            Self::Gcra(state) => Packed::Words(Tag::Gcra, state.words()),
            Self::TokenBucket(state) => Packed::Words(Tag::TokenBucket, state.words()),
            Self::LeakyMeter(state) => Packed::Words(Tag::LeakyMeter, state.words()),
            Self::LeakyQueue(state) => Packed::Words(Tag::LeakyQueue, state.words()),
            Self::FixedWindow(state) => Packed::Words(Tag::FixedWindow, state.words()),
            Self::SlidingCounter(state) => Packed::Words(Tag::SlidingCounter, state.words()),
            Self::SlidingLog(log) => Packed::Log(log),
        }
    }

    /// The state of these words; a log is not in them.
    #[inline]
    pub(crate) fn from_words(tag: Tag, words: [u64; 3]) -> Self {
        match tag {
            Tag::Gcra => Self::Gcra(GcraState::from_words(words)),
            Tag::TokenBucket => Self::TokenBucket(TokenBucketState::from_words(words)),
            Tag::LeakyMeter => Self::LeakyMeter(LeakyMeterState::from_words(words)),
            Tag::LeakyQueue => Self::LeakyQueue(LeakyQueueState::from_words(words)),
            Tag::FixedWindow => Self::FixedWindow(FixedWindowState::from_words(words)),
            Tag::SlidingCounter => Self::SlidingCounter(SlidingCounterState::from_words(words)),
            Tag::SlidingLog => Self::New,
        }
    }
}

impl Limiter {
    /// As [`shape`](Self::shape) of a state in words, of whatever algorithm: the words after it, which are
    /// of the algorithm of this limiter. `None` for logs, which are not in words.
    ///
    /// No value of [`LimiterState`] is made on the way: it would be written and read again.
    #[inline(always)]
    pub(crate) fn shape_words(
        &self,
        tag: Tag,
        words: [u64; 3],
        now: Moment,
        cost: u64,
    ) -> Option<(Shaped, Tag, [u64; 3])> {
        macro_rules! step {
            ($limit:expr, $tag:expr, $state:ident) => {{
                let mut state = match tag == $tag {
                    true => $state::from_words(words),
                    false => $state::default(),
                };
                let decision = $limit.decide(&mut state, now, cost);
                let shaped = Shaped {
                    decision,
                    delay: Duration::ZERO,
                    at: now,
                };
                (shaped, $tag, state.words())
            }};
        }
        Some(match self {
            Self::Gcra(limit) => step!(limit, Tag::Gcra, GcraState),
            Self::TokenBucket(limit) => step!(limit, Tag::TokenBucket, TokenBucketState),
            Self::LeakyMeter(limit) => step!(limit, Tag::LeakyMeter, LeakyMeterState),
            Self::LeakyQueue(queue) => {
                let mut state = match tag {
                    Tag::LeakyQueue => LeakyQueueState::from_words(words),
                    _ => LeakyQueueState::default(),
                };
                let shaped = queue.shape(&mut state, now, cost);
                (shaped, Tag::LeakyQueue, state.words())
            }
            Self::FixedWindow(limit) => step!(limit, Tag::FixedWindow, FixedWindowState),
            Self::SlidingCounter(limit) => step!(limit, Tag::SlidingCounter, SlidingCounterState),
            Self::SlidingLog(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AlgorithmKind, Quota, SlidingLog};

    #[test]
    fn words_are_shaped_as_states_are() {
        let kinds = AlgorithmKind::ALL.into_iter();
        let quota = Quota::new(7, Duration::from_millis(1_003)).unwrap();
        let limiters: Vec<Limiter> = kinds
            .filter(|kind| *kind != AlgorithmKind::SlidingLog)
            .map(|kind| Limiter::new(kind, quota, None).unwrap())
            .collect();
        let times = [0, 1, 99_000_000, 143_285_714, 900_000_000, 5_000_000_000];
        for first in &limiters {
            for second in &limiters {
                let mut state = LimiterState::New;
                let (mut tag, mut words) = (Tag::Gcra, [0; 3]);
                // A policy that changes starts anew, in both forms.
                for (at, time) in times.into_iter().cycle().take(24).enumerate() {
                    let limiter = if at < 12 { first } else { second };
                    let now = Moment::from_nanos(time + 6_000_000_000 * (at as u64 / 6));
                    let cost = [1, 0, 2, 1, 8][at % 5];
                    let shaped = limiter.shape(&mut state, now, cost);
                    let stepped = limiter.shape_words(tag, words, now, cost).unwrap();
                    assert_eq!(stepped.0, shaped, "{limiter:?}");
                    (tag, words) = (stepped.1, stepped.2);
                    assert_eq!(LimiterState::from_words(tag, words), state);
                }
            }
        }
        let log = Limiter::new(AlgorithmKind::SlidingLog, quota, None).unwrap();
        let stepped = log.shape_words(Tag::Gcra, [0; 3], Moment::ORIGIN, 1);
        assert!(stepped.is_none());
    }

    #[test]
    fn every_state_survives_being_packed() {
        for kind in AlgorithmKind::ALL {
            let limiter = Limiter::new(kind, Quota::per_second(7).unwrap(), None).unwrap();
            let mut state = LimiterState::default();
            for at in [1_000_000_000, 1_900_000_000, 2_000_000_001] {
                let _ = limiter.shape(&mut state, Moment::from_nanos(at), 2);
            }
            let again = match state.clone().into_packed() {
                Packed::Nothing => LimiterState::New,
                Packed::Words(tag, words) => {
                    assert_eq!(Tag::from_number(tag as u8), Some(tag));
                    LimiterState::from_words(tag, words)
                }
                Packed::Log(log) => {
                    let again = SlidingLogState::from_entries(log.iter()).unwrap();
                    LimiterState::SlidingLog(Box::new(again))
                }
            };
            assert_eq!(again, state, "{kind:?}");
        }
    }

    #[test]
    fn a_coarser_log_admits_no_more_and_forgets_no_sooner() {
        let limit = SlidingLog::new(Quota::per_second(9).unwrap());
        for admissions in 1..9 {
            let mut exact = SlidingLogState::default();
            for at in 0..admissions {
                assert!(
                    limit
                        .decide(&mut exact, Moment::from_nanos(at), 1)
                        .allowed()
                );
            }
            let mut coarse = exact.clone();
            coarse.coarsen();
            let halved = usize::try_from(admissions).unwrap().div_ceil(2);
            assert_eq!(coarse.entries(), halved);
            for at in 0..2_000_000_000_u64.div_ceil(100_000_000) {
                let now = Moment::from_nanos(at * 100_000_000 + 3);
                let exact = limit.decide(&mut exact.clone(), now, 0);
                let coarse = limit.decide(&mut coarse.clone(), now, 0);
                assert!(coarse.remaining() <= exact.remaining());
                assert_eq!(coarse.reset_after(), exact.reset_after());
            }
        }
    }

    #[test]
    fn a_log_out_of_order_or_too_large_is_none() {
        assert!(SlidingLogState::from_entries([[2, 1], [1, 1]]).is_none());
        assert!(SlidingLogState::from_entries([[1, u64::MAX], [2, 1]]).is_none());
    }
}
