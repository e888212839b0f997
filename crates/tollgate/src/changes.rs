//! Writing down what is changed by the server itself, or by commands that work on its files: who changed what.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tollgate_access::ApiKey;
use tollgate_audit::{
    Action, Actor, AuditLog, AuditOptions, Entry, Error, Group, Origin, Outcome, UnknownAction, Via,
};
use tollgate_clock::{Clock as _, SystemClock, UnixMillis};
use tollgate_config::{Changes, Config};
use tollgate_server::limits::ChangedText;

use crate::open;
use crate::serve::background::Pace;

/// How often old entries are looked for.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// What is written down, and how.
pub(crate) fn options(config: &Config) -> anyhow::Result<AuditOptions> {
    let left_out = config.changes.leave_out.iter();
    let groups: Result<Vec<Group>, UnknownAction> = left_out.map(|name| name.parse()).collect();
    Ok(AuditOptions {
        chain: config.changes.chain,
        leave_out: groups.context("admin.audit.leave_out")?,
    })
}

/// The audit log of a server's files; it is made if it is not there.
pub(crate) fn log(config: &Config, data_dir: &Path) -> anyhow::Result<AuditLog> {
    let file = config.audit_file(data_dir);
    open::directory_of(&file)?;
    Ok(AuditLog::open(&file, options(config)?)?)
}

/// What the user of this command does.
pub(crate) async fn by_user(
    log: &AuditLog,
    action: Action,
    resource: String,
    changes: Value,
) -> anyhow::Result<()> {
    let actor = Actor::User { name: user() };
    let entry = entry(actor, Via::CommandLine, action, resource, changes);
    let written = log.append(vec![entry]).await;
    written.context("it is done, but the audit log does not take it")
}

/// What the user of this command does, where nothing else needs a runtime.
pub(crate) fn note(
    config: &Config,
    data_dir: &Path,
    action: Action,
    resource: &Path,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let log = log(config, data_dir)?;
    let resource = resource.display().to_string();
    runtime.block_on(by_user(&log, action, resource, json!({})))
}

/// The first key, which the server makes.
pub(crate) async fn first_key(log: &AuditLog, key: &ApiKey) -> anyhow::Result<()> {
    let fields = json!({"name": [null, key.name], "scopes": [null, key.scopes.to_string()]});
    let id = key.id.to_string();
    let entry = entry(Actor::Server, Via::Server, Action::KeyCreate, id, fields);
    Ok(log.append(vec![entry]).await?)
}

/// The server starts with this configuration. Secrets are in it, so that its hash is all that is told of the file.
pub(crate) async fn started(
    log: &AuditLog,
    config: &Config,
    file: Option<&Path>,
) -> anyhow::Result<()> {
    let mut fields = Map::new();
    let mut now = |name: &str, value: Value| {
        fields.insert(name.to_owned(), json!([null, value]));
    };
    now("version", json!(env!("CARGO_PKG_VERSION")));
    now("edge.listen", json!(config.edge.listen));
    now("admin.listen", json!(config.admin.listen));
    for (name, file) in [
        ("config", file),
        ("edge.qr_logo", config.edge.qr_logo.as_deref()),
    ] {
        if let Some(file) = file {
            now(name, json!(file.display().to_string()));
            // It was read a moment ago.
            let digest = std::fs::read(file).map(|bytes| hex(&bytes)).ok();
            now(&format!("{name} SHA-256"), json!(digest));
        }
    }
    let changes = Value::Object(fields);
    let entry = entry(
        Actor::Server,
        Via::Server,
        Action::ServerStart,
        String::new(),
        changes,
    );
    let written = log.append(vec![entry]).await;
    written.context("the audit log takes no entries, and without it nothing could be changed")
}

/// Policies that were read again. If the log does not take it, it says so, and tries again with the next entry.
pub(crate) async fn reloaded(log: &AuditLog, text: ChangedText) {
    let changes = json!({"yaml": [text.before, text.after]});
    let entry = entry(
        Actor::Server,
        Via::Server,
        Action::PoliciesReload,
        text.name,
        changes,
    );
    let _ = log.append(vec![entry]).await;
}

/// Removes what is too old, or too much.
pub(crate) async fn tidy(log: Arc<AuditLog>, changes: Changes, end: CancellationToken) {
    let mut pace = Pace::new("removing old entries of the audit log", TIDY_EVERY, end);
    while pace.next().await {
        let round = tidy_once(&log, &changes).await;
        pace.note(round);
    }
}

async fn tidy_once(log: &AuditLog, changes: &Changes) -> Result<(), Error> {
    let before = match changes.keep {
        Duration::ZERO => UnixMillis::from_millis(i64::MIN),
        keep => SystemClock::new().now().saturating_sub(keep),
    };
    let mut removed = 0;
    loop {
        let tidied = log.tidy(before, changes.max_bytes).await?;
        removed += tidied.removed;
        if !tidied.more {
            break;
        }
    }
    if removed > 0 {
        tracing::info!(
            entries = removed,
            "old entries of the audit log are removed"
        );
    }
    Ok(())
}

fn entry(actor: Actor, via: Via, action: Action, resource: String, changes: Value) -> Entry {
    Entry {
        at: SystemClock::new().now(),
        actor,
        action,
        resource,
        changes,
        from: Origin::local(via),
        result: Outcome::Done,
        reason: None,
    }
}

/// The user of the operating system that this process runs as, and who became that user by `sudo`. The variable proves
/// nothing, but root could write anything anyway.
fn user() -> String {
    let id = rustix::process::getuid().as_raw();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    let name = name.unwrap_or_else(|| id.to_string());
    match std::env::var("SUDO_USER") {
        Ok(before) if id == 0 && !before.is_empty() => format!("{name} (sudo by {before})"),
        _ => name,
    }
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}
