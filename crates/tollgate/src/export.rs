//! `tollgate link export`: all links as CSV or NDJSON, so that an import of it makes them again.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tollgate_links::LinkView;
use tollgate_links::store::MAX_PAGE_LINKS;

use crate::BadUsage;
use crate::args::ExportArgs;
use crate::args::transfer::FormatArg;
use crate::client::{Client, Listing};
use crate::import::of_name;
use crate::open;

/// The columns of a CSV; an import reads all of them.
const COLUMNS: [&str; 16] = [
    "code",
    "domain",
    "url",
    "title",
    "tags",
    "created_at",
    "starts_at",
    "expires_at",
    "max_clicks",
    "clicks_used",
    "redirect",
    "has_password",
    "forward_query",
    "rules",
    "short_url",
    "origin",
];

/// Runs `tollgate link export`.
pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    let format = args
        .format
        .or_else(|| file.and_then(of_name))
        .unwrap_or(FormatArg::Ndjson);
    if args.full && format == FormatArg::Csv {
        let message = "a full export is NDJSON: a CSV has no room for all of it";
        return Err(BadUsage(message.to_owned()).into());
    }
    // Oldest first: an import then makes them in the order they were made.
    let listing = Listing::new(&client)
        .tag(args.tag.as_deref())
        .domain(args.domain.as_deref())
        .order(Some("created"))
        .password_hashes(args.full);
    let Some(file) = file else {
        write(listing, format, io::stdout().lock())?;
        return Ok(());
    };
    // Written beside and renamed, so that a broken export never looks like a whole one.
    let part = open::with_ending(file, ".part");
    let unwritable = || format!("{} cannot be written", part.display());
    let out = File::create(&part).with_context(unwritable)?;
    let links = write(listing, format, &out).and_then(|links| {
        out.sync_all().with_context(unwritable)?;
        Ok(links)
    });
    let links = links.inspect_err(|_| {
        // What is there is no export; that it may stay behind is told by its name.
        let _ = std::fs::remove_file(&part);
    })?;
    std::fs::rename(&part, file)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    eprintln!("{links} links exported to {}", file.display());
    Ok(())
}

fn write(mut listing: Listing<'_>, format: FormatArg, out: impl Write) -> anyhow::Result<u64> {
    let bar = bar();
    let mut out = BufWriter::new(out);
    let mut csv = match format {
        FormatArg::Ndjson => None,
        FormatArg::Csv => Some(csv::Writer::from_writer(Vec::new())),
    };
    if let Some(csv) = &mut csv {
        csv.write_record(COLUMNS)?;
    }
    while let Some(page) = listing.next_page(MAX_PAGE_LINKS)? {
        for link in &page {
            match &mut csv {
                Some(csv) => csv.write_record(record(link)?)?,
                None => {
                    serde_json::to_writer(&mut out, link)?;
                    out.write_all(b"\n")?;
                }
            }
        }
        if let Some(done) = csv.take() {
            let bytes = done.into_inner().map_err(|error| error.into_error())?;
            out.write_all(&bytes)?;
            csv = Some(csv::Writer::from_writer(Vec::new()));
        }
        bar.inc(page.len() as u64);
    }
    out.flush()?;
    bar.finish_and_clear();
    Ok(bar.position())
}

/// A link as cells, in the order of [`COLUMNS`].
fn record(link: &LinkView) -> anyhow::Result<[String; 16]> {
    fn text(value: Option<impl ToString>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let rules = match link.rules.as_slice() {
        [] => String::new(),
        rules => serde_json::to_string(rules)?,
    };
    Ok([
        link.code.clone(),
        text(link.domain.as_ref()),
        link.url.clone(),
        text(link.title.as_ref()),
        link.tags.join("|"),
        link.created_at.to_string(),
        text(link.starts_at),
        text(link.expires_at),
        text(link.max_clicks),
        text(link.clicks_used),
        text(link.redirect),
        link.has_password.to_string(),
        link.forward_query.to_string(),
        rules,
        link.short_url.clone(),
        link.origin.as_str().to_owned(),
    ])
}

fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    // The template is a constant; the default style is the fallback, not a failure.
    ProgressStyle::with_template("{spinner} {pos} links, {per_sec}")
        .map_or(bar.clone(), |style| bar.with_style(style))
}
