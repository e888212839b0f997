//! Import and export: what goes in comes out, byte for byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::corpus;
use crate::server::{Server, both, run};

#[test]
fn a_few_hundred_links_survive_the_round() {
    round(500, 50);
}

#[test]
#[ignore = "slow"]
fn a_hundred_thousand_links_survive_the_round() {
    round(100_000, 10_000);
}

/// Imports a CSV with bad lines into a server, follows every link, exports, imports the exports
/// into empty servers, and follows every link there.
fn round(count: usize, bad_every: usize) {
    let begun = Instant::now();
    let first = Server::start();
    let csv = first.path("links.csv");
    let samples = corpus::samples(7, count);
    let (expected, bad_lines) = corpus::write_csv(&csv, samples, bad_every);
    assert!(!bad_lines.is_empty());

    let output = first
        .cli()
        .args(["link", "import"])
        .arg(&csv)
        .output()
        .unwrap();
    let told = both(&output);
    assert_eq!(
        output.status.code(),
        Some(1),
        "bad lines are no success: {told}"
    );
    for line in &bad_lines {
        assert!(
            told.contains(&format!("line {line}:")),
            "{line} is not told: {told}"
        );
    }
    assert_eq!(told.matches("line ").count(), bad_lines.len(), "{told}");
    assert!(
        told.contains(&format!("{} created", expected.len())),
        "{told}"
    );
    let imported = begun.elapsed();
    follow_all(&first, &expected);

    let again = first
        .cli()
        .args(["link", "import"])
        .arg(&csv)
        .output()
        .unwrap();
    let told = both(&again);
    assert!(
        told.contains("0 created"),
        "nothing is imported twice: {told}"
    );

    let exports = ["all.ndjson", "all.csv"].map(|name| first.path(name));
    for export in &exports {
        run(first.cli().args(["link", "export"]).arg(export));
        let second = Server::start();
        run(second.cli().args(["link", "import"]).arg(export));
        follow_all(&second, &expected);
        let back = second.path("back.ndjson");
        run(second.cli().args(["link", "export"]).arg(&back));
        assert_eq!(owned(&back), owned(&exports[0]), "{}", export.display());
    }
    println!(
        "import: {} links in {imported:?}, {} bad lines told; the whole round {:?}",
        expected.len(),
        bad_lines.len(),
        begun.elapsed()
    );
}

fn follow_all(server: &Server, expected: &BTreeMap<String, String>) {
    let client = server.client();
    for (code, target) in expected {
        let reply = client.visit(code);
        assert_eq!(reply.status, 302, "{code}");
        assert_eq!(reply.location(), target, "{code}");
    }
}

/// What its owner chose of each link, and when it was made.
fn owned(ndjson: &Path) -> BTreeMap<String, Value> {
    std::fs::read_to_string(ndjson)
        .unwrap()
        .lines()
        .map(|line| {
            let mut link: Value = serde_json::from_str(line).unwrap();
            let fields = link.as_object_mut().unwrap();
            for other in ["short_url", "origin", "updated_at", "created_by", "version"] {
                fields.remove(other);
            }
            (fields["code"].as_str().unwrap().to_owned(), link)
        })
        .collect()
}

#[test]
fn strict_stops_at_the_first_bad_line() {
    let server = Server::start();
    let file = server.path("links.ndjson");
    let lines = [
        r#"{"url":"https://a.example/","code":"first"}"#,
        r#"{"url":"nowhere","code":"second"}"#,
        r#"{"url":"https://a.example/","code":"third"}"#,
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let import = || {
        let mut command = server.cli();
        command.args(["link", "import", "--strict"]).arg(&file);
        command.output().unwrap()
    };
    let output = import();
    assert_eq!(output.status.code(), Some(1));
    assert!(both(&output).contains("line 2:"), "{}", both(&output));

    let mended = lines.join("\n").replace("nowhere", "https://b.example/");
    std::fs::write(&file, mended).unwrap();
    let output = import();
    assert!(output.status.success(), "{}", both(&output));
    let client = server.client();
    for code in ["first", "second", "third"] {
        assert_eq!(client.visit(code).status, 302, "{code}");
    }
}

#[test]
fn ndjson_is_read_from_a_pipe() {
    let server = Server::start();
    let file = server.path("in.ndjson");
    corpus::write_ndjson(&file, corpus::samples(3, 40));
    let input = std::fs::File::open(&file).unwrap();
    let told = run(server
        .cli()
        .args(["link", "import", "-", "--format", "ndjson", "--json"])
        .stdin(input));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["created"], 40, "{told}");
    let exported = run(server.cli().args(["link", "export"]));
    assert_eq!(exported.lines().count(), 40);
}
