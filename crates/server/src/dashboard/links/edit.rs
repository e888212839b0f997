//! Editing a link.

use axum::extract::{Path, Query};
use axum::response::Response;
use http::StatusCode;
use maud::html;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_links::LinkView;

use super::Of;
use super::draft::Values;
use crate::dashboard::client::Refusal;
use crate::dashboard::form::{Input, summary, tick};
use crate::dashboard::layout::Place;
use crate::dashboard::visitor::{Posted, Shown, Visitor};

pub(in crate::dashboard) async fn form(
    visitor: Visitor,
    Path(code): Path<String>,
    Query(of): Query<Of>,
) -> Shown {
    visitor.require(Scope::LinksWrite)?;
    let link: LinkView = visitor.read(super::api(&code, &of.domain)).await?;
    let version = link.version;
    Ok(page(&visitor, &link, &Values::of(&link), version, None))
}

fn page(
    visitor: &Visitor,
    link: &LinkView,
    values: &Values,
    version: u64,
    refusal: Option<&Refusal>,
) -> Response {
    let url = Input {
        name: "url",
        label: "Where it leads",
        value: &values.url,
        kind: "url",
        required: true,
        ..Input::default()
    };
    let title = Input {
        name: "title",
        label: "Title",
        value: &values.title,
        ..Input::default()
    };
    let tags = Input {
        name: "tags",
        label: "Tags",
        value: &values.tags,
        hint: "Separated by commas.",
        ..Input::default()
    };
    let hint = if link.has_password {
        "Empty: it stays as it is."
    } else {
        "Empty: none."
    };
    let password = Input {
        name: "password",
        label: "New password",
        kind: "password",
        hint,
        ..Input::default()
    };
    let body = html! {
        h1 { "Edit /" (link.code) }
        (summary(refusal))
        form.card method="post" action=(super::address(link, "/edit")) {
            (visitor.csrf())
            input type="hidden" name="version" value=(version);
            (url.show(refusal))
            div.pair { (title.show(refusal)) (tags.show(refusal)) }
            (password.show(refusal))
            @if link.has_password { (tick("no_password", "yes", "Ask for no password any more", false)) }
            (values.more(refusal))
            p.actions {
                button.primary { "Save" }
                a.button href=(super::address(link, "")) { "Cancel" }
            }
        }
    };
    let status = refusal.map_or(StatusCode::OK, Refusal::status);
    visitor.page_of(status, Some(Place::Links), "Edit a link", &body)
}

pub(in crate::dashboard) async fn post(
    Path(code): Path<String>,
    Query(of): Query<Of>,
    posted: Posted,
) -> Shown {
    let Posted { visitor, fields } = posted;
    let link: LinkView = visitor.read(super::api(&code, &of.domain)).await?;
    let values = Values::sent(&fields);
    // Of an edit that came between nothing is overwritten.
    let version: u64 = fields.text("version").parse().unwrap_or_default();
    let patch = values.json().map(|mut patch| {
        if fields.is_set("no_password") {
            patch.insert("password".to_owned(), Value::Null);
        } else if !fields.raw("password").is_empty() {
            patch.insert("password".to_owned(), json!(fields.raw("password")));
        }
        Value::Object(patch)
    });
    let path = super::api(&code, &of.domain);
    let done = match patch {
        Ok(patch) => visitor.client.patch(path, Some(version), &patch).await,
        Err(refusal) => Err(refusal),
    };
    match done {
        Ok(()) => Ok(visitor.done(&super::address(&link, ""), "Saved.")),
        Err(mut refusal) => {
            if refusal.status == StatusCode::PRECONDITION_FAILED.as_u16() {
                refusal.title = "Somebody else has edited this link".to_owned();
                refusal.detail =
                    "Nothing was saved. Open the form again to see the link as it is now."
                        .to_owned();
            }
            Ok(page(&visitor, &link, &values, version, Some(&refusal)))
        }
    }
}
