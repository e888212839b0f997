//! Everything the gRPC listener answers.

use std::any::Any;
use std::io;

use axum::Router;
use http::Response;
use tonic::Status;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_http::catch_panic::CatchPanicLayer;

use super::GrpcState;
use super::observe::{Observer, observe};
use super::pb::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitServiceServer;
use super::service::Decider;

/// The protocol, for clients that ask what there is.
const DESCRIPTORS: &[u8] = include_bytes!("pb/descriptors.bin");

/// The largest message of the other services, in bytes: a name.
const MAX_NAME_BYTES: usize = 16 * 1024;

/// What health checks ask for: everything, and the service by its name.
const CHECKED: [&str; 2] = ["", <RateLimitServiceServer<Decider> as NamedService>::NAME];

/// The routes, and what to report the shutdown to.
///
/// # Errors
/// If the description of the protocol cannot be read, which a test excludes.
pub(super) async fn routes(state: &GrpcState) -> io::Result<(Router, HealthReporter)> {
    let health = HealthReporter::new();
    for name in CHECKED {
        health
            .set_service_status(name, ServingStatus::Serving)
            .await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let decider = RateLimitServiceServer::new(Decider {
        service: state.service.clone(),
        headers: state.options.headers,
    });
    let checks = HealthServer::new(HealthService::from_health_reporter(health.clone()));
    let v1 = reflection().build_v1().map_err(io::Error::other)?;
    // The version before, which is what most clients still ask for.
    let v1alpha = reflection().build_v1alpha().map_err(io::Error::other)?;
    let routes = Routes::new(decider.max_decoding_message_size(state.options.max_message_bytes))
        .add_service(checks.max_decoding_message_size(MAX_NAME_BYTES))
        .add_service(v1.max_decoding_message_size(MAX_NAME_BYTES))
        .add_service(v1alpha.max_decoding_message_size(MAX_NAME_BYTES));
    let router = routes
        .into_axum_router()
        .layer(CatchPanicLayer::custom(panicked))
        .layer(axum::middleware::from_fn_with_state(
            Observer {
                metrics: state.metrics.clone(),
                timeout: state.options.request_timeout,
            },
            observe,
        ));
    Ok((router, health))
}

/// Tells those who ask that they shall ask elsewhere.
pub(super) async fn not_serving(health: &HealthReporter) {
    for name in CHECKED {
        health
            .set_service_status(name, ServingStatus::NotServing)
            .await;
    }
}

/// Tells those who watch that it ends, and lets them go: their calls would never finish.
pub(super) async fn end(mut health: HealthReporter) {
    not_serving(&health).await;
    for name in CHECKED {
        health.clear_service_status(name).await;
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response<axum::body::Body> {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = text, "a gRPC call panicked");
    Status::internal("a defect of the server: its log has the details").into_http()
}
