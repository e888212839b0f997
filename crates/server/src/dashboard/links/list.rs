//! Finding links.

use std::collections::HashMap;

use axum::extract::Query;
use maud::{Markup, html};
use serde::Deserialize;
use tollgate_access::Scope;
use tollgate_links::LinkView;

use crate::dashboard::client::{ApiPath, push_parameter};
use crate::dashboard::form::select;
use crate::dashboard::layout::Place;
use crate::dashboard::show::{number, when};
use crate::dashboard::visitor::{Shown, Visitor};

/// Links on a page.
const PAGE: &str = "50";

const ORDERS: [(&str, &str); 4] = [
    ("-created", "Newest first"),
    ("created", "Oldest first"),
    ("code", "By code"),
    ("-code", "By code, backwards"),
];

#[derive(Deserialize, Default)]
#[serde(default)]
pub(in crate::dashboard) struct Filter {
    q: String,
    tag: String,
    domain: String,
    order: String,
    cursor: String,
}

#[derive(Deserialize)]
struct Found {
    links: Vec<LinkView>,
    next_cursor: Option<String>,
}

impl Filter {
    /// The same listing from somewhere else on.
    fn address(&self, cursor: &str) -> String {
        let mut address = "/links".to_owned();
        for (name, value) in [
            ("q", &*self.q),
            ("tag", &*self.tag),
            ("domain", &*self.domain),
            ("order", &*self.order),
            ("cursor", cursor),
        ] {
            push_parameter(&mut address, name, value);
        }
        address
    }

    fn is_empty(&self) -> bool {
        self.q.is_empty() && self.tag.is_empty() && self.domain.is_empty()
    }
}

pub(in crate::dashboard) async fn page(visitor: Visitor, Query(filter): Query<Filter>) -> Shown {
    let path = ApiPath::new(["links"])
        .with("limit", PAGE)
        .with("q", filter.q.trim())
        .with("tag", filter.tag.trim())
        .with("domain", &filter.domain)
        .with("order", &filter.order)
        .with("cursor", &filter.cursor);
    let found: Found = visitor.read(path).await?;
    let clicks = visitor.clicks_by("link").await?;
    let writes = visitor.may(Scope::LinksWrite);
    let body = html! {
        div.head {
            h1 { "Links" }
            @if writes { a.button.primary href="/new" { "New link" } }
        }
        (filters(&visitor, &filter))
        div #found {
            @if found.links.is_empty() { (nothing(&filter, writes)) }
            @else {
                form.card method="post" action="/links" {
                    (visitor.csrf())
                    @if writes { (together()) }
                    (table(&found.links, clicks.as_ref(), writes))
                    @if found.next_cursor.is_some() || !filter.cursor.is_empty() {
                        p.actions {
                            @if !filter.cursor.is_empty() { a.button href=(filter.address("")) { "First page" } }
                            @if let Some(next) = &found.next_cursor { a.button href=(filter.address(next)) rel="next" { "Next page" } }
                        }
                    }
                }
            }
        }
    };
    Ok(visitor.page(Place::Links, "Links", &body))
}

fn filters(visitor: &Visitor, filter: &Filter) -> Markup {
    let mut domains = vec![(String::new(), "All domains".to_owned())];
    domains.extend(super::domains(visitor));
    let orders = ORDERS.map(|(value, name)| (value.to_owned(), name.to_owned()));
    html! {
        form.card.filters method="get" action="/links" role="search"
            hx-get="/links" hx-trigger="input changed delay:300ms from:#q, change" hx-target="#found"
            hx-select="#found" hx-swap="outerHTML" hx-push-url="true" {
            div.field.wide {
                label for="q" { "Search" }
                input #q name="q" type="search" value=(filter.q) autocomplete="off" spellcheck="false"
                    placeholder="Beginning of a code, title or target";
            }
            div.field {
                label for="tag" { "Tag" }
                input #tag name="tag" value=(filter.tag) autocomplete="off";
            }
            @if domains.len() > 2 { (select("domain", "Domain", &filter.domain, &domains)) }
            (select("order", "Order", &filter.order, &orders))
            button { "Search" }
        }
    }
}

fn nothing(filter: &Filter, writes: bool) -> Markup {
    html! {
        div.card.empty {
            @if filter.is_empty() && filter.cursor.is_empty() {
                h2 { "There are no links yet" }
                @if writes {
                    p { "Make one here, by " code { "tollgate link create" } ", or bring those of another service along by " code { "tollgate link import" } "." }
                    a.button.primary href="/new" { "Make the first link" }
                }
            } @else {
                h2 { "No link is like this" }
                p { a href="/links" { "Show all links" } }
            }
        }
    }
}

/// What can be done with all links that are ticked.
fn together() -> Markup {
    html! {
        details {
            summary { "Change several links" }
            div.filters {
                div.field {
                    label for="action" { "With those that are ticked" }
                    select #action name="action" {
                        option value="add_tag" { "Add the tag" }
                        option value="remove_tag" { "Take off the tag" }
                        option value="expire" { "Let them expire now" }
                        option value="delete" { "Delete them" }
                    }
                }
                div.field {
                    label for="with_tag" { "Tag" }
                    input #with_tag name="with_tag" autocomplete="off";
                }
                button { "Go on" }
            }
        }
    }
}

fn table(links: &[LinkView], clicks: Option<&HashMap<String, u64>>, writes: bool) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Links" {
            table.stack {
                thead {
                    tr {
                        @if writes {
                            th scope="col" { input type="checkbox" aria-label="Tick all" data-tick-all="link"; }
                        }
                        th scope="col" { "Link" }
                        th scope="col" { "Leads to" }
                        th scope="col" { "Tags" }
                        th scope="col" { "State" }
                        @if clicks.is_some() { th.number scope="col" { "Clicks, 30 days" } }
                        th scope="col" { "Made" }
                    }
                }
                tbody {
                    @for link in links {
                        @let domain = link.domain.as_deref().unwrap_or_default();
                        @let name = if domain.is_empty() { link.code.clone() } else { format!("{domain}/{}", link.code) };
                        tr {
                            @if writes {
                                td { input type="checkbox" name="link" value={ (domain) "/" (link.code) } aria-label={ "Tick " (name) }; }
                            }
                            th scope="row" {
                                span {
                                    a href=(super::address(link, "")) { @if domain.is_empty() { "/" } (name) }
                                    @if let Some(title) = &link.title { br; span.soft { (title) } }
                                }
                            }
                            td.long data-label="Leads to" { span title=(link.url) { (super::shortened(&link.url)) } }
                            td data-label="Tags" {
                                @if !link.tags.is_empty() {
                                    span { @for tag in &link.tags {
                                        @let filter = Filter { tag: tag.clone(), ..Filter::default() };
                                        a.badge href=(filter.address("")) { (tag) } " "
                                    } }
                                }
                            }
                            td data-label="State" { (super::state(link.state)) }
                            @if let Some(clicks) = clicks {
                                td.number data-label="Clicks, 30 days" { (number(clicks.get(&name).copied().unwrap_or_default())) }
                            }
                            td.when data-label="Made" { (when(link.created_at)) }
                        }
                    }
                }
            }
        }
    }
}
