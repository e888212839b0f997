//! Webhooks: who is told of what, and what became of the messages.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_access::Scope;
use tollgate_audit::Action;
use tollgate_clock::UnixMillis;
use tollgate_links::Domain;
use tollgate_webhooks::{
    Delivery, DeliveryState, Draft, EventKind, SigningSecret, Subscription, UnknownEvent,
};
use utoipa::ToSchema;

use super::Answer;
use super::body::{JsonBody, MergePatch};
use super::caller::Caller;
use super::describe::{Reading, Writing};
use super::domain::domain_of;
use super::query::Params;
use crate::admin::AdminState;
use crate::audit::Change;
use crate::problem::{Kind, Problem};

const MAX_PAGE: usize = 1_000;
const DEFAULT_PAGE: usize = 100;
/// How long messages are signed with the old secret as well once there is a new one.
const OLD_SECRET: std::time::Duration = std::time::Duration::from_hours(24);

/// A webhook somebody wants.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookDraft {
    /// Where messages are sent to.
    #[schema(example = "https://example.com/hooks/links")]
    url: String,
    /// Of what: `link.created`, `link.updated`, `link.deleted`, `link.expired`, `link.threshold`.
    #[schema(example = json!(["link.created", "link.threshold"]))]
    events: Vec<String>,
    /// At how many clicks of a link `link.threshold` is sent, up to 20 numbers.
    #[serde(default)]
    #[schema(example = json!([100, 1000]))]
    thresholds: Vec<u64>,
    /// Only of links of this host; of all if absent.
    domain: Option<String>,
    /// For people, at most 200 characters.
    #[serde(default)]
    description: String,
}

/// What shall change. Fields that are absent stay.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookPatch {
    /// Where messages are sent to.
    url: Option<String>,
    /// Of what.
    events: Option<Vec<String>>,
    /// At how many clicks.
    thresholds: Option<Vec<u64>>,
    /// For people.
    description: Option<String>,
    /// While it is true, nothing is queued and nothing is sent.
    paused: Option<bool>,
}

/// A webhook.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookView {
    /// Its identifier.
    #[schema(example = "wh_0199c7f0a1b27c3d8e4f5a6b7c8d9e0f")]
    id: String,
    /// Where messages are sent to.
    url: String,
    /// Of what.
    events: Vec<&'static str>,
    /// At how many clicks of a link.
    thresholds: Vec<u64>,
    /// Only of links of this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// For people.
    description: String,
    /// Whether nothing is queued and sent.
    paused: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: UnixMillis,
}

/// A webhook that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct NewWebhookView {
    #[serde(flatten)]
    webhook: WebhookView,
    /// What messages are signed with. It is shown this once and cannot be shown again.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// Another secret.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretView {
    /// What messages are signed with from now on. It is shown this once and cannot be shown again.
    secret: String,
    /// Until when messages are signed with the old one as well.
    #[schema(value_type = String, format = DateTime)]
    old_until: UnixMillis,
}

/// All webhooks.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookList {
    /// Oldest first.
    webhooks: Vec<WebhookView>,
}

/// A message, and what became of it.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryView {
    /// Its identifier, which is sent as `webhook-id`: the same each time.
    id: String,
    /// The event.
    event: String,
    /// `waiting`, `delivered` or `dead`: sent as often as it is sent, and never accepted.
    state: &'static str,
    /// When the event was queued.
    #[schema(value_type = String, format = DateTime)]
    queued_at: UnixMillis,
    /// How often it was sent.
    attempts: u32,
    /// When it is sent next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_at: Option<UnixMillis>,
    /// When it was last sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_at: Option<UnixMillis>,
    /// The status of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_status: Option<u16>,
    /// Why it was not accepted the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// What is sent.
    #[schema(value_type = Object)]
    body: Value,
}

/// One page of messages.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryList {
    /// Newest first.
    deliveries: Vec<DeliveryView>,
    /// Ask with this as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A message that was queued.
#[derive(Serialize, ToSchema)]
pub(super) struct QueuedView {
    /// Its identifier among the deliveries.
    id: String,
}

