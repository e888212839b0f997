//! What an instance holds of one key, and what it knows of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::LeaseOptions;
use crate::store::Refund;
use crate::{Decision, Limiter, Moment, Shaped, Verdict};

/// A lease that serves fewer requests than this is not worth its round trip.
const LEAST_REQUESTS: u64 = 4;
/// A lease takes at most this part of what is left of the limit, so that the last tokens are taken
/// one by one.
const PART_OF_REST: u64 = 8;

/// Tokens charged in the store, and not used yet.
#[derive(Debug)]
pub(super) struct Lease {
    /// How many. Some may be of another lease that was charged at the same moment.
    left: u64,
    charged: Refund,
    /// From when on they cannot be used, by the clock of the instance.
    ends: Duration,
    /// The window in which they were charged is over then: nothing of them can be given back.
    dies: bool,
}

impl Lease {
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    pub(super) const fn since(&self) -> Moment {
        self.charged.since
    }

    /// What is left of it, if it can be given back.
    pub(super) fn into_refund(self, now: Duration) -> Option<Refund> {
        let lost = self.left == 0 || (self.dies && now >= self.ends);
        (!lost).then_some(Refund {
            units: self.left,
            ..self.charged
        })
    }
}

/// How many units were asked for in the slot of time that runs, and in the one before it.
#[derive(Debug, Default)]
struct Demand {
    began: Duration,
    units: u64,
    before: u64,
}

impl Demand {
    fn turn(&mut self, now: Duration, slot: Duration) {
        let age = now.saturating_sub(self.began);
        if age >= slot {
            let missed = age >= slot.saturating_mul(2);
            self.before = if missed { 0 } else { self.units };
            self.units = 0;
            self.began = now;
        }
    }

    const fn per_slot(&self) -> u64 {
        if self.units > self.before {
            self.units
        } else {
            self.before
        }
    }
}

/// What the store last said, by the clock of the instance.
#[derive(Debug)]
struct Known {
    remaining: u64,
    at_rest: Duration,
    /// When the window ends in which that was said, if there is one.
    window_ends: Option<Duration>,
    at: Moment,
}

/// So many units are refused until then, whoever asks.
#[derive(Debug)]
struct Refused {
    units: u64,
    until: Duration,
}

#[derive(Debug)]
pub(super) struct Purse {
    limiter: Limiter,
    /// The oldest first.
    leases: VecDeque<Lease>,
    demand: Demand,
    known: Option<Known>,
    refused: Option<Refused>,
    /// A lease is on its way.
    asking: bool,
    /// No lease is asked for before, because the store failed.
    pause: Duration,
    /// When it was last asked for.
    touched: Duration,
}

impl Purse {
    pub(super) fn new(limiter: Limiter) -> Self {
        Self {
            limiter,
            leases: VecDeque::new(),
            demand: Demand::default(),
            known: None,
            refused: None,
            asking: false,
            pause: Duration::ZERO,
            touched: Duration::ZERO,
        }
    }

    /// Somebody asks.
    pub(super) fn touch(&mut self, now: Duration) {
        self.touched = now;
    }

    pub(super) const fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    pub(super) fn held(&self) -> u64 {
        self.leases.iter().map(Lease::left).sum()
    }

    /// Takes out the leases that have ended.
    pub(super) fn ended(&mut self, now: Duration) -> Vec<Lease> {
        // Each request asks, and hardly ever has one ended.
        if self.leases.iter().all(|lease| now < lease.ends) {
            return Vec::new();
        }
        let (ended, live) = std::mem::take(&mut self.leases)
            .into_iter()
            .partition(|lease| now >= lease.ends);
        self.leases = live;
        Vec::from_iter::<VecDeque<Lease>>(ended)
    }

    /// Takes out all leases.
    pub(super) fn emptied(&mut self) -> Vec<Lease> {
        Vec::from(std::mem::take(&mut self.leases))
    }

    /// Takes out so many tokens, or as many as there are. None of the leases has ended.
    pub(super) fn take(&mut self, units: u64) -> Vec<Lease> {
        let mut taken = Vec::new();
        let mut missing = units;
        while missing > 0
            && let Some(lease) = self.leases.front_mut()
        {
            let some = missing.min(lease.left);
            missing -= some;
            lease.left -= some;
            taken.push(Lease {
                left: some,
                charged: lease.charged.clone(),
                ends: lease.ends,
                dies: lease.dies,
            });
            if lease.left == 0 {
                self.leases.pop_front();
            }
        }
        taken
    }

