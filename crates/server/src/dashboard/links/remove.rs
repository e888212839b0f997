//! Deleting a link.

use axum::extract::{Path, Query};
use maud::html;
use tollgate_access::Scope;
use tollgate_links::LinkView;

use super::Of;
use crate::dashboard::layout::{Place, Question};
use crate::dashboard::visitor::{Posted, Shown, Visitor};

pub(in crate::dashboard) async fn ask(
    visitor: Visitor,
    Path(code): Path<String>,
    Query(of): Query<Of>,
) -> Shown {
    visitor.require(Scope::LinksWrite)?;
    let link: LinkView = visitor.read(super::api(&code, &of.domain)).await?;
    Ok(visitor.ask(&Question {
        here: Place::Links,
        question: &format!("Delete /{}?", link.code),
        consequence: "Who follows the link is told that there is none. Its code can be used again by anybody.",
        action: &super::address(&link, "/delete"),
        yes: "Delete the link",
        back: &super::address(&link, ""),
        sent_along: html! {},
    }))
}

pub(in crate::dashboard) async fn post(
    Path(code): Path<String>,
    Query(of): Query<Of>,
    posted: Posted,
) -> Shown {
    let visitor = posted.visitor;
    visitor.granted(visitor.client.delete(super::api(&code, &of.domain)).await)?;
    Ok(visitor.done("/links", format!("/{code} was deleted.")))
}
