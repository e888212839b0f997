//! The `tollgate` binary: the command line, and the wiring of everything that runs. A library only so that tests
//! reach what the binary reads.

mod args;
mod audit;
mod backup;
mod changes;
mod click_store;
#[cfg(feature = "clickhouse")]
mod clickhouse;
mod client;
mod completions;
mod config;
#[cfg(feature = "dynamodb")]
mod dynamo;
mod export;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod import;
mod keys;
mod limit;
mod link;
mod link_store;
mod migrate;
mod open;
mod plan;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod rebalance;
mod serve;
mod show;
mod stats;
mod webhook;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

/// Ended well but not everything was done, and what failed was told already.
const FAILED: u8 = 1;
/// The command line asks for something that makes no sense.
const BAD_USAGE: u8 = 2;

/// A mistake in the command line that the parser cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadUsage(String);

/// Does what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            show::error(&error);
            let bad_usage = error.chain().any(|cause| cause.is::<BadUsage>());
            ExitCode::from(if bad_usage { BAD_USAGE } else { FAILED })
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(&args)?,
        Command::Link(args) => return link::run(args),
        Command::Stats(args) => stats::run(&args)?,
        Command::Limit(args) => return limit::run(args),
        Command::Webhook(args) => webhook::run(args)?,
        Command::Plan(args) => plan::run(&args)?,
        Command::Key(args) => keys::run(args)?,
        Command::Audit(args) => audit::run(args)?,
        Command::Config(args) => config::run(args)?,
        Command::Migrate(args) => migrate::run(&args)?,
        Command::Backup(args) => backup::run(&args)?,
        Command::Restore(args) => backup::restore(&args)?,
        Command::Completions { shell } => completions::completions(shell)?,
        Command::Man { directory } => completions::man(directory.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whoever read our output has enough (`tollgate link list | head`): no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