    /// Puts tokens back that were taken out and not used.
    pub(super) fn put_back(&mut self, taken: impl IntoIterator<Item = Lease>) {
        for lease in taken {
            let same =
                |other: &&mut Lease| other.since() == lease.since() && other.ends == lease.ends;
            match self.leases.iter_mut().find(same) {
                Some(other) => other.left += lease.left,
                None => {
                    let at = self
                        .leases
                        .partition_point(|other| other.ends <= lease.ends);
                    self.leases.insert(at, lease);
                }
            }
        }
    }

    /// So many units have passed.
    pub(super) fn used(&mut self, now: Duration, units: u64, options: &LeaseOptions) {
        self.demand.turn(now, options.aim);
        self.demand.units = self.demand.units.saturating_add(units);
    }

    /// Whether nothing was used for some time.
    pub(super) fn is_idle(&self, now: Duration, options: &LeaseOptions) -> bool {
        now >= self
            .demand
            .began
            .saturating_add(options.aim.saturating_mul(2))
    }

    /// Whether it can be forgotten: it holds nothing, and nobody asked for some time.
    pub(super) fn is_worthless(&self, now: Duration, options: &LeaseOptions) -> bool {
        let since = now.saturating_sub(self.touched);
        self.leases.is_empty() && !self.asking && since >= options.aim.saturating_mul(2)
    }

    /// Notes what the store answered to a question sent at `sent`, about so many units.
    pub(super) fn said(&mut self, sent: Duration, units: u64, shaped: &Shaped) {
        let decision = &shaped.decision;
        self.known = Some(Known {
            remaining: decision.remaining(),
            at_rest: sent.saturating_add(decision.reset_after()),
            window_ends: self
                .window_left(decision)
                .map(|left| sent.saturating_add(left)),
            at: shaped.at,
        });
        let refused = decision.retry_after().map(|after| Refused {
            units,
            until: sent.saturating_add(after),
        });
        if refused.is_some() || self.refused.as_ref().is_some_and(|it| units >= it.units) {
            self.refused = refused;
        }
    }

    /// The store did not answer.
    pub(super) fn failed(&mut self, until: Duration) {
        self.asking = false;
        self.pause = until;
    }

    /// How long the window still lasts in which something was charged.
    fn window_left(&self, decision: &Decision) -> Option<Duration> {
        match &self.limiter {
            Limiter::FixedWindow(_) => Some(decision.reset_after()),
            // A window is remembered until the end of the next one.
            Limiter::SlidingCounter(limit) => Some(
                decision
                    .reset_after()
                    .saturating_sub(limit.quota().window()),
            ),
            _ => None,
        }
    }

    /// How many tokens to ask for now, if any: as many as are used in the time that a lease is to
    /// last, if only half of that is left here; but no more than its share of the limit, and a part
    /// of what is left of it.
    fn size(&self, now: Duration, cost: u64, options: &LeaseOptions) -> Option<u64> {
        let (known, held) = (self.known.as_ref()?, self.held());
        let demand = self.demand.per_slot();
        if now < self.pause || held.saturating_mul(2) > demand {
            return None;
        }
        let in_time = match known.window_ends {
            None => demand,
            Some(ends) => {
                let left = ends.saturating_sub(now).min(options.aim).as_nanos();
                let units = u128::from(demand) * left / options.aim.as_nanos().max(1);
                u64::try_from(units).unwrap_or(demand)
            }
        };
        let most = (self.limiter.most() / options.share.max(1)).saturating_sub(held);
        let size = in_time.min(most).min(known.remaining / PART_OF_REST);
        (size >= cost.max(1).saturating_mul(LEAST_REQUESTS)).then_some(size)
    }

    /// Whether a lease is to be asked for, now that a request of this cost was decided. It is on its
    /// way then.
    pub(super) fn wants(&mut self, now: Duration, cost: u64, options: &LeaseOptions) -> bool {
        if self.asking || self.size(now, cost, options).is_none() {
            return false;
        }
        self.asking = true;
        true
    }

    /// How many tokens to ask for; `None` if it has become none, and then none are on their way.
    pub(super) fn asks(&mut self, now: Duration, options: &LeaseOptions) -> Option<u64> {
        let size = self.size(now, 1, options);
        self.asking = size.is_some();
        size
    }

