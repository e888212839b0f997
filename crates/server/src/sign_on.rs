//! The provider that people may sign in at, on the dashboard.

use std::sync::Arc;

use tollgate_oidc::Provider;

/// Where the provider sends people back to, below the address of the dashboard.
pub const BACK_PATH: &str = "/sign-in/back";

/// A provider, and how it is shown.
#[derive(Clone)]
pub struct SignOn {
    /// Who vouches for people.
    pub provider: Arc<Provider>,
    /// What the button says after *Sign in with*.
    pub name: Arc<str>,
    /// Whether people reach the dashboard over TLS, so that cookies are never sent in plain.
    pub over_tls: bool,
}
