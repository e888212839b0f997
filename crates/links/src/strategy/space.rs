use std::sync::Arc;

use super::StrategyError;
use crate::base62::Alphabet;
use crate::{Code, CodeFilter};

/// Refused codes in a row after which a strategy gives up. The built-in lists refuse a few codes in
/// a hundred, so only configured words that block nearly everything lead here.
pub(super) const MAX_REFUSED: u32 = 1_000;

/// The codes of one alphabet and length, less those the filter refuses.
#[derive(Debug, Clone)]
pub(super) struct CodeSpace {
    alphabet: Alphabet,
    length: usize,
    size: u128,
    filter: Arc<CodeFilter>,
}

impl CodeSpace {
    /// The space of codes with `length` characters, or of the nearest length in the range from 1 to
    /// [`super::MAX_LENGTH`].
    pub(super) fn new(alphabet: Alphabet, length: usize, filter: Arc<CodeFilter>) -> Self {
        let length = length.clamp(1, super::MAX_LENGTH);
        Self {
            alphabet,
            length,
            // Never over the end: that is what the greatest length is chosen for.
            size: alphabet.capacity(length).unwrap_or(u128::MAX),
            filter,
        }
    }

    /// How many codes there are, refused ones among them.
    pub(super) fn size(&self) -> u128 {
        self.size
    }

    /// Characters in a code.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// What tells this space from others.
    pub(super) fn name(&self) -> String {
        format!("base{}-{}", self.alphabet.base(), self.length)
    }

    /// The code of this number, which is below [`CodeSpace::size`]; `None` if the filter refuses it.
    pub(super) fn code(&self, number: u128) -> Option<Code> {
        debug_assert!(number < self.size, "the code would be too long");
        self.pass(Code::from_stored(
            self.alphabet.encode_padded(number, self.length),
        ))
    }

    /// The code unless the filter refuses it.
    pub(super) fn pass(&self, code: Code) -> Option<Code> {
        self.filter.check_generated(&code).is_ok().then_some(code)
    }

    /// A uniformly random code, from the operating system.
    pub(super) fn random(&self) -> Result<Code, StrategyError> {
        for _ in 0..MAX_REFUSED {
            if let Some(code) = self.pass(self.random_unfiltered()?) {
                return Ok(code);
            }
        }
        Err(StrategyError::AllRefused { tried: MAX_REFUSED })
    }

    fn random_unfiltered(&self) -> Result<Code, StrategyError> {
        let digits = self.alphabet.digits();
        let mut text = String::with_capacity(self.length);
        loop {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes)?;
            for byte in bytes {
                // Six bits hold 64 values; those beyond the last digit are thrown away, because
                // reducing them would prefer the first digits.
                if let Some(digit) = digits.get(usize::from(byte & 63)) {
                    text.push(char::from(*digit));
                    if text.len() == self.length {
                        return Ok(Code::from_stored(text));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn space(alphabet: Alphabet, length: usize) -> CodeSpace {
        CodeSpace::new(alphabet, length, Arc::default())
    }

    #[test]
    fn lengths_out_of_range_become_the_nearest_in_it() {
        assert_eq!(space(Alphabet::Base62, 0).length(), 1);
        assert_eq!(space(Alphabet::Base62, 7).size(), 62u128.pow(7));
        for alphabet in [Alphabet::Base62, Alphabet::Base36] {
            let longest = space(alphabet, 500);
            assert_eq!(longest.length(), super::super::MAX_LENGTH);
            assert!(longest.size() < 1 << 126);
        }
    }

    #[test]
    fn random_digits_are_all_as_likely() {
        for alphabet in [Alphabet::Base62, Alphabet::Base36] {
            let space = space(alphabet, 20);
            let mut seen: HashMap<char, f64> = HashMap::new();
            let draws = 2_000;
            for _ in 0..draws {
                let code = space.random_unfiltered().unwrap();
                assert_eq!(code.as_str().len(), 20);
                for c in code.as_str().chars() {
                    *seen.entry(c).or_default() += 1.0;
                }
            }
            let digits = alphabet.digits().len() as f64;
            assert_eq!(seen.len(), alphabet.digits().len());
            let expected = f64::from(draws * 20) / digits;
            let chi_squared: f64 = seen
                .values()
                .map(|count| (count - expected).powi(2) / expected)
                .sum();
            // Mean `digits - 1`, variance twice that: ten deviations never happen by chance, while
            // taking digits modulo 62 or 36 gives thousands.
            let freedom = digits - 1.0;
            assert!(
                chi_squared < freedom + 10.0 * (2.0 * freedom).sqrt(),
                "{chi_squared}"
            );
        }
    }

    #[test]
    fn a_filter_that_refuses_all_is_told_apart_from_bad_luck() {
        let all: Vec<String> = ('a'..='z').map(String::from).collect();
        let space = CodeSpace::new(Alphabet::Base62, 7, Arc::new(CodeFilter::new(&[], &all)));
        assert!(matches!(
            space.random(),
            Err(StrategyError::AllRefused { tried: MAX_REFUSED })
        ));
    }
}
