//! Who changed what.

use axum::extract::Query;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use tollgate_audit::{Action, Actor, Entry, Numbered, Outcome};

use super::client::{ApiPath, push_parameter};
use super::form::select;
use super::layout::Place;
use super::show::when;
use super::visitor::{Shown, Visitor};

/// Entries on a page.
const PAGE: &str = "50";

/// What is asked for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Wanted {
    action: String,
    actor: String,
    resource: String,
    result: String,
    cursor: String,
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Numbered>,
    next_cursor: Option<String>,
}

pub(super) async fn page(visitor: Visitor, Query(wanted): Query<Wanted>) -> Shown {
    let path = ApiPath::new(["audit"])
        .with("limit", PAGE)
        .with("action", &wanted.action)
        .with("actor", wanted.actor.trim())
        .with("resource", wanted.resource.trim())
        .with("result", &wanted.result)
        .with("cursor", &wanted.cursor);
    let found: Page = visitor.read(path).await?;
    let body = html! {
        div.head { h1 { "Audit log" } }
        p { "Who changed what, when and from where. " code { "tollgate audit verify" } " tells whether all of it is as it was written." }
        (filter(&wanted))
        @if found.entries.is_empty() {
            section.card.empty {
                h2 { "No entries" }
                p { @if found.next_cursor.is_some() { "None of the newest fit. Older ones may." } @else { "Nothing that fits was done." } }
            }
        } @else {
            section.card {
                div.scroll tabindex="0" role="region" aria-label="Entries" {
                    table.stack {
                        thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Changed" } th scope="col" { "From" } } }
                        tbody { @for line in &found.entries { (row(line)) } }
                    }
                }
            }
        }
        @if let Some(next) = &found.next_cursor { p { a.button href=(older(&wanted, next)) { "Older" } } }
    };
    Ok(visitor.page(Place::Audit, "Audit log", &body))
}

fn older(wanted: &Wanted, cursor: &str) -> String {
    let mut address = "/audit".to_owned();
    for (name, value) in [
        ("action", &*wanted.action),
        ("actor", &*wanted.actor),
        ("resource", &*wanted.resource),
        ("result", &*wanted.result),
        ("cursor", cursor),
    ] {
        push_parameter(&mut address, name, value);
    }
    address
}

fn filter(wanted: &Wanted) -> Markup {
    let mut actions = vec![(String::new(), "Everything".to_owned())];
    let mut before = "";
    for action in Action::ALL {
        let name = action.as_str();
        let kind = name.split('.').next().unwrap_or(name);
        if kind != before {
            actions.push((kind.to_owned(), format!("{kind}: all")));
            before = kind;
        }
        actions.push((name.to_owned(), name.to_owned()));
    }
    let results = [
        ("", "Done or refused"),
        ("done", "Done"),
        ("refused", "Refused"),
    ];
    let results = results.map(|(value, shown)| (value.to_owned(), shown.to_owned()));
    html! {
        form.card method="get" action="/audit" {
            div.pair {
                (select("action", "What", &wanted.action, &actions))
                (select("result", "Result", &wanted.result, &results))
            }
            div.pair {
                div.field { label for="actor" { "Who" } input #actor name="actor" value=(wanted.actor) autocomplete="off" spellcheck="false" aria-describedby="actor-hint"; p.hint #actor-hint { "The name or identifier of a key, or a name of a person." } }
                div.field { label for="resource" { "To what" } input #resource name="resource" value=(wanted.resource) autocomplete="off" spellcheck="false" aria-describedby="resource-hint"; p.hint #resource-hint { "Such as go.example/spring, or an identifier." } }
            }
            button { "Show" }
        }
    }
}

fn row(line: &Numbered) -> Markup {
    let entry = &line.entry;
    let from = &entry.from;
    let refused = entry.result == Outcome::Refused;
    html! {
        tr id={ "entry-" (line.seq) } {
            td.when data-label="When" { (when(entry.at)) }
            td data-label="Who" { (who(&entry.actor)) }
            td.long data-label="What" { span { (entry.action) @if refused { " " span.badge.bad { "refused" } } @if !entry.resource.is_empty() { br; code { (entry.resource) } } @if let Some(reason) = &entry.reason { br; (reason) } } }
            td.long data-label="Changed" { (changed(&entry.changes)) }
            td data-label="From" {
                span title=(from.user_agent.as_deref().unwrap_or_default()) {
                    @if let Some(address) = from.address { (address) br; }
                    span.soft { (via(entry)) }
                }
            }
        }
    }
}

fn who(actor: &Actor) -> Markup {
    html! {
        span {
            @match actor {
                Actor::Key { id, name } | Actor::Person { id, name, .. } => { (name) br; code.soft { (id) } }
                Actor::User { name } => { (name) br; span.soft { "on the machine" } }
                Actor::Server => "the server",
                Actor::Nobody => "nobody",
            }
        }
    }
}

/// The way, by the name that the log keeps.
fn via(entry: &Entry) -> String {
    let name = serde_json::to_value(entry.from.via).unwrap_or_default();
    name.as_str().unwrap_or_default().replace('_', " ")
}

/// Each field with what it was and what it is.
fn changed(changes: &Value) -> Markup {
    let shown = |value: &Value| -> String {
        match value {
            Value::String(text) => text.chars().take(200).collect(),
            other => other.to_string().chars().take(200).collect(),
        }
    };
    html! {
        @if let Some(fields) = changes.as_object() {
            span {
                @for (name, pair) in fields {
                    @let (before, after) = (pair.get(0).unwrap_or(&Value::Null), pair.get(1).unwrap_or(&Value::Null));
                    strong { (name) } ": "
                    @if !before.is_null() { del { (shown(before)) } " " }
                    @if !after.is_null() { ins { (shown(after)) } }
                    br;
                }
            }
        }
    }
}
