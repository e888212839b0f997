//! Raw clicks in files, before they are dropped.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tempfile::NamedTempFile;
use tollgate_clock::UnixMillis;

use super::raw::Day;
use crate::{ClickKind, Dimension, EnrichedClick, Network, Snippet};

/// A raw click as a line of JSON. Fields are only ever added.
#[derive(Serialize)]
struct Line<'c> {
    at: UnixMillis,
    id: String,
    domain: &'c str,
    code: &'c str,
    orphan: bool,
    bot: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    adjusted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    visitor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer_url: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_language: Option<&'c str>,
    #[serde(flatten)]
    values: serde_json::Map<String, serde_json::Value>,
}

impl<'c> Line<'c> {
    fn of(enriched: &'c EnrichedClick) -> Self {
        let click = &enriched.click;
        let text = |snippet: &'c Option<Snippet>| snippet.as_ref().map(Snippet::as_str);
        let values = enriched
            .values
            .iter()
            .map(|(dimension, value): (Dimension, _)| {
                (dimension.name().into(), value.as_str().into())
            });
        Self {
            at: click.at,
            id: format!("{:016x}-{}", click.id.process, click.id.number),
            domain: &click.domain,
            code: &click.code,
            orphan: click.kind == ClickKind::Orphan,
            bot: enriched.bot,
            adjusted: enriched.adjusted,
            visitor: click.visitor.map(|visitor| format!("{visitor:016x}")),
            address: click.network.and_then(|network| match network {
                Network::Full(address) => Some(address),
                Network::Truncated(_) => None,
            }),
            referrer_url: text(&click.referrer),
            user_agent: text(&click.user_agent),
            accept_language: text(&click.language),
            values: values.collect(),
        }
    }
}

/// The file of a day.
fn file(directory: &Path, day: Day) -> PathBuf {
    directory.join(format!("clicks-{day}.ndjson.gz"))
}

/// The file of a day that is being written, beside the one whose place it takes. It is gone if it is
/// not finished.
pub(super) struct Archive {
    out: GzEncoder<BufWriter<NamedTempFile>>,
    target: PathBuf,
}

impl Archive {
    /// Begins. Another process may write the same day at the same time.
    pub(super) fn begin(directory: &Path, day: Day) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let target = file(directory, day);
        let file = tempfile::Builder::new()
            .prefix(&format!("clicks-{day}."))
            .suffix(".unfinished")
            // As for any file: the mask of the process says who may read it.
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(directory)?;
        Ok(Self {
            out: GzEncoder::new(BufWriter::new(file), Compression::default()),
            target,
        })
    }

    /// Writes the next click.
    pub(super) fn write(&mut self, click: &EnrichedClick) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &Line::of(click))?;
        self.out.write_all(b"\n")
    }

    /// Waits until the disk has it. It is not in its place yet.
    pub(super) fn finish(self) -> io::Result<Written> {
        let file = self
            .out
            .finish()?
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        Ok(Written {
            file,
            target: self.target,
        })
    }
}

/// The file of a day, all of it on the disk.
pub(super) struct Written {
    file: NamedTempFile,
    target: PathBuf,
}

impl Written {
    /// Puts it in its place, durably, instead of an earlier one.
    pub(super) fn keep(self) -> io::Result<()> {
        self.file.persist(&self.target)?;
        match self.target.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}
