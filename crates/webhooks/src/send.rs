//! Sending a message to an address that was checked.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tollgate_clock::UnixMillis;
use tower_service::Service;
use url::{Host, Url};

use crate::{AddressRules, Waiting};

/// How much of an answer is read: nothing in it matters, but a connection can be used again once
/// it is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Finds the addresses of a host name.
pub trait Lookup: Send + Sync + 'static {
    /// All of its addresses.
    fn lookup(&self, host: String) -> LookupFuture;
}

type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Asks the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> LookupFuture {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Another answer than 2xx. Redirects are not followed: they could lead to any address.
    #[error("the answer was {0}")]
    Refused(StatusCode),
    /// No answer came in time.
    #[error("there was no answer within {0:?}")]
    Timeout(Duration),
    /// It may not be sent there.
    #[error("{0}")]
    Address(String),
    /// No connection, or one that broke off.
    #[error("{0}")]
    Connection(String),
    /// It cannot be signed, or is no request.
    #[error("the message cannot be sent: {0}")]
    Message(String),
}

impl SendError {
    /// The status of the answer, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(status) => Some(*status),
            _ => None,
        }
    }
}

/// None of a host's addresses may be connected to.
#[derive(Debug, thiserror::Error)]
#[error(
    "{host} is at {address}, which is no public address: allow its network in webhooks.allow_private"
)]
struct Forbidden {
    host: String,
    address: IpAddr,
}

/// Resolves names to addresses that may be connected to. The connection is made to what this answers:
/// the name is not asked for again, so it cannot lead elsewhere in between.
#[derive(Clone)]
struct Checked {
    rules: Arc<AddressRules>,
    lookup: Arc<dyn Lookup>,
}

impl Service<Name> for Checked {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        let (rules, found) = (Arc::clone(&self.rules), self.lookup.lookup(host.clone()));
        Box::pin(async move {
            let found = found.await?;
            let (allowed, forbidden): (Vec<IpAddr>, Vec<IpAddr>) =
                found.into_iter().partition(|address| rules.allow(*address));
            if let (true, Some(&address)) = (allowed.is_empty(), forbidden.first()) {
                return Err(Forbidden { host, address }.into());
            }
            let allowed = allowed.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(allowed.collect::<Vec<_>>().into_iter())
        })
    }
}

/// Sends messages.
pub struct Sender {
    client: Client<HttpsConnector<HttpConnector<Checked>>, Full<Bytes>>,
    rules: Arc<AddressRules>,
    timeout: Duration,
}

impl Sender {
    /// Sends to what `rules` allow, each message within `timeout`. Certificates are checked by what
    /// the system trusts.
    ///
    /// # Errors
    /// When TLS cannot be used as it was built.
    pub fn new(
        rules: AddressRules,
        lookup: Arc<dyn Lookup>,
        timeout: Duration,
    ) -> Result<Self, rustls::Error> {
        let rules = Arc::new(rules);
        let mut http = HttpConnector::new_with_resolver(Checked {
            rules: Arc::clone(&rules),
            lookup,
        });
        http.enforce_http(false);
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .build(connector);
        Ok(Self {
            client,
            rules,
            timeout,
        })
    }

    /// How long a message may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a message, and answers the status with which it was accepted.
    ///
    /// # Errors
    /// Why it was not accepted.
    pub async fn send(&self, message: &Waiting, now: UnixMillis) -> Result<StatusCode, SendError> {
        let url = Url::parse(&message.url);
        let url = url.map_err(|error| SendError::Message(error.to_string()))?;
        self.check(&url)?;
        let request = request(&url, message, now)?;
        let exchange = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| connection_error(&error))?;
            let status = answer.status();
            // Whether the rest arrives does not matter.
            let _ = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await;
            Ok(status)
        };
        let answered = tokio::time::timeout(self.timeout, exchange).await;
        let status = answered.map_err(|_| SendError::Timeout(self.timeout))??;
        match status.is_success() {
            true => Ok(status),
            false => Err(SendError::Refused(status)),
        }
    }

    /// Addresses are connected to without being resolved.
    fn check(&self, url: &Url) -> Result<(), SendError> {
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(SendError::Message("the URL has no host".to_owned())),
        };
        if self.rules.allow(address) {
            return Ok(());
        }
        let host = address.to_string();
        Err(SendError::Address(Forbidden { host, address }.to_string()))
    }
}

fn request(
    url: &Url,
    message: &Waiting,
    now: UnixMillis,
) -> Result<Request<Full<Bytes>>, SendError> {
    let timestamp = now.as_millis().div_euclid(1_000);
    let signatures = message.secrets.iter();
    let signatures = signatures
        .map(|secret| secret.sign(&message.id, timestamp, &message.body))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| SendError::Message(error.to_string()))?;
    Request::post(url.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("tollgate/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signatures.join(" "))
        .body(Full::from(message.body.clone()))
        .map_err(|error| SendError::Message(error.to_string()))
}

fn connection_error(error: &(dyn StdError + 'static)) -> SendError {
    let mut texts = Vec::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
            return SendError::Address(forbidden.to_string());
        }
        texts.push(error.to_string());
        cause = error.source();
    }
    SendError::Connection(texts.join(": "))
}

fn tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = match builder.clone().with_native_roots() {
        Ok(config) => config,
        Err(error) => {
            // Nobody can be vouched for then, and whatever is sent over TLS fails.
            tracing::warn!(%error, "the system trusts no authorities: webhooks over https will fail");
            builder.with_root_certificates(RootCertStore::empty())
        }
    };
    Ok(config.with_no_client_auth())
}
