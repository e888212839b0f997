//! What the link service answers when it cannot do what was asked.

use crate::store::StoreError;
use crate::{FieldError, LinkKey, StrategyError};

/// Why a request to the link service failed. Each variant is one kind of answer for the caller.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Something in the request is wrong; every wrong field is named.
    #[error("{}", join(.0))]
    Invalid(Vec<FieldError>),
    /// There is no such link.
    #[error("there is no link {0}")]
    NotFound(LinkKey),
    /// The alias belongs to another link.
    #[error("the code {} is taken", .0.code)]
    CodeTaken(LinkKey),
    /// The link was edited by somebody else; this is its version now.
    #[error("the link was edited meanwhile: it is at version {0}")]
    VersionMismatch(u64),
    /// The `Idempotency-Key` was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// The strategy found no free code.
    #[error("no free code after {0} attempts: use longer codes or another strategy")]
    NoFreeCode(u32),
    /// The strategy cannot make codes now.
    #[error(transparent)]
    Strategy(StrategyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LinkError {
    /// One wrong field.
    #[must_use]
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError {
            field: field.into(),
            reason: reason.into(),
        }])
    }
}

impl From<StrategyError> for LinkError {
    fn from(error: StrategyError) -> Self {
        match error {
            StrategyError::Store(store) => Self::Store(store),
            other => Self::Strategy(other),
        }
    }
}

fn join(errors: &[FieldError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
