//! `tollgate link import`: rows of a file, or of another shortener, become links, in chunks, and
//! clicks that were counted elsewhere are counted here.
//!
//! Every chunk is one bulk request under an idempotency key made of the run's identifier, the number
//! of rows before it and its content. The run's identifier and the rows already done are kept in a
//! file until all is done. So an import that was killed goes on where it stopped, and the server
//! recognises the chunk that was under way. Clicks are numbered, and the server knows how many it has.

mod cells;
mod clicks;
mod columns;
mod compare;
mod csv_rows;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod json_rows;
mod lines;
mod ndjson_rows;
mod report;
mod resume;
mod retry;
mod row;
mod send;
mod shlink;
mod source;
mod sql;
mod yourls;

pub(crate) use source::of_name;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use indicatif::ProgressBar;
use tollgate_clock::{Clock as _, SystemClock};

use crate::args::ImportArgs;
use crate::args::transfer::{ImportFrom, InputFormat, written};
use crate::client::Client;
use crate::{BadUsage, FAILED, show};
use clicks::ClickSender;
use columns::Column;
use report::Report;
use resume::{Progress, State};
use retry::{is_refusal, retrying};
use row::{Clicks, Row};
use send::{Link, Sender};
use shlink::Shlink;
use source::Source;

/// Links in one bulk request: enough that the commit's cost is spread, few enough that a retry is
/// cheap.
const CHUNK_ROWS: usize = 1_000;
/// Bytes in one bulk request, after which it is sent though it has fewer rows.
const CHUNK_BYTES: usize = 4 << 20;
/// The longest row. A target has at most 8 KiB, and a link at most 64 rules with one each.
const MAX_ROW_BYTES: usize = 1 << 20;

/// What rows are read with.
#[derive(Debug, Clone)]
struct RowRules {
    /// Whose export it is.
    from: ImportFrom,
    /// Import links that had a password without one.
    without_passwords: bool,
    /// The host that all links are put on; the default one if none in it.
    domain: Option<Option<String>>,
    /// Whether clicks come along.
    clicks: bool,
    /// Whether all that an export of ours tells is taken over.
    full: bool,
}

impl RowRules {
    #[cfg(any(test, feature = "fuzzing"))]
    const fn new(from: ImportFrom) -> Self {
        Self {
            from,
            without_passwords: false,
            domain: None,
            clicks: true,
            full: false,
        }
    }

    fn of(args: &ImportArgs) -> Self {
        let domain = args.domain.as_ref();
        Self {
            from: args.from,
            without_passwords: args.without_passwords,
            domain: domain.map(|domain| (!domain.is_empty()).then(|| domain.clone())),
            clicks: !args.without_clicks && args.from != ImportFrom::Tollgate,
            full: args.full,
        }
    }
}

/// Runs `tollgate link import`.
pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    check(args)?;
    let client = Client::new(&args.server)?;
    let rules = RowRules::of(args);
    let name = match &args.source_name {
        Some(name) => name.clone(),
        None => written(&args.from),
    };
    if rules.clicks {
        // Told before the first link is made, and not in the middle.
        retrying(|| client.import_clicks(&name, &[])).map_err(|error| {
            if !is_refusal(&error) {
                return error;
            }
            error.context(
                "clicks cannot be imported: give a key with the scope admin, or \
                 --without-clicks to import links alone",
            )
        })?;
    }
    let run = Run {
        args,
        client: &client,
        rules: &rules,
        name: &name,
    };
    match (&args.source_url, &args.file) {
        (Some(url), _) => {
            let source = Client::with_header(url, "x-api-key", args.source_key.as_deref())?;
            shlink::check(&source).with_context(|| {
                format!("{url} cannot be imported from, by the API key that --source-key gives")
            })?;
            let shlink = Shlink::new(&source, &rules, SystemClock::new().now());
            run.import_from(&shlink)
        }
        (None, Some(file)) => run.import_file(file),
        (None, None) => Err(BadUsage("give a file, or --source-url".to_owned()).into()),
    }
}

/// Refuses what makes no sense together.
fn check(args: &ImportArgs) -> anyhow::Result<()> {
    let wrong = |message: &str| Err(BadUsage(message.to_owned()).into());
    if args.source_url.is_some() && args.from != ImportFrom::Shlink {
        return wrong("--source-url is for --from shlink; of others import a file");
    }
    if args.full && args.from != ImportFrom::Tollgate {
        return wrong("--full is for an export of Tollgate");
    }
    if args.from == ImportFrom::Tollgate && args.source_name.is_some() {
        return wrong("--source-name is for clicks, of which this import has none: give --from");
    }
    Ok(())
}

