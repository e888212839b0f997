//! Opens the stores a configuration names. Their errors name the file and say what to do.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tollgate_access::{Keys, SqliteKeyStore};
use tollgate_clock::SystemClock;
use tollgate_config::Config;
use tollgate_links::Domains;
use tollgate_server::limits::{BUILT_IN, PolicySources};
use tollgate_server::metrics::{FileWrites, WatchedFile};
use tollgate_sqlite::WriterStats;
use tollgate_webhooks::Outbox;

/// The API keys, and the file they are in; it is made if it is not there.
pub(crate) fn keys(file: &Path) -> anyhow::Result<(Keys, WatchedFile)> {
    directory_of(file)?;
    let store = SqliteKeyStore::open(file)?;
    let watched = watched("keys", store.watch_writer());
    let keys = Keys::new(Arc::new(store), Arc::new(SystemClock::new()));
    Ok((keys, watched))
}

/// A file, and how writing to it goes.
pub(crate) fn watched(
    holds: &'static str,
    stats: impl Fn() -> WriterStats + Send + Sync + 'static,
) -> WatchedFile {
    let writes = move || {
        let WriterStats {
            commits,
            failed,
            failing,
            ..
        } = stats();
        FileWrites {
            commits,
            failed,
            failing,
        }
    };
    WatchedFile {
        holds,
        writes: Arc::new(writes),
    }
}

/// Webhooks and their messages; their store is made if it is not there.
pub(crate) fn webhooks(file: &Path) -> anyhow::Result<Arc<Outbox>> {
    directory_of(file)?;
    Ok(Arc::new(Outbox::open(file)?))
}

/// Where policies are read from: what is built in, the configured file, and what the API keeps in
/// the data directory.
pub(crate) fn policies(config: &Config, data_dir: &Path) -> PolicySources {
    PolicySources {
        built_in: BUILT_IN,
        file: config.limits.policies.clone(),
        directory: data_dir.join("policies"),
    }
}

/// The hosts that are served. Without a base URL, short links begin with the edge's address.
pub(crate) fn domains(config: &Config, edge: Option<SocketAddr>) -> anyhow::Result<Domains> {
    let base = config.links.base_url.clone().unwrap_or_else(|| {
        let mut address = edge.unwrap_or(config.edge.listen);
        // "All addresses" is none to visit.
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let scheme = if config.edge.tls_cert.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{address}")
    });
    Domains::new(&base, &config.links.domains).context("links.base_url or links.domains")
}

/// A path with more at its end.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Makes the directory if it is not there, for its owner only: it holds hashes of passwords and keys.
pub(crate) fn directory_of(file: &Path) -> anyhow::Result<()> {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("the directory {} cannot be made", directory.display())),
        _ => Ok(()),
    }
}
