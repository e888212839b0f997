//! What the holder of a key shows.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// So that people and scanners for leaked secrets recognise one.
const PREFIX: &str = "tg_";
/// Characters after the prefix: 62^32 is 190 bits.
const RANDOM_CHARS: usize = 32;
const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// The shortest secret taken from outside, in characters.
const MIN_CHARS: usize = 16;
/// The longest secret taken from outside, in characters.
const MAX_CHARS: usize = 256;

/// The secret of a key. Its `Debug` shows nothing, and its memory is wiped when it is dropped.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

/// Why a text cannot be a secret, or why none could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Too short or too long.
    #[error("a key's secret has {MIN_CHARS} to {MAX_CHARS} characters, not {0}")]
    Length(usize),
    /// A character that cannot stand in an `Authorization` header.
    #[error("a key's secret is made of ASCII letters, digits and any of -._~+/=")]
    Forbidden,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Randomness(String),
}

impl Secret {
    /// A new secret from the operating system's randomness.
    ///
    /// # Errors
    /// [`SecretError::Randomness`].
    pub fn generate() -> Result<Self, SecretError> {
        let mut text = String::with_capacity(PREFIX.len() + RANDOM_CHARS);
        text.push_str(PREFIX);
        let mut random = [0_u8; 64];
        while text.len() < PREFIX.len() + RANDOM_CHARS {
            getrandom::fill(&mut random)
                .map_err(|error| SecretError::Randomness(error.to_string()))?;
            let missing = PREFIX.len() + RANDOM_CHARS - text.len();
            // Only the bytes below the largest multiple of 62 make every digit equally likely.
            let fair = random.iter().filter(|byte| **byte < 248);
            text.extend(
                fair.take(missing)
                    .map(|byte| char::from(DIGITS[usize::from(byte % 62)])),
            );
        }
        Ok(Self(text.into()))
    }

    /// A secret somebody else made, or one that came with a request.
    ///
    /// # Errors
    /// When it has not 16 to 256 characters of RFC 6750's `b64token`.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(SecretError::Forbidden);
        }
        if !(MIN_CHARS..=MAX_CHARS).contains(&text.len()) {
            return Err(SecretError::Length(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The secret itself, to be shown once to the one who asked for the key.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.expose().as_bytes()).into())
    }
}

/// The SHA-256 of a secret. Equality takes the same time wherever two hashes differ.
#[derive(Clone, Copy, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// From what a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::hash::Hash for SecretHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_secrets_are_well_formed_and_differ() {
        let one = Secret::generate().unwrap();
        let two = Secret::generate().unwrap();
        assert!(one.expose().starts_with("tg_"));
        assert_eq!(one.expose().len(), 35);
        assert!(Secret::parse(one.expose()).is_ok());
        assert_ne!(one.expose(), two.expose());
        assert_ne!(one.hash(), two.hash());
        assert_eq!(one.hash(), Secret::parse(one.expose()).unwrap().hash());
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let secret = Secret::parse("tg_0123456789abcdef").unwrap();
        let shown = format!("{secret:?} {:?}", secret.hash());
        assert!(!shown.contains("0123"), "{shown}");
    }

    #[test]
    fn weak_and_unsendable_secrets_are_refused() {
        assert_eq!(
            Secret::parse("tg_short").unwrap_err(),
            SecretError::Length(8)
        );
        assert_eq!(
            Secret::parse("tg_with a space in it").unwrap_err(),
            SecretError::Forbidden
        );
        assert!(matches!(
            Secret::parse(&"a".repeat(257)),
            Err(SecretError::Length(257))
        ));
    }
}
