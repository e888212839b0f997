//! The group that all links belong to.

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use serde_json::{Value, json};

use super::User;
use super::failure::Failure;
use crate::problem::{Kind, Problem};

/// The identifier of the one group.
pub(super) const GROUP: &str = "default";

fn group() -> Value {
    json!({
        "guid": GROUP,
        "name": "Tollgate",
        "organization_guid": GROUP,
        "is_active": true,
        "role": "",
        "bsds": [],
        "created": "1970-01-01T00:00:00+0000",
        "modified": "1970-01-01T00:00:00+0000",
        "references": { "organization": format!("/v4/organizations/{GROUP}") },
    })
}

pub(super) async fn list(_: User) -> Json<Value> {
    Json(json!({ "groups": [group()] }))
}

pub(super) async fn get(
    _: User,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Failure> {
    if name.is_ok_and(|Path(name)| name == GROUP) {
        return Ok(Json(group()));
    }
    let detail = format!("There is one group, {GROUP}.");
    Err(Problem::new(Kind::NoRoute, detail).into())
}
