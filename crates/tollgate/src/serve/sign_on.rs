//! The provider that people may sign in at.

use std::sync::Arc;

use anyhow::Context as _;
use tollgate_clock::Clock;
use tollgate_config::Config;
use tollgate_oidc::{Provider, Settings};
use tollgate_server::sign_on::{BACK_PATH, SignOn};

/// The provider, if there is one.
pub(crate) fn sign_on(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Option<SignOn>> {
    let oidc = &config.oidc;
    let (Some(issuer), Some(client_id), Some(url)) = (&oidc.issuer, &oidc.client_id, &oidc.url)
    else {
        return Ok(None);
    };
    let grants = oidc.grants.iter().map(|grant| grant.parse());
    let settings = Settings {
        issuer: issuer.clone(),
        client_id: client_id.clone(),
        client_secret: oidc
            .client_secret
            .as_ref()
            .map(|secret| secret.guarded().clone()),
        redirect: format!("{}{BACK_PATH}", url.trim_end_matches('/')),
        scopes: oidc.scopes.clone(),
        grants: grants
            .collect::<Result<_, _>>()
            .context("admin.oidc.grants")?,
    };
    let provider = Provider::new(settings, clock).context("admin.oidc")?;
    Ok(Some(SignOn {
        provider: Arc::new(provider),
        name: oidc.name.as_str().into(),
        over_tls: url.starts_with("https:"),
    }))
}
