//! The service of keys.

use std::sync::Arc;
use std::time::Duration;

use tollgate_clock::Clock;

use crate::authenticate::RecentKeys;
use crate::store::{KeyStore, StoredKey};
use crate::{
    ApiKey, AuthError, CreatedKey, KeyError, KeyId, NewKey, RotatedKey, Scopes, Secret, SecretError,
};

/// How long a key that was revoked by another process may still be accepted by this one. In the
/// process that revokes it, it is refused at once.
pub const CACHE_TTL: Duration = Duration::from_secs(2);

/// Makes, checks and revokes keys.
pub struct Keys {
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    recent: RecentKeys,
}

impl Keys {
    /// Keys kept in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            recent: RecentKeys::new(CACHE_TTL),
        }
    }

    /// Makes a key with a new secret.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn create(&self, new: NewKey) -> Result<CreatedKey, KeyError> {
        self.import(new, Secret::generate()?).await
    }

    /// Makes a key with a secret somebody chose.
    ///
    /// # Errors
    /// See [`KeyError`]; [`KeyError::SecretTaken`] if a key has it already.
    pub async fn import(&self, new: NewKey, secret: Secret) -> Result<CreatedKey, KeyError> {
        let stored = self.stored(new, &secret)?;
        let key = stored.key.clone();
        if self.store.insert(stored).await? {
            Ok(CreatedKey { key, secret })
        } else {
            Err(KeyError::SecretTaken)
        }
    }

    /// The key of a person who has signed in elsewhere, with the name and the scopes that they have now. It may have
    /// been revoked: [`Keys::still_active`] tells.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn of_person(
        &self,
        subject: &str,
        name: &str,
        scopes: Scopes,
    ) -> Result<ApiKey, KeyError> {
        let new = NewKey {
            name: name.to_owned(),
            scopes,
            domain: None,
            expires_at: None,
        };
        let mut stored = self.stored(new, &Secret::generate()?)?;
        stored.key.subject = Some(subject.into());
        Ok(self.store.insert_person(stored).await?)
    }

    /// Makes the first key, one that allows everything; `None` if any key, even a revoked one, was
    /// there. Of several processes that begin at once, exactly one makes it.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn bootstrap(&self, secret: Option<Secret>) -> Result<Option<CreatedKey>, KeyError> {
        let secret = match secret {
            Some(secret) => secret,
            None => Secret::generate()?,
        };
        let stored = self.stored(NewKey::admin("first admin key"), &secret)?;
        let key = stored.key.clone();
        let first = self.store.insert_first(stored).await?;
        Ok(first.then_some(CreatedKey { key, secret }))
    }

    /// The key with this secret.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, secret: &str) -> Result<Arc<ApiKey>, AuthError> {
        // What cannot be a secret is nobody's, and costs no read.
        let secret = Secret::parse(secret).map_err(|_| AuthError::Unknown)?;
        let hash = secret.hash();
        let began = self.clock.monotonic();
        let key = match self.recent.get(&hash, began) {
            Ok(key) => key,
            Err(read) => {
                let stored = self.store.by_secret(&hash).await?;
                // The store compared in its own way; what counts is compared in constant time.
                let now = self.clock.now();
                let stored = stored.filter(|stored| stored.is_opened_by(&hash, now));
                let stored = stored.ok_or(AuthError::Unknown)?;
                let (key, by_new) = (Arc::new(stored.key), stored.secret == hash);
                if by_new {
                    // An old secret ends at its time, and not when it is forgotten.
                    self.recent.put(hash, Arc::clone(&key), read, began);
                }
                key
            }
        };
        self.accept(&key)?;
        Ok(key)
    }

    /// The key that was authenticated before, read anew, if it is still accepted.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn still_active(&self, id: &KeyId) -> Result<ApiKey, AuthError> {
        let key = self.store.get(id).await?.ok_or(AuthError::Unknown)?;
        self.accept(&key)?;
        Ok(key)
    }

    fn accept(&self, key: &ApiKey) -> Result<(), AuthError> {
        if key.revoked_at.is_some() {
            return Err(AuthError::Revoked(key.id.clone()));
        }
        if !key.is_active(self.clock.now()) {
            return Err(AuthError::Expired(key.id.clone()));
        }
        Ok(())
    }

    /// One key.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn get(&self, id: &KeyId) -> Result<ApiKey, KeyError> {
        let key = self.store.get(id).await?;
        key.ok_or_else(|| KeyError::NotFound(id.clone()))
    }

    /// At most `limit` keys made after the key `after`, oldest first, revoked ones included.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn list(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<ApiKey>, KeyError> {
        Ok(self.store.list(after, limit).await?)
    }

    /// Gives a key another secret, and answers it. The one before is accepted for `keep_old` more.
    ///
    /// # Errors
    /// See [`KeyError`]; [`KeyError::Invalid`] for a key that was revoked, and for that of a person, who signs in elsewhere.
    pub async fn rotate(&self, id: &KeyId, keep_old: Duration) -> Result<RotatedKey, KeyError> {
        let key = self.get(id).await?;
        let invalid = |reason: &str| KeyError::Invalid {
            field: "id",
            reason: reason.to_owned(),
        };
        if key.subject.is_some() {
            return Err(invalid(
                "it is the key of a person, who signs in at a provider: it has no secret that anybody knows",
            ));
        }
        let secret = Secret::generate()?;
        let old_until = self.clock.now().saturating_add(keep_old);
        let rotated = self.store.rotate(id, secret.hash(), old_until).await;
        // Also after an error: it may have another secret all the same.
        self.recent.forget_all();
        let key = rotated?.ok_or_else(|| invalid("it was revoked: make another key"))?;
        Ok(RotatedKey {
            key,
            secret,
            old_until,
        })
    }

    /// Revokes a key for good; one that was revoked before keeps the time of that.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn revoke(&self, id: &KeyId) -> Result<ApiKey, KeyError> {
        let revoked = self.store.revoke(id, self.clock.now()).await;
        // Also after an error: it may have been revoked all the same.
        self.recent.forget_all();
        revoked?.ok_or_else(|| KeyError::NotFound(id.clone()))
    }

    fn stored(&self, new: NewKey, secret: &Secret) -> Result<StoredKey, KeyError> {
        let now = self.clock.now();
        let random =
            getrandom::u32().map_err(|error| SecretError::Randomness(error.to_string()))?;
        Ok(StoredKey {
            key: new.check(KeyId::new(now, random), now)?,
            secret: secret.hash(),
            old_secret: None,
        })
    }
}
