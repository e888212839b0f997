use std::collections::HashMap;

use parking_lot::Mutex;
use tollgate_clock::UnixMillis;
use tollgate_simulate::replay::Report;

use crate::dashboard::show::share;

/// More domains than this have no forecast.
const MOST_DOMAINS: usize = 1_000;

/// What was last forecast of each domain. It is in memory: a forecast is as old as its log anyway, and is
/// made again in a moment.
#[derive(Debug, Default)]
pub(in crate::dashboard) struct Forecasts(Mutex<HashMap<String, Forecast>>);

/// What a replay said of the policies of a domain.
#[derive(Debug, Clone, Default)]
pub(in crate::dashboard) struct Forecast {
    /// When the log began and ended.
    pub(in crate::dashboard) from: Option<UnixMillis>,
    pub(in crate::dashboard) to: Option<UnixMillis>,
    /// By the place of the policy: the share of its requests that were refused or would have been.
    shares: HashMap<String, Option<f64>>,
}

impl Forecast {
    fn of(report: &Report) -> Self {
        let shares = report.rules.iter().map(|rule| {
            let over = rule.refused + rule.would_refuse;
            (rule.path.clone(), share(over, rule.requests))
        });
        Self {
            from: report.from,
            to: report.to,
            shares: shares.collect(),
        }
    }

    /// The share of its requests that a policy refuses; none if it had none.
    pub(in crate::dashboard) fn share(&self, path: &str) -> Option<f64> {
        *self.shares.get(path)?
    }
}

impl Forecasts {
    /// Keeps what a replay said, in the place of what the last one did.
    pub(super) fn keep(&self, report: &Report) {
        let mut domains = self.0.lock();
        if domains.len() < MOST_DOMAINS || domains.contains_key(&report.domain) {
            domains.insert(report.domain.clone(), Forecast::of(report));
        }
    }

    /// What was said of a domain.
    pub(in crate::dashboard) fn of(&self, domain: &str) -> Option<Forecast> {
        self.0.lock().get(domain).cloned()
    }
}
