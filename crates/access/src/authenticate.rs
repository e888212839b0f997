//! Keys seen a moment ago, so that a request does not cost a read of the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{ApiKey, SecretHash};

/// The most keys remembered; more are read from the store again.
const MAX_ENTRIES: usize = 1_024;

/// A bounded map from secrets to keys whose entries live for a fixed time.
pub(crate) struct RecentKeys {
    ttl: Duration,
    // A blocking mutex, because nothing awaits while it is held.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<SecretHash, Entry>,
    /// Counts the calls of `forget_all`, so that a read of the store that began before a key was
    /// revoked cannot bring it back afterwards.
    epoch: u64,
}

struct Entry {
    key: Arc<ApiKey>,
    until: Duration,
}

/// When a read of the store began.
#[derive(Clone, Copy)]
pub(crate) struct Epoch(u64);

impl RecentKeys {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            state: Mutex::default(),
        }
    }

    /// The key if it was seen less than the time to live before `now` (monotonic); otherwise the
    /// moment from which the store is to be read.
    pub(crate) fn get(&self, hash: &SecretHash, now: Duration) -> Result<Arc<ApiKey>, Epoch> {
        let state = self.state.lock();
        match state.entries.get(hash) {
            Some(entry) if entry.until > now => Ok(Arc::clone(&entry.key)),
            _ => Err(Epoch(state.epoch)),
        }
    }

    /// Remembers what the store said, unless something was revoked since `read`. `now` is the
    /// moment the read began: the time to live bounds how old an answer can be.
    pub(crate) fn put(&self, hash: SecretHash, key: Arc<ApiKey>, read: Epoch, now: Duration) {
        let mut state = self.state.lock();
        if state.epoch != read.0 {
            return;
        }
        if state.entries.len() >= MAX_ENTRIES {
            state.entries.retain(|_, entry| entry.until > now);
        }
        if state.entries.len() >= MAX_ENTRIES {
            state.entries.clear();
        }
        let until = now.saturating_add(self.ttl);
        state.entries.insert(hash, Entry { key, until });
    }

    pub(crate) fn forget_all(&self) {
        let mut state = self.state.lock();
        state.entries.clear();
        state.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use tollgate_clock::UnixMillis;

    use super::*;
    use crate::{KeyId, Scopes};

    const TTL: Duration = Duration::from_secs(2);

    fn key() -> Arc<ApiKey> {
        Arc::new(ApiKey {
            id: KeyId::new(UnixMillis::from_millis(0), 0),
            name: "a".into(),
            scopes: Scopes::admin(),
            domain: None,
            created_at: UnixMillis::from_millis(0),
            expires_at: None,
            revoked_at: None,
            subject: None,
        })
    }

    fn hash(n: usize) -> SecretHash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        SecretHash::from_bytes(bytes)
    }

    #[test]
    fn an_entry_lives_as_long_as_stated() {
        let recent = RecentKeys::new(TTL);
        let Err(epoch) = recent.get(&hash(1), Duration::ZERO) else {
            panic!("nothing was put");
        };
        recent.put(hash(1), key(), epoch, Duration::ZERO);
        assert!(recent.get(&hash(1), TTL - Duration::from_nanos(1)).is_ok());
        assert!(recent.get(&hash(1), TTL).is_err());
    }

    #[test]
    fn a_read_that_began_before_a_revocation_is_not_remembered() {
        let recent = RecentKeys::new(TTL);
        let Err(epoch) = recent.get(&hash(1), Duration::ZERO) else {
            panic!("nothing was put");
        };
        recent.forget_all();
        recent.put(hash(1), key(), epoch, Duration::ZERO);
        assert!(recent.get(&hash(1), Duration::ZERO).is_err());
    }

    #[test]
    fn entries_are_bounded() {
        let recent = RecentKeys::new(TTL);
        for n in 0..3 * MAX_ENTRIES {
            recent.put(hash(n), key(), Epoch(0), Duration::ZERO);
            assert!(recent.state.lock().entries.len() <= MAX_ENTRIES);
        }
        assert!(
            recent
                .get(&hash(3 * MAX_ENTRIES - 1), Duration::ZERO)
                .is_ok()
        );
    }
}
