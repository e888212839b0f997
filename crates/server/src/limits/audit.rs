//! The audit log: refusals, one line of JSON each, in a file that is rotated by size.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use serde::Serialize;
use tollgate_clock::Clock;
use tollgate_limit::service::{Audit, Denial};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::headers::millis;

/// Lines that wait for the disk; what comes on top is dropped and counted.
const QUEUE_LINES: usize = 10_000;

/// Where refusals are written; fixed at start from the configuration.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// The file. Older ones have a number at the end, the latest 1.
    pub file: PathBuf,
    /// One in so many refusals is written; at least 1.
    pub one_in: u64,
    /// How large the file becomes before the next one is begun.
    pub max_bytes: usize,
    /// How many older files are kept.
    pub keep: usize,
}

/// Writes refusals, on a thread of its own.
pub struct AuditLog {
    writer: NonBlocking,
    one_in: u64,
    seen: AtomicU64,
    clock: Arc<dyn Clock>,
}

/// Writes what is left when it is dropped.
#[derive(Debug)]
pub struct AuditGuard(#[expect(dead_code, reason = "held for its drop")] WorkerGuard);

/// A refusal.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    domain: &'a str,
    policy: &'a str,
    descriptor: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Nothing was refused: the policy is in shadow mode.
    shadow: bool,
    /// For how many refusals this line stands.
    one_in: u64,
}

#[derive(Serialize)]
struct Pair<'a> {
    key: &'a str,
    value: &'a str,
}

impl AuditLog {
    /// Opens the file, which goes on where it ended.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(options: &AuditOptions, clock: Arc<dyn Clock>) -> io::Result<(Self, AuditGuard)> {
        // The library panics where it cannot write: try first.
        if let Some(directory) = options.file.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut probe = std::fs::OpenOptions::new();
        probe
            .create(true)
            .append(true)
            .open(&options.file)?
            .flush()?;
        let file = FileRotate::new(
            &options.file,
            AppendCount::new(options.keep),
            ContentLimit::BytesSurpassed(options.max_bytes),
            Compression::None,
            None,
        );
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(QUEUE_LINES)
            .lossy(true)
            .thread_name("audit")
            .finish(file);
        let log = Self {
            writer,
            one_in: options.one_in.max(1),
            seen: AtomicU64::new(0),
            clock,
        };
        Ok((log, AuditGuard(guard)))
    }

    /// Counts lines that were dropped because the disk was too slow.
    #[must_use]
    pub fn dropped(&self) -> ErrorCounter {
        self.writer.error_counter()
    }
}

impl Audit for AuditLog {
    fn denied(&self, denial: &Denial<'_>) {
        if !self.seen.fetch_add(1, Relaxed).is_multiple_of(self.one_in) {
            return;
        }
        let limit = denial.status.limit;
        let entries = denial.entries.iter().map(|entry| Pair {
            key: &entry.key,
            value: &entry.value,
        });
        let line = Line {
            at: self.clock.now().to_string(),
            domain: &denial.rule.domain,
            policy: &denial.rule.name,
            descriptor: entries.collect(),
            limit: limit.map(|limit| limit.requests()),
            window_ms: limit.map(|limit| millis(limit.window())),
            retry_after_ms: denial.status.retry_after.map(millis),
            shadow: denial.status.would_refuse,
            one_in: self.one_in,
        };
        // Strings and numbers are always JSON.
        let Ok(mut text) = serde_json::to_vec(&line) else {
            return;
        };
        text.push(b'\n');
        // It only fails where nobody reads the queue any more, at the end.
        let _ = self.writer.clone().write_all(&text);
    }
}

#[cfg(test)]
mod tests {
    use tollgate_clock::{ManualClock, UnixMillis};
    use tollgate_limit::policy::{Descriptor, PolicySet};
    use tollgate_limit::service::{CheckRequest, LimitService};
    use tollgate_limit::store::{MemoryOptions, MemoryStore};

    use super::*;

    const POLICIES: &str = "domain: d\ndescriptors:\n- key: user\n  \
                            rate_limit: {name: p, unit: minute, requests_per_unit: 1}\n";

    /// The lines after so many refusals.
    fn written(one_in: u64, max_bytes: usize, refusals: usize) -> Vec<Vec<serde_json::Value>> {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
        let options = AuditOptions {
            file: directory.path().join("new/audit.ndjson"),
            one_in,
            max_bytes,
            keep: 2,
        };
        let (log, guard) = AuditLog::open(&options, clock.clone()).unwrap();
        let store = Arc::new(MemoryStore::new(MemoryOptions::with_seed(1), clock));
        let policies = PolicySet::parse("p", POLICIES).unwrap();
        let service = LimitService::new(policies, store.clone(), store).with_audit(Arc::new(log));
        let request = CheckRequest {
            domain: "d".to_owned(),
            descriptors: vec![Descriptor::of([("user", "u1")])],
            hits: 1,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for _ in 0..=refusals {
            let _ = runtime.block_on(service.check(&request)).unwrap();
        }
        drop(guard);
        let names = ["audit.ndjson.2", "audit.ndjson.1", "audit.ndjson"];
        let files = names.map(|name| directory.path().join("new").join(name));
        let texts = files
            .iter()
            .filter_map(|file| std::fs::read_to_string(file).ok());
        let lines = |text: String| {
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            lines.collect()
        };
        texts.map(lines).collect()
    }

    #[test]
    fn a_line_tells_who_was_refused_by_what() {
        let files = written(1, 1 << 20, 1);
        let expected = serde_json::json!({
            "at": "1970-01-01T00:00:00Z", "domain": "d", "policy": "p",
            "descriptor": [{"key": "user", "value": "u1"}],
            "limit": 1, "window_ms": 60_000, "retry_after_ms": 60_000,
            "shadow": false, "one_in": 1,
        });
        assert_eq!(files, [[expected]]);
    }

    #[test]
    fn one_in_so_many_is_written() {
        let files = written(10, 1 << 20, 95);
        assert_eq!(files.concat().len(), 10);
    }

    #[test]
    fn files_are_rotated_by_size_and_the_oldest_go() {
        let files = written(1, 500, 50);
        assert_eq!(files.len(), 3);
        assert!(
            files
                .iter()
                .all(|lines| !lines.is_empty() && lines.len() < 10)
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let options = AuditOptions {
            file: "/proc/nowhere/audit".into(),
            one_in: 1,
            max_bytes: 1,
            keep: 1,
        };
        let clock = Arc::new(ManualClock::at(UnixMillis::from_millis(0)));
        assert!(AuditLog::open(&options, clock).is_err());
    }
}
