use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use tollgate_clock::UnixMillis;

use super::QueryError;

/// What moments of a query are rounded to: roll-ups know no shorter time.
pub const QUARTER_MS: i64 = 15 * 60 * 1_000;

/// A stretch of time that has a beginning before its end, both at whole quarters of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    from: UnixMillis,
    to: UnixMillis,
}

impl Period {
    /// The last moment that a query may name: a year and a day before jiff's own end, so that no zone and no
    /// rounding leads beyond.
    pub const LAST: UnixMillis = UnixMillis::from_millis(253_339_000_000_000);

    /// From `from` (inclusive) to `to` (exclusive). What is at no whole quarter of an hour is made
    /// longer to the whole hour, so that all that is counted in it is of the same time.
    ///
    /// # Errors
    /// [`QueryError::EmptyPeriod`] and [`QueryError::OutOfRange`].
    pub fn new(from: UnixMillis, to: UnixMillis) -> Result<Self, QueryError> {
        for (parameter, moment) in [("from", from), ("to", to)] {
            if !(0..=Self::LAST.as_millis()).contains(&moment.as_millis()) {
                return Err(QueryError::OutOfRange { parameter, moment });
            }
        }
        if from >= to {
            return Err(QueryError::EmptyPeriod { from, to });
        }
        let unit = |moment: UnixMillis| match moment.as_millis() % QUARTER_MS {
            0 => QUARTER_MS,
            _ => 4 * QUARTER_MS,
        };
        let down = |ms: i64, unit: i64| UnixMillis::from_millis(ms / unit * unit);
        Ok(Self {
            from: down(from.as_millis(), unit(from)),
            to: down(to.as_millis() + unit(to) - 1, unit(to)),
        })
    }

    /// Its beginning, which belongs to it.
    #[must_use]
    pub const fn from(self) -> UnixMillis {
        self.from
    }

    /// Its end, which does not belong to it.
    #[must_use]
    pub const fn to(self) -> UnixMillis {
        self.to
    }

    /// The period of the same length that ends where this one begins; shorter if 1970 comes before.
    #[must_use]
    pub fn before(self) -> Option<Self> {
        let length = self.to.as_millis() - self.from.as_millis();
        let from = (self.from.as_millis() - length).max(0);
        Self::new(UnixMillis::from_millis(from), self.from).ok()
    }
}

/// Reads a moment: RFC 3339, or a date or a time without an offset, which is meant in `zone`. A
/// time that clocks skip there is the one after the gap; of one that they show twice, the first.
///
/// # Errors
/// [`QueryError::Moment`], which names `parameter`.
pub fn moment(
    parameter: &'static str,
    text: &str,
    zone: &TimeZone,
) -> Result<UnixMillis, QueryError> {
    let refuse = || QueryError::Moment {
        parameter,
        text: text.chars().take(64).collect(),
    };
    // A text with an offset is read as a time stamp first: as a civil time it would lose it.
    if let Ok(moment) = text.parse::<UnixMillis>() {
        return Ok(moment);
    }
    // Nothing behind the time: a zone in brackets would be ignored.
    let plain =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'T' | b't' | b'.' | b' ');
    if !text.bytes().all(plain) {
        return Err(refuse());
    }
    let civil = text
        .parse::<DateTime>()
        .or_else(|_| text.parse::<Date>().map(Into::into))
        .map_err(|_| refuse())?;
    let moment: Timestamp = zone.to_timestamp(civil).map_err(|_| refuse())?;
    Ok(UnixMillis::from_millis(moment.as_millisecond()))
}

/// Finds a time zone by its name in the IANA data base.
///
/// # Errors
/// [`QueryError::Zone`].
pub fn zone(name: &str) -> Result<TimeZone, QueryError> {
    let refuse = || QueryError::Zone(name.chars().take(64).collect());
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str, name: &str) -> String {
        moment("from", text, &zone(name).unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn moments_are_meant_in_the_zone_unless_they_say_otherwise() {
        assert_eq!(at("2026-11-25", "Europe/Berlin"), "2026-11-24T23:00:00Z");
        assert_eq!(
            at("2026-11-25T12:30", "Asia/Kolkata"),
            "2026-11-25T07:00:00Z"
        );
        assert_eq!(
            at("2026-11-25T12:30:00+01:00", "Asia/Kolkata"),
            "2026-11-25T11:30:00Z"
        );
        assert_eq!(
            at("2026-11-25T12:30:00Z", "Asia/Kolkata"),
            "2026-11-25T12:30:00Z"
        );
    }

    #[test]
    fn skipped_times_are_behind_the_gap_and_doubled_ones_are_the_first() {
        assert_eq!(
            at("2026-03-29T02:30", "Europe/Berlin"),
            "2026-03-29T01:30:00Z"
        );
        assert_eq!(
            at("2026-10-25T02:30", "Europe/Berlin"),
            "2026-10-25T00:30:00Z"
        );
    }

    #[test]
    fn what_is_no_moment_or_zone_is_refused_by_name() {
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-11-25T12:30[Europe/Paris]",
            "12:00",
        ] {
            let error = moment("to", text, &TimeZone::UTC).unwrap_err();
            assert_eq!(error.parameter(), Some("to"), "{text}");
        }
        assert_eq!(zone("Mars/Olympus").unwrap_err().parameter(), Some("tz"));
        assert_eq!(zone("utc").unwrap(), TimeZone::UTC);
    }

    #[test]
    fn periods_are_made_longer_to_hours_and_follow_each_other() {
        let at = |text: &str| text.parse::<UnixMillis>().unwrap();
        let period =
            Period::new(at("2026-01-02T00:20:00Z"), at("2026-01-03T00:00:00.001Z")).unwrap();
        assert_eq!(period.from(), at("2026-01-02T00:00:00Z"));
        assert_eq!(period.to(), at("2026-01-03T01:00:00Z"));
        let quarters = Period::new(at("2026-01-02T00:15:00Z"), at("2026-01-03T00:45:00Z")).unwrap();
        assert_eq!(quarters.from(), at("2026-01-02T00:15:00Z"));
        assert_eq!(quarters.to(), at("2026-01-03T00:45:00Z"));
        let before = period.before().unwrap();
        assert_eq!(before.to(), period.from());
        assert_eq!(before.from(), at("2025-12-31T23:00:00Z"));
        let error = Period::new(period.to(), period.from()).unwrap_err();
        assert_eq!(error.parameter(), Some("to"));
        let error = Period::new(at("1969-12-31T00:00:00Z"), period.to()).unwrap_err();
        assert_eq!(error.parameter(), Some("from"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}", dated in "[0-9T:.Z+-]{0,30}") {
            for text in [&text, &dated] {
                if let Ok(moment) = moment("from", text, &TimeZone::UTC) {
                    let end = moment.saturating_add(std::time::Duration::from_secs(1));
                    let _ = Period::new(moment, end).map(Period::before);
                }
                let _ = zone(text);
            }
        }
    }
}
