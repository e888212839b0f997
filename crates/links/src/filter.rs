//! Codes nobody gets: words the service needs itself, and words nobody wants to read out.

use crate::Code;

/// Why a well-formed code is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The service uses this path itself.
    #[error("this word is reserved")]
    Reserved,
    /// It reads like something offensive.
    #[error("this word is not allowed")]
    Offensive,
}

/// Reserved words and the blocklist of offensive ones.
#[derive(Debug, Clone, Default)]
pub struct CodeFilter {}

impl CodeFilter {
    /// The built-in lists plus the configured words.
    #[must_use]
    pub fn new(reserved: &[String], blocked: &[String]) -> Self {
        todo!()
    }

    /// Whether somebody may choose this code (aliases: reserved and offensive words are refused,
    /// and everything that ends in `.qr`, which the edge answers itself).
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check(&self, code: &Code) -> Result<(), Refusal> {
        todo!()
    }
}
