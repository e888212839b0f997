use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::headers::QUOTA_EXCEEDED;
use crate::service::CheckAnswer;

/// Answers a request that a limit refuses, with a body of type `B`.
///
/// Closures do it too. What headers say of limits is added by the layer, but for a `Retry-After` that
/// is already there.
pub trait Refuse<B> {
    /// The response, by what was decided.
    fn refuse(&self, answer: &CheckAnswer) -> Response<B>;
}

impl<B, F: Fn(&CheckAnswer) -> Response<B>> Refuse<B> for F {
    fn refuse(&self, answer: &CheckAnswer) -> Response<B> {
        self(answer)
    }
}

/// Status 429 and a problem document (RFC 9457) of the type [`QUOTA_EXCEEDED`], with the names of the
/// policies that refuse in `violated-policies`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProblemJson;

impl<B: From<String>> Refuse<B> for ProblemJson {
    fn refuse(&self, answer: &CheckAnswer) -> Response<B> {
        let refusing = answer.statuses.iter().filter(|status| status.refuses());
        let policies: Vec<&str> = refusing.filter_map(|status| status.policy()).collect();
        let status = StatusCode::TOO_MANY_REQUESTS;
        let problem = json!({
            "type": QUOTA_EXCEEDED,
            "title": "A limit is over",
            "status": status.as_u16(),
            "detail": format!("There were too many requests for: {}.", policies.join(", ")),
            "violated-policies": policies,
        });
        let mut response = Response::new(problem.to_string().into());
        *response.status_mut() = status;
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}
