//! `tollgate audit …`: who changed what, from a server or from its files.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::num::NonZeroUsize;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tollgate_audit::{Actor, AuditLog, Head, Numbered, Query, Recorded, verify, verify_export};
use ureq::http::Method;

use crate::args::{
    AuditArgs, AuditCommand, AuditExportArgs, AuditFilterArgs, AuditListArgs, AuditVerifyArgs,
    PlaceArgs,
};
use crate::client::{Client, NOTHING};
use crate::{BadUsage, changes, config, show};

const PAGE: usize = 1_000;
const HEADER: [&str; 7] = [
    "NUMBER", "AT", "WHO", "ACTION", "RESOURCE", "FROM", "RESULT",
];

/// Where the log is.
enum Place {
    Server(Client),
    Store {
        log: Box<AuditLog>,
        runtime: tokio::runtime::Runtime,
    },
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

/// Runs `tollgate audit …`.
pub(crate) fn run(args: AuditArgs) -> anyhow::Result<()> {
    match args.command {
        AuditCommand::List(args) => list(&args),
        AuditCommand::Export(args) => export(&args),
        AuditCommand::Verify(args) => verified(&args),
    }
}

impl Place {
    fn of(args: &PlaceArgs) -> anyhow::Result<Self> {
        if let Some(client) = Client::of_place(args)? {
            return Ok(Self::Server(client));
        }
        let config = config::of_store(&args.store)?;
        let file = config.audit_file(&args.store.data_dir);
        if !file.exists() {
            anyhow::bail!(
                "there is no audit log at {}: name the one you mean by --data-dir or --config, or a running server by \
                 --server and --key",
                file.display()
            );
        }
        Ok(Self::Store {
            log: Box::new(changes::log(&config, &args.store.data_dir)?),
            runtime: tokio::runtime::Builder::new_current_thread().build()?,
        })
    }

