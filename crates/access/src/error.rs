use tollgate_links::store::StoreError;

use crate::{KeyId, SecretError};

/// Why keys could not be made, shown or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A field of a new key is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field's name in the API.
        field: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
    /// There is no such key.
    #[error("there is no key {0}")]
    NotFound(KeyId),
    /// The given secret belongs to a key already.
    #[error("this secret belongs to a key already")]
    SecretTaken,
    /// A secret that cannot be used, or none could be made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a secret was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No key has this secret.
    #[error("no key has this secret")]
    Unknown,
    /// The key was revoked.
    #[error("the key {0} was revoked")]
    Revoked(KeyId),
    /// The key's time is over.
    #[error("the key {0} has expired")]
    Expired(KeyId),
    /// The store failed, so nobody knows.
    #[error(transparent)]
    Store(#[from] StoreError),
}
