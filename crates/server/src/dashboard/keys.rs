//! API keys.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use tollgate_access::Scope;
use tollgate_clock::UnixMillis;

use super::client::{ApiPath, Refusal, joined};
use super::form::{Fields, Input, select, summary, tick};
use super::layout::{Place, Question};
use super::links::domains;
use super::show::when;
use super::visitor::{Failure, Posted, Shown, Visitor};

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    name: String,
    scopes: Vec<String>,
    domain: Option<String>,
    created_at: UnixMillis,
    expires_at: Option<UnixMillis>,
    revoked_at: Option<UnixMillis>,
    subject: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    name: String,
    secret: String,
    /// Until when the secret before is accepted, if there was one.
    #[serde(default)]
    old_until: Option<UnixMillis>,
}

/// What a scope lets a key do.
const fn meaning(scope: Scope) -> &'static str {
    match scope {
        Scope::LinksRead => "see links",
        Scope::LinksWrite => "make, edit and delete links",
        Scope::StatsRead => "see clicks",
        Scope::LimitsCheck => "ask for decisions, see policies",
        Scope::AuditRead => "see who changed what",
        Scope::Admin => "everything, keys included",
    }
}

pub(super) async fn page(visitor: Visitor) -> Shown {
    shown(&visitor, &Fields::default(), None, None).await
}

async fn all(visitor: &Visitor) -> Result<Vec<Key>, Failure> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = ApiPath::new(["keys"]).with("limit", "1000");
        let page: Keys = visitor.read(path.with("cursor", &cursor)).await?;
        found.extend(page.keys);
        match page.next_cursor {
            Some(next) => cursor = next,
            None => return Ok(found),
        }
    }
}

async fn shown(
    visitor: &Visitor,
    fields: &Fields,
    refusal: Option<&Refusal>,
    made: Option<&Made>,
) -> Shown {
    let keys = all(visitor).await?;
    let now = visitor.dashboard.admin.service.parts().clock.now();
    let body = html! {
        div.head { h1 { "Keys" } }
        @if let Some(made) = made {
            section.card role="status" {
                h2 { "The key “" (made.name) "” " @if made.old_until.is_some() { "has another secret" } @else { "was made" } }
                code.secret { (made.secret) }
                @if let Some(until) = made.old_until { p { "The secret before is accepted until " (when(until)) " as well." } }
                p { "This is its secret. It is shown only now: keep it where whoever needs it finds it. " button.quiet.small type="button" data-copy=(made.secret) hidden { "Copy" } }
            }
        }
        section.card {
            h2 { "All keys" }
            (table(visitor, &keys, now))
        }
        (form(visitor, fields, refusal))
    };
    let status = refusal.map_or(StatusCode::OK, Refusal::status);
    Ok(visitor.page_of(status, Some(Place::Keys), "Keys", &body))
}

