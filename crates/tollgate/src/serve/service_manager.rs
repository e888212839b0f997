//! Telling a service manager such as systemd how the server is, if one has started it.

use std::net::SocketAddr;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells that requests are served, and on which addresses for those who ask for the status.
pub(super) fn ready(edge: SocketAddr, admin: SocketAddr) {
    let status = format!("Redirects on {edge}, admin side on {admin}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Tells that the end has begun, which may take as long as requests in flight are waited for.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells again and again that the runtime of the admin side does its work, if that is wanted: a server whose
/// background work stands still is then started again.
pub(super) fn keep_alive(tracker: &TaskTracker, end: &CancellationToken) {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
    else {
        return;
    };
    let end = end.clone();
    tracker.spawn(async move {
        // Half of it, as sd_watchdog_enabled(3) recommends.
        let mut ticks = tokio::time::interval(patience / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while end.run_until_cancelled(ticks.tick()).await.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    });
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told: NOTIFY_SOCKET");
    }
}
