//! The description of the API is part of the contract: a change of it shows in the diff.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::Value;

/// Set to rewrite the file instead of comparing with it.
const UPDATE: &str = "UPDATE_OPENAPI";

#[test]
fn the_description_in_docs_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let mut now = tollgate_server::admin::openapi().to_pretty_json().unwrap();
    now.push('\n');
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == now,
        "docs/openapi.json is not what the code describes: run the tests with {UPDATE}=1, and look \
         at the difference"
    );
}

#[test]
fn every_operation_tells_its_errors_and_its_security() {
    let document = serde_json::to_value(tollgate_server::admin::openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["security"][0]["key"], serde_json::json!([]));
    let mut names = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with("/api/v1/"), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            names.push(operation["operationId"].as_str().unwrap().to_owned());
            let responses = operation["responses"].as_object().unwrap();
            let mut needed = vec!["400", "401", "403", "500", "503"];
            if operation.get("requestBody").is_some() {
                needed.extend(["408", "413", "415", "422"]);
            }
            // What is put somewhere need not have been there.
            if path.contains('{') && method != "put" {
                needed.push("404");
            }
            for status in needed {
                assert!(responses.contains_key(status), "{method} {path}: {status}");
            }
            for (status, response) in responses {
                assert_ne!(response["description"], "", "{method} {path}: {status}");
                if status.as_str() >= "400" {
                    let problem = &response["content"]["application/problem+json"];
                    let schema = &problem["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/Problem", "{path}: {status}");
                }
            }
            let in_path = path.matches('{').count();
            let described = operation["parameters"].as_array().into_iter().flatten();
            let described = described.filter(|parameter| parameter["in"] == "path");
            assert_eq!(described.count(), in_path, "{method} {path}");
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "operation ids repeat");
    assert_references_resolve(&document, &document);
}

fn assert_references_resolve(document: &Value, part: &Value) {
    match part {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            map.values()
                .for_each(|value| assert_references_resolve(document, value));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|value| assert_references_resolve(document, value)),
        _ => {}
    }
}
