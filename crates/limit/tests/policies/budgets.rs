//! Regions that decide their limits by themselves, and share a budget.

use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::{ManualClock, UnixMillis};
use tollgate_limit::budget::{BudgetOptions, Budgets};
use tollgate_limit::policy::Descriptor;
use tollgate_limit::service::{CheckAnswer, CheckRequest, Code, LimitService};
use tollgate_limit::store::{MemoryOptions, MemoryStore};

use crate::bench::{codes, now, parse};
use crate::totals::Totals;

const POLICIES: &str = "
domain: d
descriptors:
  - {key: user, rate_limit: {unit: minute, requests_per_unit: 10, global_budget: 15}}
  - {key: even, rate_limit: {unit: minute, requests_per_unit: 10, global_budget: 10, cost: 2}}
  - {key: other, rate_limit: {unit: minute, requests_per_unit: 3}}
  - {key: shadow, rate_limit: {unit: minute, requests_per_unit: 10, global_budget: 15}, shadow_mode: true}
  - {key: queue, rate_limit: {unit: second, requests_per_unit: 10, on_exceed: delay, global_budget: 10}}
";

const SECOND: Duration = Duration::from_secs(1);

struct Region {
    service: LimitService,
    budgets: Arc<Budgets>,
}

/// Regions at 15 seconds past a minute, and what they share.
struct World {
    clock: Arc<ManualClock>,
    totals: Totals,
    regions: Vec<Region>,
}

impl World {
    fn new(count: usize, max_keys: usize) -> Self {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(1_767_225_615_000)));
        let options = BudgetOptions {
            max_keys,
            ..BudgetOptions::default()
        };
        let regions = (0..count).map(|_| {
            let store = MemoryStore::new(MemoryOptions::with_seed(1), clock.clone());
            let store = Arc::new(store);
            let budgets = Arc::new(Budgets::new(options, clock.clone()));
            let service = LimitService::new(parse(POLICIES), store.clone(), store);
            Region {
                service: service.with_budgets(Arc::clone(&budgets)),
                budgets,
            }
        });
        Self {
            regions: regions.collect(),
            totals: Totals::new(clock.clone()),
            clock,
        }
    }

    fn ask(&self, region: usize, by: &[(&str, &str)], hits: u64) -> CheckAnswer {
        let request = CheckRequest {
            domain: "d".to_owned(),
            descriptors: by.iter().map(|one| Descriptor::of([*one])).collect(),
            hits,
        };
        now(self.regions[region].service.check(&request)).unwrap()
    }

    /// How many of 20 pass.
    fn passing(&self, region: usize, key: &str) -> usize {
        let passes = |_: &usize| self.ask(region, &[(key, "a")], 1).allowed;
        (0..20).filter(passes).count()
    }

    /// A round of reports of each.
    fn sync(&self) {
        for region in &self.regions {
            now(region.budgets.sync(&self.totals));
        }
    }
}

#[test]
fn regions_spend_one_budget_and_another_one_in_the_next_window() {
    let world = World::new(2, 100);
    assert_eq!(world.passing(0, "user"), 10, "the limit of the region");
    assert!(world.ask(1, &[("user", "a")], 1).allowed);
    world.sync();
    world.sync();
    assert_eq!(world.passing(1, "user"), 4);
    world.sync();
    world.sync();
    for region in [0, 1] {
        let answer = world.ask(region, &[("user", "a")], 1);
        assert!(!answer.allowed, "{region}");
        let status = &answer.statuses[0];
        assert_eq!(status.code, Code::OverLimit);
        assert_eq!(status.limit.unwrap().requests(), 15);
        assert_eq!(status.remaining, Some(0));
        assert_eq!(answer.retry_after(), Some(45 * SECOND));
    }
    assert!(world.ask(1, &[("user", "b")], 1).allowed, "another value");
    world.clock.advance(45 * SECOND);
    assert_eq!(world.passing(1, "user"), 10);
    assert!(world.ask(0, &[("user", "a")], 1).allowed);
    world.sync();
    world.sync();
    assert_eq!(world.passing(0, "user"), 4);
}

