//! The client of the protocol: credentials, times and attempts.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Region;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::{DynamoAddress, DynamoCredentials, DynamoOptions};

/// How often a request is sent at most; those behind the first wait a random time, which doubles.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(40);
const LONGEST_WAIT: Duration = Duration::from_millis(800);
/// For a connection to be there.
const CONNECT: Duration = Duration::from_secs(1);

/// Finds credentials, and makes a client.
pub(super) async fn connect(address: &DynamoAddress, options: &DynamoOptions) -> Client {
    let deadline = options.deadline;
    // One attempt may take half of it: a request that got lost is sent again.
    let times = TimeoutConfig::builder()
        .connect_timeout(CONNECT.min(deadline))
        .operation_attempt_timeout(deadline / 2)
        .operation_timeout(deadline)
        .build();
    let attempts = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_WAIT)
        .with_max_backoff(LONGEST_WAIT);
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.build_https())
        .region(Region::new(address.region.clone()))
        .timeout_config(times)
        .retry_config(attempts);
    if let DynamoCredentials::Static { id, secret } = &options.credentials {
        let keys = Credentials::from_keys(id.as_str(), secret.as_str(), None);
        loader = loader.credentials_provider(keys);
    }
    if let Some(endpoint) = &address.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    Client::new(&loader.load().await)
}
