//! Webhooks: who is told of what, and what became of the messages.

use axum::extract::{Path, Query};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_clock::UnixMillis;
use tollgate_webhooks::EventKind;

use super::client::{ApiPath, Refusal, joined, push_parameter};
use super::form::{Fields, Input, select, summary, tick};
use super::layout::{Place, Question};
use super::links::domains;
use super::show::when;
use super::visitor::{Posted, Shown, Visitor};

#[derive(Deserialize)]
struct Webhooks {
    webhooks: Vec<Webhook>,
}

#[derive(Deserialize)]
struct Webhook {
    id: String,
    url: String,
    events: Vec<String>,
    thresholds: Vec<u64>,
    domain: Option<String>,
    description: String,
    paused: bool,
    created_at: UnixMillis,
}

#[derive(Deserialize)]
struct Secret {
    secret: String,
}

#[derive(Deserialize)]
struct Deliveries {
    deliveries: Vec<Delivery>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Delivery {
    id: String,
    event: String,
    state: String,
    queued_at: UnixMillis,
    attempts: u32,
    next_at: Option<UnixMillis>,
    last_status: Option<u16>,
    last_error: Option<String>,
    body: Value,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    cursor: String,
}

fn api(id: &str) -> ApiPath {
    ApiPath::new(["webhooks", id])
}

fn address(id: &str, below: &str) -> String {
    joined(&["webhooks", id]) + below
}

pub(super) async fn page(visitor: Visitor) -> Shown {
    shown(&visitor, &Fields::default(), None, None).await
}

async fn shown(
    visitor: &Visitor,
    fields: &Fields,
    refusal: Option<&Refusal>,
    secret: Option<&str>,
) -> Shown {
    let all: Webhooks = visitor.read(ApiPath::new(["webhooks"])).await?;
    let body = html! {
        div.head { h1 { "Webhooks" } }
        @if let Some(secret) = secret { (secret_card("The webhook was made", secret)) }
        @if all.webhooks.is_empty() {
            section.card.empty {
                h2 { "Nobody is told of anything yet" }
                p { "A webhook is an address of yours that gets a message when links are made, edited, deleted, expire or reach a number of clicks." }
            }
        } @else {
            section.card {
                div.scroll tabindex="0" role="region" aria-label="Webhooks" {
                    table.stack {
                        thead { tr { th scope="col" { "Address" } th scope="col" { "Events" } th scope="col" { "Domain" } th scope="col" { "State" } th scope="col" { "Made" } } }
                        tbody { @for one in &all.webhooks { (row(one)) } }
                    }
                }
            }
        }
        (form(visitor, fields, refusal))
    };
    let status = refusal.map_or(StatusCode::OK, Refusal::status);
    Ok(visitor.page_of(status, Some(Place::Webhooks), "Webhooks", &body))
}

fn row(one: &Webhook) -> Markup {
    html! {
        tr {
            th.long scope="row" {
                span { a href=(address(&one.id, "")) { (one.url) } @if !one.description.is_empty() { br; span.soft { (one.description) } } }
            }
            td data-label="Events" { span { @for event in &one.events { span.badge { (event) } " " } } }
            td data-label="Domain" { (one.domain.as_deref().unwrap_or("all")) }
            td data-label="State" { (state(one)) }
            td.when data-label="Made" { (when(one.created_at)) }
        }
    }
}

fn state(one: &Webhook) -> Markup {
    html! { @if one.paused { span.badge.warn { "paused" } } @else { span.badge.good { "active" } } }
}

fn secret_card(title: &str, secret: &str) -> Markup {
    html! {
        section.card role="status" {
            h2 { (title) }
            code.secret { (secret) }
            p { "Messages are signed with this secret. It is shown only now. " button.quiet.small type="button" data-copy=(secret) hidden { "Copy" } }
        }
    }
}

fn form(visitor: &Visitor, fields: &Fields, refusal: Option<&Refusal>) -> Markup {
    let mut hosts = vec![(String::new(), "All domains".to_owned())];
    hosts.extend(domains(visitor));
    html! {
        section.card {
            h2 { "New webhook" }
            (summary(refusal))
            form method="post" action="/webhooks" {
                (visitor.csrf())
                (Input { name: "url", label: "Address", value: fields.text("url"), kind: "url", hint: "Such as https://example.com/hooks/links", required: true }.show(refusal))
                (Input { name: "description", label: "Description", value: fields.text("description"), ..Input::default() }.show(refusal))
                fieldset #events {
                    legend { "Is told of" }
                    div.ticks {
                        @for kind in EventKind::ALL {
                            (tick("events", kind.name(), kind.name(), fields.all("events").any(|one| one == kind.name())))
                        }
                    }
                    @if let Some(wrong) = refusal.and_then(|refusal| refusal.reason("events")) { p.error { (wrong) } }
                }
                div.pair {
                    (Input { name: "thresholds", label: "Numbers of clicks", value: fields.text("thresholds"), hint: "For link.threshold; separated by commas.", ..Input::default() }.show(refusal))
                    (select("domain", "Links of", fields.text("domain"), &hosts))
                }
                button.primary { "Make the webhook" }
            }
        }
    }
}

