//! States as integers, for stores that keep them in cells of one size or write them down.

use crate::{
    FixedWindowState, GcraState, LeakyMeterState, LeakyQueueState, LimiterState,
    SlidingCounterState, SlidingLogState, TokenBucketState,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;
    use crate::{AlgorithmKind, Limiter, Moment, Quota, SlidingLog};

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
