//! Who may use the API: keys, what each of them allows, and where they are kept.
//!
//! Of a key's secret only the SHA-256 is ever stored. That is enough, and a slow password hash
//! would only cost time, because secrets are made of 190 bits of randomness and cannot be guessed.

mod authenticate;
mod error;
mod id;
mod key;
mod keys;
mod scope;
mod secret;
pub mod store;

pub use error::{AuthError, KeyError};
pub use id::{KeyId, KeyIdError};
pub use key::{ApiKey, CreatedKey, MAX_NAME_CHARS, NewKey, RotatedKey};
pub use keys::{CACHE_TTL, Keys};
pub use scope::{Scope, ScopeError, Scopes};
pub use secret::{Secret, SecretError, SecretHash};
pub use store::{KeyStore, SqliteKeyStore};