impl WebhookView {
    fn of(subscription: Subscription, state: &AdminState) -> Self {
        let draft = &subscription.draft;
        let domains = &state.service.parts().domains;
        Self {
            url: draft.url().to_string(),
            events: draft.events().iter().map(|kind| kind.name()).collect(),
            thresholds: draft.thresholds().iter().copied().collect(),
            domain: draft
                .domain()
                .map(|domain| domains.host_of(&Domain::from_stored(domain))),
            description: draft.description().to_owned(),
            paused: subscription.paused,
            created_at: subscription.created_at,
            id: subscription.id,
        }
    }
}

impl DeliveryView {
    fn of(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            event: delivery.kind,
            state: delivery.state.name(),
            queued_at: delivery.queued_at,
            attempts: delivery.attempts,
            next_at: delivery.next_at,
            last_at: delivery.last_at,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            // It was made as JSON.
            body: serde_json::from_str(&delivery.body).unwrap_or_default(),
        }
    }
}

fn draft(
    url: &str,
    events: &[String],
    thresholds: &[u64],
    domain: Option<String>,
    description: String,
) -> Result<Draft, Problem> {
    let wrong = |field: &str, reason: String| Problem::wrong(Kind::InvalidFields, field, reason);
    let mut kinds = BTreeSet::new();
    for (at, name) in events.iter().enumerate() {
        let kind = name.parse::<EventKind>();
        kinds.insert(
            kind.map_err(|error: UnknownEvent| wrong(&format!("events[{at}]"), error.to_string()))?,
        );
    }
    let thresholds = thresholds.iter().copied().collect();
    Draft::new(url, kinds, thresholds, domain, description)
        .map_err(|error| wrong(error.field, error.reason))
}

/// What the audit log tells of a webhook. The path of its URL may be as good as a password.
fn told(subscription: &Subscription, state: &AdminState) -> Value {
    let url = subscription.draft.url();
    let mut told = serde_json::to_value(WebhookView::of(subscription.clone(), state));
    if let Ok(Value::Object(fields)) = &mut told {
        let digest = Sha256::digest(url.as_str().as_bytes());
        let digest = base16ct::lower::encode_string(&digest[..4]);
        let origin = url.origin().ascii_serialization();
        fields.insert(
            "url".to_owned(),
            json!(format!("{origin}/… (SHA-256 {digest}…)")),
        );
        fields.remove("id");
        fields.remove("created_at");
    }
    told.unwrap_or_default()
}

fn no_webhook() -> Problem {
    Problem::new(
        Kind::WebhookNotFound,
        "See GET /api/v1/webhooks for those there are.",
    )
}

/// Make a webhook
///
/// The answer holds the secret that messages are signed with, which cannot be shown again. Only what
/// happens from now on is told.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    operation_id = "createWebhook",
    request_body = WebhookDraft,
    responses(
        (status = 201, description = "The webhook and its secret", body = NewWebhookView, headers(("Location" = String, description = "The webhook in this API"))),
        Writing,
    ),
)]
pub(super) async fn create(
    State(state): State<AdminState>,
    caller: Caller,
    params: Params,
    JsonBody(wanted): JsonBody<WebhookDraft>,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let domain = domain_of(wanted.domain.as_deref(), &state)?;
    let domain = domain.map(|domain| domain.as_str().to_owned());
    let draft = draft(
        &wanted.url,
        &wanted.events,
        &wanted.thresholds,
        domain,
        wanted.description,
    )?;
    let secret = SigningSecret::generate()?;
    let now = state.service.parts().clock.now();
    let (within, signing) = (state.clone(), secret.clone());
    let made = async move {
        let made = within.webhooks.outbox.subscribe(draft, signing, now);
        let made = made.await?;
        let change = Change::between(&made.id, &Value::Null, &told(&made, &within));
        Ok::<_, Problem>((made, Some(change)))
    };
    let made = caller.recorded(&state, Action::WebhookCreate, made).await?;
    tracing::info!(made = %made.id, "a webhook was made");
    let location = HeaderValue::from_str(&format!("/api/v1/webhooks/{}", made.id));
    let body = Json(NewWebhookView {
        webhook: WebhookView::of(made, &state),
        secret: secret.expose().to_owned(),
    });
    let mut response = (StatusCode::CREATED, body).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// List webhooks
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    operation_id = "listWebhooks",
    responses(
        (status = 200, description = "All of them", body = WebhookList),
        Reading,
    ),
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    caller: Caller,
    params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let all = state.webhooks.outbox.subscriptions().await?;
    let webhooks = all.into_iter().map(|one| WebhookView::of(one, &state));
    let webhooks = webhooks.collect();
    Ok(Json(WebhookList { webhooks }).into_response())
}

