//! Whether this instance lives, and whether it should be sent traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tollgate_clock::Clock;
use tollgate_links::store::LinkStore;

use crate::metrics::WatchedFile;

/// How long the store may take to answer before it counts as away.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer of the store stands, so that probes cannot load it.
const PROBE_TTL: Duration = Duration::from_secs(1);

/// Why traffic should go elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// This instance is starting: its stores are opened, or brought up to date.
    #[error("starting")]
    Starting,
    /// This instance is shutting down.
    #[error("shutting down")]
    Draining,
    /// The store failed to answer.
    #[error("the store does not answer")]
    Store,
}

/// The health of this instance. Clones are the same.
#[derive(Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn LinkStore>,
    clock: Arc<dyn Clock>,
    files: Vec<WatchedFile>,
    draining: AtomicBool,
    // An async mutex, held while the store is asked: many probes make one read.
    probed: Mutex<Option<Probe>>,
}

#[derive(Clone, Copy)]
struct Probe {
    at: Duration,
    answers: bool,
}

impl Health {
    /// Of an instance that serves the links in `store`, and writes to these files.
    #[must_use]
    pub fn new(store: Arc<dyn LinkStore>, clock: Arc<dyn Clock>, files: Vec<WatchedFile>) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                clock,
                files,
                draining: AtomicBool::new(false),
                probed: Mutex::new(None),
            }),
        }
    }

    /// From now on not ready, so that load balancers send new visitors elsewhere.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// What cannot be written now, such as `links`: the disk is full, or fails. That is no reason to send traffic
    /// elsewhere: redirects go on, and another instance on the same disk would be no better.
    #[must_use]
    pub fn unwritable(&self) -> Vec<&'static str> {
        let files = self.inner.files.iter();
        let failing = files.filter(|file| (file.writes)().failing);
        failing.map(|file| file.holds).collect()
    }

    /// Whether this instance should be sent traffic. The store's answer is at most one second old,
    /// and waited for at most two.
    ///
    /// # Errors
    /// See [`NotReady`].
    pub async fn ready(&self) -> Result<(), NotReady> {
        let Inner {
            store,
            clock,
            draining,
            probed,
            ..
        } = &*self.inner;
        if draining.load(Ordering::Relaxed) {
            return Err(NotReady::Draining);
        }
        let mut probed = probed.lock().await;
        let now = clock.monotonic();
        let fresh = probed.filter(|probe| now.saturating_sub(probe.at) < PROBE_TTL);
        let probe = match fresh {
            Some(probe) => probe,
            None => {
                let answers = probe(&**store).await;
                *probed.insert(Probe { at: now, answers })
            }
        };
        if probe.answers {
            Ok(())
        } else {
            Err(NotReady::Store)
        }
    }
}

/// Whether visitors' links can be read.
async fn probe(store: &dyn LinkStore) -> bool {
    match tokio::time::timeout(PROBE_TIMEOUT, store.answers()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store fails the readiness probe");
            false
        }
        Err(_) => {
            tracing::warn!(timeout = ?PROBE_TIMEOUT, "the store does not answer the readiness probe");
            false
        }
    }
}
