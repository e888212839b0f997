//! The first page: what happens right now.

use maud::{Markup, html};
use serde::Deserialize;
use tollgate_access::Scope;
use tollgate_links::LinkView;

use super::client::ApiPath;
use super::layout::Place;
use super::links::address_of_value;
use super::show::{Stats, change, chart, number, ranking};
use super::visitor::{Shown, Visitor};

/// How many entries a list has here.
const TOP: &str = "8";

#[derive(Deserialize)]
struct Denials {
    denied: Vec<Denial>,
}

#[derive(Deserialize)]
struct Denial {
    domain: String,
    policy: String,
    descriptor: Vec<Entry>,
    count: u64,
}

#[derive(Deserialize)]
struct Entry {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct SomeLinks {
    links: Vec<LinkView>,
}

pub(super) async fn page(visitor: Visitor) -> Shown {
    let stats: Option<Stats> = if visitor.sees_clicks() {
        let path = ApiPath::new(["stats"])
            .with("by", "link,referrer,country")
            .with("top", TOP)
            .with("compare", "previous");
        Some(visitor.read(path).await?)
    } else {
        None
    };
    let denials: Option<Denials> = if visitor.may(Scope::LimitsCheck) {
        let path = ApiPath::new(["limits", "denied"]).with("limit", TOP);
        Some(visitor.read(path).await?)
    } else {
        None
    };
    let newest: Option<SomeLinks> = if visitor.may(Scope::LinksRead) {
        let path = ApiPath::new(["links"]).with("limit", "5");
        Some(visitor.read(path).await?)
    } else {
        None
    };
    let nothing = newest.as_ref().is_some_and(|found| found.links.is_empty());
    let body = html! {
        div.head {
            h1 { "Overview" }
            @if visitor.may(Scope::LinksWrite) {
                a.button.primary href="/new" { "New link" }
            }
        }
        @if nothing { (first_step(&visitor)) }
        @if let Some(stats) = &stats { (clicks(stats)) }
        @else { (without_clicks(&visitor)) }
        div.grid {
            @if let Some(newest) = &newest { (newest_links(&newest.links)) }
            @if let Some(denials) = &denials { (most_denied(&denials.denied)) }
        }
    };
    Ok(visitor.page(Place::Overview, "Overview", &body))
}

fn first_step(visitor: &Visitor) -> Markup {
    html! {
        section.card.empty {
            h2 { "There are no links yet" }
            @if visitor.may(Scope::LinksWrite) {
                p { "A link needs one thing: where it leads. All else can be changed later." }
                a.button.primary href="/new" { "Make the first link" }
            } @else {
                p { "This key may see links but not make them." }
            }
        }
    }
}

fn without_clicks(visitor: &Visitor) -> Markup {
    html! {
        section.card {
            h2 { "Clicks" }
            @if visitor.dashboard.admin.clicks.is_none() {
                p.soft { "Clicks are not counted here. The operator can count them by " code { "clicks.enabled = true" } "." }
            } @else {
                p.soft { "This key has not the scope " code { "stats:read" } ", which shows clicks." }
            }
        }
    }
}

fn clicks(stats: &Stats) -> Markup {
    let none = Vec::new();
    let by = |name: &str| stats.by.get(name).unwrap_or(&none);
    html! {
        div data-live="/live" {
            dl.figures {
                div {
                    dt { "Clicks in 30 days" }
                    dd {
                        span #total data-live-count=(stats.total) { (number(stats.total)) }
                        @if let Some(previous) = &stats.previous {
                            small { (change(stats.total, previous.total)) }
                        }
                    }
                }
                @if let Some(unique) = stats.unique {
                    div { dt { "Visitors" } dd { (number(unique)) small { "those of two days count twice" } } }
                }
                @if let Some(today) = stats.series.last() {
                    div { dt { "Clicks today" } dd { (number(today.clicks)) small { "since midnight, UTC" } } }
                }
            }
            div.split {
                section.card {
                    h2 { "Clicks by day" }
                    (chart(stats))
                }
                section.card {
                    h2 { "As they come" }
                    p.soft { span.dot {} span data-live-state { "Shown by a script, which has not started." } }
                    ol.live data-live-list tabindex="0" aria-label="Newest clicks" {}
                    p.soft data-live-empty { "The next click appears here." }
                }
            }
        }
        div.grid {
            (ranking("Top links", by("link"), |value| match address_of_value(value) {
                Some(address) => html! { a href=(address) { "/" (value) } },
                None => html! { (value) },
            }))
            (ranking("Top referrers", by("referrer"), plain))
            (ranking("Top countries", by("country"), plain))
        }
    }
}

fn plain(value: &str) -> Markup {
    html! { (value) }
}

fn newest_links(links: &[LinkView]) -> Markup {
    html! {
        section.card {
            h2 { "Newest links" }
            @if links.is_empty() {
                p.soft { "None yet." }
            } @else {
                table {
                    thead { tr { th scope="col" { "Link" } th scope="col" { "Leads to" } } }
                    tbody {
                        @for link in links {
                            tr {
                                th scope="row" { a href=(super::links::address(link, "")) { "/" (link.code) } }
                                td.long { (super::links::shortened(&link.url)) }
                            }
                        }
                    }
                }
                p { a href="/links" { "All links" } }
            }
        }
    }
}

fn most_denied(denials: &[Denial]) -> Markup {
    html! {
        section.card {
            h2 { "Most refused" }
            @if denials.is_empty() {
                p.soft { "No limit has refused anything since the start." }
            } @else {
                table {
                    thead { tr { th scope="col" { "Who" } th scope="col" { "Policy" } th.number scope="col" { "Refused" } } }
                    tbody {
                        @for denial in denials {
                            tr {
                                th.long scope="row" {
                                    @for (at, entry) in denial.descriptor.iter().enumerate() {
                                        @if at > 0 { ", " }
                                        (entry.key) @if !entry.value.is_empty() { "=" (entry.value) }
                                    }
                                }
                                td { (denial.domain) ": " (denial.policy) }
                                td.number { (number(denial.count)) }
                            }
                        }
                    }
                }
            }
            p { a href="/limits" { "Limits" } }
        }
    }
}