    /// What the store said about a lease that was asked for at `sent`. Answers how many tokens came.
    pub(super) fn leased(
        &mut self,
        sent: Duration,
        charged: Option<Refund>,
        shaped: &Shaped,
        options: &LeaseOptions,
    ) -> u64 {
        self.asking = false;
        let units = charged.as_ref().map_or(0, Refund::units);
        self.said(sent, units, shaped);
        if let Some(charged) = charged {
            let left = self.window_left(&shaped.decision);
            let dies = left.is_some_and(|left| left <= options.life);
            let lasts = left.map_or(options.life, |left| left.min(options.life));
            self.leases.push_back(Lease {
                left: units,
                charged,
                ends: sent.saturating_add(lasts),
                dies,
            });
        }
        units
    }

    /// How long so many units are refused, as far as is known here.
    pub(super) fn refuses(&self, now: Duration, units: u64) -> Option<Duration> {
        let refused = self.refused.as_ref()?;
        (refused.until > now && units >= refused.units).then(|| refused.until - now)
    }

    /// The decision, as far as is known here.
    pub(super) fn decision(&self, now: Duration, verdict: Verdict) -> Decision {
        let known = self.known.as_ref();
        let most = self.limiter.most();
        let remaining = known.map_or(0, |known| known.remaining);
        let at_rest = known.map_or(now, |known| known.at_rest);
        Decision::new(
            verdict,
            most,
            remaining.saturating_add(self.held()).min(most),
            at_rest.saturating_sub(now),
        )
    }

