//! The APIs of other shorteners, so that their clients can be used with this one. Each is a thin
//! adapter: links, statistics and keys are those of our own API, and so are their rules.

mod bitly;
mod named;
mod shlink;
mod time;
mod totals;
mod walk;
mod yourls;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;

pub use shlink::{ShlinkCondition, condition_of_shlink};
pub use yourls::YourlsOptions;

use crate::admin::{AdminOptions, AdminState};
use crate::problem::Problem;

/// The most links that one request looks at: what our own listings have no index for.
const MOST_LINKS: usize = 50_000;

/// Which APIs are offered. None by default.
#[derive(Debug, Clone)]
pub struct CompatOptions {
    /// That of Shlink, under `/rest/v3`.
    pub shlink: bool,
    /// That of YOURLS, at `/yourls-api.php`.
    pub yourls: Option<YourlsOptions>,
    /// That of Bitly, under `/v4`.
    pub bitly: bool,
    /// The most links that one request looks at one by one.
    pub most_links: usize,
}

impl Default for CompatOptions {
    fn default() -> Self {
        Self {
            shlink: false,
            yourls: None,
            bitly: false,
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
    if options.compat.bitly {
        router = router.merge(bitly::router(options));
    }
    if options.compat.shlink {
        router = router.merge(shlink::router(options));
    }
    router
}

/// Ends requests that take too long by an error in the API's own form.
fn in_time<E>(router: Router<AdminState>, options: &AdminOptions) -> Router<AdminState>
where
    E: From<Problem> + IntoResponse + 'static,
{
    // The body has its own time; this is that and as long again for the answer.
    let longest = options.request_timeout.saturating_mul(2);
    router.layer(from_fn(move |request: Request, next: Next| async move {
        match tokio::time::timeout(longest, next.run(request)).await {
            Ok(response) => response,
            Err(_) => E::from(Problem::slow()).into_response(),
        }
    }))
}
