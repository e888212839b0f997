//! The clicks as the API sees them.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tollgate_clicks::consume::LiveClicks;
use tollgate_clicks::import::ClickImporter;
use tollgate_clicks::store::ClickStore;

/// Where clicks are counted, and where new ones are heard of.
#[derive(Clone)]
pub struct Clicks {
    /// What was counted.
    pub store: Arc<dyn ClickStore>,
    /// Counts clicks of others.
    pub importer: Arc<ClickImporter>,
    /// Each click as it is counted.
    pub live: LiveClicks,
    /// Ends the streams of live clicks.
    pub shutdown: CancellationToken,
}
