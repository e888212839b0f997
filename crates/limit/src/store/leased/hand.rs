//! One request, and the tokens that it took to be decided on.

use std::time::Duration;

use super::Leased;
use super::purse::{Lease, Purse};
use super::stats::Counters;
use crate::store::{Charge, LimitStore, StoreError};
use crate::{Decision, Moment, Shaped, Verdict};

/// How much of a charge is at hand.
#[derive(Debug)]
enum Part {
    /// It is not leased, or nothing is known of its key: the store decides.
    Nothing,
    /// It only asks how things are, and that is known.
    Peek,
    /// Tokens; the store decides about those that are missing.
    Tokens { taken: Vec<Lease>, missing: u64 },
    /// The store would refuse what is missing, for so long.
    Refused { missing: u64, after: Duration },
}

impl Part {
    fn take(purse: &mut Purse, now: Duration, cost: u64) -> Self {
        if cost == 0 {
            return match purse.held() {
                0 => Self::Nothing,
                _ => Self::Peek,
            };
        }
        let taken = purse.take(cost);
        let missing = cost - taken.iter().map(Lease::left).sum::<u64>();
        if missing > 0
            && let Some(after) = purse.refuses(now, missing)
        {
            purse.put_back(taken);
            return Self::Refused { missing, after };
        }
        Self::Tokens { taken, missing }
    }

    /// What the store is asked about, of such a cost.
    const fn asked(&self, cost: u64) -> Option<u64> {
        match self {
            Self::Nothing => Some(cost),
            Self::Tokens { missing: 0, .. } | Self::Peek => None,
            Self::Tokens { missing, .. } | Self::Refused { missing, .. } => Some(*missing),
        }
    }
}

/// Tokens are taken tentatively: if the request is refused, or goes away, they are put back.
pub(super) struct Hand<'a, S: LimitStore> {
    leased: &'a Leased<S>,
    charges: &'a [Charge],
    parts: Vec<Part>,
    now: Duration,
}

impl<'a, S: LimitStore> Hand<'a, S> {
    pub(super) fn take(leased: &'a Leased<S>, charges: &'a [Charge]) -> Self {
        let mut hand = Self {
            leased,
            charges,
            parts: charges.iter().map(|_| Part::Nothing).collect(),
            now: leased.clock.monotonic(),
        };
        // Those that bind first: the others get the tokens that these leave.
        for binds in [true, false] {
            for (at, charge) in charges.iter().enumerate() {
                if charge.binds == binds && is_leased(charge) {
                    let now = hand.now;
                    let part = hand.with(charge, |purse| Part::take(purse, now, charge.cost));
                    hand.parts[at] = part.unwrap_or(Part::Nothing);
                }
            }
        }
        hand
    }

    /// The answers, if the store need not be asked.
    pub(super) fn decide_alone(&mut self) -> Option<Vec<Shaped>> {
        let alone = |part: &Part| match part {
            Part::Nothing | Part::Tokens { missing: 1.., .. } => false,
            Part::Peek | Part::Tokens { .. } | Part::Refused { .. } => true,
        };
        self.parts.iter().all(alone).then(|| {
            let mut all = self.charges.iter().zip(&self.parts);
            let passes =
                !all.any(|(charge, part)| charge.binds && matches!(part, Part::Refused { .. }));
            self.finish(passes, &vec![None; self.charges.len()])
        })
    }

    /// What the store has to be asked.
    pub(super) fn asks(&self) -> Vec<Charge> {
        let both = self.charges.iter().zip(&self.parts);
        let asks = both.filter_map(|(charge, part)| {
            Some(Charge {
                cost: part.asked(charge.cost)?,
                leased: false,
                ..charge.clone()
            })
        });
        asks.collect()
    }

