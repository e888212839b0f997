//! Link passwords: argon2id, checked in constant time.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};

use crate::PasswordHash;

/// Memory in KiB, passes and lanes, as the OWASP Password Storage Cheat Sheet has them for
/// argon2id: about 20 ms of one core, and little enough memory for many at once.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

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
    fn a_damaged_hash_fits_nothing() {
        let hasher = PasswordHasher::default();
        for phc in ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$", "$2y$10$abc"] {
            assert!(!hasher.verify("", &PasswordHash::from_phc(phc)), "{phc}");
        }
    }
}
