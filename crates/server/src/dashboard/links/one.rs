//! One link: what it is, who clicked it, what was done to it.

use axum::extract::{Path, Query, RawQuery};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use tollgate_access::Scope;
use tollgate_clock::UnixMillis;
use tollgate_links::LinkView;

use super::Of;
use crate::dashboard::client::{ApiPath, Refusal, push_parameter};
use crate::dashboard::layout::Place;
use crate::dashboard::show::{Stats, change, chart, number, ranking, when};
use crate::dashboard::visitor::{Failure, Shown, Visitor};
use crate::edge::target;
use crate::qr::QrStyle;

/// What a QR code with a logo is asked for with.
const LOGO: [(&str, &str); 1] = [("logo", "true")];

/// What is counted by, and what the page calls it.
const DIMENSIONS: [(&str, &str); 8] = [
    ("referrer", "Referrers"),
    ("channel", "Channels"),
    ("country", "Countries"),
    ("browser", "Browsers"),
    ("os", "Systems"),
    ("device", "Devices"),
    ("language", "Languages"),
    ("utm_campaign", "Campaigns"),
];

/// Steps of the chart, with the period that the API gives each.
const PERIODS: [(&str, &str); 4] = [
    ("hour", "2 days"),
    ("day", "30 days"),
    ("week", "12 weeks"),
    ("month", "12 months"),
];

#[derive(Deserialize)]
pub(in crate::dashboard) struct Wanted {
    #[serde(default)]
    domain: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    cursor: String,
}

