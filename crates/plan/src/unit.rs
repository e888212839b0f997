//! What a number counts: how people write it, and how it is shown to them.

use serde::Serialize;

/// Seconds of a day.
pub(crate) const DAY: f64 = 86_400.0;
/// Seconds of a year of 365 days, as plans are made by.
pub(crate) const YEAR: f64 = 365.0 * DAY;

/// Digits that are shown of a result.
const DIGITS: usize = 4;
/// Digits in a formula, so that it can be computed again.
const DIGITS_OF_FORMULA: usize = 5;
/// Below this a whole number is shown with all of its digits.
const MOST_WITH_ALL_DIGITS: f64 = 1e15;

/// The unit of a number; values are always kept in the one that the variant names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Things, such as users or links; not always whole on average.
    Count,
    /// Things that cannot be parted, such as machines.
    Whole,
    /// Things a second.
    PerSecond,
    /// A part of a whole: 0.9 is 90 %.
    Share,
    /// By how much something is multiplied.
    Factor,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// Bits a second.
    BitsPerSecond,
    /// Seconds.
    Seconds,
    /// Years of 365 days.
    Years,
    /// Money, in whatever currency prices are given.
    Money,
}

/// A text that is no number of the wanted unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write {}", .0.examples())]
pub struct NotOfUnit(pub Unit);

/// Written after a number, without regard to case, and what it is multiplied by.
type Suffixes = &'static [(&'static str, f64)];

const COUNTS: Suffixes = &[
    ("", 1.0),
    ("k", 1e3),
    ("m", 1e6),
    ("million", 1e6),
    ("g", 1e9),
    ("billion", 1e9),
    ("t", 1e12),
    ("trillion", 1e12),
];
const PERIODS: Suffixes = &[
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3_600.0),
    ("d", DAY),
    ("day", DAY),
];
const SHARES: Suffixes = &[("", 1.0), ("%", 0.01)];
const FACTORS: Suffixes = &[("", 1.0), ("x", 1.0), (":1", 1.0)];
const BYTES: Suffixes = &[
    ("", 1.0),
    ("b", 1.0),
    ("k", 1e3),
    ("kb", 1e3),
    ("m", 1e6),
    ("mb", 1e6),
    ("g", 1e9),
    ("gb", 1e9),
    ("t", 1e12),
    ("tb", 1e12),
    ("p", 1e15),
    ("pb", 1e15),
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("tib", 1_099_511_627_776.0),
    ("pib", 1_125_899_906_842_624.0),
];
const BITS: Suffixes = &[
    ("bit", 1.0),
    ("kbit", 1e3),
    ("mbit", 1e6),
    ("gbit", 1e9),
    ("tbit", 1e12),
];
const DURATIONS: Suffixes = &[
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3_600.0),
    ("d", DAY),
    ("day", DAY),
    ("days", DAY),
    ("w", 7.0 * DAY),
    ("y", YEAR),
    ("year", YEAR),
    ("years", YEAR),
];
const YEARS: Suffixes = &[("", 1.0), ("y", 1.0)];
const MONEY: Suffixes = &[("", 1.0)];

impl Unit {
    /// Reads a number as people write it: `500B`, `1.5TB`, `30d`, `5y`, `10M`, `90%`, `100k/d`.
    ///
    /// # Errors
    /// A text that is no such number. Negative numbers are none.
    pub fn parse(self, text: &str) -> Result<f64, NotOfUnit> {
        let wrong = NotOfUnit(self);
        let text = text.trim().replace('_', "").to_ascii_lowercase();
        let text = ungrouped(&text);
        let (number, mut suffix) = cut(&text);
        let number: f64 = number.parse().map_err(|_| wrong.clone())?;
        let mut period = 1.0;
        if self == Self::PerSecond {
            if let Some((before, name)) = suffix.split_once('/') {
                period = factor(PERIODS, name).ok_or_else(|| wrong.clone())?;
                suffix = before;
            }
        } else if matches!(self, Self::BytesPerSecond | Self::BitsPerSecond) {
            suffix = suffix.strip_suffix("/s").unwrap_or(suffix);
        }
        let suffixes = match self {
            Self::Count | Self::Whole | Self::PerSecond => COUNTS,
            Self::Share => SHARES,
            Self::Factor => FACTORS,
            Self::Bytes | Self::BytesPerSecond => BYTES,
            Self::BitsPerSecond => BITS,
            Self::Seconds => DURATIONS,
            Self::Years => YEARS,
            Self::Money => MONEY,
        };
        let factor = factor(suffixes, suffix.trim()).ok_or_else(|| wrong.clone())?;
        // 70 times 0.01 is a little more than 0.7, 70 divided by 100 is not.
        let value = if factor < 1.0 {
            number / factor.recip()
        } else {
            number * factor / period
        };
        let fits = value.is_finite() && (self != Self::Whole || value.fract() == 0.0);
        fits.then_some(value).ok_or(wrong)
    }