    /// The answers, with those of the store to what it was asked at `sent`.
    pub(super) fn decide_with(
        &mut self,
        sent: Duration,
        answers: Vec<Shaped>,
    ) -> Result<Vec<Shaped>, StoreError> {
        let mut passes = true;
        let mut said: Vec<Option<Shaped>> = Vec::with_capacity(self.charges.len());
        let mut answers = answers.into_iter();
        for (charge, part) in self.charges.iter().zip(&self.parts) {
            let Some(units) = part.asked(charge.cost) else {
                said.push(None);
                continue;
            };
            let Some(answer) = answers.next() else {
                let message = "a charge was not answered".to_owned();
                return Err(StoreError::Failed(message));
            };
            passes &= !charge.binds || answer.decision.allowed();
            if is_leased(charge) {
                self.with(charge, |purse| purse.said(sent, units, &answer));
            }
            said.push(Some(answer));
        }
        Ok(self.finish(passes, &said))
    }

    /// Uses the tokens if the request passes, and puts them back otherwise.
    fn finish(&mut self, passes: bool, said: &[Option<Shaped>]) -> Vec<Shaped> {
        let mut since = vec![Moment::LAST; self.parts.len()];
        for at in 0..self.parts.len() {
            let (charge, answer) = (&self.charges[at], said[at].as_ref());
            let refused = answer.is_some_and(|answer| !answer.decision.allowed())
                || matches!(self.parts[at], Part::Refused { .. });
            if !passes || refused || !is_leased(charge) || charge.cost == 0 {
                self.put_back(at);
                continue;
            }
            if let Part::Tokens { taken, .. } = &mut self.parts[at] {
                // The earliest of them: if they are given back, less is.
                let oldest = taken.iter().map(Lease::since).min();
                since[at] = oldest.unwrap_or(Moment::LAST);
                let used = taken.drain(..).map(|lease| lease.left()).sum();
                Counters::add(&self.leased.counters.used, used);
            }
            let (now, options) = (self.now, self.leased.options);
            let wants = self.with(charge, |purse| {
                purse.used(now, charge.cost, &options);
                purse.wants(now, charge.cost, &options)
            });
            if wants == Some(true) {
                self.leased.want(&charge.key);
            }
        }
        let all = self.charges.iter().zip(&self.parts).zip(said).zip(since);
        all.map(|(((charge, part), said), since)| self.answer(charge, part, *said, since))
            .collect()
    }

    /// `since` is the moment of the oldest token that was used, or the last of all moments.
    fn answer(&self, charge: &Charge, part: &Part, said: Option<Shaped>, since: Moment) -> Shaped {
        let most = charge.limiter.most();
        if let Some(said) = said {
            if !is_leased(charge) {
                return said;
            }
            let held = self.with(charge, |purse| purse.held()).unwrap_or(0);
            let decision = said.decision;
            let left = decision.remaining().saturating_add(held).min(most);
            return Shaped {
                decision: Decision::new(decision.verdict(), most, left, decision.reset_after()),
                at: said.at.min(since),
                ..said
            };
        }
        let verdict = match part {
            Part::Refused { after, .. } => Verdict::RetryAfter(*after),
            _ => Verdict::Allowed,
        };
        let known = self.with(charge, |purse| {
            (purse.decision(self.now, verdict), purse.heard())
        });
        // There is a purse: it was there before. Without, nothing is known to be left.
        let (decision, heard) = known.unwrap_or_else(|| {
            let decision = Decision::new(verdict, most, 0, Duration::ZERO);
            (decision, Moment::ORIGIN)
        });
        Shaped {
            decision,
            delay: Duration::ZERO,
            at: heard.min(since),
        }
    }

    fn put_back(&mut self, at: usize) {
        if let Part::Tokens { taken, .. } = &mut self.parts[at]
            && !taken.is_empty()
        {
            let taken = std::mem::take(taken);
            self.leased.put_back(&self.charges[at], self.now, taken);
        }
    }

    fn with<T>(&self, charge: &Charge, work: impl FnOnce(&mut Purse) -> T) -> Option<T> {
        self.leased
            .with(&charge.key, &charge.limiter, self.now, work)
    }
}

/// Nobody waits for the answer any more, or there is none.
impl<S: LimitStore> Drop for Hand<'_, S> {
    fn drop(&mut self) {
        for at in 0..self.parts.len() {
            self.put_back(at);
        }
    }
}

/// What costs more than the limit is refused by the store, whatever is at hand.
const fn is_leased(charge: &Charge) -> bool {
    charge.leased && charge.cost <= charge.limiter.most()
}
