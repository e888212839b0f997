//! Names whose last read failed: until a moment, they are not read again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::{Code, Domain, LinkKey};

/// Fewer are never looked through for those that are over.
const FEW: usize = 1_024;

/// See the module. Times are nanoseconds on the monotonic clock.
#[derive(Default)]
pub(super) struct Held {
    // Asked by requests; there are some only while the store is away.
    count: AtomicUsize,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    until: HashMap<LinkKey, u64>,
    /// From so many on, those that are over are forgotten.
    many: usize,
}

impl Held {
    pub(super) fn hold(&self, key: &LinkKey, until: u64, now: u64) {
        let mut names = self.names.lock();
        if names.until.len() >= names.many.max(FEW) {
            names.until.retain(|_, until| *until > now);
            names.many = 2 * names.until.len();
        }
        names.until.insert(key.clone(), until);
        self.count.store(names.until.len(), Ordering::Release);
    }

    pub(super) fn is_held(&self, domain: &Domain, code: &Code, now: u64) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let key = LinkKey {
            domain: domain.clone(),
            code: code.clone(),
        };
        let names = self.names.lock();
        names.until.get(&key).is_some_and(|until| now < *until)
    }

    pub(super) fn release(&self, key: &LinkKey) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut names = self.names.lock();
        names.until.remove(key);
        self.count.store(names.until.len(), Ordering::Release);
    }

    pub(super) fn clear(&self) {
        let mut names = self.names.lock();
        *names = Names::default();
        self.count.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> LinkKey {
        LinkKey {
            domain: Domain::default_domain(),
            code: Code::from_stored(format!("c{n}")),
        }
    }

    #[test]
    fn a_name_is_held_until_its_moment_or_its_release() {
        let held = Held::default();
        let is_held = |n, now| held.is_held(&key(n).domain, &key(n).code, now);
        assert!(!is_held(1, 0));
        held.hold(&key(1), 10, 0);
        held.hold(&key(2), 10, 0);
        assert!(is_held(1, 9) && !is_held(1, 10) && !is_held(3, 9));
        held.release(&key(1));
        assert!(!is_held(1, 9) && is_held(2, 9));
        held.clear();
        assert!(!is_held(2, 9));
    }

    #[test]
    fn those_that_are_over_are_forgotten() {
        let held = Held::default();
        for n in 0..10 * FEW {
            held.hold(&key(n), n as u64 + 10, n as u64);
        }
        assert!(held.count.load(Ordering::Relaxed) <= 2 * FEW);
    }
}
