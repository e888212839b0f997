use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::StrategyError;
use super::space::{CodeSpace, MAX_REFUSED};
use crate::{Code, Domain, TargetUrl};

/// Codes that follow from the target: the same target on the same domain is offered the same codes
/// in the same order, on every instance.
pub(super) struct Hash {
    space: CodeSpace,
    sha256: bool,
}

impl Hash {
    pub(super) fn new(space: CodeSpace, sha256: bool) -> Self {
        Self { space, sha256 }
    }

    /// The code of this attempt. Each attempt has its own run of salts, so that a code skipped
    /// because of the filter shifts no later attempt.
    pub(super) fn code(
        &self,
        domain: &Domain,
        target: &TargetUrl,
        attempt: u32,
    ) -> Result<Code, StrategyError> {
        let (domain, target) = (domain.as_str(), target.as_str());
        let mut input = Vec::with_capacity(domain.len() + 1 + target.len() + 8);
        input.extend_from_slice(domain.as_bytes());
        // Neither part can hold a zero byte, so no two pairs run together into one input.
        input.push(0);
        input.extend_from_slice(target.as_bytes());
        let salted_from = input.len();
        for skipped in 0..MAX_REFUSED {
            input.truncate(salted_from);
            input.extend_from_slice(&attempt.to_le_bytes());
            input.extend_from_slice(&skipped.to_le_bytes());
            if let Some(code) = self.space.code(self.digest(&input) % self.space.size()) {
                return Ok(code);
            }
        }
        Err(StrategyError::AllRefused { tried: MAX_REFUSED })
    }

    fn digest(&self, input: &[u8]) -> u128 {
        if self.sha256 {
            let mut head = [0; 16];
            head.copy_from_slice(&Sha256::digest(input)[..16]);
            u128::from_be_bytes(head)
        } else if self.space.size() <= u128::from(u64::MAX) {
            xxh3_64(input).into()
        } else {
            xxh3_128(input)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::*;
    use crate::CodeFilter;
    use crate::base62::Alphabet;

    fn hash(filter: CodeFilter, sha256: bool) -> Hash {
        Hash::new(
            CodeSpace::new(Alphabet::Base62, 7, Arc::new(filter)),
            sha256,
        )
    }

    #[test]
    fn the_same_input_gives_the_same_codes_and_another_gives_others() {
        let target = TargetUrl::from_stored("https://example.com/");
        let domain = Domain::default_domain();
        for sha256 in [false, true] {
            let (a, b) = (
                hash(CodeFilter::default(), sha256),
                hash(CodeFilter::default(), sha256),
            );
            let mut seen = HashSet::new();
            for attempt in 0..1_000 {
                let code = a.code(&domain, &target, attempt).unwrap();
                assert_eq!(code, b.code(&domain, &target, attempt).unwrap());
                assert!(seen.insert(code), "attempt {attempt} repeats a code");
            }
            let other = Domain::from_stored("go.example.com");
            assert!(seen.insert(a.code(&other, &target, 0).unwrap()));
            let other = TargetUrl::from_stored("https://example.com/?");
            assert!(seen.insert(a.code(&domain, &other, 0).unwrap()));
        }
    }

    #[test]
    fn codes_never_change_between_versions() {
        let target = TargetUrl::from_stored("https://example.com/");
        let code = |sha256| {
            hash(CodeFilter::default(), sha256)
                .code(&Domain::default_domain(), &target, 0)
                .unwrap()
                .to_string()
        };
        assert_eq!([code(false), code(true)], ["dm8XLrD", "2C2i6Rp"]);
    }

    #[test]
    fn a_refused_code_shifts_no_other_attempt() {
        let target = TargetUrl::from_stored("https://example.com/");
        let domain = Domain::default_domain();
        let free = hash(CodeFilter::default(), false);
        let codes: Vec<Code> = (0..50)
            .map(|attempt| free.code(&domain, &target, attempt).unwrap())
            .collect();
        let filter = CodeFilter::new(&[codes[3].to_string()], &[]);
        let filtered = hash(filter, false);
        for (attempt, code) in codes.iter().enumerate() {
            let now = filtered.code(&domain, &target, attempt as u32).unwrap();
            assert_eq!(now != *code, attempt == 3, "attempt {attempt}");
            assert!(attempt != 3 || !codes.contains(&now));
        }
    }
}
