//! What has to hold for any message of the limit service.

use prost::Message as _;
use tollgate_limit::MAX_LIMIT;

use super::pb::envoy::service::ratelimit::v3::RateLimitRequest;
use super::request::check;
use crate::limits::{MAX_DESCRIPTORS, MAX_ENTRIES, MAX_ENTRY_BYTES};

/// What is asked is within the bounds, and the same when it is written and read again.
pub fn grpc_request(data: &[u8]) {
    let Ok(asked) = RateLimitRequest::decode(data) else {
        return;
    };
    let again = RateLimitRequest::decode(&*asked.encode_to_vec());
    assert_eq!(again.as_ref(), Ok(&asked));
    match check(asked) {
        Ok(request) => {
            assert!(request.hits > 0);
            assert!(request.descriptors.len() <= MAX_DESCRIPTORS);
            for descriptor in &request.descriptors {
                assert!((1..=MAX_ENTRIES).contains(&descriptor.entries.len()));
                assert!(descriptor.hits.is_none_or(|hits| hits <= MAX_LIMIT));
                for entry in &descriptor.entries {
                    assert!(entry.key.len().max(entry.value.len()) <= MAX_ENTRY_BYTES);
                }
            }
        }
        Err(status) => {
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().len() < 200, "short: {status}");
        }
    }
}
