//! Making a link.

use axum::extract::Query;
use axum::response::Response;
use http::StatusCode;
use maud::html;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_links::{LinkError, LinkView};

use super::draft::Values;
use crate::dashboard::client::{ApiPath, Refusal};
use crate::dashboard::form::{Input, select, summary};
use crate::dashboard::layout::{Place, part};
use crate::dashboard::visitor::{Posted, Shown, Visitor};
use crate::problem::Problem;

pub(in crate::dashboard) async fn form(visitor: Visitor) -> Shown {
    visitor.require(Scope::LinksWrite)?;
    Ok(page(&visitor, &Values::default(), "", "", None))
}

fn page(
    visitor: &Visitor,
    values: &Values,
    code: &str,
    domain: &str,
    refusal: Option<&Refusal>,
) -> Response {
    let domains = super::domains(visitor);
    let title = Input {
        name: "title",
        label: "Title",
        value: &values.title,
        hint: "For people; shown on the preview page.",
        ..Input::default()
    };
    let tags = Input {
        name: "tags",
        label: "Tags",
        value: &values.tags,
        hint: "Separated by commas.",
        ..Input::default()
    };
    let password = Input {
        name: "password",
        label: "Password",
        kind: "password",
        hint: "Asked for before the redirect.",
        ..Input::default()
    };
    let url = Input {
        name: "url",
        label: "Where it leads",
        value: &values.url,
        kind: "url",
        hint: "Such as https://example.com/spring",
        required: true,
    };
    let wrong = refusal.and_then(|refusal| refusal.reason("code"));
    let body = html! {
        h1 { "New link" }
        (summary(refusal))
        form.card method="post" action="/new" {
            (visitor.csrf())
            (url.show(refusal))
            div.pair {
                div.field {
                    label for="code" { "Short code" }
                    input #code name="code" value=(code) autocomplete="off" autocapitalize="off" spellcheck="false"
                        aria-describedby="code-check" aria-invalid=[wrong.as_ref().map(|_| "true")]
                        hx-get="/new/check" hx-include="closest form" hx-trigger="input changed delay:250ms"
                        hx-target="#code-check" hx-swap="innerHTML";
                    p.hint #code-check role="status" {
                        @if let Some(wrong) = &wrong { span.error { (wrong) } }
                        @else { "Empty: one is made." }
                    }
                }
                @if domains.len() > 1 {
                    (select("domain", "Domain", domain, &domains))
                }
            }
            div.pair { (title.show(refusal)) (tags.show(refusal)) }
            details open[refusal.is_some()] {
                summary { "More: times, bounds, password, rules" }
                (password.show(refusal))
                (values.more(refusal))
            }
            p.actions { button.primary { "Make the link" } a.button href="/links" { "Cancel" } }
        }
    };
    let status = refusal.map_or(StatusCode::OK, Refusal::status);
    visitor.page_of(status, Some(Place::Links), "New link", &body)
}

pub(in crate::dashboard) async fn post(posted: Posted) -> Shown {
    let Posted { visitor, fields } = posted;
    let values = Values::sent(&fields);
    let (code, domain) = (fields.text("code"), fields.text("domain"));
    let draft = values.json().map(|mut draft| {
        for (name, value) in [("code", code), ("domain", domain)] {
            draft.insert(name.to_owned(), json!(value));
        }
        draft.insert("password".to_owned(), json!(fields.raw("password")));
        draft.retain(|_, value| !value.is_null() && value != "");
        // Without a target the API would say so of the body as a whole.
        draft.entry("url").or_insert_with(|| json!(""));
        Value::Object(draft)
    });
    let made: Result<LinkView, Refusal> = match draft {
        Ok(draft) => visitor.client.post(ApiPath::new(["links"]), &draft).await,
        Err(refusal) => Err(refusal),
    };
    match made {
        Ok(link) => {
            let notice = format!("{} was made.", link.short_url);
            Ok(visitor.done(&super::address(&link, ""), notice))
        }
        Err(mut refusal) => {
            if refusal.status == StatusCode::CONFLICT.as_u16() && refusal.errors.is_empty() {
                let detail = refusal.detail.clone();
                refusal.errors = Refusal::of_field("code", detail).errors;
            }
            Ok(page(&visitor, &values, code, domain, Some(&refusal)))
        }
    }
}

#[derive(Deserialize)]
pub(in crate::dashboard) struct Check {
    #[serde(default)]
    code: String,
    #[serde(default)]
    domain: String,
}

/// Whether an alias is free, as it is typed: a part of the page.
pub(in crate::dashboard) async fn check(visitor: Visitor, Query(check): Query<Check>) -> Shown {
    visitor.require(Scope::LinksWrite)?;
    let service = &visitor.dashboard.admin.service;
    let code = check.code.trim();
    let own = visitor.key().domain.as_ref();
    let own = own.map(|own| service.parts().domains.host_of(own));
    // A key of one domain is told of that alone.
    let domain = own.or_else(|| Some(check.domain).filter(|name| !name.is_empty()));
    Ok(part(match code {
        "" => html! { "Empty: one is made." },
        code => match service.check_alias(domain.as_deref(), code).await {
            Ok(()) => html! { span.badge.good { "free" } },
            Err(LinkError::CodeTaken(_)) => html! { span.badge.bad { "taken" } },
            Err(LinkError::Invalid(errors)) => {
                let reasons: Vec<&str> = errors.iter().map(|error| &*error.reason).collect();
                html! { span.error { (reasons.join("; ")) } }
            }
            Err(error) => return Err(Problem::from(error).into()),
        },
    }))
}
