//! What every call gets: a bound on its time, and a place in the metrics.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use crate::metrics::GrpcMetrics;

/// What is needed for it.
#[derive(Debug, Clone)]
pub(super) struct Observer {
    pub(super) metrics: GrpcMetrics,
    pub(super) timeout: Duration,
}

/// Both end with the head of the answer, so that streams may go on.
pub(super) async fn observe(
    State(observer): State<Observer>,
    request: Request,
    next: Next,
) -> Response {
    let mut call = Call {
        method: method(request.uri().path()),
        began: Instant::now(),
        // What it stays if the client goes away.
        code: Code::Cancelled,
        metrics: observer.metrics,
    };
    let answered = tokio::time::timeout(observer.timeout, next.run(request)).await;
    let response = answered.unwrap_or_else(|_| {
        Status::deadline_exceeded("the message took too long to arrive or to be answered")
            .into_http()
    });
    // Without one in the head, the status comes after the answer, and is OK.
    let status = response.extensions().get::<Status>();
    call.code = status.map_or(Code::Ok, Status::code);
    response
}

/// A call that is counted when it is over.
struct Call {
    method: &'static str,
    began: Instant,
    code: Code,
    metrics: GrpcMetrics,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.metrics
            .observe(self.method, name(self.code), self.began.elapsed());
    }
}

/// Clients can invent methods; time series must stay bounded.
fn method(path: &str) -> &'static str {
    match path {
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit" => "ShouldRateLimit",
        "/grpc.health.v1.Health/Check" => "Check",
        "/grpc.health.v1.Health/Watch" => "Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        | "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => {
            "ServerReflectionInfo"
        }
        _ => "other",
    }
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
