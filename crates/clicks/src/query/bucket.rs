use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};
use tollgate_clock::UnixMillis;

use super::{Period, QUARTER_MS, QueryError};

/// The most steps of a series.
pub const MAX_BUCKETS: usize = 10_000;

/// The length of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bucket {
    /// An hour of the clock.
    Hour,
    /// From midnight to midnight, which may be 23 or 25 hours.
    #[default]
    Day,
    /// From Monday on.
    Week,
    /// From the first of a month on.
    Month,
}

impl Bucket {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bucket {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        [Self::Hour, Self::Day, Self::Week, Self::Month]
            .into_iter()
            .find(|bucket| bucket.name() == text)
            .ok_or_else(|| QueryError::Bucket(text.chars().take(64).collect()))
    }
}

impl Bucket {
    /// The beginning of each step of `period`, in order: the period's own first, then those of the
    /// clock in `zone`. Where clocks are put back, the hour that comes twice is two steps.
    ///
    /// # Errors
    /// [`QueryError::TooManyBuckets`].
    pub fn starts(self, period: Period, zone: &TimeZone) -> Result<Vec<UnixMillis>, QueryError> {
        let mut starts = vec![period.from()];
        let mut last = period.from();
        while let Some(next) = self.next(last, zone).filter(|next| *next < period.to()) {
            if starts.len() == MAX_BUCKETS {
                return Err(QueryError::TooManyBuckets { most: MAX_BUCKETS });
            }
            starts.push(next);
            last = next;
        }
        Ok(starts)
    }

    /// The first beginning of a step after `moment`; none at the end of time.
    fn next(self, moment: UnixMillis, zone: &TimeZone) -> Option<UnixMillis> {
        let mut at = Timestamp::from_millisecond(moment.as_millis()).ok()?;
        loop {
            let next = self.clock_start(at, zone)?;
            // Roll-ups know whole quarters. Offsets of some zones before 1972 are none: their steps
            // begin with the quarter, so a step may have begun already.
            let floor = next.as_millisecond().div_euclid(QUARTER_MS) * QUARTER_MS;
            if floor > moment.as_millis() {
                return Some(UnixMillis::from_millis(floor));
            }
            at = next;
        }
    }

    /// The first moment after `at` at which a step begins by the clock of `zone`.
    fn clock_start(self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Hour => next_hour(at, zone),
            Self::Day => civil_start(at, zone, 1.day(), |date| date),
            Self::Week => civil_start(at, zone, 1.week(), |date| {
                let since_monday = date.weekday().to_monday_zero_offset();
                date.saturating_sub(Span::new().days(since_monday))
            }),
            Self::Month => civil_start(at, zone, 1.month(), Date::first_of_month),
        }
    }
}

/// The next full hour of the clock. Where the clock jumps meanwhile, the moment of the jump counts
/// as one: both sides of it show other hours.
fn next_hour(at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let offset = i64::from(zone.to_offset(at).seconds());
    let local = at.as_second() + offset;
    let next = (local.div_euclid(3_600) + 1) * 3_600 - offset;
    let next = Timestamp::from_second(next).ok()?;
    let jump = zone
        .following(at)
        .next()
        .map(|transition| transition.timestamp())
        .filter(|jump| {
            *jump < next && zone.to_offset(*jump).seconds() != zone.to_offset(at).seconds()
        });
    Some(jump.unwrap_or(next))
}

