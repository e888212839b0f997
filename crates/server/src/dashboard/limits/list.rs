//! All policies with what they have decided.

use maud::{Markup, html};
use serde::Deserialize;
use tollgate_access::Scope;

use super::probe;
use crate::dashboard::client::{ApiPath, joined, push_parameter};
use crate::dashboard::layout::Place;
use crate::dashboard::replay::Forecast;
use crate::dashboard::show::{micros, number, percent, rate, share, when};
use crate::dashboard::visitor::{Failure, Shown, Visitor};

#[derive(Deserialize)]
pub(in crate::dashboard) struct Policies {
    pub(super) domains: Vec<Domain>,
}

#[derive(Deserialize)]
pub(super) struct Domain {
    pub(super) domain: String,
    pub(super) origin: String,
    policies: Vec<Policy>,
}

#[derive(Deserialize)]
struct Policy {
    name: String,
    path: String,
    limit: Option<u64>,
    window_ms: Option<u64>,
    algorithm: Option<String>,
    shadow: bool,
    allowed: u64,
    denied: u64,
    would_deny: u64,
    errors: u64,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
}

impl Policies {
    /// The first domain that is the operator's own.
    pub(in crate::dashboard) fn own(&self) -> Option<&str> {
        let mut own = self.domains.iter().filter(|one| one.origin != "built_in");
        own.next().map(|one| &*one.domain)
    }
}

impl Policy {
    /// The share of requests that it refuses, or would.
    fn share(&self) -> Option<f64> {
        let over = self.denied + self.would_deny;
        share(over, self.allowed + over)
    }
}

pub(in crate::dashboard) async fn read(visitor: &Visitor) -> Result<Policies, Failure> {
    visitor.read(ApiPath::new(["limits", "policies"])).await
}

pub(in crate::dashboard) async fn page(visitor: Visitor) -> Shown {
    let policies = read(&visitor).await?;
    let admin = visitor.may(Scope::Admin);
    let own = policies.own().is_some();
    let body = html! {
        div.head {
            h1 { "Limits" }
            @if admin { a.button.primary href="/limits/new" { "New policies" } }
        }
        @if !own {
            section.card.empty {
                h2 { "There are no policies of your own yet" }
                p { "Those below guard this server itself. A policy says how many requests of whom may pass in what time; your services then ask by HTTP, gRPC or the Redis protocol." }
                @if admin { a.button.primary href="/limits/new" { "Write the first policy" } }
            }
        }
        // Only the numbers are read again: what has the focus keeps it.
        div #policies hx-get="/limits" hx-trigger="every 3s" hx-select="#policies" hx-swap="outerMorph" {
            @for domain in &policies.domains { (shown(&visitor, domain, admin)) }
        }
        (probe::card(&visitor, &policies, &probe::Asked::default(), &html! {}))
    };
    Ok(visitor.page(Place::Limits, "Limits", &body))
}

fn shown(visitor: &Visitor, domain: &Domain, admin: bool) -> Markup {
    let origin = match &*domain.origin {
        "api" => "set here or through the API",
        "file" => "from the policies file",
        _ => "built in",
    };
    let address = joined(&["limits", "of", &domain.domain]);
    let replay = {
        let mut replay = "/replay".to_owned();
        push_parameter(&mut replay, "domain", &domain.domain);
        replay
    };
    let forecast = visitor.dashboard.forecasts.of(&domain.domain);
    html! {
        section.card id={ "domain-" (domain.domain) } {
            div.head {
                h2 { (domain.domain) " " span.badge { (origin) } }
                p.actions {
                    a.button.small href=(replay) { "Replay" span.hidden { " a log through " (domain.domain) } }
                    a.button.small href=(address) { @if admin { "Edit" } @else { "Show" } span.hidden { " " (domain.domain) } }
                }
            }
            @if let Some(Forecast { from: Some(from), to: Some(to), .. }) = &forecast {
                p.soft { "Share is what a policy refuses of its requests, or would; forecast is the same of a log from " (when(*from)) " to " (when(*to)) "." }
            }
            div.scroll tabindex="0" role="region" aria-label={ "Policies of " (domain.domain) } {
                table.stack {
                    thead {
                        tr {
                            th scope="col" { "Policy" }
                            th scope="col" { "Limit" }
                            th scope="col" { "Mode" }
                            th.number scope="col" { "Allowed" }
                            th.number scope="col" { "Refused" }
                            @if forecast.is_some() { th.number scope="col" { "Share" } th.number scope="col" { "Forecast" } }
                            th.number scope="col" { "p50" }
                            th.number scope="col" { "p99" }
                            @if admin { th scope="col" { span.hidden { "Switch" } } }
                        }
                    }
                    tbody { @for policy in &domain.policies { (row(visitor, &address, policy, forecast.as_ref(), admin)) } }
                }
            }
        }
    }
}

fn row(
    visitor: &Visitor,
    address: &str,
    policy: &Policy,
    forecast: Option<&Forecast>,
    admin: bool,
) -> Markup {
    html! {
        tr {
            th scope="row" {
                span { (policy.name) @if policy.name != policy.path { br; code.soft { (policy.path) } } }
            }
            td data-label="Limit" {
                span {
                    @match (policy.limit, policy.window_ms) {
                        (Some(limit), Some(window)) => (rate(limit, window)),
                        _ => "unlimited",
                    }
                    @if let Some(algorithm) = &policy.algorithm { br; span.soft { (algorithm.replace('_', " ")) } }
                }
            }
            td data-label="Mode" {
                @if policy.shadow { span.badge.warn { "shadow" } } @else { span.badge { "enforced" } }
            }
            td.number data-label="Allowed" { (number(policy.allowed)) }
            td.number data-label="Refused" {
                span {
                    (number(policy.denied))
                    @if policy.would_deny > 0 { br; span.soft { (number(policy.would_deny)) " would be" } }
                    @if policy.errors > 0 { br; span.error { (number(policy.errors)) " errors of the store" } }
                }
            }
            @if let Some(forecast) = forecast {
                td.number data-label="Share" { (percent(policy.share())) }
                td.number data-label="Forecast" { (percent(forecast.share(&policy.path))) }
            }
            td.number data-label="p50" { (micros(policy.p50_us)) }
            td.number data-label="p99" { (micros(policy.p99_us)) }
            @if admin {
                td {
                    form.inline method="post" action={ (address) "/shadow" } {
                        (visitor.csrf())
                        input type="hidden" name="path" value=(policy.path);
                        input type="hidden" name="shadow" value=(!policy.shadow);
                        button.small {
                            @if policy.shadow { "Enforce" } @else { "Shadow" }
                            span.hidden { " " (policy.name) }
                        }
                    }
                }
            }
        }
    }
}
