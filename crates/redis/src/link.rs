//! The connection to a server: one, which all requests share, made again when it breaks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::address::Address;
use crate::{AskError, failure};

/// So many calls in a row without an answer, and none for so long: the connection is taken for
/// dead. It may lead to a machine that is gone.
const MOST_UNANSWERED: u32 = 3;
const LONGEST_SILENCE: Duration = Duration::from_secs(1);
/// Commands that wait to be written.
const PIPELINE: usize = 1_024;

/// A connection that is ready for calls.
pub(crate) struct Ready {
    pub(crate) connection: MultiplexedConnection,
    /// By what the server knows the script.
    pub(crate) script: String,
    unanswered: AtomicU32,
    made: Instant,
    /// Milliseconds from then to the last answer.
    answered: AtomicU64,
}

/// A connection that a call waits for.
pub(crate) struct Used {
    pub(crate) link: Arc<Link>,
    pub(crate) ready: Arc<Ready>,
}

type Outcome = Result<Arc<Ready>, AskError>;

enum Slot {
    Empty,
    Connecting(watch::Receiver<Option<Outcome>>),
    Ready(Arc<Ready>),
}

/// Where the connection is.
pub(crate) struct Link {
    address: Arc<Address>,
    attempts: AtomicUsize,
    script: Arc<str>,
    connect_within: Duration,
    /// Connections live here, whatever runtime the requests come from.
    runtime: Handle,
    slot: Arc<Mutex<Slot>>,
}

impl Link {
    /// Connects at the first [`get`](Self::get).
    pub(crate) fn new(
        address: Address,
        script: Arc<str>,
        connect_within: Duration,
        runtime: Handle,
    ) -> Self {
        Self {
            address: Arc::new(address),
            attempts: AtomicUsize::new(0),
            script,
            connect_within,
            runtime,
            slot: Arc::new(Mutex::new(Slot::Empty)),
        }
    }

    /// Where it leads.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// What is loaded when a connection is made.
    pub(crate) fn script(&self) -> &str {
        &self.script
    }

    /// The connection. Without one, begins to make it, or waits for who began; making it goes on
    /// if the caller stops waiting.
    pub(crate) async fn get(&self) -> Outcome {
        let mut made = {
            let mut slot = self.slot.lock();
            match &*slot {
                Slot::Ready(ready) => return Ok(Arc::clone(ready)),
                Slot::Connecting(made) if made.has_changed().is_ok() => made.clone(),
                Slot::Connecting(_) | Slot::Empty => {
                    let made = self.connect();
                    *slot = Slot::Connecting(made.clone());
                    made
                }
            }
        };
        match made.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            Ok(None) | Err(_) => Err(AskError::Unavailable("connecting was given up".into())),
        }
    }

    fn connect(&self) -> watch::Receiver<Option<Outcome>> {
        let (tell, made) = watch::channel(None);
        let (address, script) = (Arc::clone(&self.address), Arc::clone(&self.script));
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        let (within, slot) = (self.connect_within, Arc::clone(&self.slot));
        self.runtime.spawn(async move {
            let connected = connected(&address, attempt, &script);
            let outcome = match tokio::time::timeout(within, connected).await {
                Ok(outcome) => outcome.map(Arc::new),
                Err(_) => Err(AskError::Unavailable(format!(
                    "no connection within {within:?}"
                ))),
            };
            *slot.lock() = match &outcome {
                Ok(ready) => Slot::Ready(Arc::clone(ready)),
                Err(_) => Slot::Empty,
            };
            tell.send_replace(Some(outcome));
        });
        made
    }

    /// The connection answered.
    pub(crate) fn answered(&self, ready: &Ready) {
        ready.unanswered.store(0, Ordering::Relaxed);
        ready.answered.store(ready.age(), Ordering::Relaxed);
    }

    /// The connection did not answer in time.
    pub(crate) fn unanswered(&self, ready: &Arc<Ready>) {
        let unanswered = ready.unanswered.fetch_add(1, Ordering::Relaxed) + 1;
        let silence = ready
            .age()
            .saturating_sub(ready.answered.load(Ordering::Relaxed));
        if unanswered >= MOST_UNANSWERED && Duration::from_millis(silence) >= LONGEST_SILENCE {
            self.broken(ready);
        }
    }

    /// The connection is of no more use.
    pub(crate) fn broken(&self, ready: &Arc<Ready>) {
        let mut slot = self.slot.lock();
        if matches!(&*slot, Slot::Ready(held) if Arc::ptr_eq(held, ready)) {
            *slot = Slot::Empty;
        }
    }
}

async fn connected(address: &Address, attempt: usize, script: &str) -> Result<Ready, AskError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(PIPELINE);
    let unavailable = |error: redis::RedisError| match failure(&error) {
        AskError::Unavailable(why) | AskError::Failed(why) => AskError::Unavailable(why),
    };
    let mut connection = address.open(attempt, &config).await.map_err(unavailable)?;
    let script = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(script)
        .query_async(&mut connection)
        .await
        .map_err(unavailable)?;
    Ok(Ready {
        connection,
        script,
        unanswered: AtomicU32::new(0),
        made: Instant::now(),
        answered: AtomicU64::new(0),
    })
}

impl Ready {
    /// In milliseconds.
    fn age(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
