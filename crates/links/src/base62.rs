//! Positional numerals for codes: Base62, and Base36 where case does not count.

/// Digits of a numeral system, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// `0-9a-zA-Z`.
    Base62,
    /// `0-9a-z`, for codes whose case does not count.
    Base36,
}

/// A number that needs more digits than there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{value} does not fit in {width} digits")]
pub struct EncodeOverflow {
    /// The number.
    pub value: u128,
    /// Digits there is room for.
    pub width: usize,
}

/// Why a text is no numeral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing there.
    #[error("no digits")]
    Empty,
    /// Not a digit of this alphabet.
    #[error("{character:?} at position {position} is no digit of this alphabet")]
    BadCharacter {
        /// What stands there.
        character: char,
        /// Characters before it.
        position: usize,
    },
    /// Over [`u128::MAX`].
    #[error("the number is over 2^128 - 1")]
    Overflow,
}

/// Digits of [`u128::MAX`] in the smaller alphabet.
const MAX_DIGITS: usize = 25;

impl Alphabet {
    /// The alphabet of generated codes.
    #[must_use]
    pub const fn for_codes(case_insensitive: bool) -> Self {
        if case_insensitive {
            Self::Base36
        } else {
            Self::Base62
        }
    }

    /// The digits, lowest first.
    #[must_use]
    pub const fn digits(self) -> &'static [u8] {
        let all = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        match self {
            Self::Base62 => all,
            Self::Base36 => all.split_at(36).0,
        }
    }

    /// How many digits there are.
    #[must_use]
    pub const fn base(self) -> u128 {
        self.digits().len() as u128
    }

    /// How many numbers `width` digits can write; `None` if over [`u128::MAX`].
    #[must_use]
    pub fn capacity(self, width: usize) -> Option<u128> {
        self.base().checked_pow(u32::try_from(width).ok()?)
    }

    /// Writes a number without leading zeros; zero itself is one digit.
    #[must_use]
    pub fn encode(self, value: u128) -> String {
        self.encode_padded(value, 1)
    }

    /// Writes a number in exactly `width` digits. Order is kept: compared digit by digit, the
    /// numerals of greater numbers are greater.
    ///
    /// # Errors
    /// When the number needs more digits.
    pub fn encode_fixed(self, value: u128, width: usize) -> Result<String, EncodeOverflow> {
        if width == 0 || self.capacity(width).is_some_and(|end| value >= end) {
            return Err(EncodeOverflow { value, width });
        }
        Ok(self.encode_padded(value, width))
    }

    /// Writes a number in at least `width` digits.
    pub(crate) fn encode_padded(self, value: u128, width: usize) -> String {
        let mut buffer = [b'0'; MAX_DIGITS];
        let mut start = MAX_DIGITS;
        let mut rest = value;
        while rest > 0 {
            start -= 1;
            buffer[start] = self.digits()[(rest % self.base()) as usize];
            rest /= self.base();
        }
        let digits = &buffer[start..];
        let padding = width.saturating_sub(digits.len());
        let mut text = String::with_capacity(padding + digits.len());
        text.extend(std::iter::repeat_n('0', padding));
        text.extend(digits.iter().map(|digit| char::from(*digit)));
        text
    }

    /// Reads a number; leading zeros change nothing.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(self, text: &str) -> Result<u128, DecodeError> {
        if text.is_empty() {
            return Err(DecodeError::Empty);
        }
        let mut value: u128 = 0;
        for (position, character) in text.chars().enumerate() {
            let digit = self.value_of(character).ok_or(DecodeError::BadCharacter {
                character,
                position,
            })?;
            value = value
                .checked_mul(self.base())
                .and_then(|value| value.checked_add(digit))
                .ok_or(DecodeError::Overflow)?;
        }
        Ok(value)
    }

    fn value_of(self, character: char) -> Option<u128> {
        let value = match character {
            '0'..='9' => u128::from(character) - u128::from('0'),
            'a'..='z' => u128::from(character) - u128::from('a') + 10,
            'A'..='Z' => u128::from(character) - u128::from('A') + 36,
            _ => return None,
        };
        (value < self.base()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alphabets() -> impl Strategy<Value = Alphabet> {
        prop_oneof![Just(Alphabet::Base62), Just(Alphabet::Base36)]
    }

    /// A numeral as the positions of its digits in the alphabet.
    fn positions(alphabet: Alphabet, text: &str) -> Vec<usize> {
        text.bytes()
            .map(|byte| alphabet.digits().iter().position(|d| *d == byte).unwrap())
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(alphabet in alphabets(), value: u128) {
            let text = alphabet.encode(value);
            prop_assert_eq!(alphabet.decode(&text), Ok(value));
            prop_assert!(text == "0" || !text.starts_with('0'));
        }

        #[test]
        fn fixed_width_keeps_value_order_and_width(
            alphabet in alphabets(),
            width in 1usize..=24,
            a: u128,
            b: u128,
        ) {
            let end = alphabet.capacity(width).unwrap_or(u128::MAX);
            let (a, b) = (a % end, b % end);
            let (x, y) = (
                alphabet.encode_fixed(a, width).unwrap(),
                alphabet.encode_fixed(b, width).unwrap(),
            );
            prop_assert_eq!((x.len(), y.len()), (width, width));
            prop_assert_eq!(alphabet.decode(&x), Ok(a));
            prop_assert_eq!(
                a.cmp(&b),
                positions(alphabet, &x).cmp(&positions(alphabet, &y))
            );
        }

        #[test]
        fn any_text_decodes_or_says_why(alphabet in alphabets(), text in ".{0,40}") {
            match alphabet.decode(&text) {
                Ok(value) => prop_assert_eq!(
                    alphabet.encode(value),
                    match text.trim_start_matches('0') { "" => "0", digits => digits }
                ),
                Err(DecodeError::Empty) => prop_assert!(text.is_empty()),
                Err(DecodeError::BadCharacter { character, position }) => {
                    prop_assert_eq!(text.chars().nth(position), Some(character));
                    prop_assert!(!alphabet.digits().contains(&(character as u8)) || !character.is_ascii());
                }
                Err(DecodeError::Overflow) => prop_assert!(text.len() >= 22),
            }
        }
    }

    #[test]
    fn numbers_known_by_hand() {
        let base62 = Alphabet::Base62;
        assert_eq!(base62.encode(0), "0");
        assert_eq!(base62.encode(61), "Z");
        assert_eq!(base62.encode(62), "10");
        assert_eq!(base62.encode_fixed(125, 7).unwrap(), "0000021");
        assert_eq!(base62.capacity(7), Some(3_521_614_606_208));
        assert_eq!(Alphabet::Base36.encode(35), "z");
    }

    #[test]
    fn overflow_is_told_at_the_very_edge() {
        for alphabet in [Alphabet::Base62, Alphabet::Base36] {
            let end = alphabet.capacity(7).unwrap();
            assert!(alphabet.encode_fixed(end - 1, 7).is_ok());
            assert_eq!(
                alphabet.encode_fixed(end, 7),
                Err(EncodeOverflow {
                    value: end,
                    width: 7
                })
            );
            assert_eq!(alphabet.encode_fixed(0, 0).unwrap_err().width, 0);
            let most = alphabet.encode(u128::MAX);
            assert_eq!(alphabet.decode(&most), Ok(u128::MAX));
            let digits = alphabet.digits();
            let last = positions(alphabet, &most).pop().unwrap();
            let over = format!(
                "{}{}",
                &most[..most.len() - 1],
                char::from(digits[last + 1])
            );
            assert_eq!(alphabet.decode(&over), Err(DecodeError::Overflow));
        }
        assert_eq!(
            Alphabet::Base36.decode("abC"),
            Err(DecodeError::BadCharacter {
                character: 'C',
                position: 2
            })
        );
    }
}
