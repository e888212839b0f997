//! Creating, editing and deleting links.

use std::process::ExitCode;

use tollgate_links::{LinkDraft, LinkPatch, LinkView};

use super::rules;
use crate::args::{ClearArg, CreateArgs, DeleteArgs, UpdateArgs};
use crate::client::Client;
use crate::{BadUsage, FAILED, show};

/// Creates a link and prints its address, which is what scripts want.
pub(super) fn create(args: CreateArgs) -> anyhow::Result<()> {
    let fields = args.fields;
    let draft = LinkDraft {
        url: args.url,
        code: args.code,
        domain: args.domain,
        starts_at: fields.starts_at,
        expires_at: fields.expires_at,
        max_clicks: fields.max_clicks,
        redirect: fields.redirect,
        password: fields.password.map(Into::into),
        tags: fields.tags,
        title: fields.title,
        forward_query: fields.forward_query.unwrap_or_default(),
        rules: fields
            .rules
            .as_deref()
            .map(rules)
            .transpose()?
            .unwrap_or_default(),
        reuse: args.reuse,
        strategy: args.strategy,
        created_at: None,
        clicks_used: None,
        restore: None,
    };
    let link: LinkView = Client::new(&args.server)?.create(&draft)?;
    if args.server.json {
        show::json(&link)
    } else {
        show::line(&link.short_url)
    }
}

/// Edits a link and prints it.
pub(super) fn update(args: UpdateArgs) -> anyhow::Result<()> {
    let clear = |field| args.clear.contains(&field);
    let fields = args.fields;
    let tags = match (fields.tags.is_empty(), clear(ClearArg::Tags)) {
        (true, cleared) => cleared.then(Vec::new),
        (false, false) => Some(fields.tags),
        (false, true) => return Err(both("tags")),
    };
    let rules = match (fields.rules, clear(ClearArg::Rules)) {
        (None, cleared) => cleared.then(Vec::new),
        (Some(text), false) => Some(rules(&text)?),
        (Some(_), true) => return Err(both("rules")),
    };
    let patch = LinkPatch {
        url: args.url,
        starts_at: field(fields.starts_at, clear(ClearArg::StartsAt), "starts-at")?,
        expires_at: field(fields.expires_at, clear(ClearArg::ExpiresAt), "expires-at")?,
        max_clicks: field(fields.max_clicks, clear(ClearArg::MaxClicks), "max-clicks")?,
        redirect: field(fields.redirect, clear(ClearArg::Redirect), "redirect")?,
        password: field(
            fields.password.map(Into::into),
            clear(ClearArg::Password),
            "password",
        )?,
        tags,
        title: field(fields.title, clear(ClearArg::Title), "title")?,
        forward_query: fields.forward_query,
        rules,
    };
    if patch == LinkPatch::default() {
        return Err(BadUsage("nothing to change: name a field, such as --url".to_owned()).into());
    }
    let (server, code, domain) = (args.link.server, args.link.code, args.link.domain);
    let client = Client::new(&server)?;
    let link = client.update(&code, domain.as_deref(), args.if_version, &patch)?;
    if server.json {
        show::json(&link)
    } else {
        show::link(&link)
    }
}

/// A field of a patch: absent, cleared, or set.
fn field<T>(value: Option<T>, clear: bool, name: &str) -> anyhow::Result<Option<Option<T>>> {
    match (value, clear) {
        (None, false) => Ok(None),
        (None, true) => Ok(Some(None)),
        (Some(value), false) => Ok(Some(Some(value))),
        (Some(_), true) => Err(both(name)),
    }
}

fn both(name: &str) -> anyhow::Error {
    BadUsage(format!("--{name} and --clear {name} contradict each other")).into()
}

/// Deletes links one by one; one that fails does not keep the others from it.
pub(super) fn delete(args: &DeleteArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let mut failed = false;
    for code in &args.codes {
        match client.delete(code, args.domain.as_deref()) {
            Ok(()) if args.server.json => show::json(&serde_json::json!({ "deleted": code }))?,
            Ok(()) => show::line(format_args!("deleted {code}"))?,
            Err(error) => {
                failed = true;
                show::error(&anyhow::Error::from(error).context(format!("{code} is not deleted")));
            }
        }
    }
    Ok(if failed {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    })
}
