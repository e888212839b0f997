//! The log: text for people, or a JSON object a line.

use std::io::IsTerminal as _;

use anyhow::{Context as _, anyhow};
use tollgate_config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// Sets up the log on standard error.
pub(super) fn init(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .parse(&log.level)
        .context("log.level")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow!("the log cannot be set up: {error}"))
}
