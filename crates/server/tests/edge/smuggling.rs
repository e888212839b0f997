//! What the edge answers to requests that are meant to be misunderstood.

use crate::edge::Edge;
use crate::hostile::{cases, statuses};

#[test]
fn no_request_hides_another() {
    let edge = Edge::start();
    for code in ["a", "hidden", "last"] {
        edge.link(code, |_| ());
    }
    let mut wrong = Vec::new();
    for case in cases() {
        let mut client = edge.client();
        client.try_send(&case.sent);
        let answered = statuses(&client.rest());
        if answered != case.edge {
            wrong.push(format!("{}: {answered:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
