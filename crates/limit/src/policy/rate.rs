//! The block `rate_limit`: what it may say, and what does not go together.

use std::sync::Arc;
use std::time::Duration;

use super::fields::{Fields, Place, Spot};
use super::yaml::Value;
use super::{Ceiling, OnExceed, OnStoreFailure, PolicyError, Precision};
use crate::{AlgorithmKind, Limiter, MAX_LIMIT, Quota, QuotaError};

/// The keys of the block.
pub(super) const KEYS: [&str; 15] = [
    "unit",
    "requests_per_unit",
    "unlimited",
    "name",
    "replaces",
    "metadata",
    "window",
    "algorithm",
    "burst",
    "on_exceed",
    "max_delay",
    "on_store_failure",
    "precision",
    "global_budget",
    "cost",
];

/// Windows of a budget over all regions are no shorter.
const LEAST_BUDGET_WINDOW: Duration = Duration::from_secs(1);

const DAY: u64 = 86_400;
const UNITS: [(&str, u64); 7] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3_600),
    ("day", DAY),
    ("week", 7 * DAY),
    ("month", 30 * DAY),
    ("year", 365 * DAY),
];

/// What a block says, before it is looked at as a whole.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    place: Place,
    requests: Option<Spot<u64>>,
    window: Option<Spot<Duration>>,
    unlimited: Option<bool>,
    algorithm: Option<Spot<AlgorithmKind>>,
    burst: Option<Spot<u64>>,
    on_exceed: Option<Spot<OnExceed>>,
    max_delay: Option<Spot<Duration>>,
    cost: Option<Spot<u64>>,
    global_budget: Option<Spot<u64>>,
    pub(super) name: Option<Spot<Arc<str>>>,
    pub(super) replaces: Option<Vec<Arc<str>>>,
    pub(super) on_store_failure: Option<OnStoreFailure>,
    pub(super) precision: Option<Precision>,
}

/// What a block comes to.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) ceiling: Ceiling,
    pub(super) on_exceed: OnExceed,
    pub(super) max_delay: Option<Duration>,
    pub(super) cost: u64,
    pub(super) global_budget: Option<Quota>,
}

impl Rate {
    pub(super) fn read(
        value: &Value,
        place: Place,
        elsewhere: &[(&[&str], &str)],
    ) -> Result<Self, PolicyError> {
        let fields = Fields::of(value, place, &KEYS, elsewhere)?;
        let name = fields.text("name")?;
        Ok(Self {
            requests: fields.number("requests_per_unit")?,
            window: window(&fields)?,
            unlimited: fields.truth("unlimited")?,
            algorithm: fields.choice(
                "algorithm",
                &AlgorithmKind::ALL.map(|kind| (kind.name(), kind)),
            )?,
            burst: fields.number("burst")?,
            on_exceed: fields.choice(
                "on_exceed",
                &[
                    ("reject", OnExceed::Reject),
                    ("delay", OnExceed::Delay),
                    ("queue", OnExceed::Queue),
                ],
            )?,
            max_delay: fields.duration("max_delay")?,
            cost: fields.number("cost")?,
            global_budget: fields.number("global_budget")?,
            replaces: replaces(&fields, name.as_ref())?,
            name,
            on_store_failure: fields
                .choice(
                    "on_store_failure",
                    &[
                        ("open", OnStoreFailure::Open),
                        ("closed", OnStoreFailure::Closed),
                        ("local", OnStoreFailure::Local),
                    ],
                )?
                .map(|read| read.is),
            precision: fields
                .choice(
                    "precision",
                    &[("exact", Precision::Exact), ("leased", Precision::Leased)],
                )?
                .map(|read| read.is),
            place: fields.place,
        })
    }

    /// This, and what it does not say from `base`. Another algorithm does not take the burst and
    /// the waiting of the one before; what is unlimited takes no number at all, and a number ends
    /// being unlimited.
    pub(super) fn or(self, base: &Self) -> Self {
        let limited = self.requests.is_some() || self.window.is_some();
        let numbers = (self.unlimited != Some(true)).then_some(base);
        let manners = numbers.filter(|_| self.algorithm.is_none());
        Self {
            place: self.place,
            requests: self.requests.or_else(|| numbers?.requests.clone()),
            window: self.window.or_else(|| numbers?.window.clone()),
            unlimited: self.unlimited.or(base.unlimited.filter(|_| !limited)),
            algorithm: self.algorithm.or_else(|| numbers?.algorithm.clone()),
            burst: self.burst.or_else(|| manners?.burst.clone()),
            on_exceed: self.on_exceed.or_else(|| manners?.on_exceed.clone()),
            max_delay: self.max_delay.or_else(|| manners?.max_delay.clone()),
            cost: self.cost.or_else(|| numbers?.cost.clone()),
            global_budget: self
                .global_budget
                .or_else(|| numbers?.global_budget.clone()),
            name: self.name.or_else(|| base.name.clone()),
            replaces: self.replaces.or_else(|| base.replaces.clone()),
            on_store_failure: self.on_store_failure.or(base.on_store_failure),
            precision: self.precision.or(base.precision),
        }
    }

