use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment: milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 for people and JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(i64);

/// A text that is no RFC 3339 time stamp.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an RFC 3339 time such as 2030-01-31T12:00:00Z: {0:?}")]
pub struct TimeError(String);

impl UnixMillis {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment plus `by`, stopping at the end of time.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This moment minus `by`, stopping at the beginning of time.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How much later this is than `earlier`; zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => timestamp.fmt(f),
            // Outside jiff's years -9999 to 9999: still readable, and never a panic.
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl FromStr for UnixMillis {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Ok(Self(timestamp.as_millisecond()));
        }
        last_day(text).ok_or_else(|| TimeError(text.chars().take(64).collect()))
    }
}

/// Moments in UTC at the very end of the year 9999, which many programs write for "never". jiff's
/// time stamps end a day earlier, so that they fit into every time zone.
fn last_day(text: &str) -> Option<UnixMillis> {
    let (civil, "") = text.split_once(['Z', 'z'])? else {
        return None;
    };
    let _: DateTime = civil.parse().ok()?;
    let end = (Timestamp::MAX.as_second() - 1) * 1_000;
    civil.starts_with("9999-12-3").then_some(UnixMillis(end))
}

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_rfc_3339() {
        let t: UnixMillis = "2030-01-31T13:00:00.25+01:00".parse().unwrap();
        assert_eq!(t.to_string(), "2030-01-31T12:00:00.25Z");
        assert!("tomorrow".parse::<UnixMillis>().is_err());
    }

    #[test]
    fn the_end_of_the_year_9999_is_as_late_as_can_be() {
        let never: UnixMillis = "9999-12-31T23:59:59Z".parse().unwrap();
        assert_eq!(never.to_string(), "9999-12-30T21:59:59Z");
        assert_eq!(never.to_string().parse::<UnixMillis>(), Ok(never));
        for bad in [
            "9999-12-31",
            "9999-12-32T00:00:00Z",
            "9999-12-31T23:59:59Z!",
        ] {
            assert!(bad.parse::<UnixMillis>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_time() {
        let end = UnixMillis::from_millis(i64::MAX);
        assert_eq!(end.saturating_add(Duration::from_secs(1)), end);
        assert_eq!(UnixMillis::from_millis(5).since(end), Duration::ZERO);
        assert!(end.to_string().ends_with("ms"));
    }
}
