use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::connections::{self, Connections};
use crate::resp::command::{ALL, Name};

/// What a command of the Redis protocol came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RespOutcome {
    /// A limit let the request pass.
    Allowed,
    /// A limit did not.
    Limited,
    /// Any other command that was done.
    Done,
    /// The command, its arguments, or the client without a password are wrong.
    Refused,
    /// The store of limits is away.
    Unavailable,
}

impl RespOutcome {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Allowed, "allowed"),
        (Self::Limited, "limited"),
        (Self::Done, "done"),
        (Self::Refused, "refused"),
        (Self::Unavailable, "unavailable"),
    ];
}

/// The rows of commands: each of ours, and all others together.
const COMMANDS: usize = ALL.len() + 1;

/// What one thread of the Redis protocol counts. Only that thread writes.
#[derive(Debug, Default)]
pub struct RespRecorder {
    commands: [[AtomicU64; RespOutcome::ALL.len()]; COMMANDS],
    malformed: AtomicU64,
    pub(crate) connections: Connections,
}

impl RespRecorder {
    /// Counts one answered command; `None` is one that does not exist.
    pub(crate) fn observe(&self, command: Option<Name>, outcome: RespOutcome) {
        let row = command.map_or(COMMANDS - 1, |name| name as usize);
        self.commands[row][outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts bytes that were no command.
    pub(crate) fn malformed(&self) {
        self.malformed.fetch_add(1, Relaxed);
    }
}

/// All threads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RespTotals {
    pub(crate) connections: u64,
    pub(crate) connections_open: u64,
    pub(crate) connections_refused: u64,
    pub(crate) commands: u64,
    pub(crate) allowed: u64,
    pub(crate) limited: u64,
}

/// The recorders of all threads.
#[derive(Debug, Default)]
pub(super) struct RespMetrics {
    recorders: Mutex<Vec<Arc<RespRecorder>>>,
}

impl RespMetrics {
    pub(super) fn recorder(&self) -> Arc<RespRecorder> {
        let recorder = Arc::new(RespRecorder::default());
        self.recorders().push(Arc::clone(&recorder));
        recorder
    }

    pub(super) fn totals(&self) -> RespTotals {
        let recorders = self.recorders();
        let sum = |read: fn(&Connections) -> &AtomicU64| -> u64 {
            let connections = recorders.iter().map(|r| read(&r.connections));
            connections.map(|count| count.load(Relaxed)).sum()
        };
        // Closed before opened, so that the difference is never negative.
        let closed = sum(|c| &c.closed);
        let opened = sum(|c| &c.opened);
        let of = |outcome| -> u64 {
            (0..COMMANDS)
                .map(|row| commands(&recorders, row, outcome))
                .sum()
        };
        RespTotals {
            connections: opened,
            connections_open: opened.saturating_sub(closed),
            connections_refused: sum(|c| &c.refused),
            commands: RespOutcome::ALL
                .iter()
                .map(|&(outcome, _)| of(outcome))
                .sum(),
            allowed: of(RespOutcome::Allowed),
            limited: of(RespOutcome::Limited),
        }
    }

    fn recorders(&self) -> MutexGuard<'_, Vec<Arc<RespRecorder>>> {
        self.recorders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn commands(recorders: &[Arc<RespRecorder>], row: usize, outcome: RespOutcome) -> u64 {
    let counts = recorders.iter().map(|r| &r.commands[row][outcome as usize]);
    counts.map(|count| count.load(Relaxed)).sum()
}

impl Collector for RespMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let recorders = self.recorders();
        let mut family = encoder.encode_descriptor(
            "tollgate_resp_commands",
            "Commands of the Redis protocol, by name and by what they came to: allowed, limited, done, refused or unavailable",
            None,
            MetricType::Counter,
        )?;
        let names = ALL.iter().map(|spec| spec.name.text()).chain(["unknown"]);
        for (row, name) in names.enumerate() {
            for (outcome, outcome_name) in RespOutcome::ALL {
                let count = commands(&recorders, row, outcome);
                if count > 0 {
                    family
                        .encode_family(&[("command", name), ("outcome", outcome_name)])?
                        .encode_counter::<NoLabelSet, f64, f64>(&(count as f64), None)?;
                }
            }
        }
        let malformed = recorders.iter().map(|r| r.malformed.load(Relaxed));
        super::reading::counter(
            &mut encoder,
            "tollgate_resp_protocol_errors",
            "Connections closed because what they sent was no command",
            malformed.sum::<u64>() as f64,
        )?;
        connections::encode(
            &mut encoder,
            "resp",
            recorders.iter().map(|recorder| &recorder.connections),
        )
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn tables_are_indexed_by_discriminant() {
        for (i, (outcome, _)) in RespOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, i);
        }
    }

    #[test]
    fn threads_are_summed() {
        let metrics = Arc::new(RespMetrics::default());
        let (a, b) = (metrics.recorder(), metrics.recorder());
        a.observe(Some(Name::ClThrottle), RespOutcome::Allowed);
        b.observe(Some(Name::ClThrottle), RespOutcome::Allowed);
        b.observe(Some(Name::Reset), RespOutcome::Done);
        b.observe(None, RespOutcome::Refused);
        b.malformed();
        let totals = metrics.totals();
        assert_eq!((totals.commands, totals.allowed, totals.limited), (4, 2, 0));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&metrics)));
        let mut out = String::new();
        text::encode(&mut out, &registry).unwrap();
        for line in [
            r#"commands_total{command="cl.throttle",outcome="allowed"} 2.0"#,
            r#"commands_total{command="reset",outcome="done"} 1.0"#,
            r#"commands_total{command="unknown",outcome="refused"} 1.0"#,
            "protocol_errors_total 1.0",
            "connections_open 0.0",
        ] {
            assert!(out.contains(&format!("\ntollgate_resp_{line}\n")), "{out}");
        }
        assert!(!out.contains("ping"), "series nobody needs: {out}");
    }
}
