//! What is answered while the stores are opened and brought up to date, which can take minutes after an
//! upgrade: that this process lives, and is not ready. Whoever watches it must not end it meanwhile.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::pages;
use super::serve::NAME;
use crate::health::NotReady;
use crate::problem::{Kind, Problem};
use crate::shared_accept::{AcceptBounds, accept_until};

/// How long a client may take for the head of its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most connections at once.
const MAX_CONNECTIONS: usize = 256;

/// Answers requests on `listener` until all is `made`, one on each connection, and gives it back then.
pub async fn starting(listener: TcpListener, made: CancellationToken) -> TcpListener {
    let bounds = AcceptBounds {
        max_connections: MAX_CONNECTIONS,
        ..AcceptBounds::default()
    };
    accept_until(&made, &listener, NAME, &bounds, |stream, _, _| {
        connection(stream)
    })
    .await;
    listener
}

async fn connection(stream: TcpStream) {
    let service = service_fn(async |request: http::Request<Incoming>| {
        Ok::<_, Infallible>(answer(request.uri().path()).await)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the {NAME} listener ended early");
    }
}

async fn answer(path: &str) -> Response {
    match path {
        "/health/live" => pages::live().await,
        "/health/ready" => pages::not_ready(NotReady::Starting, Vec::new()),
        _ => Problem::new(Kind::Starting, "Try again in a moment.")
            .retry_later()
            .into_response(),
    }
}
