//! Budgets that the servers of all regions share in a Redis.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_clock::SystemClock;
use tollgate_config::Config;
use tollgate_limit::budget::{BudgetOptions, BudgetStats, Budgets, RedisTotals};
use tollgate_limit::store::{BreakerOptions, BreakerState, RedisOptions};
use tollgate_server::metrics::{Counter, Metrics};

/// The Redis, and what this server knows of the budgets in it.
pub(super) struct GlobalBudgets {
    budgets: Arc<Budgets>,
    totals: Arc<RedisTotals>,
}

impl GlobalBudgets {
    /// Tries to connect; a Redis that is away may come later.
    pub(super) async fn connect(url: &str, config: &Config) -> anyhow::Result<Self> {
        let global = &config.limits_global;
        let clock = Arc::new(SystemClock::new());
        let options = RedisOptions {
            prefix: config.limits.prefix.clone(),
            deadline: global.deadline,
            ..RedisOptions::default()
        };
        let breaker = BreakerOptions::default();
        let totals = RedisTotals::connect(url, options, breaker, Arc::clone(&clock) as _)
            .await
            .context("limits.global.store")?;
        let options = BudgetOptions {
            every: global.every,
            max_keys: global.max_keys,
        };
        Ok(Self {
            budgets: Arc::new(Budgets::new(options, clock)),
            totals: Arc::new(totals),
        })
    }

    pub(super) fn budgets(&self) -> Arc<Budgets> {
        Arc::clone(&self.budgets)
    }

    /// Tells the others what is let through, until `end`.
    pub(super) fn tend(&self, tasks: &TaskTracker, end: &CancellationToken) {
        let (budgets, totals) = (Arc::clone(&self.budgets), Arc::clone(&self.totals));
        let ended = end.clone();
        tasks.spawn(async move { budgets.run(&*totals, ended.cancelled()).await });
    }

    /// Shows how many budgets there are, what they refused, and whether the others are told.
    pub(super) fn register(&self, metrics: &Metrics) {
        let totals = Arc::clone(&self.totals);
        metrics.register_gauge(
            "tollgate_limits_budget_away",
            "Whether the Redis of global budgets is away: 1 while nobody is told",
            move || f64::from(u8::from(totals.stats().state != BreakerState::Closed)),
        );
        let budgets = self.budgets();
        metrics.register_gauge(
            "tollgate_limits_budget_keys",
            "Keys whose global budget is followed",
            move || budgets.stats().keys as f64,
        );
        let budgets = self.budgets();
        metrics.register_gauge(
            "tollgate_limits_budget_round_seconds",
            "How long the last round of reports to the Redis of global budgets took",
            move || budgets.stats().last_round.as_secs_f64(),
        );
        let counters: [Counter<BudgetStats>; 5] = [
            (
                "tollgate_limits_budget_rounds",
                "Rounds of reports to the Redis of global budgets",
                |stats| stats.rounds,
            ),
            (
                "tollgate_limits_budget_reports",
                "Reports of one key that the Redis of global budgets answered",
                |stats| stats.reports,
            ),
            (
                "tollgate_limits_budget_failures",
                "Reports of one key that it did not answer, or not in time",
                |stats| stats.failures,
            ),
            (
                "tollgate_limits_budget_refused",
                "Times a limit was over because its global budget was used up",
                |stats| stats.refusals,
            ),
            (
                "tollgate_limits_budget_unheld",
                "Times a global budget was not enforced, because too many keys are followed",
                |stats| stats.unheld,
            ),
        ];
        let budgets = self.budgets();
        metrics.register_counters(counters, move || budgets.stats());
    }
}