    /// Gives each line to `take`, until it has enough.
    fn each(
        &self,
        filter: &AuditFilterArgs,
        ascending: bool,
        mut take: impl FnMut(&str) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let mut cursor: Option<String> = None;
        loop {
            let (lines, next) = match self {
                Self::Server(client) => {
                    let page = asked(client, filter, ascending, cursor.as_deref())?;
                    let lines = page.entries.iter().map(|raw| raw.get().to_owned());
                    (lines.collect::<Vec<_>>(), page.next_cursor)
                }
                Self::Store { log, runtime } => {
                    let query = query(filter, ascending, cursor.as_deref())?;
                    let page = runtime.block_on(log.find(&query))?;
                    let lines = page.entries.iter().map(Recorded::line).collect();
                    (lines, page.next.map(|next| next.to_string()))
                }
            };
            for line in &lines {
                if !take(line)? {
                    return Ok(());
                }
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }
}

fn asked(
    client: &Client,
    filter: &AuditFilterArgs,
    ascending: bool,
    cursor: Option<&str>,
) -> anyhow::Result<Page> {
    let (since, until) = (filter.since, filter.until);
    let (since, until) = (
        since.map(|at| at.to_string()),
        until.map(|at| at.to_string()),
    );
    let limit = PAGE.to_string();
    let parameters = [
        ("action", filter.action.as_deref()),
        ("actor", filter.actor.as_deref()),
        ("resource", filter.resource.as_deref()),
        ("address", filter.address.as_deref()),
        ("result", filter.result.as_deref()),
        ("since", since.as_deref()),
        ("until", until.as_deref()),
        ("order", ascending.then_some("seq")),
        ("limit", Some(limit.as_str())),
        ("cursor", cursor),
    ];
    Ok(client.call(Method::GET, "/api/v1/audit", &parameters, &[], NOTHING)?)
}

fn query(filter: &AuditFilterArgs, ascending: bool, cursor: Option<&str>) -> anyhow::Result<Query> {
    let action = filter.action.as_deref().map(|name| name.parse());
    let action = action
        .transpose()
        .map_err(|error: tollgate_audit::UnknownAction| BadUsage(format!("--action: {error}")))?;
    let result = filter.result.as_deref().map(|name| name.parse());
    let result = result
        .transpose()
        .map_err(|error: tollgate_audit::UnknownOutcome| BadUsage(format!("--result: {error}")))?;
    Ok(Query {
        action,
        actor: filter.actor.clone(),
        resource: filter.resource.clone(),
        address: filter.address.clone(),
        result,
        since: filter.since,
        until: filter.until,
        ascending,
        cursor: cursor.map(str::parse).transpose()?,
        limit: NonZeroUsize::new(PAGE),
    })
}

fn list(args: &AuditListArgs) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    Place::of(&args.place)?.each(&args.filter, false, |line| {
        if lines.len() < args.limit {
            lines.push(line.to_owned());
        }
        Ok(lines.len() < args.limit)
    })?;
    if args.place.json {
        let entries: Result<Vec<Box<RawValue>>, _> =
            lines.into_iter().map(RawValue::from_string).collect();
        return show::json(&entries?);
    }
    let rows: anyhow::Result<Vec<Vec<String>>> = lines.iter().map(|line| row(line)).collect();
    show::table(&HEADER, rows?)
}

fn row(line: &str) -> anyhow::Result<Vec<String>> {
    let Numbered { seq, entry } = serde_json::from_str(line).context("no entry of an audit log")?;
    let who = match entry.actor {
        Actor::Key { id, name } | Actor::Person { id, name, .. } => format!("{name} ({id})"),
        Actor::User { name } => format!("{name} on the machine"),
        Actor::Server => "the server".to_owned(),
        Actor::Nobody => "nobody".to_owned(),
    };
    let result = match &entry.reason {
        Some(reason) => format!("{}: {reason}", entry.result.as_str()),
        None => entry.result.as_str().to_owned(),
    };
    Ok(vec![
        seq.to_string(),
        entry.at.to_string(),
        who,
        entry.action.to_string(),
        entry.resource,
        entry
            .from
            .address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        result,
    ])
}

fn export(args: &AuditExportArgs) -> anyhow::Result<()> {
    let place = Place::of(&args.place)?;
    let write = |out: &mut dyn Write| {
        place.each(&args.filter, true, |line| {
            writeln!(out, "{line}")?;
            Ok(true)
        })
    };
    match &args.output {
        Some(file) => {
            let made = File::create(file);
            let made = made.with_context(|| format!("{} cannot be written", file.display()))?;
            let mut out = BufWriter::new(made);
            write(&mut out)?;
            out.into_inner()
                .map_err(|error| error.into_error())?
                .sync_all()?;
            Ok(())
        }
        None => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            write(&mut out)?;
            Ok(out.flush()?)
        }
    }
}

fn verified(args: &AuditVerifyArgs) -> anyhow::Result<()> {
    let heads = args.head.iter().map(|text| {
        let head: Result<Head, String> = text.parse();
        head.map_err(|error| BadUsage(format!("--head: {error}")).into())
    });
    let heads: Vec<Head> = heads.collect::<anyhow::Result<_>>()?;
    let verified = match &args.export {
        Some(file) => {
            let opened = File::open(file).with_context(|| file.display().to_string())?;
            verify_export(BufReader::new(opened), &heads)?
        }
        None => {
            let config = config::of_store(&args.store)?;
            verify(&config.audit_file(&args.store.data_dir), &heads)?
        }
    };
    let head = verified.head.map(|head| head.to_string());
    if args.json {
        return show::json(&json!({
            "entries": verified.entries,
            "unchained": verified.unchained,
            "removed_up_to": verified.removed_up_to,
            "head": head,
        }));
    }
    show::line(format_args!(
        "{} entries, as they were written",
        verified.entries
    ))?;
    if let Some(last) = verified.removed_up_to {
        show::line(format_args!(
            "those up to {last} are not there: removed for their age or for room, or not exported"
        ))?;
    }
    if verified.unchained > 0 {
        show::line(format_args!(
            "{} of them were written while admin.audit.chain was off: nothing is known of these",
            verified.unchained
        ))?;
    }
    match head {
        Some(head) => show::line(format_args!(
            "head {head}\nkeep it elsewhere, and give it as --head the next time"
        )),
        None => Ok(()),
    }
}