    /// How numbers of this unit can be written.
    #[must_use]
    pub fn examples(self) -> &'static str {
        match self {
            Self::Count => "a number such as 250000, 10M or 1.5G",
            Self::Whole => "a whole number such as 7",
            Self::PerSecond => "a rate such as 200, 1.5k/s or 100000/d",
            Self::Share => "a share such as 90% or 0.9",
            Self::Factor => "a factor such as 1.5 or 100:1",
            Self::Bytes => "a size such as 500B, 1.5TB or 64MiB",
            Self::BytesPerSecond => "a size a second such as 10MB/s",
            Self::BitsPerSecond => "bits a second such as 16Mbit/s",
            Self::Seconds => "a time with its unit: s, min, h, d, w or y, such as 30d or 5y",
            Self::Years => "years such as 10y",
            Self::Money => "an amount such as 29.90",
        }
    }

    /// What stands for a value of this unit in help texts.
    #[must_use]
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Count | Self::Whole => "N",
            Self::PerSecond => "RATE",
            Self::Share => "SHARE",
            Self::Factor => "FACTOR",
            Self::Bytes => "SIZE",
            Self::BytesPerSecond => "SIZE/S",
            Self::BitsPerSecond => "BITS/S",
            Self::Seconds => "TIME",
            Self::Years => "YEARS",
            Self::Money => "PRICE",
        }
    }

    /// A value for people, with four digits; sizes with the binary unit beside.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        let short = self.show_short(value);
        if self == Self::Bytes && value >= 1024.0 {
            let binary = scaled(
                value,
                1024.0,
                &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
            );
            return format!("{short} ({binary})");
        }
        short
    }

    /// A value for people where there is little room.
    #[must_use]
    pub fn show_short(self, value: f64) -> String {
        const SIZES: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
        const RATES: [&str; 6] = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s"];
        match self {
            Self::Count | Self::Whole => large(value),
            Self::PerSecond => format!("{}/s", large(value)),
            Self::Share => format!("{} %", significant(value * 100.0, DIGITS)),
            Self::Factor => significant(value, DIGITS),
            Self::Bytes => scaled(value, 1000.0, &SIZES),
            Self::BytesPerSecond => format!("{}/s", scaled(value, 1000.0, &SIZES)),
            Self::BitsPerSecond => scaled(value, 1000.0, &RATES),
            Self::Seconds => duration(value),
            Self::Years => format!("{} years", large(value)),
            Self::Money => grouped(&format!("{value:.2}")),
        }
    }

    /// A value in a formula, in the base unit and precise enough to compute it again.
    #[must_use]
    pub fn show_in_formula(self, value: f64) -> String {
        let number = if value.fract() == 0.0 && value.abs() < MOST_WITH_ALL_DIGITS {
            grouped(&format!("{value:.0}"))
        } else {
            significant(value, DIGITS_OF_FORMULA)
        };
        let suffix = match self {
            Self::Count | Self::Whole | Self::Share | Self::Factor | Self::Money => "",
            Self::PerSecond => "/s",
            Self::Bytes => " B",
            Self::BytesPerSecond => " B/s",
            Self::BitsPerSecond => " bit/s",
            Self::Seconds => " s",
            Self::Years => " years",
        };
        number + suffix
    }
}

/// Without the commas between thousands. Others stay, for they may mean a point.
fn ungrouped(text: &str) -> String {
    let mut groups = text.split(',');
    let first = groups.next().unwrap_or_default();
    let is_group = |group: &str| {
        let digits = group.bytes().take_while(u8::is_ascii_digit).count();
        digits == 3
    };
    if !first.is_empty() && groups.clone().all(is_group) {
        return text.replace(',', "");
    }
    text.to_owned()
}

/// A text cut after the number that it begins with.
fn cut(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
            .count()
    };
    let mut end = digits(0);
    // An exponent, if digits follow.
    if bytes.get(end) == Some(&b'e') {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let after = digits(end + 1 + signed);
        if after > end + 1 + signed {
            end = after;
        }
    }
    text.split_at(end)
}

fn factor(suffixes: Suffixes, name: &str) -> Option<f64> {
    let found = suffixes.iter().find(|(suffix, _)| *suffix == name);
    found.map(|(_, factor)| *factor)
}

/// A number rounded to so many digits, without zeros behind the point.
fn significant(value: f64, digits: usize) -> String {
    let rounded = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    // Both were written by the line above.
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-5..15).contains(&exponent) {
        return format!("{} × 10^{exponent}", without_zeros(mantissa));
    }
    let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    let value: f64 = rounded.parse().unwrap_or(value);
    grouped(without_zeros(&format!("{value:.decimals$}")))
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

