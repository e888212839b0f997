//! The limit service: its store, its policies, and reading them again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tollgate_clock::SystemClock;
use tollgate_config::Config;
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{MemoryOptions, MemoryStore};
use tollgate_server::limits::{AuditGuard, AuditLog, ErrorCounter, Guard, Limits, PolicyBook};
use tollgate_server::metrics::Metrics;

use super::options;
use crate::open;

/// The service, and the store it counts in.
pub(super) struct Made {
    pub(super) limits: Limits,
    pub(super) store: Arc<MemoryStore>,
    audit: Option<(ErrorCounter, AuditGuard)>,
}

impl Made {
    /// Shows what is decided, and what is remembered for it.
    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register_limits(Arc::clone(&self.limits.service));
        metrics.register_limit_store(Arc::clone(&self.store));
        if let Some((dropped, _)) = &self.audit {
            let dropped = dropped.clone();
            metrics.register_counter(
                "tollgate_limits_audit_dropped",
                "Lines of the audit log for which the disk was too slow",
                move || dropped.dropped_lines() as f64,
            );
        }
    }

    /// The service, and what writes the rest of the audit log when it is dropped.
    pub(super) fn into_parts(self) -> (Limits, Option<AuditGuard>) {
        (self.limits, self.audit.map(|(_, guard)| guard))
    }
}

/// Makes the service and its store.
pub(super) fn limits(config: &Config, data_dir: &Path) -> anyhow::Result<Made> {
    let seed = getrandom::u64().context("the system gives no randomness")?;
    let options = MemoryOptions {
        max_keys: usize::try_from(config.limits.max_keys).unwrap_or(usize::MAX),
        ..MemoryOptions::with_seed(seed)
    };
    let store = Arc::new(MemoryStore::new(options, Arc::new(SystemClock::new())));
    let sources = open::policies(config, data_dir);
    let policies = sources.load()?;
    // The store is in this process already: nothing is left to fall back to.
    let mut service = LimitService::new(policies, store.clone(), store.clone());
    let mut audit = None;
    if let Some(options) = options::audit(config) {
        let (log, guard) = AuditLog::open(&options, Arc::new(SystemClock::new()))
            .with_context(|| format!("limits.audit.file: {}", options.file.display()))?;
        audit = Some((log.dropped(), guard));
        service = service.with_audit(Arc::new(log));
    }
    let service = Arc::new(service);
    let book = PolicyBook::new(sources, Arc::clone(&service))?;
    let limits = Limits {
        guard: Guard::new(Arc::clone(&service)),
        service,
        book: Arc::new(book),
        forwarding: Arc::new(options::forwarding(config)),
    };
    Ok(Made {
        limits,
        store,
        audit,
    })
}

/// Puts changed policies in force: looks at their files now and then, and on SIGHUP.
pub(super) async fn watch(book: Arc<PolicyBook>, every: Duration, end: CancellationToken) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::error!(%error, "policies are not read again"),
    };
    let mut told = None;
    loop {
        let asked = tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(every) => false,
            _ = hangup.recv() => true,
        };
        let reader = Arc::clone(&book);
        let reloaded = tokio::task::spawn_blocking(move || reader.reload()).await;
        match reloaded {
            Ok(Ok(changed)) => {
                if changed || asked {
                    tracing::info!(changed, "the policies were read again");
                }
                told = None;
            }
            Ok(Err(error)) => {
                // Once for each mistake, not at every look.
                let error = error.to_string();
                if asked || told.as_ref() != Some(&error) {
                    tracing::error!(error, "the policies stay as they were");
                    told = Some(error);
                }
            }
            Err(error) => tracing::error!(%error, "the policies could not be read again"),
        }
    }
}
