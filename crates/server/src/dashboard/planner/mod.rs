//! Capacity planning: sliders on one side, what follows from them on the other.

mod form;
mod inputs;
mod results;

use axum::extract::RawQuery;
use maud::html;

use super::form::Fields;
use super::layout::Place;
use super::slider::status;
use super::visitor::{Shown, Visitor};
use inputs::Inputs;

pub(super) async fn page(visitor: Visitor, RawQuery(query): RawQuery) -> Shown {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let inputs = Inputs::read(&fields);
    let status = status(&inputs.wrong);
    let body = html! {
        div.head { h1 { "Planner" } }
        p.soft { "From traffic to machines: each result follows from the numbers beside it. Nothing here is read from this server. The address has all numbers, to share the plan." }
        div.bench {
            (form::form(&fields, &inputs))
            (results::results(&inputs))
        }
    };
    Ok(visitor.page_of(status, Some(Place::Planner), "Planner", &body))
}
