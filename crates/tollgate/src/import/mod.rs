//! `tollgate link import`: rows of a file become links, in chunks.
//!
//! Every chunk is one bulk request under an idempotency key made of the run's identifier, the number
//! of rows before it and its content. The run's identifier and the rows already done are kept in a
//! file until all is done. So an import that was killed goes on where it stopped, and the server
//! recognises the chunk that was under way.

mod columns;
mod csv_rows;
mod draft;
mod lines;
mod ndjson_rows;
mod resume;
mod send;
mod source;

pub(crate) use source::of_name;

use std::process::ExitCode;

use tollgate_links::LinkDraft;

use crate::args::{FormatArg, ImportArgs};
use crate::client::Client;
use crate::{FAILED, show};
use resume::{Progress, State};
use send::Sender;
use source::Source;

/// Links in one bulk request: enough that the commit's cost is spread, few enough that a retry is
/// cheap.
const CHUNK_ROWS: usize = 1_000;
/// Bytes in one bulk request, after which it is sent though it has fewer rows.
const CHUNK_BYTES: usize = 4 << 20;
/// The longest row. A target has at most 8 KiB, and a link at most 64 rules with one each.
const MAX_ROW_BYTES: usize = 1 << 20;

/// A row of the file.
struct Row {
    /// The line it begins on, counted from 1.
    line: u64,
    /// The link it asks for, or what is wrong with it.
    draft: Result<LinkDraft, String>,
}

/// What rows are read with.
#[derive(Debug, Clone, Copy)]
struct RowRules {
    /// Import links that had a password without one.
    without_passwords: bool,
}

/// Runs `tollgate link import`.
pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let mut source = Source::open(&args.file, args.format)?;
    let mut progress = Progress::open(args)?;
    let rules = RowRules {
        without_passwords: args.without_passwords,
    };
    let mut rows = read(&mut source, rules)?;
    if progress.state.rows > 0 {
        if progress.state.skip_done(&mut rows)? {
            eprintln!("going on after {} rows that are done", progress.state.rows);
        } else {
            eprintln!("what was imported before it stopped has changed since: beginning anew");
            progress.state = State::fresh();
            source = Source::open(&args.file, args.format)?;
            rows = read(&mut source, rules)?;
        }
    }

    let mut sender = Sender::new(&client, &source.bar);
    // One by one, if nothing after a bad line may be imported.
    let most = if args.strict { 1 } else { CHUNK_ROWS };
    loop {
        let (chunk, read_error) = next_chunk(&mut rows, most);
        if chunk.is_empty() && read_error.is_none() {
            break;
        }
        let failed = sender.send(&chunk, &mut progress.state)?;
        if failed > 0 && args.strict {
            source.bar.finish_and_clear();
            anyhow::bail!("stopped at this line, after {}", progress.state);
        }
        for row in &chunk {
            progress.state.done(row)?;
        }
        progress.state.counts.failed += failed;
        progress.save()?;
        if let Some(error) = read_error {
            return Err(error.context("the file cannot be read on"));
        }
    }
    source.bar.finish_and_clear();
    progress.finish()?;
    if args.server.json {
        show::json(&progress.state.counts)?;
    } else {
        show::line(&progress.state)?;
    }
    Ok(if progress.state.counts.failed > 0 {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

type Rows = Box<dyn Iterator<Item = anyhow::Result<Row>>>;

fn read(source: &mut Source, rules: RowRules) -> anyhow::Result<Rows> {
    let reader = std::mem::replace(&mut source.reader, Box::new(std::io::empty()));
    Ok(match source.format {
        FormatArg::Csv => Box::new(csv_rows::read(reader, rules)?),
        FormatArg::Ndjson => Box::new(ndjson_rows::read(reader, rules)),
    })
}

/// The rows of the next request. Where the file cannot be read on, what came before is still sent.
fn next_chunk(rows: &mut Rows, most: usize) -> (Vec<Row>, Option<anyhow::Error>) {
    let mut chunk = Vec::new();
    let mut bytes = 0;
    while chunk.len() < most && bytes < CHUNK_BYTES {
        match rows.next() {
            None => break,
            Some(Err(error)) => return (chunk, Some(error)),
            Some(Ok(row)) => {
                // An estimate: it only has to be the same when the import is started again.
                bytes += row.draft.as_ref().map_or(0, draft::weight);
                chunk.push(row);
            }
        }
    }
    (chunk, None)
}