    /// Checks that all of it goes together.
    pub(super) fn terms(&self) -> Result<Terms, PolicyError> {
        if self.unlimited == Some(true) {
            return self.without_limit();
        }
        let Some(requests) = &self.requests else {
            let advice = "give how many requests pass in a unit, or unlimited: true";
            return Err(self.place.missing("requests_per_unit", advice));
        };
        let Some(window) = &self.window else {
            let advice = "give second, minute, hour, day, week, month or year, \
                          or a window of your own such as window: 90s";
            return Err(self.place.missing("unit", advice));
        };
        let at_window = |error: QuotaError| window.place.error(said(error));
        if requests.is == 0 {
            let window = super::Allowance::new(0, window.is)
                .map_err(at_window)?
                .window();
            return Ok(Terms {
                ceiling: Ceiling::Blocked { window },
                on_exceed: OnExceed::Reject,
                max_delay: None,
                cost: 1,
                global_budget: None,
            });
        }
        let quota = Quota::new(requests.is, window.is).map_err(|error| match error {
            QuotaError::Limit(_) => requests.place.error(said(error)),
            _ => at_window(error),
        })?;
        let (kind, on_exceed) = self.waiting()?;
        let limiter = self.limiter(kind, quota, requests)?;
        let depth = match (kind.takes_burst(), &self.burst) {
            (true, Some(burst)) => burst.is,
            _ => quota.limit(),
        };
        Ok(Terms {
            ceiling: Ceiling::Limited { quota, limiter },
            on_exceed,
            max_delay: self.max_delay.as_ref().map(|delay| delay.is),
            cost: self.cost(depth)?,
            global_budget: self.global_budget(quota)?,
        })
    }

    fn without_limit(&self) -> Result<Terms, PolicyError> {
        let window = self.window.as_ref().map(|spot| &spot.place);
        let algorithm = self.algorithm.as_ref().map(|spot| &spot.place);
        let burst = self.burst.as_ref().map(|spot| &spot.place);
        let on_exceed = self.on_exceed.as_ref().map(|spot| &spot.place);
        let max_delay = self.max_delay.as_ref().map(|spot| &spot.place);
        let cost = self.cost.as_ref().map(|spot| &spot.place);
        let budget = self.global_budget.as_ref().map(|spot| &spot.place);
        let useless = [window, algorithm, burst, on_exceed, max_delay, cost, budget];
        match useless.into_iter().flatten().next() {
            Some(place) => Err(place.error("means nothing where unlimited is true: leave one out")),
            None => Ok(Terms {
                ceiling: Ceiling::Unlimited,
                on_exceed: OnExceed::Reject,
                max_delay: None,
                cost: 1,
                global_budget: None,
            }),
        }
    }

    /// The algorithm, and what it does with what finds no room. To wait is to be in a queue.
    fn waiting(&self) -> Result<(AlgorithmKind, OnExceed), PolicyError> {
        let algorithm = self.algorithm.as_ref().map(|spot| spot.is);
        let on_exceed = self.on_exceed.as_ref().map(|spot| spot.is);
        let waits = matches!(on_exceed, Some(OnExceed::Delay | OnExceed::Queue));
        let kind = match algorithm {
            Some(kind) => kind,
            None if waits => AlgorithmKind::LeakyQueue,
            None => AlgorithmKind::FixedWindow,
        };
        let queue = kind == AlgorithmKind::LeakyQueue;
        if let (Some(on_exceed), true) = (&self.on_exceed, waits != queue) {
            let reason = if waits {
                format!(
                    "{} cannot make requests wait: leave algorithm out, or give leaky_queue",
                    kind.name()
                )
            } else {
                "leaky_queue makes requests wait: give leaky_bucket to reject".to_owned()
            };
            return Err(on_exceed.place.error(reason));
        }
        if let (Some(delay), false) = (&self.max_delay, queue) {
            let reason = "only requests that wait have it: give on_exceed: delay or queue";
            return Err(delay.place.error(reason));
        }
        let default = if queue {
            OnExceed::Delay
        } else {
            OnExceed::Reject
        };
        Ok((kind, on_exceed.unwrap_or(default)))
    }

