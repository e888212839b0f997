//! The first admin key: without one nobody could create others.

use anyhow::Context as _;
use tollgate_access::{AuthError, Keys, Secret};
use tollgate_audit::AuditLog;

use crate::changes;

/// Holds the first admin key, so that scripts and containers need not read it from the output.
const VARIABLE: &str = "TOLLGATE_ADMIN_KEY";

/// Makes the first admin key if there is none. Answers its secret if nobody knows it yet.
pub(super) async fn ensure(keys: &Keys, audit: &AuditLog) -> anyhow::Result<Option<String>> {
    let chosen = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => Some(Secret::parse(&text).context(VARIABLE)?),
        _ => None,
    };
    let known = chosen.as_ref().map(|secret| secret.expose().to_owned());
    let created = keys
        .bootstrap(chosen)
        .await
        .context("the first admin key")?;
    if let Some(created) = &created {
        changes::first_key(audit, &created.key).await?;
    }
    match (created, known) {
        (Some(created), None) => Ok(Some(created.secret.expose().to_owned())),
        (Some(_), Some(_)) => {
            tracing::info!("{VARIABLE} is the first admin key");
            Ok(None)
        }
        (None, Some(secret)) => {
            match keys.authenticate(&secret).await {
                Ok(_) => {}
                Err(AuthError::Store(error)) => return Err(error.into()),
                Err(_) => tracing::warn!(
                    "{VARIABLE} is no key of this store, which has had keys before: it changes \
                     nothing. Make a key by `tollgate key create`"
                ),
            }
            Ok(None)
        }
        (None, None) => Ok(None),
    }
}
