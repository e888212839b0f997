//! What people see: tables, links one by one, errors.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use tollgate_links::LinkView;

use crate::args::ReportArgs;

/// Prints a value as JSON, one line where it is piped on.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        serde_json::to_writer_pretty(&mut out, value)?;
    } else {
        serde_json::to_writer(&mut out, value)?;
    }
    writeln!(out)?;
    Ok(())
}

/// Prints a report as it is asked for.
pub(crate) fn report<T: Serialize>(
    how: &ReportArgs,
    what: &T,
    markdown: impl FnOnce(&T) -> String,
    text: impl FnOnce(&T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if how.json {
        json(what)
    } else if how.markdown {
        bytes(markdown(what).as_bytes())
    } else {
        text(what)
    }
}

/// Writes a file that was asked for.
pub(crate) fn file(path: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("{} cannot be written", path.display()))
}

/// Prints a line.
pub(crate) fn line(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// Prints a text as it is.
pub(crate) fn bytes(text: &[u8]) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text)?)
}

/// Tells an error with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    // Nothing is left to do where standard error is gone.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
}

/// Tells something beside what was asked for.
pub(crate) fn note(text: impl std::fmt::Display) {
    // As above.
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// Columns are not squeezed into less.
const LEAST_WIDTH: u16 = 40;

/// Prints rows as a table that fits the terminal, or with tabs between in a pipe.
pub(crate) fn table(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if !out.is_terminal() {
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
            writeln!(out, "{}", cells.join("\t"))?;
        }
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.to_vec());
    // Some terminals do not tell their width, or tell 0.
    if table.width().is_none_or(|width| width < LEAST_WIDTH) {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)));
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// A text of others without what a terminal would take as a command, and what would be another cell or line.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The columns of [`link_row`].
pub(crate) const LINK_HEADER: [&str; 6] = ["SHORT", "TARGET", "STATE", "CREATED", "TAGS", "TITLE"];

/// A link as a row.
pub(crate) fn link_row(link: &LinkView) -> Vec<String> {
    vec![
        link.short_url.clone(),
        link.url.clone(),
        state(link),
        link.created_at.to_string(),
        link.tags.join(", "),
        link.title.clone().unwrap_or_default(),
    ]
}

/// Prints all there is about one link, a field a line, without those that are not set.
pub(crate) fn link(link: &LinkView) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut field = |name: &str, value: Option<String>| match value {
        Some(value) => writeln!(out, "{name:<14}{value}"),
        None => Ok(()),
    };
    field("short", Some(link.short_url.clone()))?;
    field("target", Some(link.url.clone()))?;
    field("state", Some(state(link)))?;
    field("title", link.title.clone())?;
    field(
        "tags",
        (!link.tags.is_empty()).then(|| link.tags.join(", ")),
    )?;
    field("starts", link.starts_at.map(|at| at.to_string()))?;
    field("expires", link.expires_at.map(|at| at.to_string()))?;
    let clicks = link
        .max_clicks
        .map(|max| format!("{} of {max}", link.clicks_used.unwrap_or_default()));
    field("clicks", clicks)?;
    field("redirect", link.redirect.map(|status| status.to_string()))?;
    field("password", link.has_password.then(|| "yes".to_owned()))?;
    field(
        "forward query",
        link.forward_query.then(|| "yes".to_owned()),
    )?;
    for rule in &link.rules {
        field("rule", Some(serde_json::to_string(rule)?))?;
    }
    field("origin", Some(link.origin.as_str().to_owned()))?;
    field(
        "created",
        Some(format!("{} by {}", link.created_at, link.created_by)),
    )?;
    if link.updated_at != link.created_at {
        field("edited", Some(link.updated_at.to_string()))?;
    }
    field("version", Some(link.version.to_string()))?;
    Ok(())
}

fn state(link: &LinkView) -> String {
    use tollgate_links::LinkState;
    match link.state {
        LinkState::Live => "live",
        LinkState::Pending => "pending",
        LinkState::Expired => "expired",
        LinkState::UsedUp => "used up",
    }
    .to_owned()
}
