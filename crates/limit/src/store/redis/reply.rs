//! The answer of the script, as decisions.
//!
//! The script decides and charges; everything that is told about it is computed here, by the
//! limiters themselves, from the states as the script found them. So they decide as well, and an
//! answer of the script that they do not agree with is a failure of the store.

use std::time::Duration;

use super::order::{Entry, Order, Rate, tag};
use crate::packed::{Packed, Tag};
use crate::store::{Charge, StoreError};
use crate::{Decision, Limiter, LimiterState, Moment, Shaped, Verdict};

const MICRO: u64 = 1_000;

/// A state in the numbers of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Words {
    tag: u64,
    numbers: [u64; 3],
}

/// What the script says about one charge.
#[derive(Debug, Clone, Copy)]
struct Said {
    allowed: bool,
    used: u64,
    newest: u64,
    frees: Option<u64>,
}

struct Reply<'a> {
    rest: &'a [i64],
}

impl Reply<'_> {
    fn next(&mut self) -> Option<i64> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        u64::try_from(self.next()?).ok()
    }

    fn words(&mut self) -> Option<Words> {
        Some(Words {
            tag: self.number()?,
            numbers: [self.number()?, self.number()?, self.number()?],
        })
    }

    fn said(&mut self) -> Option<Said> {
        Some(Said {
            allowed: self.number()? == 1,
            used: self.number()?,
            newest: self.number()?,
            frees: u64::try_from(self.next()?).ok(),
        })
    }
}

/// One decision for each charge, in the order of the charges.
pub(super) fn read(
    reply: &[i64],
    order: &Order,
    charges: &[Charge],
) -> Result<Vec<Shaped>, StoreError> {
    decisions(reply, order, charges).ok_or_else(|| {
        let message = "Redis answered what the limits do not agree with";
        StoreError::Failed(message.to_owned())
    })
}

fn decisions(reply: &[i64], order: &Order, charges: &[Charge]) -> Option<Vec<Shaped>> {
    let mut reply = Reply { rest: reply };
    let now = reply.number()?;
    let passes = reply.number()? == 1;
    let found: Vec<Words> = order
        .keys
        .iter()
        .map(|_| reply.words())
        .collect::<Option<_>>()?;
    let mut states = found.clone();
    let mut answers = vec![None; charges.len()];
    for Entry { charge: at, key } in &order.entries {
        let charge = charges.get(*at)?;
        let said = reply.said()?;
        let shaped = if matches!(charge.limiter, Limiter::SlidingLog(_)) {
            *states.get_mut(*key)? = Words::new(tag(&charge.limiter));
            of_log(charge, said, now)
        } else {
            let words = states.get_mut(*key)?;
            let stepped = step(words, charge, charge.cost, now)?;
            if passes {
                stepped
            } else {
                let mut words = *found.get(*key)?;
                let peek = step(&mut words, charge, 0, now)?.decision;
                Shaped {
                    decision: Decision::new(
                        stepped.decision.verdict(),
                        stepped.decision.limit(),
                        peek.remaining(),
                        peek.reset_after(),
                    ),
                    ..stepped
                }
            }
        };
        if shaped.decision.allowed() != said.allowed {
            return None;
        }
        answers[*at] = Some(shaped);
    }
    if !reply.rest.is_empty() {
        return None;
    }
    answers.into_iter().collect()
}

/// Steps a state that is not a log.
fn step(words: &mut Words, charge: &Charge, cost: u64, now: u64) -> Option<Shaped> {
    let limiter = &charge.limiter;
    let mut state = words.state(limiter)?;
    let now = Moment::from_nanos(now.saturating_mul(MICRO));
    let shaped = limiter.shape(&mut state, now, cost);
    if shaped.decision.charges(cost) {
        *words = Words::of(state, limiter)?;
    } else if words.tag != tag(limiter) {
        *words = Words::new(tag(limiter));
    }
    Some(shaped)
}

