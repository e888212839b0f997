//! `envoy.service.ratelimit.v3.RateLimitService`.

use std::sync::Arc;
use std::time::Duration;

use tollgate_limit::policy::OnExceed;
use tollgate_limit::service::{CheckAnswer, LimitService};
use tonic::{Request, Response, Status};

use super::pb::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitService;
use super::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use super::{answer, request};

/// Decides what proxies ask.
#[derive(Debug)]
pub(super) struct Decider {
    pub(super) service: Arc<LimitService>,
    pub(super) headers: bool,
}

#[tonic::async_trait]
impl RateLimitService for Decider {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let request = request::check(request.into_inner())?;
        let decided = self.service.check(&request).await;
        let mut decided = decided.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mut delay = decided.delay;
        if waits_here(&decided)
            && let Some(place) = self.service.hold(&mut decided)
        {
            place.wait().await;
            delay = Duration::ZERO;
        }
        let response = answer::response(&decided, self.headers, delay);
        Ok(Response::new(response))
    }
}

/// Whether a policy says that the front end waits, and not who asked it.
fn waits_here(answer: &CheckAnswer) -> bool {
    let mut rules = answer.statuses.iter().filter_map(|s| s.rule.as_ref());
    rules.any(|rule| rule.on_exceed == OnExceed::Queue)
}
