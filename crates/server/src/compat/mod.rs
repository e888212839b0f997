//! The APIs of other shorteners, so that their clients can be used with this one. Each is a thin
//! adapter: links, statistics and keys are those of our own API, and so are their rules.

mod named;
mod time;
mod totals;
mod walk;
mod yourls;

use axum::Router;

pub use yourls::YourlsOptions;

use crate::admin::AdminState;

/// The most links that one request looks at: what our own listings have no index for.
const MOST_LINKS: usize = 50_000;

/// Which APIs are offered. None by default.
#[derive(Debug, Clone)]
pub struct CompatOptions {
    /// That of YOURLS, at `/yourls-api.php`.
    pub yourls: Option<YourlsOptions>,
    /// The most links that one request looks at one by one.
    pub most_links: usize,
}

impl Default for CompatOptions {
    fn default() -> Self {
        Self {
            yourls: None,
            most_links: MOST_LINKS,
        }
    }
}

/// The routes of all APIs that are on.
pub(crate) fn router(state: &AdminState) -> Router<AdminState> {
    let options = &state.options;
    let mut router = Router::new();
    if let Some(yourls) = &options.compat.yourls {
        router = router.merge(yourls::router(yourls.clone()));
    }
    router
}
