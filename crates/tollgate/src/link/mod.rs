//! `tollgate link …`: the API from the command line.

mod edit;
mod find;
mod qr;

use std::process::ExitCode;

use anyhow::Context as _;
use tollgate_links::Rule;

use crate::args::{LinkArgs, LinkCommand};
use crate::{BadUsage, export, import};

/// Runs `tollgate link …`.
pub(crate) fn run(args: LinkArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        LinkCommand::Create(args) => edit::create(args)?,
        LinkCommand::Get(args) => find::get(&args)?,
        LinkCommand::List(args) => find::list(&args)?,
        LinkCommand::Update(args) => edit::update(args)?,
        LinkCommand::Delete(args) => return edit::delete(&args),
        LinkCommand::Import(args) => return import::run(&args),
        LinkCommand::Export(args) => export::run(&args)?,
        LinkCommand::History(args) => find::history(&args)?,
        LinkCommand::Qr(args) => qr::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Rules as given by `--rules`: JSON, or `@` and the file it is in.
fn rules(text: &str) -> anyhow::Result<Vec<Rule>> {
    let json = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("the rules in {file} cannot be read"))?,
        None => text.to_owned(),
    };
    serde_json::from_str(&json).map_err(|error| {
        let example =
            r#"[{"if": [{"type": "os", "is": "ios"}], "url": "https://example.com/ios"}]"#;
        BadUsage(format!(
            "--rules is no array of rules: {error}. Write it like {example}"
        ))
        .into()
    })
}
