//! Importing and exporting links.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ServerArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
A CSV needs a column for the target (url, long url, target …); it may have columns for the code, \
domain, title, tags, times and the other fields, under the names of our own export or of others. \
NDJSON has a link on each line, with the fields of the API. With --from, exports of other \
shorteners are read, and what they have counted is counted here: once, however often it is \
imported.\n\n\
Each bad line is told with its number, and the import goes on. A code that is taken by a link with \
the same target counts as imported already. An import that was interrupted goes on where it \
stopped when it is started again; what was imported before is not imported twice. It ends with a \
report; --dry-run makes that without changing anything.")]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The file; - reads standard input
    #[arg(required_unless_present = "source_url", conflicts_with = "source_url")]
    pub(crate) file: Option<PathBuf>,
    /// Whose export it is
    #[arg(long, value_enum, default_value_t = ImportFrom::Tollgate)]
    pub(crate) from: ImportFrom,
    /// The file's format; by default its name tells
    #[arg(long, value_enum)]
    pub(crate) format: Option<InputFormat>,
    /// Which column of a CSV has a field: FIELD=NAME, such as url=Long; can be given several times
    #[arg(long = "column", value_name = "FIELD=NAME")]
    pub(crate) columns: Vec<String>,
    /// A Shlink that runs, to import from without a file, such as https://s.example
    #[arg(long, value_name = "URL")]
    pub(crate) source_url: Option<String>,
    /// Its API key
    #[arg(
        long,
        value_name = "KEY",
        env = "TOLLGATE_SOURCE_KEY",
        hide_env_values = true
    )]
    pub(crate) source_key: Option<String>,
    /// Change nothing, and tell what would become of each row
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Put all links on this host, whatever the source says; "" is the default one
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
    /// Import links alone, and not what other shorteners have counted
    #[arg(long)]
    pub(crate) without_clicks: bool,
    /// Under which name clicks are counted once; by default that of --from. Give another one for a
    /// second source of the same kind
    #[arg(long, value_name = "NAME")]
    pub(crate) source_name: Option<String>,
    /// Stop at the first bad line
    #[arg(long)]
    pub(crate) strict: bool,
    /// Where the progress is kept until all is done; by default beside the file
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// Import links that had a password without one, instead of refusing them
    #[arg(long)]
    pub(crate) without_passwords: bool,
    /// Take over all that a full export tells, with origins, authors, times, versions and hashes of
    /// passwords; needs the scope admin
    #[arg(long)]
    pub(crate) full: bool,
}

/// Whose export is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFrom {
    /// Our own export, or a file with the same names
    Tollgate,
    /// A CSV of Shlink's web client, or with --source-url a Shlink that runs
    Shlink,
    /// A CSV of the table of links, or a dump of the data base
    Yourls,
    /// What its API answers as JSON, or a CSV of the same fields
    Kutt,
    /// A CSV, or what its API answers as JSON
    Bitly,
    /// Any CSV; --column says what its columns mean
    Csv,
}

/// What a file to be imported holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// Comma-separated, with a header
    Csv,
    /// One JSON object a line
    Ndjson,
    /// JSON, of Kutt and Bitly
    Json,
    /// A dump of MySQL or MariaDB, of YOURLS
    Sql,
}

/// A value as it is written on the command line.
pub(crate) fn written(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The file; without one, or as -, standard output
    pub(crate) file: Option<PathBuf>,
    /// The format; by default the file's name tells, and NDJSON without one
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatArg>,
    /// Only links with this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Only links on this host
    #[arg(long, value_name = "HOST")]
    pub(crate) domain: Option<String>,
    /// With hashes of passwords, so that another instance becomes identical; needs the scope admin
    #[arg(long)]
    pub(crate) full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// Comma-separated, with a header
    Csv,
    /// One JSON object a line
    Ndjson,
}
