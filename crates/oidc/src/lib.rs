//! Signing in at a provider of OpenID Connect: who somebody is, by OpenID Connect Core 1.0 with the authorization code
//! flow and PKCE (RFC 7636), and what the operator grants to such people.

mod claims;
mod grant;
mod http;
mod provider;

pub use claims::Person;
pub use grant::{Grant, GrantError};
pub use provider::{Begun, Provider, Settings, SettingsError, SignInError};
