//! Whether a request passes its limits, and when.

use http::HeaderMap;
use tollgate_limit::service::CheckRequest;

use super::Shared;
use crate::limits::Received;
use crate::limits::headers::{over, told};
use crate::metrics::ProxyOutcome;
use crate::problem::{Kind, Problem};

/// Why a request does not pass, and what it is told.
pub(super) struct Refusal {
    pub(super) outcome: ProxyOutcome,
    pub(super) problem: Problem,
}

impl Shared {
    /// Asks the policies, and waits for the request's turn. Answers what the client is to be told
    /// of its limits. Whoever drops this while it waits gives the request's place back.
    pub(super) async fn admit(&self, received: Received<'_>) -> Result<HeaderMap, Refusal> {
        let by = self.options.by.iter();
        let descriptors: Vec<_> = by.filter_map(|by| received.descriptor(by)).collect();
        if descriptors.is_empty() {
            // It has none of what is counted by: there is no limit to be over.
            return Ok(HeaderMap::new());
        }
        let request = CheckRequest {
            domain: self.options.domain.clone(),
            descriptors,
            hits: 1,
        };
        let decided = self.service.check(&request).await;
        let mut answer = decided.map_err(|error| {
            tracing::error!(%error, "a request to the proxy cannot be decided");
            Refusal {
                outcome: ProxyOutcome::Failed,
                problem: Problem::internal(),
            }
        })?;
        if !answer.allowed {
            return Err(Refusal {
                outcome: ProxyOutcome::Limited,
                problem: over(&answer),
            });
        }
        if let Some(place) = self.service.hold(&mut answer) {
            let Ok(_permit) = self.places.try_acquire() else {
                return Err(too_many_waiting());
            };
            let _waiting = self.metrics.wait();
            place.wait().await;
        }
        Ok(told(&answer))
    }
}

fn too_many_waiting() -> Refusal {
    let detail = "Try again in a moment.";
    Refusal {
        outcome: ProxyOutcome::Crowded,
        problem: Problem::new(Kind::TooManyWaiting, detail).retry_later(),
    }
}