pub(super) async fn create(posted: Posted) -> Shown {
    let Posted { visitor, fields } = posted;
    let events: Vec<&str> = fields.all("events").collect();
    let numbers = fields.text("thresholds").split(',').map(str::trim);
    let numbers = numbers.filter(|text| !text.is_empty());
    let thresholds: Result<Vec<u64>, _> = numbers.map(str::parse).collect();
    let Ok(thresholds) = thresholds else {
        let reason = "give whole numbers, separated by commas".to_owned();
        let refusal = Refusal::of_field("thresholds", reason);
        return shown(&visitor, &fields, Some(&refusal), None).await;
    };
    let mut draft = json!({
        "url": fields.text("url"),
        "events": events,
        "thresholds": thresholds,
        "description": fields.text("description"),
    });
    if fields.is_set("domain") {
        draft["domain"] = json!(fields.text("domain"));
    }
    let made = visitor
        .client
        .post::<Secret>(ApiPath::new(["webhooks"]), &draft);
    match made.await {
        Ok(made) => shown(&visitor, &Fields::default(), None, Some(&made.secret)).await,
        Err(refusal) => shown(&visitor, &fields, Some(&refusal), None).await,
    }
}

pub(super) async fn one(
    visitor: Visitor,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Shown {
    detail(&visitor, &id, &wanted.cursor, None).await
}

async fn detail(visitor: &Visitor, id: &str, cursor: &str, secret: Option<&str>) -> Shown {
    let one: Webhook = visitor.read(api(id)).await?;
    let path = ApiPath::new(["webhooks", id, "deliveries"]).with("limit", "30");
    let found: Deliveries = visitor.read(path.with("cursor", cursor)).await?;
    let pause = if one.paused { "Go on" } else { "Pause" };
    let body = html! {
        div.head {
            h1 { (one.url) " " (state(&one)) }
            div.actions {
                (visitor.button(&address(id, "/ping"), "", "Send a ping"))
                (visitor.button(&address(id, "/pause"), "", pause))
                (visitor.button(&address(id, "/rotate"), "", "New secret"))
                a.button href=(address(id, "/delete")) { "Delete…" }
            }
        }
        @if let Some(secret) = secret { (secret_card("The new secret", secret)) }
        section.card {
            dl.facts {
                dt { "Events" } dd { @for event in &one.events { span.badge { (event) } " " } }
                @if !one.thresholds.is_empty() {
                    dt { "At" } dd { (one.thresholds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")) " clicks" }
                }
                dt { "Domain" } dd { (one.domain.as_deref().unwrap_or("all")) }
                @if !one.description.is_empty() { dt { "Description" } dd { (one.description) } }
            }
        }
        section.card {
            h2 { "Messages" }
            @if found.deliveries.is_empty() {
                p.soft { "None yet. Send a ping to see whether one arrives." }
            } @else {
                (deliveries(visitor, id, &found.deliveries))
                @if let Some(next) = &found.next_cursor {
                    @let mut earlier = address(id, "");
                    @let () = push_parameter(&mut earlier, "cursor", next);
                    p { a.button.small href=(earlier) rel="next" { "Earlier" } }
                }
            }
        }
    };
    Ok(visitor.page(Place::Webhooks, "Webhook", &body))
}

fn deliveries(visitor: &Visitor, id: &str, all: &[Delivery]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Messages" {
            table.stack {
                thead { tr { th scope="col" { "Queued" } th scope="col" { "Event" } th scope="col" { "State" } th scope="col" { "Last answer" } th scope="col" { "Message" } } }
                tbody {
                    @for one in all {
                        @let class = match &*one.state { "delivered" => "badge good", "dead" => "badge bad", _ => "badge warn" };
                        tr {
                            td.when data-label="Queued" { (when(one.queued_at)) }
                            td data-label="Event" { (one.event) }
                            td data-label="State" {
                                span {
                                    span class=(class) { (one.state) }
                                    br; span.soft { (one.attempts) " sent" }
                                    @if let Some(next) = one.next_at { br; span.soft { "next " (when(next)) } }
                                }
                            }
                            td.long data-label="Last answer" {
                                span {
                                    @if let Some(status) = one.last_status { (status) " " }
                                    (one.last_error.as_deref().unwrap_or_default())
                                }
                            }
                            td {
                                details { summary { "Body" } pre tabindex="0" { (serde_json::to_string_pretty(&one.body).unwrap_or_default()) } }
                                (visitor.button(&joined(&["webhooks", id, "resend", &one.id]), "small", "Send again"))
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) async fn pause(Path(id): Path<String>, posted: Posted) -> Shown {
    let visitor = posted.visitor;
    let one: Webhook = visitor.read(api(&id)).await?;
    let patch = json!({ "paused": !one.paused });
    visitor.granted(visitor.client.patch(api(&id), None, &patch).await)?;
    let notice = if one.paused {
        "It goes on."
    } else {
        "It is paused: nothing is queued and nothing is sent."
    };
    Ok(visitor.done(&address(&id, ""), notice))
}

pub(super) async fn ping(Path(id): Path<String>, posted: Posted) -> Shown {
    let path = ApiPath::new(["webhooks", &id, "ping"]);
    command(&posted.visitor, path, &id, "A ping is queued.").await
}

pub(super) async fn resend(Path((id, message)): Path<(String, String)>, posted: Posted) -> Shown {
    let path = ApiPath::new(["webhooks", &id, "deliveries", &message, "resend"]);
    command(&posted.visitor, path, &id, "It is sent again.").await
}

async fn command(visitor: &Visitor, path: ApiPath, id: &str, notice: &str) -> Shown {
    visitor.granted(visitor.client.post::<Value>(path, &json!({})).await)?;
    Ok(visitor.done(&address(id, ""), notice))
}

pub(super) async fn rotate(Path(id): Path<String>, posted: Posted) -> Shown {
    let visitor = posted.visitor;
    let path = ApiPath::new(["webhooks", &id, "rotate"]);
    let made = visitor.granted(visitor.client.post::<Secret>(path, &json!({})).await)?;
    detail(&visitor, &id, "", Some(&made.secret)).await
}

pub(super) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Shown {
    let one: Webhook = visitor.read(api(&id)).await?;
    Ok(visitor.ask(&Question {
        here: Place::Webhooks,
        question: "Delete this webhook?",
        consequence: &format!(
            "{} is told nothing any more. Messages that wait are not sent.",
            one.url
        ),
        action: &address(&id, "/delete"),
        yes: "Delete the webhook",
        back: &address(&id, ""),
        sent_along: html! {},
    }))
}

pub(super) async fn remove(Path(id): Path<String>, posted: Posted) -> Shown {
    let visitor = posted.visitor;
    visitor.granted(visitor.client.delete(api(&id)).await)?;
    Ok(visitor.done("/webhooks", "The webhook was deleted."))
}
