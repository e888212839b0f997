//! Links as Bitly shows them.

use serde_json::{Value, json};
use tollgate_links::{Link, LinkService};

use super::groups::GROUP;
use crate::compat::time::{BASIC_OFFSET, written};

/// The short link without its scheme, by which Bitly knows a link.
fn id(link: &Link, service: &LinkService) -> String {
    let short = service.parts().domains.short_url(&link.key);
    match short.split_once("://") {
        Some((_, id)) => id.to_owned(),
        None => short,
    }
}

/// What `expand` tells of a link.
pub(super) fn expanded(link: &Link, service: &LinkService) -> Value {
    json!({
        "id": id(link, service),
        "link": service.parts().domains.short_url(&link.key),
        "long_url": link.spec.target.as_str(),
        "created_at": written(link.created_at, BASIC_OFFSET),
    })
}

/// All of a link.
pub(super) fn bitlink(link: &Link, service: &LinkService) -> Value {
    let tags: Vec<&str> = link.spec.tags.iter().map(|tag| tag.as_str()).collect();
    let mut shown = json!({
        "id": id(link, service),
        "link": service.parts().domains.short_url(&link.key),
        "long_url": link.spec.target.as_str(),
        "created_at": written(link.created_at, BASIC_OFFSET),
        "created_by": link.created_by,
        "client_id": "",
        "title": link.spec.title.as_deref().unwrap_or_default(),
        "archived": false,
        "custom_bitlinks": [],
        "tags": tags,
        "deeplinks": [],
        "references": { "group": format!("/v4/groups/{GROUP}") },
    });
    if let Some(at) = link.spec.expires_at {
        shown["expiration_at"] = written(at, BASIC_OFFSET).into();
    }
    shown
}
