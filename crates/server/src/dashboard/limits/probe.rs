//! Trying a request: a real decision, which counts.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::list::{self, Policies};
use crate::dashboard::client::{ApiPath, Refusal};
use crate::dashboard::form::{Fields, Input, area, select};
use crate::dashboard::layout::Place;
use crate::dashboard::show::{number, rate, span};
use crate::dashboard::visitor::{Posted, Shown, Visitor};

/// What is asked.
#[derive(Default)]
pub(super) struct Asked {
    domain: String,
    descriptors: String,
    hits: String,
}

#[derive(Deserialize)]
struct Decision {
    allowed: bool,
    delay_ms: Option<u64>,
    statuses: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    policy: Option<String>,
    allowed: bool,
    outcome: String,
    limit: Option<u64>,
    window_ms: Option<u64>,
    remaining: Option<u64>,
    retry_after_ms: Option<u64>,
    #[serde(default)]
    would_refuse: bool,
}

impl Asked {
    fn of(fields: &Fields) -> Self {
        let text = |name| fields.text(name).to_owned();
        Self {
            domain: text("domain"),
            descriptors: text("descriptors"),
            hits: text("hits"),
        }
    }

    /// The body of the API: a line is a descriptor, its entries are separated by commas.
    fn json(&self) -> Result<Value, Refusal> {
        let lines = self.descriptors.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty());
        let descriptors: Vec<Vec<Value>> = lines
            .map(|line| {
                let entries = line.split(',').map(|entry| {
                    let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
                    json!({"key": key.trim(), "value": value.trim()})
                });
                entries.collect()
            })
            .collect();
        let mut body = json!({"domain": self.domain, "descriptors": descriptors});
        if !self.hits.is_empty() {
            let hits: u64 = self.hits.parse().map_err(|_| {
                Refusal::of_field("hits", "give a whole number, or nothing for 1".to_owned())
            })?;
            body["hits"] = json!(hits);
        }
        Ok(body)
    }
}

/// The form, and what was decided.
pub(super) fn card(
    visitor: &Visitor,
    policies: &Policies,
    asked: &Asked,
    decided: &Markup,
) -> Markup {
    let names = policies.domains.iter().map(|one| &one.domain);
    let domains: Vec<(String, String)> = names.map(|name| (name.clone(), name.clone())).collect();
    // One of the operator's own, if there is one.
    let own = policies.domains.iter().find(|one| one.origin != "built_in");
    let chosen = match &*asked.domain {
        "" => own.map_or("", |one| &*one.domain),
        domain => domain,
    };
    html! {
        section.card #try {
            h2 { "Try a request" }
            p.soft { "A real decision: it counts, as if a service had asked." }
            form method="post" action="/limits/try" hx-post="/limits/try" hx-target="#decision" hx-select="#decision" hx-swap="outerHTML" {
                (visitor.csrf())
                div.pair {
                    (select("domain", "Domain of the policies", chosen, &domains))
                    (Input { name: "hits", label: "Hits", value: &asked.hits, kind: "number", hint: "Empty: 1. 0 looks and takes nothing.", ..Input::default() }.show(None))
                }
                (area("descriptors", "Descriptors", &asked.descriptors, "One a line, its entries separated by commas, such as user=anna or plan=free,user=anna", 2, None))
                button { "Decide" }
            }
            div #decision role="status" { (decided) }
        }
    }
}

pub(in crate::dashboard) async fn post(posted: Posted) -> Shown {
    let Posted { visitor, fields } = posted;
    let asked = Asked::of(&fields);
    let decision: Result<Decision, Refusal> = match asked.json() {
        Ok(body) => {
            visitor
                .client
                .post(ApiPath::new(["limits", "check"]), &body)
                .await
        }
        Err(refusal) => Err(refusal),
    };
    let decided = match &decision {
        Ok(decision) => decided(decision),
        Err(refusal) => html! { div.alert role="alert" { (refusal.detail) } },
    };
    let policies = list::read(&visitor).await?;
    let card = card(&visitor, &policies, &asked, &decided);
    let body = html! { h1 { "Limits" } (card) p { a href="/limits" { "Back to the policies" } } };
    Ok(visitor.page(Place::Limits, "Try a request", &body))
}

fn decided(decision: &Decision) -> Markup {
    html! {
        @if decision.allowed {
            p.verdict.yes { "Allowed: 200 OK" }
        } @else {
            p.verdict.no { "Refused: 429 Too Many Requests" }
        }
        @if let Some(delay) = decision.delay_ms { p { "After " (span(delay)) " in the queue." } }
        div.scroll tabindex="0" role="region" aria-label="What each policy says" {
            table.stack {
                thead { tr { th scope="col" { "Policy" } th scope="col" { "Says" } th scope="col" { "Limit" } th.number scope="col" { "Remaining" } th scope="col" { "Again in" } } }
                tbody {
                    @for status in &decision.statuses {
                        tr {
                            th scope="row" { (status.policy.as_deref().unwrap_or("none")) }
                            td data-label="Says" {
                                span {
                                    @if status.allowed { span.badge.good { (status.outcome.replace('_', " ")) } }
                                    @else { span.badge.bad { (status.outcome.replace('_', " ")) } }
                                    @if status.would_refuse { " " span.badge.warn { "shadow: would refuse" } }
                                }
                            }
                            td data-label="Limit" {
                                @if let (Some(limit), Some(window)) = (status.limit, status.window_ms) {
                                    span { (rate(limit, window)) }
                                }
                            }
                            td.number data-label="Remaining" { @if let Some(left) = status.remaining { (number(left)) } }
                            td data-label="Again in" { @if let Some(after) = status.retry_after_ms { (span(after)) } }
                        }
                    }
                }
            }
        }
    }
}
