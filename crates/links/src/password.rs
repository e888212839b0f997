//! Link passwords: argon2id, checked in constant time.

use crate::PasswordHash;

/// Hashes and checks passwords (argon2id, RFC 9106). Both take tens of milliseconds of CPU and
/// megabytes of memory: call them where that may block, and bound how many run at once.
#[derive(Debug, Clone, Default)]
pub struct PasswordHasher {}

/// A password that could not be hashed: the operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the password cannot be hashed: {0}")]
pub struct PasswordError(String);

impl PasswordHasher {
    /// The hash to keep.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn hash(&self, password: &str) -> Result<PasswordHash, PasswordError> {
        todo!()
    }

    /// Whether `password` is the one that was hashed. A hash that cannot be read fits nothing.
    #[must_use]
    pub fn verify(&self, password: &str, hash: &PasswordHash) -> bool {
        todo!()
    }
}
