//! The file an import reads, with its format and progress.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::BadUsage;
use crate::args::ImportArgs;
use crate::args::transfer::{FormatArg, InputFormat};

/// An opened input.
pub(super) struct Source {
    pub(super) reader: Box<dyn Read>,
    pub(super) format: InputFormat,
    /// Counts bytes; hidden where standard error is no terminal.
    pub(super) bar: ProgressBar,
}

impl Source {
    pub(super) fn open(path: &Path, args: &ImportArgs) -> anyhow::Result<Self> {
        let format = args.format;
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
        let format = match format.or_else(|| input_of_name(path)) {
            Some(format) => format,
            None => {
                let message = format!(
                    "the name of {} does not tell its format: give --format",
                    path.display()
                );
                return Err(BadUsage(message).into());
            }
        };
        let file = open_again(path)?;
        let bar = bar(file.metadata().ok().map(|data| data.len()));
        Ok(Self {
            reader: Box::new(bar.wrap_read(file)),
            format,
            bar,
        })
    }
}

/// Opens a file that was open already.
pub(super) fn open_again(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The format that the name of an input tells.
fn input_of_name(path: &Path) -> Option<InputFormat> {
    match of_name(path) {
        Some(FormatArg::Csv) => Some(InputFormat::Csv),
        Some(FormatArg::Ndjson) => Some(InputFormat::Ndjson),
        None => match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(InputFormat::Json),
            "sql" => Some(InputFormat::Sql),
            _ => None,
        },
    }
}

/// The format of an export that a file's name tells.
pub(crate) fn of_name(path: &Path) -> Option<FormatArg> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" => Some(FormatArg::Csv),
        "ndjson" | "jsonl" => Some(FormatArg::Ndjson),
        _ => None,
    }
}

/// A bar of so many bytes, or of who knows how many.
pub(super) fn bar(bytes: Option<u64>) -> ProgressBar {
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
