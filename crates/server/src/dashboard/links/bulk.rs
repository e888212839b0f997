//! Changing several links.

use maud::html;
use serde_json::json;
use tollgate_links::LinkView;

use crate::dashboard::client::Refusal;
use crate::dashboard::form::Fields;
use crate::dashboard::layout::{Place, Question};
use crate::dashboard::visitor::{Posted, Shown, Visitor};

/// The most links at once: those of two pages.
const MOST: usize = 100;

/// What to do with each link.
enum Action<'a> {
    AddTag(&'a str),
    RemoveTag(&'a str),
    Expire,
    Delete,
}

impl<'a> Action<'a> {
    fn of(fields: &'a Fields) -> Result<Self, Refusal> {
        let tag = fields.text("with_tag");
        let action = match fields.text("action") {
            "add_tag" => Self::AddTag(tag),
            "remove_tag" => Self::RemoveTag(tag),
            "expire" => Self::Expire,
            "delete" => Self::Delete,
            _ => return Err(Refusal::of_field("action", "choose one".to_owned())),
        };
        if matches!(action, Self::AddTag(_) | Self::RemoveTag(_)) && tag.is_empty() {
            return Err(Refusal::of_field("with_tag", "say which tag".to_owned()));
        }
        Ok(action)
    }

    const fn done(&self) -> &'static str {
        match self {
            Self::AddTag(_) | Self::RemoveTag(_) | Self::Expire => "changed",
            Self::Delete => "deleted",
        }
    }
}

pub(in crate::dashboard) async fn post(posted: Posted) -> Shown {
    let Posted { visitor, fields } = posted;
    let chosen: Vec<&str> = fields.all("link").collect();
    if chosen.is_empty() || chosen.len() > MOST {
        let reason = format!("tick 1 to {MOST} links first");
        return Err(visitor.refused(&Refusal::of_field("link", reason)));
    }
    let action = visitor.granted(Action::of(&fields))?;
    if matches!(action, Action::Delete | Action::Expire) && !fields.is_set("sure") {
        return Ok(confirm(&visitor, &fields, &chosen, &action));
    }
    let mut done = 0;
    let mut failed = Vec::new();
    for name in chosen {
        match one(&visitor, name, &action).await {
            Ok(()) => done += 1,
            Err(refusal) => failed.push(format!("{name}: {}", refusal.detail)),
        }
    }
    let mut notice = format!("{done} {}.", action.done());
    if !failed.is_empty() {
        notice.push_str(&format!(" {} failed: {}", failed.len(), failed.join("; ")));
    }
    Ok(visitor.done("/links", notice))
}

fn confirm(
    visitor: &Visitor,
    fields: &Fields,
    chosen: &[&str],
    action: &Action<'_>,
) -> axum::response::Response {
    let count = chosen.len();
    let (question, consequence, yes) = match action {
        Action::Delete => (
            format!("Delete {count} links?"),
            "Who follows them is told that there are none. Their codes can be used again by anybody.",
            "Delete them",
        ),
        _ => (
            format!("Let {count} links expire?"),
            "From now on, who follows them is told that they are gone.",
            "Let them expire",
        ),
    };
    visitor.ask(&Question {
        here: Place::Links,
        question: &question,
        consequence,
        action: "/links",
        yes,
        back: "/links",
        sent_along: html! {
            input type="hidden" name="action" value=(fields.text("action"));
            input type="hidden" name="sure" value="yes";
            ul {
                @for name in chosen {
                    li { (name) input type="hidden" name="link" value=(name); }
                }
            }
        },
    })
}

/// `name` is the domain, empty for the default one, a slash, and the code.
async fn one(visitor: &Visitor, name: &str, action: &Action<'_>) -> Result<(), Refusal> {
    let (domain, code) = name.split_once('/').unwrap_or(("", name));
    let client = &visitor.client;
    match action {
        Action::AddTag(tag) | Action::RemoveTag(tag) => {
            let link: LinkView = client.get(super::api(code, domain)).await?;
            let mut tags = link.tags;
            tags.retain(|one| one != tag);
            if matches!(action, Action::AddTag(_)) {
                tags.push((*tag).to_owned());
            }
            let patch = json!({ "tags": tags });
            let path = super::api(code, domain);
            client.patch(path, Some(link.version), &patch).await
        }
        Action::Expire => {
            let now = visitor.dashboard.admin.service.parts().clock.now();
            client
                .patch(
                    super::api(code, domain),
                    None,
                    &json!({ "expires_at": now }),
                )
                .await
        }
        Action::Delete => client.delete(super::api(code, domain)).await,
    }
}
