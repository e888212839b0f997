//! Raw clicks in files, before they are dropped.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rusqlite::Connection;
use serde::Serialize;
use tollgate_clock::UnixMillis;
use tollgate_sqlite::rusqlite;

use super::raw::{self, Day};
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
pub(super) fn file(directory: &Path, day: Day) -> PathBuf {
    directory.join(format!("clicks-{day}.ndjson.gz"))
}

/// Writes the raw clicks of a day into its file, durably, in the place of an earlier one. Answers the
/// highest number among them.
pub(super) fn write(
    connection: &Connection,
    directory: &Path,
    day: Day,
) -> rusqlite::Result<io::Result<i64>> {
    let mut statement = connection.prepare(&format!(
        "SELECT {} FROM {} ORDER BY raw.number",
        raw::selected(),
        raw::from(day)
    ))?;
    let mut rows = statement.query([])?;
    let target = file(directory, day);
    let unfinished = target.with_extension("unfinished");
    let mut out = match begin(directory, &unfinished) {
        Ok(out) => out,
        Err(error) => return Ok(Err(error)),
    };
    let mut highest = 0;
    while let Some(row) = rows.next()? {
        let (number, click) = raw::read(row)?;
        highest = number;
        if let Err(error) = write_line(&mut out, &click) {
            return Ok(Err(error));
        }
    }
    Ok(finish(out, directory, &unfinished, &target).map(|()| highest))
}

type Out = GzEncoder<BufWriter<File>>;

fn begin(directory: &Path, unfinished: &Path) -> io::Result<Out> {
    fs::create_dir_all(directory)?;
    let file = BufWriter::new(File::create(unfinished)?);
    Ok(GzEncoder::new(file, Compression::default()))
}

fn write_line(out: &mut Out, click: &EnrichedClick) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Line::of(click))?;
    out.write_all(b"\n")
}

fn finish(out: Out, directory: &Path, unfinished: &Path, target: &Path) -> io::Result<()> {
    let file = out
        .finish()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(unfinished, target)?;
    File::open(directory)?.sync_all()
}