/// Show a webhook
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}",
    tag = "webhooks",
    operation_id = "getWebhook",
    params(("id" = String, Path, description = "Its identifier")),
    responses(
        (status = 200, description = "The webhook", body = WebhookView),
        (status = 404, description = "There is no such webhook", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn get(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let found = state.webhooks.outbox.subscription(&id).await?;
    let found = found.ok_or_else(no_webhook)?;
    Ok(Json(WebhookView::of(found, &state)).into_response())
}

/// Change or pause a webhook
///
/// What has already been queued is sent to the new URL. While it is paused nothing is queued: what
/// happens then is never told.
#[utoipa::path(
    patch,
    path = "/api/v1/webhooks/{id}",
    tag = "webhooks",
    operation_id = "updateWebhook",
    params(("id" = String, Path, description = "Its identifier")),
    request_body(content = WebhookPatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "As it is now", body = WebhookView),
        (status = 404, description = "There is no such webhook", body = Problem, content_type = "application/problem+json"),
        Writing,
    ),
)]
pub(super) async fn update(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
    MergePatch(patch): MergePatch<WebhookPatch>,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let outbox = &state.webhooks.outbox;
    let found = outbox.subscription(&id).await?.ok_or_else(no_webhook)?;
    let old = &found.draft;
    let names = || old.events().iter().map(|kind| kind.name().to_owned());
    let numbers = || old.thresholds().iter().copied();
    let draft = draft(
        patch.url.as_deref().unwrap_or(old.url().as_str()),
        &patch.events.unwrap_or_else(|| names().collect()),
        &patch.thresholds.unwrap_or_else(|| numbers().collect()),
        old.domain().map(str::to_owned),
        patch
            .description
            .unwrap_or_else(|| old.description().to_owned()),
    )?;
    let paused = patch.paused.unwrap_or(found.paused);
    let within = state.clone();
    let changed = async move {
        let changed = within.webhooks.outbox.change(&id, draft, paused);
        let changed = changed.await?.ok_or_else(no_webhook)?;
        let change = Change::between(&id, &told(&found, &within), &told(&changed, &within));
        Ok::<_, Problem>((changed, Some(change)))
    };
    let changed = caller
        .recorded(&state, Action::WebhookUpdate, changed)
        .await?;
    state.webhooks.dispatcher.wake();
    Ok(Json(WebhookView::of(changed, &state)).into_response())
}

