//! Shell completions and manual pages, made of the command line's own description.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;

/// Prints completions.
pub(crate) fn completions(shell: Shell) -> anyhow::Result<()> {
    // Collected first: the generator panics where the output cannot be written, as into `head`.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tollgate", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}

/// Prints the main page, or writes one for each command.
pub(crate) fn man(directory: Option<&Path>) -> anyhow::Result<()> {
    if let Some(directory) = directory {
        std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
            .with_context(|| format!("cannot write manual pages to {}", directory.display()))
    } else {
        clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?;
        Ok(())
    }
}
