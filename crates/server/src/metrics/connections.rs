use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::encoding::DescriptorEncoder;

use super::reading::{counter, gauge};

/// Connections of one thread of a listener.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Accepted and served.
    pub(crate) opened: AtomicU64,
    /// Served to their end.
    pub(crate) closed: AtomicU64,
    /// Closed at once: too many were open.
    pub(crate) refused: AtomicU64,
    /// Closed at once: too many of the same address were open.
    pub(crate) refused_by_address: AtomicU64,
    /// Closed because the client was too slow or idle for too long.
    pub(crate) timed_out: AtomicU64,
    /// Errors of the operating system when accepting.
    pub(crate) accept_errors: AtomicU64,
}

/// How many connections of `listener` were closed because of their address.
pub(super) fn encode_by_address<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    listener: &str,
    threads: impl Iterator<Item = &'a Connections>,
) -> fmt::Result {
    let refused: u64 = threads
        .map(|thread| thread.refused_by_address.load(Relaxed))
        .sum();
    counter(
        encoder,
        &format!("tollgate_{listener}_connections_refused_by_address"),
        "Connections closed at once because too many of the same address were open",
        refused as f64,
    )
}

/// The connections of all threads of `listener`.
pub(super) fn encode<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    listener: &str,
    threads: impl Iterator<Item = &'a Connections> + Clone,
) -> fmt::Result {
    let sum = |read: fn(&Connections) -> &AtomicU64| -> u64 {
        threads
            .clone()
            .map(|thread| read(thread).load(Relaxed))
            .sum()
    };
    // Closed before opened, so that the difference is never negative.
    let closed = sum(|c| &c.closed);
    let opened = sum(|c| &c.opened);
    gauge(
        encoder,
        &format!("tollgate_{listener}_connections_open"),
        "Connections open now",
        opened.saturating_sub(closed) as f64,
    )?;
    let counters: [(&str, &str, u64); 4] = [
        ("connections", "Connections served", opened),
        (
            "connections_refused",
            "Connections closed at once because too many were open",
            sum(|c| &c.refused),
        ),
        (
            "connections_timed_out",
            "Connections closed because the client was too slow or idle",
            sum(|c| &c.timed_out),
        ),
        (
            "accept_errors",
            "Errors of the operating system when accepting connections",
            sum(|c| &c.accept_errors),
        ),
    ];
    for (name, help, value) in counters {
        counter(
            encoder,
            &format!("tollgate_{listener}_{name}"),
            help,
            value as f64,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Threads([Connections; 2]);

    impl Collector for Threads {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            encode(&mut encoder, "x", self.0.iter())
        }
    }

    #[test]
    fn threads_are_summed_and_open_is_opened_less_closed() {
        let threads = Threads(Default::default());
        threads.0[0].opened.store(5, Relaxed);
        threads.0[1].opened.store(1, Relaxed);
        threads.0[1].closed.store(2, Relaxed);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(threads));
        let mut out = String::new();
        text::encode(&mut out, &registry).unwrap();
        assert!(out.contains("\ntollgate_x_connections_open 4.0\n"), "{out}");
        assert!(
            out.contains("\ntollgate_x_connections_total 6.0\n"),
            "{out}"
        );
    }
}