/// The first moment of the civil date that lies `step` behind the `first` of the step of `at`.
fn civil_start(
    at: Timestamp,
    zone: &TimeZone,
    step: Span,
    first: impl Fn(Date) -> Date,
) -> Option<Timestamp> {
    let today = first(zone.to_datetime(at).date());
    let mut day = today.checked_add(step).ok()?;
    loop {
        let start = zone.to_timestamp(day.to_datetime(Time::midnight())).ok()?;
        // A zone may leave out a whole day, which then begins no later than the one before.
        if start > at {
            return Some(start);
        }
        day = day.checked_add(step).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::{moment, zone};

    fn starts(bucket: Bucket, from: &str, to: &str, name: &str) -> Vec<String> {
        let zone = zone(name).unwrap();
        let at = |text: &str| moment("from", text, &zone).unwrap();
        let period = Period::new(at(from), at(to)).unwrap();
        let starts = bucket.starts(period, &zone).unwrap();
        starts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn days_are_those_of_the_zone_and_have_23_to_25_hours() {
        assert_eq!(
            starts(
                Bucket::Day,
                "2026-03-28T12:00",
                "2026-03-31",
                "Europe/Berlin"
            ),
            [
                "2026-03-28T11:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z"
            ]
        );
        assert_eq!(
            starts(Bucket::Day, "2026-10-25", "2026-10-27", "Europe/Berlin"),
            ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"]
        );
        assert_eq!(
            starts(Bucket::Day, "2026-01-01", "2026-01-03", "Asia/Kolkata"),
            ["2025-12-31T18:30:00Z", "2026-01-01T18:30:00Z"]
        );
        assert_eq!(
            starts(Bucket::Day, "2026-01-01", "2026-01-02", "Asia/Kathmandu"),
            ["2025-12-31T18:15:00Z"]
        );
    }

    #[test]
    fn midnight_may_be_skipped_and_so_may_a_day() {
        // Clocks in Beirut skip the first hour of this day.
        assert_eq!(
            starts(Bucket::Day, "2026-03-28", "2026-03-30", "Asia/Beirut"),
            ["2026-03-27T22:00:00Z", "2026-03-28T22:00:00Z"]
        );
        // Samoa had no 30th of December.
        assert_eq!(
            starts(Bucket::Day, "2011-12-29", "2012-01-01", "Pacific/Apia"),
            ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"]
        );
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_steps() {
        let hours = starts(
            Bucket::Hour,
            "2026-10-25T01:00",
            "2026-10-25T04:00",
            "Europe/Berlin",
        );
        assert_eq!(hours.len(), 4);
        // Half an hour is put back here.
        let hours = starts(
            Bucket::Hour,
            "2026-04-05T01:00",
            "2026-04-05T03:00",
            "Australia/Lord_Howe",
        );
        assert_eq!(
            hours,
            [
                "2026-04-04T14:00:00Z",
                "2026-04-04T15:00:00Z",
                "2026-04-04T15:30:00Z"
            ]
        );
    }

    #[test]
    fn an_hour_between_quarters_is_one_step() {
        // Clocks in Monrovia were 44 minutes and 30 seconds behind.
        assert_eq!(
            starts(
                Bucket::Hour,
                "1970-01-01T00:00:00Z",
                "1970-01-01T03:00:00Z",
                "Africa/Monrovia"
            ),
            [
                "1970-01-01T00:00:00Z",
                "1970-01-01T00:30:00Z",
                "1970-01-01T01:30:00Z",
                "1970-01-01T02:30:00Z"
            ]
        );
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        assert_eq!(
            starts(Bucket::Week, "2026-11-25", "2026-12-08", "UTC"),
            [
                "2026-11-25T00:00:00Z",
                "2026-11-30T00:00:00Z",
                "2026-12-07T00:00:00Z"
            ]
        );
        assert_eq!(
            starts(Bucket::Month, "2026-01-31", "2026-04-01", "UTC"),
            [
                "2026-01-31T00:00:00Z",
                "2026-02-01T00:00:00Z",
                "2026-03-01T00:00:00Z"
            ]
        );
    }

    #[test]
    fn too_many_are_refused() {
        let zone = TimeZone::UTC;
        let at = |text: &str| moment("from", text, &zone).unwrap();
        let period = Period::new(at("2000-01-01"), at("2026-01-01")).unwrap();
        let error = Bucket::Hour.starts(period, &zone).unwrap_err();
        assert_eq!(error.parameter(), Some("bucket"));
        assert!(Bucket::Day.starts(period, &zone).is_ok());
    }

    proptest! {
        #[test]
        fn steps_follow_each_other_in_every_zone(
            from in 0_i64..4_000_000_000_000,
            length in 1_i64..20_000_000_000,
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Asia/Kathmandu",
                "Pacific/Apia", "Australia/Lord_Howe", "Africa/Monrovia", "Pacific/Chatham",
                "America/Sao_Paulo", "Africa/Casablanca", "Antarctica/Troll",
            ]),
            bucket in prop::sample::select(vec![
                Bucket::Hour, Bucket::Day, Bucket::Week, Bucket::Month,
            ]),
        ) {
            let zone = super::super::zone(zone).unwrap();
            let at = UnixMillis::from_millis;
            let period = Period::new(at(from), at(from + length)).unwrap();
            let starts = bucket.starts(period, &zone).unwrap();
            prop_assert_eq!(starts[0], period.from());
            prop_assert!(starts.is_sorted_by(|a, b| a < b));
            prop_assert!(*starts.last().unwrap() < period.to());
            let longest = match bucket {
                Bucket::Hour => 1, Bucket::Day => 26, Bucket::Week => 24 * 9, Bucket::Month => 24 * 33,
            };
            for pair in starts.windows(2) {
                prop_assert!(pair[1].as_millis() - pair[0].as_millis() <= longest * 3_600_000);
                prop_assert_eq!(pair[1].as_millis() % QUARTER_MS, 0);
            }
        }
    }
}
