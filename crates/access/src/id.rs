//! The public name of a key.

use std::fmt;
use std::str::FromStr;

use tollgate_clock::UnixMillis;

/// Crockford's base 32: in the order of ASCII, and without letters that look alike.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const PREFIX: &str = "key_";
const TIME_CHARS: usize = 10;
const RANDOM_CHARS: usize = 6;

/// Names a key without giving anything away: `key_`, 10 characters of the time it was made and 6
/// of randomness. Identifiers sort in the order of creation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<str>);

/// A text that is no key identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key identifier: it looks like key_01hxk3m9d20a1b2c")]
pub struct KeyIdError(String);

impl KeyId {
    /// From the moment of creation and random bits.
    #[must_use]
    pub fn new(now: UnixMillis, random: u32) -> Self {
        let time = u64::try_from(now.as_millis()).unwrap_or_default();
        let mut text = String::from(PREFIX);
        push_digits(&mut text, time, TIME_CHARS);
        push_digits(&mut text, u64::from(random), RANDOM_CHARS);
        Self(text.into())
    }

    /// From text a store wrote.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The identifier's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn push_digits(text: &mut String, value: u64, count: usize) {
    for place in (0..count).rev() {
        let digit = (value >> (5 * place)) & 31;
        text.push(char::from(DIGITS[digit as usize]));
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = text.strip_prefix(PREFIX).is_some_and(|digits| {
            digits.len() == TIME_CHARS + RANDOM_CHARS
                && digits.bytes().all(|digit| DIGITS.contains(&digit))
        });
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(KeyIdError(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_by_time_and_read_back() {
        let older = KeyId::new(UnixMillis::from_millis(1_790_000_000_000), u32::MAX);
        let newer = KeyId::new(UnixMillis::from_millis(1_790_000_000_001), 0);
        assert!(older < newer);
        assert_eq!(older.as_str().parse::<KeyId>().unwrap(), older);
        for bad in [
            "",
            "key_",
            "key_01",
            "01hxk3m9d20a1b2c",
            "key_01hxk3m9d20a1b2U",
        ] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad:?}");
        }
    }
}
