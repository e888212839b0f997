//! The answer to `INFO`.

use std::fmt::{Display, Write as _};

use super::accept::Shared;

/// A name, and what is shown of it.
type Field<'a> = (&'static str, &'a dyn Display);

/// The sections that are asked for by name; all of them if none is. One that does not exist is
/// empty, as in Redis.
pub(super) fn text(shared: &Shared, names: &[&[u8]]) -> String {
    let wanted = |section: &str| {
        names.is_empty()
            || names.iter().any(|name| {
                [section, "default", "all", "everything"]
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            })
    };
    let totals = shared.state.metrics.resp_totals();
    let uptime = shared.state.clock.monotonic() - shared.started;
    let sections: [(&str, &[Field<'_>]); 3] = [
        (
            "Server",
            &[
                ("tollgate_version", &env!("CARGO_PKG_VERSION")),
                ("redis_mode", &"standalone"),
                ("process_id", &std::process::id()),
                ("uptime_in_seconds", &uptime.as_secs()),
            ],
        ),
        (
            "Clients",
            &[
                ("connected_clients", &totals.connections_open),
                ("maxclients", &shared.options.max_connections),
            ],
        ),
        (
            "Stats",
            &[
                ("total_connections_received", &totals.connections),
                ("total_commands_processed", &totals.commands),
                ("rejected_connections", &totals.connections_refused),
                ("limits_allowed", &totals.allowed),
                ("limits_limited", &totals.limited),
            ],
        ),
    ];
    let mut out = String::new();
    for (section, fields) in sections {
        if !wanted(section) {
            continue;
        }
        if !out.is_empty() {
            out.push_str("\r\n");
        }
        // A string takes everything.
        let _ = write!(out, "# {section}\r\n");
        for (name, value) in fields {
            let _ = write!(out, "{name}:{value}\r\n");
        }
    }
    out
}
