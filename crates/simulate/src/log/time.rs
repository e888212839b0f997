//! Times as logs write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// When a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTime {
    /// Nanoseconds since the Unix epoch.
    pub nanos: i64,
    /// Whether the log tells more than the second.
    pub exact: bool,
}

const SECOND: i64 = 1_000_000_000;
/// The longest text that is kept.
const KEPT: usize = 40;

/// Reads times, and remembers the last text: most lines have the same as those before them.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    text: Vec<u8>,
    time: Option<LogTime>,
}

impl Times {
    /// A time of the common log format, of RFC 3339, or in seconds or their fractions since the epoch.
    pub(super) fn text(&mut self, text: &[u8]) -> Option<LogTime> {
        if self.text == text {
            return self.time;
        }
        let time = common(text).or_else(|| other(std::str::from_utf8(text).ok()?));
        if text.len() <= KEPT {
            self.text.clear();
            self.text.extend_from_slice(text);
            self.time = time;
        }
        time
    }
}

fn other(text: &str) -> Option<LogTime> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(LogTime {
            nanos: i64::try_from(moment.as_nanosecond()).ok()?,
            exact: text.contains(['.', ',']),
        });
    }
    match text.parse::<i64>() {
        Ok(whole) => whole_number(whole),
        Err(_) => fraction(text.parse().ok()?),
    }
}

/// `10/Oct/2000:13:55:36 -0700`
fn common(text: &[u8]) -> Option<LogTime> {
    let [d1, d2, b'/', month @ .., b'+' | b'-', z1, z2, z3, z4] = text else {
        return None;
    };
    let [m1, m2, m3, b'/', y1, y2, y3, y4, b':', rest @ ..] = month else {
        return None;
    };
    let [h1, h2, b':', i1, i2, b':', s1, s2, b' '] = rest else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0_i16, |sum, digit| {
            let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
            Some(sum * 10 + i16::from(digit))
        })
    };
    let small = |digits: &[u8]| i8::try_from(number(digits)?).ok();
    let month = match [*m1, *m2, *m3].map(|letter| letter.to_ascii_lowercase()) {
        [b'j', b'a', b'n'] => 1,
        [b'f', b'e', b'b'] => 2,
        [b'm', b'a', b'r'] => 3,
        [b'a', b'p', b'r'] => 4,
        [b'm', b'a', b'y'] => 5,
        [b'j', b'u', b'n'] => 6,
        [b'j', b'u', b'l'] => 7,
        [b'a', b'u', b'g'] => 8,
        [b's', b'e', b'p'] => 9,
        [b'o', b'c', b't'] => 10,
        [b'n', b'o', b'v'] => 11,
        [b'd', b'e', b'c'] => 12,
        _ => return None,
    };
    // A leap second is told as the second before it.
    let second = small(&[*s1, *s2])?.min(59);
    let clock = (small(&[*h1, *h2])?, small(&[*i1, *i2])?);
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let civil = DateTime::new(
        year,
        month,
        small(&[*d1, *d2])?,
        clock.0,
        clock.1,
        second,
        0,
    )
    .ok()?;
    let zone = i32::from(number(&[*z1, *z2])?) * 3600 + i32::from(number(&[*z3, *z4])?) * 60;
    let west = text[text.len() - 5] == b'-';
    let offset = Offset::from_seconds(if west { -zone } else { zone }).ok()?;
    let moment = offset.to_timestamp(civil).ok()?;
    Some(LogTime {
        nanos: i64::try_from(moment.as_nanosecond()).ok()?,
        exact: false,
    })
}

/// Seconds, milliseconds, microseconds or nanoseconds, whichever puts it nearest to our days.
pub(super) fn whole_number(number: i64) -> Option<LogTime> {
    let unit = match number.unsigned_abs() {
        0..100_000_000_000 => SECOND,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    Some(LogTime {
        nanos: number.checked_mul(unit)?,
        exact: unit != SECOND,
    })
}

/// The same with a fraction, which a double tells to the microsecond.
pub(super) fn fraction(number: f64) -> Option<LogTime> {
    let unit = match number.abs() {
        size if size < 1e11 => 1e6,
        size if size < 1e14 => 1e3,
        size if size < 1e17 => 1.0,
        _ => return None,
    };
    Some(LogTime {
        // At most 10^17: it fits.
        nanos: ((number * unit).round() as i64).checked_mul(1_000)?,
        exact: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(i64, bool)> {
        let time = Times::default().text(text.as_bytes())?;
        Some((time.nanos, time.exact))
    }

    #[test]
    fn times_of_all_forms_are_read() {
        let nanos = 971_211_336_000_000_000;
        for (text, exact) in [
            ("10/Oct/2000:13:55:36 -0700", false),
            ("10/oct/2000:20:55:36 +0000", false),
            ("11/Oct/2000:02:25:36 +0530", false),
            ("2000-10-10T20:55:36Z", false),
            ("2000-10-10T13:55:36-07:00", false),
            ("2000-10-10T20:55:36.000Z", true),
            ("971211336", false),
            ("971211336000", true),
            ("971211336.000", true),
            ("971211336000.0", true),
            ("971211336000000", true),
            ("971211336000000000", true),
        ] {
            assert_eq!(read(text), Some((nanos, exact)), "{text}");
        }
        assert_eq!(
            read("1700000000.123456"),
            Some((1_700_000_000_123_456_000, true))
        );
        assert_eq!(
            read("31/Dec/2016:23:59:60 +0000"),
            read("31/Dec/2016:23:59:59 +0000")
        );
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "-",
            "yesterday",
            "10/Xxx/2000:13:55:36 -0700",
            "31/Feb/2000:13:55:36 -0700",
            "10/Oct/2000:25:55:36 -0700",
            "10/Oct/2000:13:55:36 0700",
            "NaN",
            "inf",
            "1e300",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_remembered_with_its_text_alone() {
        let mut times = Times::default();
        let one = times.text(b"10/Oct/2000:13:55:36 -0700");
        assert_eq!(times.text(b"10/Oct/2000:13:55:36 -0700"), one);
        assert_ne!(times.text(b"10/Oct/2000:13:55:37 -0700"), one);
        assert_eq!(times.text(b"no time"), None);
        assert_eq!(times.text(b"no time"), None);
    }
}
