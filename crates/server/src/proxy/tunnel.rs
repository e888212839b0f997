//! Connections that have left HTTP: bytes go both ways until one side ends, or nothing moves.

use std::time::{Duration, Instant};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::sleep_until;

use super::wire::Wire;

/// Both ends, as soon as they have left HTTP.
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) upstream: OnUpgrade,
}

impl Tunnel {
    /// Carries bytes until both sides have ended, one has failed, or nothing moved for `idle`.
    pub(super) async fn run(self, wire: &Wire, idle: Duration) {
        let (client, upstream) = match tokio::try_join!(self.client, self.upstream) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "a tunnel did not open"),
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        tokio::select! {
            ended = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a tunnel ended early");
                }
            }
            () = idle_for(wire, idle) => tracing::debug!(?idle, "a tunnel was idle"),
        }
    }
}

async fn idle_for(wire: &Wire, idle: Duration) {
    loop {
        let due = wire.last_moved() + idle;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due.into()).await;
    }
}