/// Delete a webhook
///
/// Its messages go with it, those that wait as well.
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/{id}",
    tag = "webhooks",
    operation_id = "deleteWebhook",
    params(("id" = String, Path, description = "Its identifier")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such webhook", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn remove(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let (within, gone) = (state.clone(), id.clone());
    let deleted = async move {
        let outbox = &within.webhooks.outbox;
        let before = outbox.subscription(&gone).await?;
        let before = before.ok_or_else(no_webhook)?;
        if !outbox.unsubscribe(&gone).await? {
            return Err(no_webhook());
        }
        let change = Change::between(&gone, &told(&before, &within), &Value::Null);
        Ok(((), Some(change)))
    };
    caller
        .recorded(&state, Action::WebhookDelete, deleted)
        .await?;
    tracing::info!(deleted = %id, "a webhook was deleted");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Give a webhook another secret
///
/// For a day messages are signed with the old one as well: `webhook-signature` has both.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/rotate",
    tag = "webhooks",
    operation_id = "rotateWebhookSecret",
    params(("id" = String, Path, description = "Its identifier")),
    responses(
        (status = 200, description = "The new secret", body = SecretView),
        (status = 404, description = "There is no such webhook", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn rotate(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let secret = SigningSecret::generate()?;
    let old_until = state.service.parts().clock.now().saturating_add(OLD_SECRET);
    let (within, signing) = (state.clone(), secret.clone());
    let rotated = async move {
        let outbox = &within.webhooks.outbox;
        if !outbox.rotate(&id, signing, old_until).await? {
            return Err(no_webhook());
        }
        let change = Change::new(id, json!({"old_until": [null, old_until]}));
        Ok(((), Some(change)))
    };
    caller
        .recorded(&state, Action::WebhookRotate, rotated)
        .await?;
    let secret = secret.expose().to_owned();
    Ok(Json(SecretView { secret, old_until }).into_response())
}

/// Send a message to see whether it arrives
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/ping",
    tag = "webhooks",
    operation_id = "pingWebhook",
    params(("id" = String, Path, description = "Its identifier")),
    responses(
        (status = 202, description = "A message of the type `ping` is queued", body = QueuedView),
        (status = 404, description = "There is no such webhook", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn ping(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let now = state.service.parts().clock.now();
    let queued = state.webhooks.outbox.ping(&id, now).await?;
    let id = queued.ok_or_else(no_webhook)?;
    state.webhooks.dispatcher.wake();
    Ok((StatusCode::ACCEPTED, Json(QueuedView { id })).into_response())
}

/// List the messages of a webhook
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/deliveries",
    tag = "webhooks",
    operation_id = "listDeliveries",
    params(
        ("id" = String, Path, description = "Its identifier"),
        ("state" = Option<String>, Query, description = "Only `waiting`, `delivered` or `dead` ones", pattern = "^(waiting|delivered|dead)$"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before", min_length = 1),
        ("limit" = Option<u16>, Query, description = "Messages on a page, 1 to 1000; 100 if absent", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "A page", body = DeliveryList),
        (status = 404, description = "There is no such webhook", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn deliveries(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    mut params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    let limit = params.take_limit(MAX_PAGE)?.unwrap_or(DEFAULT_PAGE);
    let wanted = params.take("state")?.map(|name| {
        let state = DeliveryState::from_name(&name);
        state.ok_or_else(|| Params::wrong("state", "use waiting, delivered or dead"))
    });
    let wanted = wanted.transpose()?;
    let before = params.take("cursor")?.map(|text| {
        let number = text.parse::<i64>();
        number.map_err(|_| Params::wrong("cursor", "it does not belong to this listing"))
    });
    let before = before.transpose()?;
    params.finish()?;
    let outbox = &state.webhooks.outbox;
    outbox.subscription(&id).await?.ok_or_else(no_webhook)?;
    let page = outbox.deliveries(&id, wanted, before, limit).await?;
    let deliveries = page.deliveries.into_iter().map(DeliveryView::of).collect();
    Ok(Json(DeliveryList {
        deliveries,
        next_cursor: page.next.map(|number| number.to_string()),
    })
    .into_response())
}

/// Send a message again
///
/// Under the same identifier, whatever became of it, and as often as a new one if it is not accepted.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/deliveries/{delivery}/resend",
    tag = "webhooks",
    operation_id = "resendDelivery",
    params(
        ("id" = String, Path, description = "The webhook's identifier"),
        ("delivery" = String, Path, description = "The message's identifier"),
    ),
    responses(
        (status = 202, description = "It is queued", body = QueuedView),
        (status = 404, description = "There is no such webhook or message", body = Problem, content_type = "application/problem+json"),
        Reading,
    ),
)]
pub(super) async fn resend(
    State(state): State<AdminState>,
    caller: Caller,
    Path((id, delivery)): Path<(String, String)>,
    params: Params,
) -> Answer {
    caller.require(Scope::Admin)?;
    params.finish()?;
    let now = state.service.parts().clock.now();
    let outbox = &state.webhooks.outbox;
    if !outbox.send_again(&id, &delivery, now).await? {
        return Err(no_webhook());
    }
    state.webhooks.dispatcher.wake();
    let queued = QueuedView { id: delivery };
    Ok((StatusCode::ACCEPTED, Json(queued)).into_response())
}