fn table(visitor: &Visitor, keys: &[Key], now: UnixMillis) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Keys" {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "Name" } th scope="col" { "May" } th scope="col" { "Domain" }
                        th scope="col" { "Made" } th scope="col" { "State" } th scope="col" { span.hidden { "Revoke" } }
                    }
                }
                tbody {
                    @for key in keys {
                        tr {
                            th scope="row" { span { (key.name) @if let Some(subject) = &key.subject { " " span.badge title=(subject) { "single sign-on" } } br; code.soft { (key.id) } } }
                            td data-label="May" { span { @for scope in &key.scopes { span.badge { (scope) } " " } } }
                            td data-label="Domain" { (key.domain.as_deref().unwrap_or("all")) }
                            td.when data-label="Made" { (when(key.created_at)) }
                            td data-label="State" { (state(key, now)) }
                            td {
                                @if key.revoked_at.is_none() {
                                    @if key.subject.is_none() { a.button.small href=(joined(&["keys", &key.id, "rotate"])) { "New secret…" span.hidden { " " (key.name) } } " " }
                                    a.button.small href=(joined(&["keys", &key.id, "revoke"])) { "Revoke…" span.hidden { " " (key.name) } }
                                }
                                @if *key.id == *visitor.key().id.as_str() { " " span.badge.good { "yours" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn state(key: &Key, now: UnixMillis) -> Markup {
    html! {
        span {
            @match (key.revoked_at, key.expires_at) {
                (Some(at), _) => { span.badge.bad { "revoked" } br; (when(at)) }
                (None, Some(at)) if at <= now => { span.badge.bad { "expired" } br; (when(at)) }
                (None, Some(at)) => { span.badge.good { "active" } br; "until " (when(at)) }
                (None, None) => span.badge.good { "active" },
            }
        }
    }
}

fn form(visitor: &Visitor, fields: &Fields, refusal: Option<&Refusal>) -> Markup {
    let mut hosts = vec![(String::new(), "All domains".to_owned())];
    hosts.extend(domains(visitor));
    let wrong = refusal.and_then(|refusal| refusal.reason("scopes"));
    html! {
        section.card {
            h2 { "New key" }
            (summary(refusal))
            form method="post" action="/keys" {
                (visitor.csrf())
                (Input { name: "name", label: "Name", value: fields.text("name"), hint: "Who or what uses it. Give each program a key of its own.", required: true, ..Input::default() }.show(refusal))
                fieldset #scopes {
                    legend { "It may" }
                    @for scope in Scope::ALL {
                        @let ticked = fields.all("scopes").any(|one| one == scope.as_str());
                        (tick("scopes", scope.as_str(), &format!("{}: {}", meaning(scope), scope), ticked))
                    }
                    @if let Some(wrong) = wrong { p.error { (wrong) } }
                }
                div.pair {
                    (select("domain", "Links of", fields.text("domain"), &hosts))
                    (Input { name: "expires_at", label: "Is refused from", value: fields.text("expires_at"), kind: "datetime-local", hint: "In UTC. Empty: never.", ..Input::default() }.show(refusal))
                }
                button.primary { "Make the key" }
            }
        }
    }
}

pub(super) async fn create(posted: Posted) -> Shown {
    let Posted { visitor, fields } = posted;
    let scopes: Vec<&str> = fields.all("scopes").collect();
    let mut draft = json!({"name": fields.text("name"), "scopes": scopes});
    if fields.is_set("domain") {
        draft["domain"] = json!(fields.text("domain"));
    }
    if fields.is_set("expires_at") {
        draft["expires_at"] = json!(super::form::moment(fields.text("expires_at")));
    }
    let made: Result<Made, Refusal> = visitor.client.post(ApiPath::new(["keys"]), &draft).await;
    let made: Result<Response, Failure> = match made {
        Ok(made) => shown(&visitor, &Fields::default(), None, Some(&made)).await,
        Err(refusal) => shown(&visitor, &fields, Some(&refusal), None).await,
    };
    made
}

pub(super) async fn ask(visitor: Visitor, Path(id): Path<String>) -> Shown {
    let key: Key = visitor.read(ApiPath::new(["keys", &id])).await?;
    let own = *key.id == *visitor.key().id.as_str();
    let consequence = if own {
        "You have signed in with this key: you will be signed out, and need another one to come back."
    } else {
        "Whoever uses it is refused from now on. This cannot be undone."
    };
    Ok(visitor.ask(&Question {
        here: Place::Keys,
        question: &format!("Revoke the key “{}”?", key.name),
        consequence,
        action: &joined(&["keys", &key.id, "revoke"]),
        yes: "Revoke the key",
        back: "/keys",
        sent_along: html! {},
    }))
}

pub(super) async fn ask_to_rotate(visitor: Visitor, Path(id): Path<String>) -> Shown {
    let key: Key = visitor.read(ApiPath::new(["keys", &id])).await?;
    Ok(visitor.ask(&Question {
        here: Place::Keys,
        question: &format!("Give the key “{}” another secret?", key.name),
        consequence: "The secret that it has now is accepted for a day more: tell the new one to whoever uses it.",
        action: &joined(&["keys", &key.id, "rotate"]),
        yes: "Make another secret",
        back: "/keys",
        sent_along: html! {},
    }))
}

pub(super) async fn rotate(Path(id): Path<String>, posted: Posted) -> Shown {
    let visitor = posted.visitor;
    let path = ApiPath::new(["keys", &id, "rotate"]);
    let made: Made = visitor.granted(visitor.client.post(path, &json!({})).await)?;
    shown(&visitor, &Fields::default(), None, Some(&made)).await
}

pub(super) async fn revoke(Path(id): Path<String>, posted: Posted) -> Shown {
    let visitor = posted.visitor;
    visitor.granted(visitor.client.delete(ApiPath::new(["keys", &id])).await)?;
    Ok(visitor.done("/keys", format!("{id} was revoked.")))
}