/// Commas between the thousands.
fn grouped(number: &str) -> String {
    let (sign, rest) = number.split_at(usize::from(number.starts_with('-')));
    let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    let mut out = String::from(sign);
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

/// A count, in words from a million on.
fn large(value: f64) -> String {
    const WORDS: [(f64, &str); 3] = [(1e12, "trillion"), (1e9, "billion"), (1e6, "million")];
    if value < 1e15 {
        for (unit, word) in WORDS {
            if value >= unit {
                return format!("{} {word}", significant(value / unit, DIGITS));
            }
        }
    }
    if value.fract() == 0.0 && value < 1e6 {
        return grouped(&format!("{value:.0}"));
    }
    significant(value, DIGITS)
}

fn scaled(value: f64, step: f64, names: &[&str]) -> String {
    let (mut value, mut at) = (value, 0);
    while value >= step && at + 1 < names.len() {
        value /= step;
        at += 1;
    }
    format!("{} {}", significant(value, DIGITS), names[at])
}

fn duration(seconds: f64) -> String {
    const UNITS: [(f64, &str); 5] = [
        (YEAR, "y"),
        (DAY, "d"),
        (3_600.0, "h"),
        (60.0, "min"),
        (1.0, "s"),
    ];
    let whole = UNITS
        .iter()
        .find(|(unit, _)| seconds >= *unit && seconds % unit == 0.0);
    let (unit, name) = whole
        .or_else(|| UNITS.iter().find(|(unit, _)| seconds >= *unit))
        .copied()
        .unwrap_or((1.0, "s"));
    format!("{} {name}", significant(seconds / unit, DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (unit, text, value) in [
            (Unit::Count, "10M", 1e7),
            (Unit::Count, "1_000", 1e3),
            (Unit::Count, "1,234,000", 1_234_000.0),
            (Unit::Count, "10 million", 1e7),
            (Unit::Count, "1e9", 1e9),
            (Unit::Count, "1.5 G", 1.5e9),
            (Unit::PerSecond, "200/s", 200.0),
            (Unit::PerSecond, "86.4k/d", 1.0),
            (Unit::Share, "90%", 0.9),
            (Unit::Share, "70 %", 0.7),
            (Unit::Share, "0.9", 0.9),
            (Unit::Factor, "100:1", 100.0),
            (Unit::Bytes, "500B", 500.0),
            (Unit::Bytes, "500", 500.0),
            (Unit::Bytes, "1.5TB", 1.5e12),
            (Unit::Bytes, "2 KiB", 2048.0),
            (Unit::BytesPerSecond, "10MB/s", 1e7),
            (Unit::Seconds, "30d", 2_592_000.0),
            (Unit::Seconds, "5y", 157_680_000.0),
            (Unit::Whole, "7", 7.0),
        ] {
            assert_eq!(unit.parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (unit, text) in [
            (Unit::Count, ""),
            (Unit::Count, "-1"),
            (Unit::Count, "many"),
            (Unit::Count, "1.2.3"),
            (Unit::Count, "1,5"),
            (Unit::Count, ",500"),
            (Unit::Count, "1,0000"),
            (Unit::Count, "1e999"),
            (Unit::Count, "5y"),
            (Unit::Count, "nan"),
            (Unit::Whole, "1.5"),
            (Unit::Seconds, "30"),
            (Unit::Seconds, "30M"),
            (Unit::PerSecond, "1/y"),
            (Unit::Bytes, "5 bytes and more"),
        ] {
            assert_eq!(unit.parse(text), Err(NotOfUnit(unit)), "{text}");
        }
    }

    #[test]
    fn values_are_shown_with_four_digits() {
        for (unit, value, text) in [
            (Unit::Count, 3.153_6e10, "31.54 billion"),
            (Unit::Count, 123_456.0, "123,456"),
            (Unit::Count, 0.0, "0"),
            (Unit::Count, 8.39e17, "8.39 × 10^17"),
            (Unit::PerSecond, 1.157_407, "1.157/s"),
            (Unit::PerSecond, 20_000.0, "20,000/s"),
            (Unit::PerSecond, 57_870.37, "57,870/s"),
            (Unit::Share, 0.989_655, "98.97 %"),
            (Unit::Share, 1e-9, "1 × 10^-7 %"),
            (Unit::Bytes, 1.576_8e13, "15.77 TB (14.34 TiB)"),
            (Unit::Bytes, 500.0, "500 B"),
            (Unit::BitsPerSecond, 1.6e7, "16 Mbit/s"),
            (Unit::BytesPerSecond, 1e7, "10 MB/s"),
            (Unit::Seconds, YEAR * 5.0, "5 y"),
            (Unit::Seconds, DAY * 30.0, "30 d"),
            (Unit::Seconds, 5_400.0, "90 min"),
            (Unit::Money, 1_234.5, "1,234.50"),
            (Unit::Factor, 9.999_96, "10"),
        ] {
            assert_eq!(unit.show(value), text);
        }
    }

    #[test]
    fn formulas_have_base_units() {
        assert_eq!(Unit::Seconds.show_in_formula(YEAR * 5.0), "157,680,000 s");
        assert_eq!(Unit::PerSecond.show_in_formula(1.157_407), "1.1574/s");
        assert_eq!(Unit::Share.show_in_formula(0.9), "0.9");
    }
}