/// The decision on a log, which stays in Redis.
fn of_log(charge: &Charge, said: Said, now: u64) -> Shaped {
    let quota = charge.limiter.quota();
    let at = Moment::from_nanos(now.saturating_mul(MICRO));
    let now = at.max(Moment::from_nanos(said.newest.saturating_mul(MICRO)));
    let left = |micros: u64| {
        let at = Moment::from_nanos(micros.saturating_mul(MICRO));
        quota.window().saturating_sub(now.since(at))
    };
    let verdict = match said.frees {
        _ if said.allowed => Verdict::Allowed,
        _ if charge.cost > quota.limit() => Verdict::Never,
        Some(at) => Verdict::RetryAfter(left(at)),
        None => Verdict::RetryAfter(Duration::ZERO),
    };
    let reset_after = match said.used {
        0 => Duration::ZERO,
        _ => left(said.newest),
    };
    let remaining = quota.limit().saturating_sub(said.used);
    Shaped {
        decision: Decision::new(verdict, quota.limit(), remaining, reset_after),
        delay: Duration::ZERO,
        at,
    }
}

impl Words {
    const fn new(tag: u64) -> Self {
        Self {
            tag,
            numbers: [0; 3],
        }
    }

    /// The state for this limiter, which is not a log.
    fn state(self, limiter: &Limiter) -> Option<LimiterState> {
        if self.tag != tag(limiter) {
            return Some(LimiterState::New);
        }
        let [a, b, c] = self.numbers;
        let (kind, words) = match limiter.bucket() {
            None if matches!(limiter, Limiter::FixedWindow(_)) => {
                (Tag::FixedWindow, [a.checked_mul(MICRO)?, b, 0])
            }
            None => (Tag::SlidingCounter, [a.checked_mul(MICRO)?, b, c]),
            Some(bucket) => {
                let rate = Rate::new(bucket.quota()).ok()?;
                let part = u128::from(b.min(rate.parts - 1)) * u128::from(rate.divisor);
                let drain = u128::from(bucket.quota().limit());
                // In parts of a nanosecond, of which the limit is a whole one.
                match limiter {
                    Limiter::TokenBucket(_) | Limiter::LeakyMeter(_) => {
                        let ahead = match a.checked_sub(c) {
                            Some(micros) => (u128::from(micros) * drain + part) * u128::from(MICRO),
                            None => 0,
                        };
                        let unit = bucket.quota().window().as_nanos();
                        let kind = match limiter {
                            Limiter::TokenBucket(_) => Tag::TokenBucket,
                            _ => Tag::LeakyMeter,
                        };
                        let words = [narrow(ahead / unit), narrow(ahead % unit)];
                        (kind, [words[0], words[1], c.checked_mul(MICRO)?])
                    }
                    _ => {
                        let parts = part * u128::from(MICRO);
                        let nanos = a.checked_mul(MICRO)?.checked_add(narrow(parts / drain))?;
                        let kind = match limiter {
                            Limiter::LeakyQueue(_) => Tag::LeakyQueue,
                            _ => Tag::Gcra,
                        };
                        (kind, [nanos, narrow(parts % drain), 0])
                    }
                }
            }
        };
        Some(LimiterState::from_words(kind, words))
    }

    /// The numbers of a state of this limiter.
    fn of(state: LimiterState, limiter: &Limiter) -> Option<Self> {
        let Packed::Words(_, [a, b, c]) = state.into_packed() else {
            return None;
        };
        let numbers = match limiter.bucket() {
            None => [a / MICRO, b, c],
            Some(bucket) => {
                let rate = Rate::new(bucket.quota()).ok()?;
                let drain = u128::from(bucket.quota().limit());
                let parts_in_micro = drain * u128::from(MICRO);
                let scale = u128::from(rate.divisor) * u128::from(MICRO);
                match limiter {
                    Limiter::TokenBucket(_) | Limiter::LeakyMeter(_) => {
                        let unit = bucket.quota().window().as_nanos();
                        let ahead = u128::from(a) * unit + u128::from(b);
                        let updated = c / MICRO;
                        let empty = updated.saturating_add(narrow(ahead / parts_in_micro));
                        [empty, narrow(ahead % parts_in_micro / scale), updated]
                    }
                    _ => {
                        let parts = u128::from(a % MICRO) * drain + u128::from(b);
                        [a / MICRO, narrow(parts / scale), 0]
                    }
                }
            }
        };
        Some(Self {
            tag: tag(limiter),
            numbers,
        })
    }
}

fn narrow(wide: u128) -> u64 {
    u64::try_from(wide).unwrap_or(u64::MAX)
}
