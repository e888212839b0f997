//! `tollgate config`, and how every command gets its configuration.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tollgate_clock::SystemClock;
use tollgate_config::{Config, Sources};
use tollgate_limit::policy::PolicySet;

use crate::args::{ConfigArgs, ConfigCommand, StoreArgs};
use crate::{changes, serve};

/// Runs `tollgate config …`.
pub(crate) fn run(args: ConfigArgs) -> anyhow::Result<()> {
    match args.command {
        ConfigCommand::Check { file, config } => {
            let file = file.or(config);
            let config = load(&Sources {
                file: file.as_deref(),
                environment: environment(),
                flags: Vec::new(),
            })?;
            if let Some(file) = &config.limits.policies {
                let yaml = std::fs::read_to_string(file)
                    .with_context(|| format!("limits.policies: {}", file.display()))?;
                PolicySet::parse(&file.display().to_string(), &yaml)?;
            }
            serve::sign_on::sign_on(&config, Arc::new(SystemClock::new()))?;
            changes::options(&config)?;
            let place = file.map_or_else(
                || "the configuration".to_owned(),
                |file| file.display().to_string(),
            );
            writeln!(std::io::stdout(), "{place} is valid")?;
        }
        ConfigCommand::Default => {
            std::io::stdout().write_all(tollgate_config::default_file().as_bytes())?;
        }
        ConfigCommand::Reference => {
            std::io::stdout().write_all(tollgate_config::reference().as_bytes())?;
        }
    }
    Ok(())
}

/// The configuration of a command that has no flags for single keys.
pub(crate) fn of_store(args: &StoreArgs) -> anyhow::Result<Config> {
    load(&Sources {
        file: args.config.as_deref(),
        environment: environment(),
        flags: Vec::new(),
    })
}

/// A configuration from these sources.
pub(crate) fn load(sources: &Sources<'_>) -> anyhow::Result<Config> {
    // Each problem has a line of its own, which editors and terminals turn into a link.
    Config::load(sources).map_err(|error| anyhow!("the configuration is not valid:\n{error}"))
}

/// Our environment variables. Those that are no Unicode cannot be ours.
pub(crate) fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