#[derive(Deserialize)]
struct Clicks {
    clicks: Vec<Click>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Click {
    at: UnixMillis,
    bot: bool,
    referrer: Option<String>,
    user_agent: Option<String>,
    #[serde(default)]
    values: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct History {
    history: Vec<Edit>,
}

#[derive(Deserialize)]
struct Edit {
    at: UnixMillis,
    actor: String,
    action: String,
    version: u64,
    changes: Value,
}

pub(in crate::dashboard) async fn page(
    visitor: Visitor,
    Path(code): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Shown {
    let link: LinkView = visitor.read(super::api(&code, &wanted.domain)).await?;
    let known = PERIODS.iter().any(|(bucket, _)| *bucket == wanted.by);
    let bucket = if known { &*wanted.by } else { "day" };
    let below = |last: &str| ApiPath::new(["links", &code, last]).with("domain", &wanted.domain);
    let clicked = if visitor.sees_clicks() {
        let by = DIMENSIONS.map(|(name, _)| name).join(",");
        let stats = below("stats").with("bucket", bucket).with("by", &by);
        let stats: Stats = visitor.read(stats.with("compare", "previous")).await?;
        let clicks = below("clicks").with("limit", "20");
        let clicks: Clicks = visitor.read(clicks.with("cursor", &wanted.cursor)).await?;
        Some((stats, clicks))
    } else {
        None
    };
    let history: History = visitor.read(below("history").with("limit", "50")).await?;
    let body = html! {
        (head(&visitor, &link))
        div.split {
            (facts(&link))
            (qr_card(&link, visitor.dashboard.admin.options.qr_logo.is_some()))
        }
        @match &clicked {
            Some((stats, clicks)) => {
                (statistics(&link, bucket, stats))
                (single_clicks(&link, clicks, &wanted))
            }
            None => section.card {
                h2 { "Clicks" }
                p.soft { "They are not counted here, or this key has not the scope " code { "stats:read" } "." }
            }
        }
        (edits(&history.history))
    };
    let title = format!("/{}", link.code);
    Ok(visitor.page(Place::Links, &title, &body))
}

fn head(visitor: &Visitor, link: &LinkView) -> Markup {
    html! {
        div.head {
            h1 { (link.title.as_deref().unwrap_or(&link.short_url)) " " (super::state(link.state)) }
            p.actions {
                @if visitor.may(Scope::LinksWrite) {
                    a.button href=(super::address(link, "/edit")) { "Edit" }
                    a.button href=(super::address(link, "/delete")) { "Delete…" }
                }
            }
        }
    }
}

fn facts(link: &LinkView) -> Markup {
    html! {
        section.card aria-label="The link" {
            dl.facts {
                dt { "Short link" }
                dd.big {
                    a href=(link.short_url) rel="noreferrer" { (link.short_url) } " "
                    button.quiet.small type="button" data-copy=(link.short_url) hidden { "Copy" }
                }
                dt { "Leads to" }
                dd { (target(&link.url)) }
                @if let Some(at) = link.starts_at { dt { "From" } dd { (when(at)) } }
                @if let Some(at) = link.expires_at { dt { "Until" } dd { (when(at)) } }
                @if let Some(most) = link.max_clicks {
                    dt { "Clicks taken" }
                    dd { (number(link.clicks_used.unwrap_or_default())) " of " (number(most)) }
                }
                @if let Some(status) = link.redirect { dt { "Redirect" } dd { (status) } }
                @if link.has_password { dt { "Password" } dd { "is asked for" } }
                @if link.forward_query { dt { "Query" } dd { "is added to the target's" } }
                @if !link.tags.is_empty() {
                    dt { "Tags" }
                    dd { @for tag in &link.tags { span.badge { (tag) } " " } }
                }
                dt { "Made" }
                dd { (when(link.created_at)) " by " code { (link.created_by) } }
                @if link.version > 1 { dt { "Edited" } dd { (when(link.updated_at)) } }
            }
            @if !link.rules.is_empty() {
                h2 { "Rules" }
                pre tabindex="0" { (serde_json::to_string_pretty(&link.rules).unwrap_or_default()) }
            }
        }
    }
}

fn qr_card(link: &LinkView, has_logo: bool) -> Markup {
    let with = |query: &[(&str, &str)]| {
        let mut address = super::address(link, "/qr");
        for (name, value) in query {
            push_parameter(&mut address, name, value);
        }
        address
    };
    html! {
        section.card {
            h2 { "QR code" }
            img.qr src=(with(if has_logo { &LOGO } else { &[] })) alt={ "QR code of " (link.short_url) } width="176" height="176";
            p.actions {
                a.button.small href=(with(&[("format", "svg"), ("size", "1000")])) download { "SVG" }
                a.button.small href=(with(&[("format", "png"), ("size", "1000")])) download { "PNG" }
                @if has_logo {
                    a.button.small href=(with(&[("format", "svg"), ("size", "1000"), LOGO[0]])) download {
                        "SVG with logo"
                    }
                    a.button.small href=(with(&[("format", "png"), ("size", "1000"), LOGO[0]])) download {
                        "PNG with logo"
                    }
                }
            }
        }
    }
}

fn statistics(link: &LinkView, bucket: &str, stats: &Stats) -> Markup {
    let mut live = "/live".to_owned();
    push_parameter(&mut live, "code", &link.code);
    push_parameter(
        &mut live,
        "domain",
        link.domain.as_deref().unwrap_or_default(),
    );
    let name = PERIODS.iter().find(|(one, _)| *one == bucket);
    let name = name.map_or("", |(_, name)| *name);
    let none = Vec::new();
    html! {
        section.card data-live=(live) {
            div.head {
                h2 { "Clicks" }
                p.soft { span.dot {} span data-live-state { "Counted when the page was made" } }
            }
            ul.choices aria-label="Period" {
                @for (one, name) in PERIODS {
                    @let current = one == bucket;
                    @let mut address = super::address(link, "");
                    @let () = push_parameter(&mut address, "by", one);
                    li { a.button.small href=(address) aria-current=[current.then_some("true")] { (name) } }
                }
            }
            dl.figures {
                div {
                    dt { "Clicks in " (name) }
                    dd {
                        span #total data-live-count=(stats.total) { (number(stats.total)) }
                        @if let Some(previous) = &stats.previous { small { (change(stats.total, previous.total)) } }
                    }
                }
                @if let Some(unique) = stats.unique { div { dt { "Visitors" } dd { (number(unique)) } } }
                @if stats.untimed > 0 {
                    div { dt title="Counted by another shortener, which did not tell when" { "Without a time" } dd { (number(stats.untimed)) } }
                }
            }
            @if stats.total == 0 {
                p.soft { "Nobody has clicked in this time. Follow the short link once to see a click arrive here." }
            }
            (chart(stats))
        }
        @if stats.total > 0 {
            div.grid {
                @for (name, title) in DIMENSIONS {
                    (ranking(title, stats.by.get(name).unwrap_or(&none), |value| html! { (value) }))
                }
            }
        }
    }
}

fn single_clicks(link: &LinkView, clicks: &Clicks, wanted: &Wanted) -> Markup {
    html! {
        section.card #clicks {
            h2 { "Single clicks" }
            @if clicks.clicks.is_empty() {
                p.soft { "There are none that are still kept." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Single clicks" {
                    table.stack {
                        thead { tr { th scope="col" { "When" } th scope="col" { "From" } th scope="col" { "With" } th scope="col" { "Came by" } } }
                        tbody {
                            @for click in &clicks.clicks {
                                @let value = |name: &str| click.values.get(name).cloned();
                                @let place: Vec<String> = ["city", "country"].into_iter().filter_map(value).collect();
                                @let with: Vec<String> = ["browser", "os", "device"].into_iter().filter_map(value).collect();
                                tr {
                                    td.when data-label="When" { (when(click.at)) }
                                    td data-label="From" { (place.join(", ")) }
                                    td data-label="With" {
                                        span title=[click.user_agent.as_deref()] {
                                            (if with.is_empty() { click.user_agent.clone().unwrap_or_default() } else { with.join(", ") })
                                            @if click.bot { " " span.badge { "program" } }
                                        }
                                    }
                                    td.long data-label="Came by" { (click.referrer.as_deref().unwrap_or_default()) }
                                }
                            }
                        }
                    }
                }
                p.actions {
                    @if !wanted.cursor.is_empty() { a.button.small href={ (super::address(link, "")) "#clicks" } { "Newest" } }
                    @if let Some(next) = &clicks.next_cursor {
                        @let mut address = super::address(link, "");
                        @let () = push_parameter(&mut address, "cursor", next);
                        a.button.small href={ (address) "#clicks" } rel="next" { "Earlier" }
                    }
                }
            }
        }
    }
}

fn edits(history: &[Edit]) -> Markup {
    html! {
        section.card {
            h2 { "History" }
            div.scroll tabindex="0" role="region" aria-label="History" {
                table.stack {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Fields" } } }
                    tbody {
                        @for edit in history {
                            tr {
                                td.when data-label="When" { (when(edit.at)) }
                                td data-label="Who" { code { (edit.actor) } }
                                td data-label="What" { span { (edit.action) " (version " (edit.version) ")" } }
                                td.long data-label="Fields" { (changes(&edit.changes)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Each field with its value before and after.
fn changes(changes: &Value) -> Markup {
    let shown = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    html! {
        @if let Some(fields) = changes.as_object() {
            span {
                @for (name, change) in fields {
                    strong { (name) } ": "
                    @match change.as_array().map(Vec::as_slice) {
                        Some([Value::Null, after]) => (shown(after)),
                        Some([before, after]) => { (shown(before)) " → " (shown(after)) }
                        _ => (shown(change)),
                    }
                    br;
                }
            }
        }
    }
}

/// The QR code of a link, as the edge draws it.
pub(in crate::dashboard) async fn qr(
    visitor: Visitor,
    Path(code): Path<String>,
    Query(of): Query<Of>,
    RawQuery(query): RawQuery,
) -> Shown {
    let link: LinkView = visitor.read(super::api(&code, &of.domain)).await?;
    let query = query.unwrap_or_default();
    let style = query.split('&').filter(|pair| !pair.starts_with("domain="));
    let style: Vec<&str> = style.filter(|pair| !pair.is_empty()).collect();
    let wrong = |error: crate::qr::QrError| -> Failure {
        visitor.refused(&Refusal {
            status: 400,
            title: "This QR code cannot be drawn".to_owned(),
            detail: error.to_string(),
            ..Refusal::default()
        })
    };
    let logo = visitor.dashboard.admin.options.qr_logo.as_deref();
    let style = QrStyle::from_query(&style.join("&"), logo).map_err(wrong)?;
    let bytes = style.draw(&link.short_url).map_err(wrong)?;
    Ok(image(style, bytes, &link.code))
}

fn image(style: QrStyle<'_>, bytes: Vec<u8>, code: &str) -> Response {
    let format = style.format();
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let head = [
        (CONTENT_TYPE, format.media_type()),
        (CONTENT_SECURITY_POLICY, style.policy()),
    ];
    let mut response = (head, bytes).into_response();
    let name = format!("inline; filename=\"qr-{plain}.{}\"", format.ending());
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    response
}
