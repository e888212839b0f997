//! The limit service: its store, its policies, and reading them again.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_clock::{CounterClock, SystemClock};
use tollgate_config::{Config, LimitStore as Store};
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{LimitStore, MemoryOptions, MemoryStore};
use tollgate_server::limits::{AuditGuard, AuditLog, ErrorCounter, Guard, Limits, PolicyBook};
use tollgate_server::metrics::Metrics;

use super::budgets::GlobalBudgets;
use super::options;
use super::shared::{self, Shared};
use crate::{changes, open};

/// The service, and the stores it counts in.
pub(super) struct Made {
    pub(super) limits: Limits,
    /// What front ends without policies count in.
    pub(super) store: Arc<dyn LimitStore>,
    memory: Arc<MemoryStore>,
    shared: Option<Shared>,
    budgets: Option<GlobalBudgets>,
    snapshot: Option<PathBuf>,
    audit: Option<(ErrorCounter, AuditGuard)>,
}

/// What is done when nobody asks any more.
pub(super) struct Ending {
    store: Arc<MemoryStore>,
    shared: Option<Shared>,
    budgets: Option<GlobalBudgets>,
    snapshot: Option<PathBuf>,
    /// Writes the rest of the audit log when it is dropped.
    _audit: Option<AuditGuard>,
}

impl Ending {
    /// What is done beside deciding, until `end`.
    pub(super) fn tend(&self, tasks: &TaskTracker, end: &CancellationToken) {
        if let Some(shared) = &self.shared {
            shared.tend(tasks, end);
        }
        if let Some(budgets) = &self.budgets {
            budgets.tend(tasks, end);
        }
    }

    /// Keeps the counters, if that is configured. A failure is told, and nothing else.
    pub(super) fn keep(&self) {
        let Some(file) = &self.snapshot else { return };
        match write_snapshot(&self.store, file) {
            Ok(()) => tracing::info!(file = %file.display(), "the counters of limits are kept"),
            Err(error) => {
                tracing::error!(%error, file = %file.display(), "the counters of limits are lost");
            }
        }
    }
}

/// Whole or not at all.
fn write_snapshot(store: &MemoryStore, file: &Path) -> anyhow::Result<()> {
    let directory = match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let mut to = BufWriter::new(tempfile::NamedTempFile::new_in(directory)?);
    store.snapshot(&mut to)?;
    let to = to.into_inner()?;
    to.as_file().sync_all()?;
    to.persist(file)?;
    Ok(())
}

/// The store, with what the last process kept. A snapshot is read once: after a crash, an old one
/// would bring back what has long been used up or given back.
fn memory(config: &Config) -> anyhow::Result<MemoryStore> {
    let seed = getrandom::u64().context("the system gives no randomness")?;
    let options = MemoryOptions {
        max_keys: usize::try_from(config.limits.max_keys).unwrap_or(usize::MAX),
        ..MemoryOptions::with_seed(seed)
    };
    let clock = Arc::new(SystemClock::new());
    let Some(path) = &config.limits.snapshot else {
        return Ok(MemoryStore::new(options, clock));
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(MemoryStore::new(options, clock));
        }
        Err(error) => {
            return Err(error).with_context(|| format!("limits.snapshot: {}", path.display()));
        }
    };
    let restored = MemoryStore::restore(&mut BufReader::new(file), options, clock.clone());
    std::fs::remove_file(path)
        .with_context(|| format!("limits.snapshot: {} cannot be removed", path.display()))?;
    Ok(restored.unwrap_or_else(|error| {
        tracing::error!(%error, file = %path.display(), "limits are counted anew");
        MemoryStore::new(options, clock)
    }))
}

impl Made {
    /// Shows what is decided, and what is remembered for it.
    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register_limits(Arc::clone(&self.limits.service));
        metrics.register_limit_store(Arc::clone(&self.memory));
        if let Some(shared) = &self.shared {
            shared.register(metrics);
        }
        if let Some(budgets) = &self.budgets {
            budgets.register(metrics);
        }
        if let Some((dropped, _)) = &self.audit {
            let dropped = dropped.clone();
            metrics.register_counter(
                "tollgate_limits_audit_dropped",
                "Lines of the audit log for which the disk was too slow",
                move || dropped.dropped_lines() as f64,
            );
        }
    }

    /// The service, and what is left to do in the end.
    pub(super) fn into_parts(self) -> (Limits, Ending) {
        let ending = Ending {
            store: self.memory,
            shared: self.shared,
            budgets: self.budgets,
            snapshot: self.snapshot,
            _audit: self.audit.map(|(_, guard)| guard),
        };
        (self.limits, ending)
    }
}

/// Makes the service and its stores.
pub(super) async fn limits(config: &Config, data_dir: &Path) -> anyhow::Result<Made> {
    let memory = Arc::new(memory(config)?);
    let sources = open::policies(config, data_dir);
    let (policies, read) = sources.load()?;
    let shared = match &config.limits.store {
        Store::Memory => None,
        Store::Redis(url) => Some(Shared::connect(url.expose(), &config.limits).await?),
    };
    if shared.is_some()
        && let Some(wrong) = shared::uncountable(&policies)
    {
        anyhow::bail!(wrong);
    }
    // What is in this process already has nothing left to fall back to.
    let store: Arc<dyn LimitStore> = match &shared {
        Some(shared) => shared.store(),
        None => memory.clone(),
    };
    let mut service = LimitService::new(policies, Arc::clone(&store), memory.clone())
        .with_on_store_failure(options::on_store_failure(config))
        .with_stopwatch(Arc::new(CounterClock::new()));
    if let Some(shared) = &shared {
        service = service.with_instances(shared.instances());
    }
    let budgets = match &config.limits_global.store {
        None => None,
        Some(url) => Some(GlobalBudgets::connect(url.expose(), config).await?),
    };
    if let Some(budgets) = &budgets {
        service = service.with_budgets(budgets.budgets());
    }
    let mut audit = None;
    if let Some(options) = options::audit(config) {
        let (log, guard) = AuditLog::open(&options, Arc::new(SystemClock::new()))
            .with_context(|| format!("limits.audit.file: {}", options.file.display()))?;
        audit = Some((log.dropped(), guard));
        service = service.with_audit(Arc::new(log));
    }
    let service = Arc::new(service);
    let book = PolicyBook::new(read, Arc::clone(&service));
    let limits = Limits {
        guard: Guard::new(Arc::clone(&service)),
        service,
        book: Arc::new(book),
        forwarding: Arc::new(options::forwarding(config)),
    };
    Ok(Made {
        limits,
        store,
        memory,
        shared,
        budgets,
        snapshot: config.limits.snapshot.clone(),
        audit,
    })
}

/// Puts changed policies in force: looks at their files now and then, and on SIGHUP.
pub(super) async fn watch(
    book: Arc<PolicyBook>,
    audit: Arc<tollgate_audit::AuditLog>,
    every: Duration,
    end: CancellationToken,
) {
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
            Ok(Ok(texts)) => {
                let changed = !texts.is_empty();
                if changed || asked {
                    tracing::info!(changed, "the policies were read again");
                }
                for text in texts {
                    changes::reloaded(&audit, text).await;
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
