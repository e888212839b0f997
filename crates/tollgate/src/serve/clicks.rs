//! Clicks: what captures them on the edge, and the spool they are written to.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tollgate_clicks::ClickSource as _;
use tollgate_clicks::capture::{Capture, Privacy};
use tollgate_clicks::spool::{Spool, SpoolSource};
use tollgate_clicks::store::ClickStore;
use tollgate_clock::SystemClock;
use tollgate_config::Config;
use tollgate_server::metrics::Metrics;

use super::{options, spare_time};
use crate::click_store;

/// What runs if clicks are captured.
pub(super) struct Clicks {
    /// What the edge puts clicks into.
    pub(super) capture: Arc<Capture>,
    /// What gives them to whoever counts them.
    pub(super) source: SpoolSource,
    /// The store of their statistics, which gives way to all others.
    pub(super) patient: Arc<dyn ClickStore>,
    spool: Spool,
}

/// Opens the spool, if clicks are captured.
pub(super) fn start(
    config: &Config,
    data_dir: &Path,
    privacy: Privacy,
    statistics: &click_store::Clicks,
) -> anyhow::Result<Option<Clicks>> {
    if !config.clicks.enabled {
        return Ok(None);
    }
    let random = || getrandom::u64().context("the system gives no randomness");
    let options = options::spool(config, data_dir, random()?, random()?);
    let capture = Arc::new(options::capture(config, privacy));
    let clock = Arc::new(SystemClock::new());
    let spool = Spool::start(&options, Arc::clone(&capture), clock).context("clicks.spool")?;
    let clicks = Clicks {
        capture,
        source: spool.source(),
        patient: statistics.patient(config, data_dir, spare_time::give_way)?,
        spool,
    };
    tracing::debug!(
        spool = %clicks.spool.directory().display(),
        id = %clicks.source.id().0,
        "clicks are captured"
    );
    Ok(Some(clicks))
}

impl Clicks {
    /// Shows what becomes of clicks on their way to the spool.
    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register_clicks(Arc::clone(&self.capture), self.spool.stats());
    }

    /// Tells how full the spool is: 1 is full.
    pub(super) fn filled(&self, max_bytes: u64) -> impl Fn() -> f64 + Send + use<> {
        let stats = self.spool.stats();
        move || stats().bytes as f64 / max_bytes as f64
    }

    /// Writes what the edge has left, and waits for the disk. It blocks; the edge has to have ended.
    pub(super) fn finish(self) {
        self.spool.finish();
    }
}