/// An import under way.
struct Run<'a> {
    args: &'a ImportArgs,
    client: &'a Client,
    rules: &'a RowRules,
    /// The name of the source of clicks.
    name: &'a str,
}

/// Where the clicks of links come from.
enum ClickSource<'a> {
    /// Their rows tell how many there are.
    Rows,
    /// It lists them.
    Shlink(&'a Shlink<'a>),
    /// They follow the links, or stand before them: it is read again.
    Dump(&'a Path),
}

impl Run<'_> {
    fn import_from(&self, shlink: &Shlink<'_>) -> anyhow::Result<ExitCode> {
        let mut progress = Progress::open(self.args)?;
        let mut rows: Rows<'_> = Box::new(shlink.rows());
        if progress.state.rows > 0 && !self.goes_on(&progress.state, &mut rows)? {
            progress.state = State::fresh();
            rows = Box::new(shlink.rows());
        }
        let bar = source::bar(None);
        self.import(rows, &bar, progress, &ClickSource::Shlink(shlink))
    }

    fn import_file(&self, file: &Path) -> anyhow::Result<ExitCode> {
        let mut source = Source::open(file, self.args)?;
        let mut progress = Progress::open(self.args)?;
        let mut rows = self.read(source.reader, source.format, file)?;
        if progress.state.rows > 0 && !self.goes_on(&progress.state, &mut rows)? {
            progress.state = State::fresh();
            source = Source::open(file, self.args)?;
            rows = self.read(source.reader, source.format, file)?;
        }
        let clicks = match source.format {
            InputFormat::Sql if self.rules.clicks => ClickSource::Dump(file),
            _ => ClickSource::Rows,
        };
        self.import(rows, &source.bar, progress, &clicks)
    }

    /// Skips the rows that are done; whether they are the same as then.
    fn goes_on(&self, state: &State, rows: &mut Rows<'_>) -> anyhow::Result<bool> {
        let same = state.skip_done(rows)?;
        if same {
            eprintln!("going on after {} rows that are done", state.rows);
        } else {
            eprintln!("what was imported before it stopped has changed since: beginning anew");
        }
        Ok(same)
    }

    fn read(
        &self,
        reader: Box<dyn Read>,
        format: InputFormat,
        file: &Path,
    ) -> anyhow::Result<Rows<'static>> {
        let rules = self.rules.clone();
        let chosen: Result<Vec<_>, BadUsage> = self
            .args
            .columns
            .iter()
            .map(|text| Column::chosen(text))
            .collect();
        let chosen = chosen?;
        if !chosen.is_empty() && format != InputFormat::Csv {
            return Err(BadUsage("--column is for CSV".to_owned()).into());
        }
        let from = self.args.from;
        if rules.full && format != InputFormat::Ndjson {
            return Err(BadUsage("a full export is NDJSON".to_owned()).into());
        }
        Ok(match (from, format) {
            (_, InputFormat::Csv) => Box::new(csv_rows::read(reader, &chosen, rules)?),
            (ImportFrom::Tollgate, InputFormat::Ndjson) => {
                Box::new(ndjson_rows::read(reader, rules))
            }
            (ImportFrom::Kutt | ImportFrom::Bitly, InputFormat::Json | InputFormat::Ndjson) => {
                Box::new(json_rows::read(reader, rules))
            }
            (ImportFrom::Yourls, InputFormat::Sql) if file == Path::new("-") && rules.clicks => {
                let message = "a dump is read three times for its clicks: give it as a file, or \
                               --without-clicks";
                return Err(BadUsage(message.to_owned()).into());
            }
            (ImportFrom::Yourls, InputFormat::Sql) => Box::new(yourls::read(reader, rules)),
            (from, format) => {
                let message = format!(
                    "there is no import from {} as {}: docs/import-export.md tells what there is",
                    written(&from),
                    written(&format)
                );
                return Err(BadUsage(message).into());
            }
        })
    }

    /// Imports rows, with their clicks.
    fn import(
        &self,
        mut rows: Rows<'_>,
        bar: &ProgressBar,
        mut progress: Progress,
        source: &ClickSource<'_>,
    ) -> anyhow::Result<ExitCode> {
        let dry_run = self.args.dry_run;
        let mut sender = Sender::new(self.client, bar, dry_run);
        let mut clicks = ClickSender::new(self.client, self.name, dry_run);
        // One by one, if nothing after a bad line may be imported.
        let most = if self.args.strict { 1 } else { CHUNK_ROWS };
        loop {
            let (chunk, read_error) = next_chunk(&mut rows, most);
            if chunk.is_empty() && read_error.is_none() {
                break;
            }
            let before = progress.state.counts.failed;
            let links = sender.send(&chunk, &mut progress.state)?;
            if progress.state.counts.failed > before && self.args.strict {
                bar.finish_and_clear();
                // The bad one is done again by the next start.
                let mut counts = progress.state.counts;
                counts.failed = before;
                anyhow::bail!("stopped at this line, after {counts}");
            }
            if !matches!(source, ClickSource::Dump(_)) {
                for (row, link) in chunk.iter().zip(&links) {
                    let counts = &mut progress.state.counts.clicks;
                    self.clicks_of(row, link.as_ref(), source, &mut clicks, counts)?;
                }
                clicks.flush(&mut progress.state.counts.clicks)?;
            }
            for row in &chunk {
                progress.state.done(row)?;
            }
            progress.save()?;
            if let Some(error) = read_error {
                return Err(error.context("the import cannot be read on"));
            }
        }
        if let ClickSource::Dump(dump) = source {
            bar.set_message("clicks");
            yourls::count(dump, self.rules, &mut clicks, &mut progress.state)?;
        }
        bar.finish_and_clear();
        progress.finish()?;
        let counts = &progress.state.counts;
        let report = Report::new(dry_run, counts, &sender.told);
        if self.args.server.json {
            show::json(&report)?;
        } else {
            show::line(&report)?;
        }
        Ok(if counts.failed > 0 || counts.clicks.lost > 0 {
            ExitCode::from(FAILED)
        } else {
            ExitCode::SUCCESS
        })
    }

    /// Sends the clicks of a row for the link that it became.
    fn clicks_of(
        &self,
        row: &Row,
        link: Option<&Link>,
        source: &ClickSource<'_>,
        sender: &mut ClickSender<'_>,
        counts: &mut report::ClickCounts,
    ) -> anyhow::Result<()> {
        let total = match &row.clicks {
            Clicks::None => return Ok(()),
            Clicks::Total(total) | Clicks::Listed { total, .. } => *total,
        };
        let dry_run = self.args.dry_run;
        let Some(link) = link else {
            counts.found += total;
            // In a dry run, a link may only lack the code that a strategy would give it.
            let unnamed = row.draft.as_ref().is_ok_and(|draft| draft.code.is_none());
            if !(dry_run && unnamed) {
                counts.lost += total;
            }
            return Ok(());
        };
        match (&row.clicks, source) {
            (Clicks::Listed { code, domain, .. }, ClickSource::Shlink(shlink)) if !dry_run => {
                shlink.send_visits((code, domain.as_deref()), total, link, sender, counts)
            }
            _ => {
                counts.found += total;
                sender.total(&link.code, link.domain.as_deref(), 0, total, counts)
            }
        }
    }
}

type Rows<'a> = Box<dyn Iterator<Item = anyhow::Result<Row>> + 'a>;

/// The rows of each step, one after the other. After an error there are none.
fn flat(
    steps: impl Iterator<Item = anyhow::Result<Vec<Row>>>,
) -> impl Iterator<Item = anyhow::Result<Row>> {
    let mut failed = false;
    let steps = steps.map_while(move |step| {
        if failed {
            return None;
        }
        failed = step.is_err();
        Some(step)
    });
    steps.flat_map(|step| match step {
        Ok(rows) => rows.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    })
}

/// The rows of the next request. Where the file cannot be read on, what came before is still sent.
fn next_chunk(rows: &mut Rows<'_>, most: usize) -> (Vec<Row>, Option<anyhow::Error>) {
    let mut chunk = Vec::new();
    let mut bytes = 0;
    while chunk.len() < most && bytes < CHUNK_BYTES {
        match rows.next() {
            None => break,
            Some(Err(error)) => return (chunk, Some(error)),
            Some(Ok(row)) => {
                // An estimate: it only has to be the same when the import is started again.
                bytes += row.draft.as_ref().map_or(0, cells::weight);
                chunk.push(row);
            }
        }
    }
    (chunk, None)
}
