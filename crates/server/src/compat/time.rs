//! Moments as each API writes them, always in UTC.

use jiff::Timestamp;
use tollgate_clock::UnixMillis;

/// As YOURLS does: `2030-01-31 12:00:00`.
pub(super) const PLAIN: &str = "%Y-%m-%d %H:%M:%S";
/// As Bitly does: `2030-01-31T12:00:00+0000`.
pub(super) const BASIC_OFFSET: &str = "%Y-%m-%dT%H:%M:%S%z";
/// As Shlink does: `2030-01-31T12:00:00+00:00`.
pub(super) const ATOM: &str = "%Y-%m-%dT%H:%M:%S%:z";

/// Writes a moment; one that no calendar has is that of 1970.
pub(super) fn written(at: UnixMillis, form: &str) -> String {
    let at = Timestamp::from_millisecond(at.as_millis()).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        let at = "2030-01-31T13:30:05.678+01:00".parse().unwrap();
        assert_eq!(written(at, PLAIN), "2030-01-31 12:30:05");
        assert_eq!(written(at, BASIC_OFFSET), "2030-01-31T12:30:05+0000");
        assert_eq!(written(at, ATOM), "2030-01-31T12:30:05+00:00");
        assert_eq!(
            written(UnixMillis::from_millis(i64::MAX), PLAIN),
            "1970-01-01 00:00:00"
        );
    }
}
