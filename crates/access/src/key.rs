//! A key, and what is needed to make one.

use tollgate_clock::UnixMillis;
use tollgate_links::Domain;

use crate::{KeyError, KeyId, Scopes, Secret};

/// The longest name of a key, in characters.
pub const MAX_NAME_CHARS: usize = 100;

/// A key as everyone may see it who may see keys: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public name; links and their history name it as their author.
    pub id: KeyId,
    /// For people.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// The only domain whose links it may touch; every one if `None`.
    pub domain: Option<Domain>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// From when on it is refused.
    pub expires_at: Option<UnixMillis>,
    /// When it was revoked; it is refused since.
    pub revoked_at: Option<UnixMillis>,
    /// The person whose it is, by the name that a provider of single sign-on gives them for ever. Nobody has its
    /// secret: they sign in there.
    pub subject: Option<Box<str>>,
}

impl ApiKey {
    /// Whether the key is accepted at `now`.
    #[must_use]
    pub fn is_active(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }

    /// Whether it may touch links of `domain`.
    #[must_use]
    pub fn may_use(&self, domain: &Domain) -> bool {
        self.domain.as_ref().is_none_or(|own| own == domain)
    }
}

/// A key somebody wants.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For people: 1 to [`MAX_NAME_CHARS`] characters.
    pub name: String,
    /// What it shall allow; at least one scope.
    pub scopes: Scopes,
    /// The only domain whose links it shall touch.
    pub domain: Option<Domain>,
    /// From when on it shall be refused; later than now.
    pub expires_at: Option<UnixMillis>,
}

impl NewKey {
    /// A key that allows everything, for ever.
    #[must_use]
    pub fn admin(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            scopes: Scopes::admin(),
            domain: None,
            expires_at: None,
        }
    }

    /// Checks every field and gives the key its identifier.
    pub(crate) fn check(self, id: KeyId, now: UnixMillis) -> Result<ApiKey, KeyError> {
        let name = self.name.trim();
        let invalid = |field, reason: String| Err(KeyError::Invalid { field, reason });
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
            let reason = format!("give a name of 1 to {MAX_NAME_CHARS} characters");
            return invalid("name", reason);
        }
        if name.chars().any(char::is_control) {
            return invalid("name", "leave out control characters".to_owned());
        }
        if self.scopes.is_empty() {
            return invalid("scopes", "name at least one scope".to_owned());
        }
        if self.domain.is_some() && self.scopes.allow(crate::Scope::Admin) {
            let reason = "an admin key is not bound to a domain: choose other scopes";
            return invalid("domain", reason.to_owned());
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return invalid("expires_at", "give a time that is still to come".to_owned());
        }
        Ok(ApiKey {
            id,
            name: name.to_owned(),
            scopes: self.scopes,
            domain: self.domain,
            created_at: now,
            expires_at: self.expires_at,
            revoked_at: None,
            subject: None,
        })
    }
}

/// A key that was just made: the only time its secret can be seen.
#[derive(Debug)]
pub struct CreatedKey {
    /// The key.
    pub key: ApiKey,
    /// To be shown once.
    pub secret: Secret,
}

/// A key that has another secret: the only time that can be seen.
#[derive(Debug)]
pub struct RotatedKey {
    /// The key.
    pub key: ApiKey,
    /// To be shown once.
    pub secret: Secret,
    /// Until when the secret before is accepted as well.
    pub old_until: UnixMillis,
}
