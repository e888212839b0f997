//! The page about policies against the code.

use std::fs;
use std::path::Path;

use crate::bench::parse;

#[test]
fn the_examples_load() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies.md");
    let page = fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        assert!(!parse(block).rules().is_empty());
    }
}

#[test]
fn marks_and_line_ends_of_other_systems_do_not_matter() {
    let text = "\u{feff}domain: d\r\ndescriptors:\r\n  - key: k\r\n    rate_limit:\r\n      \
                unit: minute\r\n      requests_per_unit: 1\r\n";
    assert_eq!(parse(text).domains(), ["d"]);
}