    /// The moment by the clock of the store of what was last heard of it.
    pub(super) fn heard(&self) -> Moment {
        self.known.as_ref().map_or(Moment::ORIGIN, |known| known.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Charge, LimitKey};
    use crate::{AlgorithmKind, LimiterState, Quota};

    const OPTIONS: LeaseOptions = LeaseOptions::DEFAULT;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A purse of so much a second, and the store of its key.
    struct Bench {
        purse: Purse,
        limiter: Limiter,
        state: LimiterState,
    }

    impl Bench {
        fn new(kind: AlgorithmKind, limit: u64) -> Self {
            let limiter = Limiter::new(kind, Quota::per_second(limit).unwrap(), None).unwrap();
            Self {
                purse: Purse::new(limiter),
                limiter,
                state: LimiterState::New,
            }
        }

        fn shape(&mut self, now: Duration, cost: u64) -> Shaped {
            let now = Moment::after_origin(now);
            self.limiter.shape(&mut self.state, now, cost)
        }

        /// One request that the store decides.
        fn exactly(&mut self, now: Duration, cost: u64) -> bool {
            let shaped = self.shape(now, cost);
            self.purse.said(now, cost, &shaped);
            if shaped.decision.allowed() {
                self.purse.used(now, cost, &OPTIONS);
            }
            shaped.decision.allowed()
        }

        fn lease(&mut self, now: Duration) -> u64 {
            let Some(size) = self.purse.asks(now, &OPTIONS) else {
                return 0;
            };
            let charges = [Charge {
                key: LimitKey::new(b"k").unwrap(),
                limiter: self.limiter,
                cost: size,
                binds: true,
                leased: false,
            }];
            let shaped = self.shape(now, size);
            let refund = Refund::of(&charges, &[shaped]).pop();
            self.purse.leased(now, refund, &shaped, &OPTIONS)
        }
    }

    #[test]
    fn a_key_is_leased_once_it_is_busy_by_as_much_as_it_used() {
        let mut bench = Bench::new(AlgorithmKind::Gcra, 10_000);
        for request in 1..=4 {
            assert!(!bench.purse.wants(ms(0), 1, &OPTIONS), "{request}");
            assert!(bench.exactly(ms(0), 1));
        }
        assert!(bench.purse.wants(ms(1), 1, &OPTIONS));
        assert!(!bench.purse.wants(ms(1), 1, &OPTIONS), "it is on its way");
        assert_eq!(bench.lease(ms(1)), 4);
        assert!(!bench.purse.wants(ms(1), 1, &OPTIONS), "enough is left");
        for _ in 0..2 {
            assert_eq!(bench.purse.take(1).len(), 1);
            bench.purse.used(ms(1), 1, &OPTIONS);
        }
        assert!(bench.purse.wants(ms(1), 1, &OPTIONS));
        assert_eq!(bench.lease(ms(1)), 6);
        assert_eq!(bench.purse.held(), 8);
    }

    #[test]
    fn the_last_tokens_are_not_leased() {
        for kind in [AlgorithmKind::FixedWindow, AlgorithmKind::Gcra] {
            let mut bench = Bench::new(kind, 1_000);
            assert!(bench.exactly(ms(0), 900));
            assert_eq!(bench.lease(ms(0)), 100 / PART_OF_REST);
            let mut bench = Bench::new(kind, 1_000);
            assert!(bench.exactly(ms(0), 1_000 - 31));
            assert_eq!(bench.lease(ms(0)), 0);
            let mut small = Bench::new(kind, 63);
            assert!(small.exactly(ms(0), 30));
            assert_eq!(small.lease(ms(0)), 0, "its share is too small");
        }
    }

    #[test]
    fn no_more_than_a_share_of_the_limit_is_held() {
        let mut bench = Bench::new(AlgorithmKind::TokenBucket, 1_600);
        assert!(bench.exactly(ms(0), 700));
        assert_eq!(bench.lease(ms(0)), 100);
        assert_eq!(bench.lease(ms(0)), 0);
    }

    #[test]
    fn a_lease_ends_with_its_window_or_after_its_life() {
        for (kind, from, ends) in [
            (AlgorithmKind::FixedWindow, 950, 1_000),
            (AlgorithmKind::SlidingCounter, 980, 1_000),
            (AlgorithmKind::FixedWindow, 100, 350),
            (AlgorithmKind::Gcra, 950, 1_200),
            (AlgorithmKind::SlidingLog, 950, 1_200),
        ] {
            let mut bench = Bench::new(kind, 10_000);
            assert!(bench.exactly(ms(from), 100));
            assert!(bench.lease(ms(from)) > 0);
            let before = ms(ends) - Duration::from_nanos(1);
            assert!(bench.purse.ended(before).is_empty(), "{kind:?}");
            let ended = bench.purse.ended(ms(ends)).pop().unwrap();
            let given_back = ended.into_refund(ms(ends)).is_some();
            assert_eq!(given_back, ends != 1_000, "{kind:?}");
        }
    }

    #[test]
    fn what_was_refused_is_refused_until_the_store_would_not() {
        let mut bench = Bench::new(AlgorithmKind::Gcra, 10);
        assert!(bench.exactly(ms(0), 9));
        assert!(!bench.exactly(ms(0), 3));
        assert_eq!(bench.purse.refuses(ms(50), 3), Some(ms(150)));
        assert_eq!(bench.purse.refuses(ms(50), 2), None, "nobody knows");
        assert_eq!(bench.purse.refuses(ms(200), 3), None);
        assert!(bench.exactly(ms(200), 3));
        assert_eq!(bench.purse.refuses(ms(200), 9), None);
    }

    #[test]
    fn what_is_put_back_is_there_again() {
        let mut bench = Bench::new(AlgorithmKind::Gcra, 10_000);
        for now in [0, 1] {
            assert!(bench.exactly(ms(now), 100 * (1 + now)));
            bench.lease(ms(now));
        }
        let held = bench.purse.held();
        assert_eq!(bench.purse.leases.len(), 2);
        let taken = bench.purse.take(held - 1);
        assert_eq!(taken.len(), 2);
        bench.purse.put_back(taken);
        assert_eq!((bench.purse.held(), bench.purse.leases.len()), (held, 2));
        assert!(bench.purse.leases[0].since() < bench.purse.leases[1].since());
    }

    #[test]
    fn tokens_of_one_moment_are_all_given_back() {
        let mut bench = Bench::new(AlgorithmKind::Gcra, 10_000);
        for asked in [5, 20] {
            assert!(bench.exactly(ms(0), asked));
            assert!(bench.lease(ms(0)) > 0);
        }
        let held = bench.purse.held();
        let taken = bench.purse.take(held - 1);
        assert_eq!(taken.len(), 2);
        bench.purse.put_back(taken);
        let leases = bench.purse.emptied().into_iter();
        let refunds = leases.filter_map(|lease| lease.into_refund(ms(0)));
        assert_eq!(refunds.map(|refund| refund.units()).sum::<u64>(), held);
    }
}
