//! `tollgate plan`: a flag for each assumption.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use tollgate_links::StrategyKind;
use tollgate_plan::{Assumption, DEFAULT_POINTS, Setting};

use super::ReportArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Sizes are written as 500B, 1.5TB or 64MiB, times as 30d or 5y (a year has 365 days), rates as 200, \
1.5k/s or 100000/d, shares as 90% or 0.9, and large numbers as 10M. Defaults are in brackets; where they \
are from is printed with the plan.")]
pub(crate) struct PlanArgs {
    /// Take traffic and hit rate from the metrics of a running server, such as
    /// http://127.0.0.1:8081; several are added up. What is given as a flag goes before
    #[arg(long, value_name = "URL")]
    pub(crate) from_metrics: Vec<String>,
    /// Measure for so long, such as 60s, instead of taking the averages since the server started
    #[arg(long, value_name = "TIME", requires = "from_metrics")]
    pub(crate) metrics_interval: Option<String>,
    /// Go through values of one assumption: NAME=FROM..TO or NAME=FROM..TO:STEP, such as
    /// hit_rate=0.5..0.99
    #[arg(long, value_name = "SWEEP")]
    pub(crate) sweep: Option<String>,
    /// Values of a sweep without a step, up to 1000
    #[arg(long, value_name = "N", requires = "sweep", default_value_t = DEFAULT_POINTS)]
    pub(crate) points: u32,
    /// Draw the sweep into this file
    #[arg(long, value_name = "FILE", requires = "sweep")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: ReportArgs,
    /// How codes are made: counter, hash, snowflake, pool or random
    #[arg(long, default_value = "counter")]
    pub(crate) strategy: StrategyKind,
    #[command(flatten)]
    pub(crate) assumptions: AssumptionArgs,
}

/// The assumptions that are given.
#[derive(Debug)]
pub(crate) struct AssumptionArgs(pub(crate) Vec<Setting>);

impl FromArgMatches for AssumptionArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |one: &Assumption| matches.get_one::<Setting>(one.name()).copied();
        Ok(Self(Assumption::ALL.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for AssumptionArgs {
    fn augment_args(command: Command) -> Command {
        command.args(Assumption::ALL.iter().copied().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(assumption: Assumption) -> Arg {
    let unit = assumption.unit();
    let default = assumption.default().map_or_else(String::new, |default| {
        format!(" [default: {}]", unit.show_short(default))
    });
    Arg::new(assumption.name())
        .long(assumption.name().replace('_', "-"))
        .value_name(unit.placeholder())
        .help(format!("{}{default}", assumption.help()))
        .help_heading(assumption.group().title())
        .value_parser(move |text: &str| assumption.parse(text))
}
