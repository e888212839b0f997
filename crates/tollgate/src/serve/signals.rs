//! The signals that end the process.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long after a signal another one counts as the same: nobody presses keys that fast.
const ECHO: Duration = Duration::from_millis(100);

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one's name, leaving out those that arrive together with the last one: `timeout`,
    /// and shells whose child we are, signal the process and its group, and mean it once.
    pub(super) async fn next_apart(&mut self) -> &'static str {
        let same = tokio::time::sleep(ECHO);
        tokio::pin!(same);
        loop {
            tokio::select! {
                () = &mut same => return self.next().await,
                _ = self.next() => {}
            }
        }
    }

    /// The next one's name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
