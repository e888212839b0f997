//! `tollgate webhook …`: who is told of what happens to links, through the API.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollgate_clock::UnixMillis;
use ureq::http::Method;

use crate::args::{
    OneWebhookArgs, WebhookArgs, WebhookCommand, WebhookCreateArgs, WebhookDeliveriesArgs,
    WebhookResendArgs,
};
use crate::client::{Client, NOTHING, segment};
use crate::show;

const WEBHOOKS: &str = "/api/v1/webhooks";
const HEADER: [&str; 5] = ["ID", "URL", "EVENTS", "STATE", "CREATED"];
const DELIVERY_HEADER: [&str; 6] = ["ID", "EVENT", "STATE", "ATTEMPTS", "NEXT", "LAST ANSWER"];

#[derive(Debug, Serialize, Deserialize)]
struct WebhookView {
    id: String,
    url: String,
    events: Vec<String>,
    thresholds: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    description: String,
    paused: bool,
    created_at: UnixMillis,
}

#[derive(Debug, Serialize, Deserialize)]
struct NewWebhookView {
    secret: String,
    #[serde(flatten)]
    webhook: WebhookView,
}

#[derive(Debug, Serialize, Deserialize)]
struct WebhookList {
    webhooks: Vec<WebhookView>,
}

#[derive(Debug, Serialize)]
struct WebhookDraft<'a> {
    url: &'a str,
    events: &'a [String],
    thresholds: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    description: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
struct DeliveryView {
    id: String,
    event: String,
    state: String,
    queued_at: UnixMillis,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_at: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_at: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    body: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct DeliveryList {
    deliveries: Vec<DeliveryView>,
}

#[derive(Debug, Serialize, Deserialize)]
struct QueuedView {
    id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct SecretView {
    secret: String,
    old_until: UnixMillis,
}

/// Runs `tollgate webhook …`.
pub(crate) fn run(args: WebhookArgs) -> anyhow::Result<()> {
    match args.command {
        WebhookCommand::Create(args) => create(&args),
        WebhookCommand::List(args) => list(&Client::new(&args.server)?, args.server.json),
        WebhookCommand::Pause(args) => pause(&args, true),
        WebhookCommand::Resume(args) => pause(&args, false),
        WebhookCommand::Delete(args) => delete(&args),
        WebhookCommand::Rotate(args) => rotate(&args),
        WebhookCommand::Ping(args) => ping(&args),
        WebhookCommand::Deliveries(args) => deliveries(&args),
        WebhookCommand::Resend(args) => resend(&args),
    }
}

fn create(args: &WebhookCreateArgs) -> anyhow::Result<()> {
    let draft = WebhookDraft {
        url: &args.url,
        events: &args.events,
        thresholds: &args.thresholds,
        domain: args.domain.as_deref(),
        description: args.description.as_deref().unwrap_or_default(),
    };
    let client = Client::new(&args.server)?;
    let made: NewWebhookView = client.call(Method::POST, WEBHOOKS, &[], &[], Some(&draft))?;
    if args.server.json {
        return show::json(&made);
    }
    show::line(format_args!("id      {}", made.webhook.id))?;
    show::line(format_args!(
        "secret  {}\n        shown only this once: messages are signed with it",
        made.secret
    ))
}

fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let list: WebhookList = client.call(Method::GET, WEBHOOKS, &[], &[], NOTHING)?;
    if json {
        return show::json(&list);
    }
    let rows = list.webhooks.into_iter().map(|one| {
        let numbers: Vec<String> = one.thresholds.iter().map(u64::to_string).collect();
        let events = one.events.into_iter().map(|name| match &*name {
            "link.threshold" => format!("{name} ({})", numbers.join(", ")),
            _ => name,
        });
        let events: Vec<String> = events.collect();
        let state = if one.paused { "paused" } else { "active" };
        let created = one.created_at.to_string();
        vec![
            one.id,
            one.url,
            events.join(", "),
            state.to_owned(),
            created,
        ]
    });
    show::table(&HEADER, rows)
}

fn path(args: &OneWebhookArgs, rest: &str) -> String {
    format!("{WEBHOOKS}/{}{rest}", segment(&args.id))
}

fn pause(args: &OneWebhookArgs, paused: bool) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let patch = json!({"paused": paused});
    let changed: WebhookView =
        client.call(Method::PATCH, &path(args, ""), &[], &[], Some(&patch))?;
    if args.server.json {
        return show::json(&changed);
    }
    Ok(())
}

fn delete(args: &OneWebhookArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    client.send(Method::DELETE, &path(args, ""), &[], &[], NOTHING)?;
    Ok(())
}

fn rotate(args: &OneWebhookArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let path = path(args, "/rotate");
    let secret: SecretView = client.call(Method::POST, &path, &[], &[], NOTHING)?;
    if args.server.json {
        return show::json(&secret);
    }
    show::line(format_args!(
        "secret  {}\n        shown only this once; messages are signed with the old one as well until {}",
        secret.secret, secret.old_until
    ))
}

fn ping(args: &OneWebhookArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let path = path(args, "/ping");
    queued(
        &client.call(Method::POST, &path, &[], &[], NOTHING)?,
        args.server.json,
    )
}

fn resend(args: &WebhookResendArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.webhook.server)?;
    let rest = format!("/deliveries/{}/resend", segment(&args.delivery));
    let path = path(&args.webhook, &rest);
    queued(
        &client.call(Method::POST, &path, &[], &[], NOTHING)?,
        args.webhook.server.json,
    )
}

fn queued(queued: &QueuedView, json: bool) -> anyhow::Result<()> {
    match json {
        true => show::json(queued),
        false => show::line(&queued.id),
    }
}

fn deliveries(args: &WebhookDeliveriesArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.webhook.server)?;
    let limit = args.limit.to_string();
    let query = [
        ("state", args.state.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let path = path(&args.webhook, "/deliveries");
    let list: DeliveryList = client.call(Method::GET, &path, &query, &[], NOTHING)?;
    if args.webhook.server.json {
        return show::json(&list);
    }
    let rows = list.deliveries.into_iter().map(|one| {
        let next = one.next_at.map(|at| at.to_string()).unwrap_or_default();
        let answer = match (one.last_error, one.last_status) {
            (Some(error), _) => error,
            (None, Some(status)) => status.to_string(),
            (None, None) => String::new(),
        };
        let attempts = one.attempts.to_string();
        vec![one.id, one.event, one.state, attempts, next, answer]
    });
    show::table(&DELIVERY_HEADER, rows)
}
