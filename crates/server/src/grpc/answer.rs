//! From what the service decided to what a proxy is told.

use std::time::Duration;

use tollgate_limit::policy::Allowance;
use tollgate_limit::service::{CheckAnswer, Code, Status};

use super::pb::envoy::config::core::v3::HeaderValue;
use super::pb::envoy::service::ratelimit::v3::RateLimitResponse;
use super::pb::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use super::pb::envoy::service::ratelimit::v3::rate_limit_response::{
    Code as Told, DescriptorStatus, RateLimit,
};
use crate::limits::headers::{millis, told};

/// The header that a request goes on with if it should wait: whole milliseconds.
const DELAY: &str = "x-ratelimit-delay";

/// Units of time in seconds, as policies have them.
const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

/// The response. `delay` is what is left to wait for whoever gets the request next.
pub(super) fn response(answer: &CheckAnswer, headers: bool, delay: Duration) -> RateLimitResponse {
    let pass_on = if headers {
        told(answer)
            .iter()
            .filter_map(|(name, value)| Some(header(name.as_str(), value.to_str().ok()?)))
            .collect()
    } else {
        Vec::new()
    };
    let go_on = if delay.is_zero() {
        Vec::new()
    } else {
        vec![header(DELAY, &millis(delay).to_string())]
    };
    RateLimitResponse {
        overall_code: code(!answer.allowed).into(),
        statuses: answer.statuses.iter().map(status).collect(),
        response_headers_to_add: pass_on,
        request_headers_to_add: go_on,
        raw_body: Vec::new(),
    }
}

fn status(status: &Status) -> DescriptorStatus {
    let current_limit = status.limit.map(|limit| RateLimit {
        name: status.policy().unwrap_or_default().to_owned(),
        requests_per_unit: saturated(limit.requests()),
        unit: unit(limit).into(),
    });
    let limit_remaining = match status.code {
        Code::Unlimited => u32::MAX,
        _ => saturated(status.remaining.unwrap_or(0)),
    };
    DescriptorStatus {
        code: code(status.refuses()).into(),
        current_limit,
        limit_remaining,
        duration_until_reset: status.reset_after.map(duration),
    }
}

fn code(over: bool) -> Told {
    if over { Told::OverLimit } else { Told::Ok }
}

/// The unit that is as long as the window. For any other window there is none, and
/// `requests_per_unit` is that of the window: to say 20 a minute where 30 in 90 seconds are meant
/// would contradict `limit_remaining`.
fn unit(limit: Allowance) -> Unit {
    let window = limit.window();
    match (window.as_secs(), window.subsec_nanos()) {
        (1, 0) => Unit::Second,
        (60, 0) => Unit::Minute,
        (3_600, 0) => Unit::Hour,
        (DAY, 0) => Unit::Day,
        (WEEK, 0) => Unit::Week,
        (MONTH, 0) => Unit::Month,
        (YEAR, 0) => Unit::Year,
        _ => Unit::Unknown,
    }
}

fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        // Below a thousand million.
        nanos: duration.subsec_nanos().cast_signed(),
    }
}

fn header(name: &str, value: &str) -> HeaderValue {
    HeaderValue {
        key: name.to_owned(),
        value: value.to_owned(),
        raw_value: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_the_unit_of_their_length_or_none() {
        let of = |window: Duration| unit(Allowance::new(5, window).unwrap());
        let seconds = |seconds| of(Duration::from_secs(seconds));
        assert_eq!(seconds(1), Unit::Second);
        assert_eq!(seconds(60), Unit::Minute);
        assert_eq!(seconds(3_600), Unit::Hour);
        assert_eq!(seconds(24 * 3_600), Unit::Day);
        assert_eq!(seconds(7 * 24 * 3_600), Unit::Week);
        assert_eq!(seconds(30 * 24 * 3_600), Unit::Month);
        assert_eq!(seconds(365 * 24 * 3_600), Unit::Year);
        assert_eq!(seconds(90), Unit::Unknown);
        assert_eq!(of(Duration::from_millis(1_001)), Unit::Unknown);
    }

    #[test]
    fn numbers_that_do_not_fit_are_the_largest_that_do() {
        assert_eq!(saturated(7), 7);
        assert_eq!(saturated(1 << 32), u32::MAX);
    }
}