#[test]
fn what_is_over_in_a_budget_charges_nothing() {
    let world = World::new(1, 100);
    let both = [("even", "a"), ("other", "a")];
    for _ in 0..3 {
        assert!(world.ask(0, &both, 1).allowed);
    }
    assert!(!world.ask(0, &both, 1).allowed, "the other is over");
    assert_eq!(
        world.ask(0, &[("even", "a")], 0).statuses[0].remaining,
        Some(4)
    );
    // The budget of 10 is used up by two more; the other value has all three left.
    let fresh = [("even", "a"), ("other", "b")];
    assert!(world.ask(0, &fresh, 2).allowed);
    let answer = world.ask(0, &fresh, 1);
    assert_eq!(codes(&answer), [Code::OverLimit, Code::Allowed]);
    assert_eq!(answer.statuses[1].remaining, Some(1));
    assert!(
        !world.ask(0, &[("even", "a")], 0).allowed,
        "nothing is left to a peek"
    );
    let never = world.ask(0, &[("even", "b")], 6);
    assert_eq!((never.allowed, never.retry_after()), (false, None));
    assert_eq!(world.regions[0].budgets.stats().refusals, 3);
}

#[test]
fn in_shadow_mode_a_budget_counts_and_never_refuses() {
    let world = World::new(2, 100);
    for region in [0, 1] {
        assert_eq!(world.passing(region, "shadow"), 20);
        world.sync();
    }
    world.sync();
    let status = &world.ask(0, &[("shadow", "a")], 1).statuses[0];
    assert!(status.would_refuse && status.code == Code::Allowed);
    assert_eq!(status.limit.unwrap().requests(), 15);
    assert_eq!(world.regions[0].budgets.stats().refusals, 0);
}

#[test]
fn who_leaves_a_queue_gives_its_part_of_the_budget_back() {
    let world = World::new(1, 100);
    let mut last = None;
    for _ in 0..10 {
        last = Some(world.ask(0, &[("queue", "a")], 1));
    }
    assert!(!world.ask(0, &[("queue", "a")], 1).allowed);
    now(world.regions[0].service.refund(last.unwrap().receipt));
    assert_eq!(
        world.ask(0, &[("queue", "a")], 0).statuses[0].remaining,
        Some(1)
    );
}

#[test]
fn while_totals_are_away_each_region_goes_on_by_itself() {
    let world = World::new(2, 100);
    world.totals.set_down(true);
    assert_eq!(world.passing(0, "user"), 10);
    world.sync();
    assert_eq!(world.passing(1, "user"), 10);
    world.sync();
    let stats = world.regions[1].budgets.stats();
    assert_eq!((stats.rounds, stats.reports, stats.failures), (2, 0, 1));
    world.totals.set_down(false);
    world.sync();
    world.sync();
    let status = &world.ask(0, &[("user", "a")], 0).statuses[0];
    assert_eq!(status.limit.unwrap().requests(), 15, "all 20 were told");
    // Away for the next window as well, which begins anew.
    world.totals.set_down(true);
    world.clock.advance(45 * SECOND);
    assert_eq!(world.passing(0, "user"), 10);
}

#[test]
fn beyond_the_most_keys_a_budget_is_not_enforced() {
    let world = World::new(1, 1);
    assert!(world.ask(0, &[("even", "a")], 5).allowed);
    assert!(world.ask(0, &[("user", "a")], 10).allowed);
    let stats = world.regions[0].budgets.stats();
    assert_eq!((stats.keys, stats.unheld), (1, 1));
    // Its window is over, and nobody asked since.
    world.clock.advance(60 * SECOND);
    world.sync();
    assert_eq!(world.regions[0].budgets.stats().keys, 0);
}

#[test]
fn without_budgets_none_is_enforced_and_the_service_says_so() {
    let world = World::new(1, 1);
    assert_eq!(world.regions[0].service.unenforced_budgets(), 0);
    let store = Arc::new(MemoryStore::new(
        MemoryOptions::with_seed(1),
        world.clock.clone(),
    ));
    let service = LimitService::new(parse(POLICIES), store.clone(), store);
    assert_eq!(service.unenforced_budgets(), 4);
}
