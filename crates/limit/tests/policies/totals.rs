//! Totals of all regions in this process, counted as the script in Redis counts them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tollgate_clock::Clock;
use tollgate_limit::budget::{Report, SharedTotals, Total};
use tollgate_limit::store::{LimitKey, StoreError};

pub struct Totals {
    clock: Arc<dyn Clock>,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// The number of a window, and its total.
    totals: HashMap<(LimitKey, u64), (u64, u64)>,
    down: bool,
}

impl Totals {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            inside: Mutex::default(),
        }
    }

    #[allow(
        dead_code,
        reason = "shared with the simulation, whose faults are others"
    )]
    pub fn set_down(&self, down: bool) {
        self.inside.lock().down = down;
    }

    pub fn count(&self, report: &Report) -> Result<Total, StoreError> {
        let mut inside = self.inside.lock();
        if inside.down {
            return Err(StoreError::Unavailable("they are down".to_owned()));
        }
        let now = u64::try_from(self.clock.now().as_millis()).unwrap();
        let window = u64::try_from(report.window.as_millis()).unwrap();
        let stored = inside.totals.entry((report.key.clone(), window));
        let stored = stored.or_insert((0, 0));
        let mut number = (now / window).max(stored.0);
        if report.number == Some(number + 1) {
            number += 1;
        }
        let total = if stored.0 < number { 0 } else { stored.1 };
        let counted = report.number.is_none_or(|given| given == number);
        let units = if counted { report.units } else { 0 };
        if units > 0 {
            *stored = (number, total + units);
        }
        Ok(Total {
            number,
            units: total + units,
            left: Duration::from_millis((number + 1) * window - now),
            counted,
        })
    }
}

#[async_trait]
impl SharedTotals for Totals {
    async fn report(&self, reports: &[Report]) -> Vec<Result<Total, StoreError>> {
        reports.iter().map(|report| self.count(report)).collect()
    }
}
