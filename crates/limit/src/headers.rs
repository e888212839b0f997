//! What a client is told over HTTP of the limits it has met, by
//! [draft-ietf-httpapi-ratelimit-headers-10](https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10).
//!
//! With the feature `http`.

use std::fmt::Write as _;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::service::{CheckAnswer, Status};

/// `RateLimit`: for each limit what is left, and in how many seconds there is more.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// `RateLimit-Policy`: for each limit how much it lets through, in how many seconds.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The problem type of a refusal (section 7 of the draft).
pub const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// The headers of an answer: [`RATE_LIMIT`] and [`RATE_LIMIT_POLICY`] if it met a limit, and
/// `Retry-After` if it is refused and not for ever.
#[must_use]
pub fn told(answer: &CheckAnswer) -> HeaderMap {
    let seen: Vec<Seen<'_>> = answer.statuses.iter().filter_map(seen).collect();
    let retry_after = answer.retry_after().filter(|_| !answer.allowed);
    headers(&seen, retry_after)
}

/// One limit as its client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen<'a> {
    /// The policy's name.
    policy: &'a str,
    /// Units in a window.
    quota: u64,
    /// How long a window is.
    window: Duration,
    /// Units left.
    remaining: u64,
    /// When there are more.
    more_after: Duration,
}

fn seen(status: &Status) -> Option<Seen<'_>> {
    let limit = status.limit?;
    Some(Seen {
        policy: status.policy()?,
        quota: limit.requests(),
        window: limit.window(),
        remaining: status.remaining?,
        more_after: status.retry_after.or(status.reset_after)?,
    })
}

/// `RateLimit` and `RateLimit-Policy`, and `Retry-After` for a refusal that ends. Nothing without a
/// limit.
fn headers(seen: &[Seen<'_>], retry_after: Option<Duration>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    if let Some(after) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(after).max(1)));
    }
    let mut policies = String::new();
    let mut limits = String::new();
    for limit in seen {
        let (comma, name) = (
            if policies.is_empty() { "" } else { ", " },
            text(limit.policy),
        );
        let (quota, window) = (integer(limit.quota), seconds(limit.window).max(1));
        let (left, more) = (integer(limit.remaining), seconds(limit.more_after));
        // Writing to a string never fails.
        let _ = write!(policies, "{comma}{name};q={quota};w={window}");
        let _ = write!(limits, "{comma}{name};r={left};t={more}");
    }
    if !seen.is_empty() {
        for (name, value) in [(RATE_LIMIT_POLICY, policies), (RATE_LIMIT, limits)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
    headers
}

/// Whole seconds, rounded up: whoever waits so long comes late enough.
#[must_use]
pub fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Integers of structured fields have 15 digits (RFC 9651, section 3.3.1).
fn integer(number: u64) -> u64 {
    number.min(999_999_999_999_999)
}

/// A string of a structured field (RFC 9651, section 3.3.3), which is printable ASCII: other
/// characters of a name become `?`.
fn text(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            ' '..='~' => text.push(c),
            _ => text.push('?'),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(policy: &str) -> Seen<'_> {
        Seen {
            policy,
            quota: 100,
            window: Duration::from_secs(60),
            remaining: 50,
            more_after: Duration::from_millis(29_001),
        }
    }

    #[test]
    fn the_example_of_the_draft() {
        let daily = Seen {
            quota: 1000,
            window: Duration::from_secs(86_400),
            ..seen("daily")
        };
        let headers = headers(&[seen("burst"), daily], None);
        assert_eq!(
            headers[RATE_LIMIT_POLICY],
            r#""burst";q=100;w=60, "daily";q=1000;w=86400"#
        );
        assert_eq!(
            headers[RATE_LIMIT],
            r#""burst";r=50;t=30, "daily";r=50;t=30"#
        );
        assert!(!headers.contains_key(RETRY_AFTER));
    }

    #[test]
    fn names_and_numbers_keep_to_what_a_field_can_hold() {
        let odd = Seen {
            quota: 1 << 53,
            window: Duration::from_millis(1),
            ..seen("a \"b\" \\ é")
        };
        let headers = headers(&[odd], Some(Duration::from_millis(1)));
        assert_eq!(
            headers[RATE_LIMIT_POLICY],
            r#""a \"b\" \\ ?";q=999999999999999;w=1"#
        );
        assert_eq!(headers[RETRY_AFTER], "1");
    }

    #[test]
    fn without_limits_there_is_nothing_to_say() {
        assert!(headers(&[], None).is_empty());
    }
}