    fn limiter(
        &self,
        kind: AlgorithmKind,
        quota: Quota,
        requests: &Spot<u64>,
    ) -> Result<Limiter, PolicyError> {
        if let (Some(burst), false) = (&self.burst, kind.takes_burst()) {
            return Err(burst.place.error(format!(
                "{} has no burst: give algorithm: gcra, token_bucket, leaky_bucket or leaky_queue",
                kind.name()
            )));
        }
        let burst = self.burst.as_ref();
        let place = burst.map_or(&requests.place, |burst| &burst.place);
        let limiter = Limiter::new(kind, quota, burst.map(|burst| burst.is))
            .map_err(|error| place.error(said(error)))?;
        match (limiter, &self.max_delay) {
            (Limiter::LeakyQueue(queue), Some(delay)) => queue
                .with_max_delay(delay.is)
                .map(Limiter::LeakyQueue)
                .map_err(|error| delay.place.error(said(error))),
            (limiter, _) => Ok(limiter),
        }
    }

    fn cost(&self, depth: u64) -> Result<u64, PolicyError> {
        match &self.cost {
            None => Ok(1),
            Some(cost) if cost.is == 0 || cost.is > MAX_LIMIT => {
                let reason = format!("{} is out of range: give 1 to {MAX_LIMIT}", cost.is);
                Err(cost.place.error(reason))
            }
            Some(cost) if cost.is > depth => Err(cost.place.error(format!(
                "{} is more than the {depth} that pass at once, so nothing ever would: \
                 give a smaller cost or a higher limit",
                cost.is
            ))),
            Some(cost) => Ok(cost.is),
        }
    }

    /// What all regions together let through in the window, beside the limit of each.
    fn global_budget(&self, limit: Quota) -> Result<Option<Quota>, PolicyError> {
        let Some(budget) = &self.global_budget else {
            return Ok(None);
        };
        let wrong = |reason: String| Err(budget.place.error(reason));
        let window = limit.window();
        // Regions tell each other now and then: a shorter window would be over before.
        if window < LEAST_BUDGET_WINDOW || !window.subsec_nanos().is_multiple_of(1_000_000) {
            return wrong(format!(
                "regions cannot count together in windows of {window:?}: give a unit, or a window \
                 of at least a second, in whole milliseconds"
            ));
        }
        if budget.is < limit.limit() {
            return wrong(format!(
                "{} for all regions is less than the {} that each lets through: give a lower \
                 requests_per_unit or a higher budget",
                budget.is,
                limit.limit()
            ));
        }
        if let Some(cost) = self.cost.as_ref().filter(|cost| cost.is > budget.is) {
            return wrong(format!(
                "{} is less than the {} that one hit costs, so nothing ever would pass: give a \
                 higher budget or a smaller cost",
                budget.is, cost.is
            ));
        }
        match Quota::new(budget.is, window) {
            Ok(quota) => Ok(Some(quota)),
            Err(error) => wrong(said(error)),
        }
    }
}

/// `unit` and `window` are two ways to say the same.
fn window(fields: &Fields) -> Result<Option<Spot<Duration>>, PolicyError> {
    let unit = fields.parsed("unit", |text| {
        let name = text.to_ascii_lowercase();
        let found = UNITS.iter().find(|(unit, _)| *unit == name);
        found
            .map(|(_, seconds)| Duration::from_secs(*seconds))
            .ok_or_else(|| {
                format!(
                    "{text:?} is no unit; give second, minute, hour, day, week, month or year, \
                     or a window of your own such as window: 90s"
                )
            })
    })?;
    match (unit, fields.duration("window")?) {
        (Some(_), Some(window)) => Err(window.place.error("unit says it already: leave one out")),
        (unit, window) => Ok(unit.or(window)),
    }
}

fn replaces(
    fields: &Fields,
    own: Option<&Spot<Arc<str>>>,
) -> Result<Option<Vec<Arc<str>>>, PolicyError> {
    if fields.value("replaces").is_none() {
        return Ok(None);
    }
    let mut names = Vec::new();
    for (item, place) in fields.items("replaces")? {
        let item = Fields::of(item, place, &["name"], &[])?;
        let Some(name) = item.text("name")? else {
            return Err(item
                .place
                .missing("name", "give the name of a rule to replace"));
        };
        if own.is_some_and(|own| own.is == name.is) {
            return Err(name.place.error("a rule cannot replace itself"));
        }
        names.push(name.is);
    }
    Ok(Some(names))
}

/// What is wrong with a number, without the name that the library has for it: the path of the field
/// stands before it.
fn said(error: QuotaError) -> String {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((_, reason)) => reason.to_owned(),
        None => text,
    }
}
