//! Who is signed in: sessions in memory, bounded in number, ended by time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tollgate_access::KeyId;
use tollgate_clock::Clock;

/// How long a session lasts that nobody uses.
pub(super) const IDLE: Duration = Duration::from_hours(2);
/// How long a session lasts at most.
pub(super) const LONGEST: Duration = Duration::from_hours(12);
/// The most sessions. A new one beyond that ends the one that was not used for longest.
pub(super) const MAX_SESSIONS: usize = 1_024;

/// 256 bits of the system's randomness, as hexadecimal digits.
#[derive(Clone)]
pub(super) struct Token(Arc<str>);

impl Token {
    fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(base16ct::lower::encode_string(&bytes).into()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time.
    pub(super) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// What a session is found by: the hash of the token in the visitor's cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId([u8; 32]);

impl SessionId {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

/// A session that has not ended.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Whose it is. What this key may do now is read anew for each request.
    pub(super) key: KeyId,
    /// What every form has to send along.
    pub(super) csrf: Token,
}

struct Kept {
    session: Session,
    began: Duration,
    used: Duration,
    /// What the next page tells, such as that something was saved.
    notice: Option<String>,
}

/// All sessions of this process.
pub(super) struct Sessions {
    clock: Arc<dyn Clock>,
    kept: Mutex<HashMap<SessionId, Kept>>,
}

impl Sessions {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            kept: Mutex::default(),
        }
    }

    /// Begins a session, and answers the token for the visitor's cookie.
    pub(super) fn begin(&self, key: KeyId) -> Result<Token, getrandom::Error> {
        let token = Token::generate()?;
        let session = Session {
            id: SessionId::of(token.expose()),
            key,
            csrf: Token::generate()?,
        };
        let now = self.clock.monotonic();
        let mut kept = self.kept.lock();
        kept.retain(|_, one| one.lasts(now));
        make_room(&mut kept, MAX_SESSIONS, |one| one.used);
        let id = session.id;
        let notice = None;
        kept.insert(
            id,
            Kept {
                session,
                began: now,
                used: now,
                notice,
            },
        );
        Ok(token)
    }

    /// The session of a cookie, which counts as used.
    pub(super) fn find(&self, token: &str) -> Option<Session> {
        let now = self.clock.monotonic();
        let mut kept = self.kept.lock();
        let one = kept.get_mut(&SessionId::of(token))?;
        if !one.lasts(now) {
            let id = one.session.id;
            kept.remove(&id);
            return None;
        }
        one.used = now;
        Some(one.session.clone())
    }

    pub(super) fn end(&self, id: SessionId) {
        self.kept.lock().remove(&id);
    }

    /// Tells the visitor something on the next page.
    pub(super) fn tell(&self, id: SessionId, notice: String) {
        if let Some(one) = self.kept.lock().get_mut(&id) {
            one.notice = Some(notice);
        }
    }

    /// What is to be told, once.
    pub(super) fn told(&self, id: SessionId) -> Option<String> {
        self.kept.lock().get_mut(&id)?.notice.take()
    }
}

/// Drops the one with the earliest time if there are as many as there may be.
pub(super) fn make_room<K: Clone + Eq + Hash, V>(
    kept: &mut HashMap<K, V>,
    most: usize,
    time: impl Fn(&V) -> Duration,
) {
    if kept.len() >= most {
        let earliest = kept.iter().min_by_key(|(_, one)| time(one));
        if let Some(key) = earliest.map(|(key, _)| key.clone()) {
            kept.remove(&key);
        }
    }
}

impl Kept {
    fn lasts(&self, now: Duration) -> bool {
        now.saturating_sub(self.used) < IDLE && now.saturating_sub(self.began) < LONGEST
    }
}

#[cfg(test)]
mod tests {
    use tollgate_clock::{ManualClock, UnixMillis};

    use super::*;

    fn sessions() -> (Sessions, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
        (Sessions::new(clock.clone()), clock)
    }

    fn key() -> KeyId {
        KeyId::new(UnixMillis::from_millis(0), 1)
    }

    #[test]
    fn a_session_ends_when_it_is_not_used_and_when_it_is_old() {
        let (sessions, clock) = sessions();
        let token = sessions.begin(key()).unwrap();
        let mut passed = Duration::ZERO;
        let step = IDLE - Duration::from_secs(1);
        while passed + step < LONGEST {
            clock.advance(step);
            passed += step;
            assert!(sessions.find(token.expose()).is_some(), "{passed:?}");
        }
        clock.advance(step);
        assert!(sessions.find(token.expose()).is_none(), "too old");

        let token = sessions.begin(key()).unwrap();
        clock.advance(IDLE);
        assert!(sessions.find(token.expose()).is_none(), "not used");
        assert!(sessions.kept.lock().is_empty());
    }

    #[test]
    fn only_the_token_finds_a_session_and_each_is_another() {
        let (sessions, _) = sessions();
        let token = sessions.begin(key()).unwrap();
        let other = sessions.begin(key()).unwrap();
        assert_ne!(token.expose(), other.expose());
        assert_eq!(token.expose().len(), 64);
        let found = sessions.find(token.expose()).unwrap();
        assert_ne!(found.csrf.expose(), token.expose());
        assert!(found.csrf.is(found.csrf.expose()) && !found.csrf.is(""));
        assert!(sessions.find("").is_none());
        sessions.end(found.id);
        assert!(sessions.find(token.expose()).is_none());
        assert!(sessions.find(other.expose()).is_some());
    }

    #[test]
    fn there_are_never_too_many_and_the_stalest_goes() {
        let (sessions, clock) = sessions();
        let stale = sessions.begin(key()).unwrap();
        let tokens: Vec<Token> = (1..MAX_SESSIONS)
            .map(|_| {
                clock.advance(Duration::from_millis(1));
                sessions.begin(key()).unwrap()
            })
            .collect();
        assert!(
            sessions.find(tokens[0].expose()).is_some(),
            "now it is fresh"
        );
        clock.advance(Duration::from_millis(1));
        assert!(sessions.find(tokens[0].expose()).is_some());
        sessions.begin(key()).unwrap();
        assert_eq!(sessions.kept.lock().len(), MAX_SESSIONS);
        assert!(sessions.find(stale.expose()).is_none());
        assert!(sessions.find(tokens[0].expose()).is_some());
    }

    #[test]
    fn a_notice_is_told_once() {
        let (sessions, _) = sessions();
        let token = sessions.begin(key()).unwrap();
        let id = sessions.find(token.expose()).unwrap().id;
        sessions.tell(id, "Saved.".to_owned());
        assert_eq!(sessions.told(id).as_deref(), Some("Saved."));
        assert_eq!(sessions.told(id), None);
    }
}
