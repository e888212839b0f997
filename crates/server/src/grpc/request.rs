//! From what a proxy asks to what the service decides.

use std::time::Duration;

use tollgate_limit::MAX_LIMIT;
use tollgate_limit::policy::{Allowance, Descriptor, Entry};
use tollgate_limit::service::CheckRequest;
use tonic::Status;

use super::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use super::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::RateLimitOverride;
use super::pb::envoy::service::ratelimit::v3::RateLimitRequest;
use super::pb::envoy::r#type::v3::RateLimitUnit as Unit;
use crate::limits::{MAX_DESCRIPTORS, MAX_ENTRIES, MAX_ENTRY_BYTES};

const DAY: u64 = 86_400;

/// The request for the service.
///
/// # Errors
/// `INVALID_ARGUMENT`, with the field that is wrong and what to do.
pub(super) fn check(asked: RateLimitRequest) -> Result<CheckRequest, Status> {
    if asked.descriptors.len() > MAX_DESCRIPTORS {
        return Err(wrong(
            "descriptors",
            &format!("give at most {MAX_DESCRIPTORS}"),
        ));
    }
    let descriptors = asked.descriptors.into_iter().enumerate();
    let descriptors = descriptors
        .map(|(at, asked)| {
            descriptor(asked)
                .map_err(|(field, reason)| wrong(&format!("descriptors[{at}].{field}"), &reason))
        })
        .collect::<Result<_, _>>()?;
    Ok(CheckRequest {
        domain: asked.domain,
        descriptors,
        // The protocol cannot tell 0 from nothing here; a descriptor's own 0 can be told.
        hits: u64::from(asked.hits_addend.max(1)),
    })
}

/// What is wrong with a field of a descriptor.
type Wrong = (&'static str, String);

fn descriptor(asked: RateLimitDescriptor) -> Result<Descriptor, Wrong> {
    if asked.entries.is_empty() || asked.entries.len() > MAX_ENTRIES {
        return Err(("entries", format!("give 1 to {MAX_ENTRIES}")));
    }
    let mut lengths = asked.entries.iter().map(|e| e.key.len().max(e.value.len()));
    if lengths.any(|length| length > MAX_ENTRY_BYTES) {
        let reason = format!("a key and a value have at most {MAX_ENTRY_BYTES} bytes");
        return Err(("entries", reason));
    }
    if asked.hits_addend.is_some_and(|hits| hits > MAX_LIMIT) {
        return Err(("hits_addend", format!("give at most {MAX_LIMIT}")));
    }
    if asked.is_negative_hits {
        let reason = "hits cannot be given back: leave it out".to_owned();
        return Err(("is_negative_hits", reason));
    }
    let entries = asked.entries.into_iter();
    Ok(Descriptor {
        entries: entries.map(|e| Entry::new(e.key, e.value)).collect(),
        hits: asked.hits_addend,
        limit: asked.limit.map(allowance).transpose()?,
    })
}

fn allowance(asked: RateLimitOverride) -> Result<Allowance, Wrong> {
    let seconds = match asked.unit() {
        Unit::Second => 1,
        Unit::Minute => 60,
        Unit::Hour => 3_600,
        Unit::Day => DAY,
        Unit::Month => 30 * DAY,
        Unit::Year => 365 * DAY,
        Unit::Unknown => {
            let reason = "give SECOND, MINUTE, HOUR, DAY, MONTH or YEAR".to_owned();
            return Err(("limit.unit", reason));
        }
    };
    Allowance::new(asked.requests_per_unit.into(), Duration::from_secs(seconds))
        .map_err(|error| ("limit", error.to_string()))
}

fn wrong(field: &str, reason: &str) -> Status {
    Status::invalid_argument(format!("{field}: {reason}"))
}
