//! The file an import reads, with its format and progress.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::BadUsage;
use crate::args::FormatArg;

/// An opened input.
pub(super) struct Source {
    pub(super) reader: Box<dyn Read>,
    pub(super) format: FormatArg,
    /// Counts bytes; hidden where standard error is no terminal.
    pub(super) bar: ProgressBar,
}

impl Source {
    pub(super) fn open(path: &Path, format: Option<FormatArg>) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let Some(format) = format else {
                let message = "standard input has no name that tells its format: give --format";
                return Err(BadUsage(message.to_owned()).into());
            };
            let bar = bar(None);
            return Ok(Self {
                reader: Box::new(bar.wrap_read(io::stdin())),
                format,
                bar,
            });
        }
        let format = match format.or_else(|| of_name(path)) {
            Some(format) => format,
            None => {
                let message = format!(
                    "the name of {} does not tell its format: give --format",
                    path.display()
                );
                return Err(BadUsage(message).into());
            }
        };
        let file =
            File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let bar = bar(file.metadata().ok().map(|data| data.len()));
        Ok(Self {
            reader: Box::new(bar.wrap_read(file)),
            format,
            bar,
        })
    }
}

/// The format a file's name tells.
pub(crate) fn of_name(path: &Path) -> Option<FormatArg> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" => Some(FormatArg::Csv),
        "ndjson" | "jsonl" => Some(FormatArg::Ndjson),
        _ => None,
    }
}

fn bar(bytes: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:30} {bytes}/{total_bytes} {msg} {eta}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {msg}"),
    };
    // The templates are constants; the default style is the fallback, not a failure.
    ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style))
}
