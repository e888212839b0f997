//! Showing links and their history.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_clock::UnixMillis;
use tollgate_links::LinkView;
use ureq::http::Method;

use crate::args::{HistoryArgs, ListArgs, OneLinkArgs, OrderArg};
use crate::client::{Client, Listing, NOTHING, segment};
use crate::show;

/// Shows one link.
pub(super) fn get(args: &OneLinkArgs) -> anyhow::Result<()> {
    let link = Client::new(&args.server)?.get(&args.code, args.domain.as_deref())?;
    if args.server.json {
        show::json(&link)
    } else {
        show::link(&link)
    }
}

/// Lists links, as a table or as a JSON array.
pub(super) fn list(args: &ListArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let mut listing = Listing::new(&client)
        .prefix(args.query.as_deref())
        .tag(args.tag.as_deref())
        .domain(args.domain.as_deref())
        .order(args.order.map(order));
    let mut links: Vec<LinkView> = Vec::new();
    while links.len() < args.limit
        && let Some(page) = listing.next_page(args.limit - links.len())?
    {
        links.extend(page);
    }
    if args.server.json {
        show::json(&links)
    } else {
        show::table(&show::LINK_HEADER, links.iter().map(show::link_row))
    }
}

fn order(order: OrderArg) -> &'static str {
    match order {
        OrderArg::Newest => "-created",
        OrderArg::Oldest => "created",
        OrderArg::Code => "code",
        OrderArg::CodeDesc => "-code",
    }
}

/// One entry of a history, as the API shows it.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    at: UnixMillis,
    actor: String,
    action: String,
    version: u64,
    changes: Value,
}

#[derive(Debug, Deserialize)]
struct History {
    history: Vec<Entry>,
}

/// Shows what was done to a link.
pub(super) fn history(args: &HistoryArgs) -> anyhow::Result<()> {
    let path = format!("/api/v1/links/{}/history", segment(&args.link.code));
    let limit = args.limit.to_string();
    let query = [
        ("domain", args.link.domain.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let client = Client::new(&args.link.server)?;
    let answer: History = client.call(Method::GET, &path, &query, &[], NOTHING)?;
    if args.link.server.json {
        return show::json(&answer.history);
    }
    let rows = answer.history.into_iter().map(|entry| {
        vec![
            entry.at.to_string(),
            entry.actor,
            entry.action,
            entry.version.to_string(),
            entry.changes.to_string(),
        ]
    });
    show::table(&["WHEN", "WHO", "WHAT", "VERSION", "CHANGES"], rows)
}
