//! Asking a provider: it is not followed elsewhere, and neither an answer nor the wait for it is without bound.

use std::error::Error as StdError;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio_rustls::rustls::crypto::ring;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of one answer.
const MOST_BYTES: usize = 1024 * 1024;

/// Asks over HTTP.
pub(crate) struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("{0}")]
    Connection(String),
    #[error("there was no answer within {TIMEOUT:?}")]
    Timeout,
}

impl Http {
    /// Certificates are checked by what the system trusts.
    pub(crate) fn new() -> std::io::Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let exchange = async {
            let request = request.map(|body| Full::from(Bytes::from(body)));
            let answer = self.0.request(request).await;
            let answer = answer.map_err(|error| HttpError::Connection(causes(&error)))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await;
            let body = body.map_err(|error| HttpError::Connection(causes(&*error)))?;
            Ok(HttpResponse::from_parts(parts, body.to_bytes().to_vec()))
        };
        let answered = tokio::time::timeout(TIMEOUT, exchange).await;
        answered.map_err(|_| HttpError::Timeout)?
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// An error and what it comes from.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
