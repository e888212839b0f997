//! Link passwords: argon2id, checked in constant time.

use std::fmt;
use std::ops::Deref;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};

use serde::{Deserialize, Serialize};

use crate::PasswordHash;

/// Memory in KiB, passes and lanes, as the OWASP Password Storage Cheat Sheet has them for
/// argon2id: about 20 ms of one core, and little enough memory for many at once.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What a hash of somebody else may cost at most: a check must not become work for whoever asks.
const MOST_MEMORY_KIB: u32 = 64 * 1024;
const MOST_PASSES: u32 = 10;
const MOST_LANES: u32 = 4;

/// A text that nothing prints by accident: a password as somebody wrote it, or the hash of one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HiddenText(String);

impl fmt::Debug for HiddenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HiddenText(…)")
    }
}

impl Deref for HiddenText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for HiddenText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for HiddenText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Why a hash of somebody else cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForeignHash {
    /// It is none of argon2id.
    #[error("is no hash of argon2id in PHC form")]
    Unreadable,
    /// Checking it would cost too much.
    #[error(
        "costs more than {MOST_MEMORY_KIB} KiB of memory, {MOST_PASSES} passes or {MOST_LANES} lanes"
    )]
    TooDear,
}

/// Hashes and checks passwords (argon2id, RFC 9106). Both take tens of milliseconds of CPU and
/// megabytes of memory: call them where that may block, and bound how many run at once.
#[derive(Debug, Clone, Default)]
pub struct PasswordHasher {}

/// A password that could not be hashed: the operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub struct PasswordError(String);

impl PasswordHasher {
    /// The hash to keep, with a salt of its own.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn hash(&self, password: &str) -> Result<PasswordHash, PasswordError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
            .map_err(|error| PasswordError(error.to_string()))?;
        let phc = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(password.as_bytes())
            .map_err(|error| PasswordError(error.to_string()))?;
        Ok(PasswordHash::from_phc(phc.to_string()))
    }

    /// A hash that somebody else brings.
    ///
    /// # Errors
    /// [`ForeignHash`].
    pub fn adopt(&self, phc: &str) -> Result<PasswordHash, ForeignHash> {
        let hash = argon2::PasswordHash::new(phc).map_err(|_| ForeignHash::Unreadable)?;
        let is_ours = hash.algorithm == argon2::ARGON2ID_IDENT && hash.hash.is_some();
        if !is_ours || hash.salt.is_none() {
            return Err(ForeignHash::Unreadable);
        }
        let params = Params::try_from(&hash).map_err(|_| ForeignHash::Unreadable)?;
        let cheap = params.m_cost() <= MOST_MEMORY_KIB
            && params.t_cost() <= MOST_PASSES
            && params.p_cost() <= MOST_LANES;
        if !cheap {
            return Err(ForeignHash::TooDear);
        }
        Ok(PasswordHash::from_phc(phc))
    }

    /// Whether `password` is the one that was hashed. A hash that cannot be read fits nothing.
    #[must_use]
    pub fn verify(&self, password: &str, hash: &PasswordHash) -> bool {
        // The cost is the hash's own, so that hashes made with other parameters stay good.
        Argon2::default()
            .verify_password(password.as_bytes(), hash.as_phc())
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that the OWASP Password Storage Cheat Sheet has for argon2id.
    #[test]
    fn a_hash_costs_what_it_should() {
        let phc = PasswordHasher::default().hash("a").unwrap();
        let other = PasswordHasher::default().hash("a").unwrap();
        assert_ne!(phc.as_phc(), other.as_phc(), "each has a salt of its own");
        let mut fields = phc.as_phc().split('$').skip(1);
        assert_eq!(fields.next(), Some("argon2id"));
        assert_eq!(fields.next(), Some("v=19"));
        let number = |field: &str, name: &str| -> u32 {
            let value = field.split(',').find_map(|one| one.strip_prefix(name));
            value.unwrap().parse().unwrap()
        };
        let costs = fields.next().unwrap();
        assert!(number(costs, "m=") >= 19_456 && number(costs, "t=") >= 2);
        assert!(number(costs, "p=") >= 1);
        // Base64 of 16 bytes, and of 32.
        assert!(fields.next().unwrap().len() >= 22 && fields.next().unwrap().len() >= 43);
    }

    #[test]
    fn only_the_right_password_fits() {
        let hasher = PasswordHasher::default();
        let hash = hasher.hash("p\u{e4}ss").unwrap();
        assert!(hasher.verify("p\u{e4}ss", &hash));
        assert!(!hasher.verify("pass", &hash));
        assert!(!hasher.verify("", &hash));
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(hash, hasher.hash("p\u{e4}ss").unwrap(), "salts differ");
    }

    #[test]
    fn hashes_of_others_are_kept_if_they_are_cheap() {
        let hasher = PasswordHasher::default();
        let hash = hasher.hash("pass").unwrap();
        assert_eq!(hasher.adopt(hash.as_phc()).as_ref(), Ok(&hash));
        let dear = hash.as_phc().replace("m=19456", "m=4194304");
        assert_eq!(hasher.adopt(&dear), Err(ForeignHash::TooDear));
        let other = hash.as_phc().replace("argon2id", "argon2i");
        for phc in ["", "$2y$10$abc", "$argon2id$v=19$m=19456,t=2,p=1$", &other] {
            assert_eq!(hasher.adopt(phc), Err(ForeignHash::Unreadable), "{phc}");
        }
    }

    #[test]
    fn a_damaged_hash_fits_nothing() {
        let hasher = PasswordHasher::default();
        for phc in ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$", "$2y$10$abc"] {
            assert!(!hasher.verify("", &PasswordHash::from_phc(phc)), "{phc}");
        }
    }
}
