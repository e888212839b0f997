//! `tollgate plan`, by itself and from the metrics of a running server.

use std::process::Output;

use serde_json::{Value, json};

use crate::server::{Server, both, run, tollgate};

fn plan(args: &[&str]) -> String {
    run(tollgate().arg("plan").args(args))
}

fn refused(args: &[&str]) -> String {
    let output: Output = tollgate().arg("plan").args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {}", both(&output));
    String::from_utf8(output.stderr).unwrap()
}

fn assumption<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let all = plan["assumptions"].as_array().unwrap();
    let found = all.iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {plan}"))
}

#[test]
fn a_plan_is_printed_as_text_json_and_markdown() {
    let args = ["--writes-per-second", "200", "--response-size", "100B"];
    let text = plan(&args);
    let order = [
        "Throughput",
        "Storage",
        "Bandwidth",
        "Memory",
        "Machines",
        "Codes",
        "Assumptions",
    ];
    let places: Vec<usize> = order
        .iter()
        .map(|title| text.find(title).unwrap())
        .collect();
    assert!(places.is_sorted(), "{text}");
    for part in [
        "31.54 billion",
        "15.77 TB (14.34 TiB)",
        "= writes × retention",
        "= 200/s × 157,680,000 s",
        "by writes_per_second, retention",
        "AMD EPYC",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let json: Value = serde_json::from_str(&plan(&[&args[..], &["--json"]].concat())).unwrap();
    assert_eq!(json["throughput"]["peak_reads_per_second"], 100_000);
    assert_eq!(json["storage"]["bytes"], 15_768_000_000_000_u64);
    assert_eq!(json["bandwidth"]["out_bits_per_second"], 16_000_000);
    assert_eq!(json["machines"]["shards"], 24);
    let origin = |name: &str| assumption(&json, name)["origin"].clone();
    assert_eq!(origin("writes_per_second"), "given");
    assert_eq!(origin("retention"), "default");

    let markdown = plan(&[&args[..], &["--markdown"]].concat());
    assert!(
        markdown.contains("## Storage\n\n| result | value |"),
        "{markdown}"
    );
    assert!(
        markdown.contains("| links | 31.54 billion | `writes × retention` |"),
        "{markdown}"
    );
}

#[test]
fn a_sweep_is_a_table_and_a_chart() {
    let home = tempfile::tempdir().unwrap();
    let svg = home.path().join("sweep.svg");
    let file = svg.to_str().unwrap();
    let args = [
        "--dau",
        "1000M",
        "--sweep",
        "hit_rate=0.5..0.99",
        "--svg",
        file,
    ];
    let text = plan(&args);
    assert_eq!(text.lines().count(), 12, "{text}");
    assert!(text.lines().next().unwrap().contains("replicas"), "{text}");
    assert!(text.contains("  99 %"), "{text}");
    let picture = std::fs::read_to_string(&svg).unwrap();
    assert!(
        picture.starts_with("<svg") && picture.contains("<polyline"),
        "{picture}"
    );

    let args = [
        "--dau",
        "1000M",
        "--sweep",
        "hit-rate=90%..99%:9%",
        "--json",
    ];
    let json: Value = serde_json::from_str(&plan(&args)).unwrap();
    assert_eq!(json["assumption"], "hit_rate");
    let replicas: Vec<&Value> = json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["machines.replicas"])
        .collect();
    assert_eq!(replicas, [&json!(58), &json!(6)]);
    let markdown = plan(&["--sweep", "code_length=5..6", "--markdown"]);
    assert!(markdown.starts_with("| code_length | "), "{markdown}");
}

#[test]
fn bad_input_is_told_with_its_flag() {
    for (args, part) in [
        (&["--hit-rate", "90"][..], "--hit-rate"),
        (&["--retention", "30"], "--retention"),
        (&["--dau", "many"], "--dau"),
        (&["--dau", "0"], "--dau"),
        (&["--code-length", "6.5"], "--code-length"),
        (&["--peak", "0.5"], "--peak"),
        (
            &["--dau", "1M", "--writes-per-second", "1"],
            "--writes-per-second and --dau",
        ),
        (&["--redis-ops-low", "500k"], "--redis-ops-high"),
        (&["--sweep", "hit_rate"], "--sweep"),
        (&["--sweep", "hit_rate=0.5..2"], "--sweep"),
        (&["--sweep", "nothing=1..2"], "nothing"),
        (&["--sweep", "hit_rate=0..1", "--points", "5000"], "points"),
        (&["--svg", "x.svg"], "--sweep"),
        (&["--strategy", "none"], "--strategy"),
        (&["--metrics-interval", "5s"], "--from-metrics"),
        (&["--from-metrics", "nowhere"], "nowhere"),
    ] {
        let error = refused(args);
        assert!(error.contains(part), "{args:?}: {error}");
    }
}

#[test]
fn traffic_is_taken_from_a_running_server() {
    let server = Server::start();
    let client = server.client();
    let json = |args: &[&str]| {
        let output = tollgate()
            .args(["plan", "--json", "--from-metrics", &server.admin])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", both(&output));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        (json, String::from_utf8(output.stderr).unwrap())
    };

    let (nothing, note) = json(&[]);
    assert!(note.contains("reads_per_second is not measured"), "{note}");
    assert_eq!(assumption(&nothing, "hit_rate")["origin"], "default");

    let one = json!({"url": "https://a.example/", "code": "one", "reuse": true});
    client.create(&one);
    // Found again, which is no creation, and one of a bulk request, which is.
    client.draft(&one).expect(200);
    let two = json!([{"url": "https://a.example/", "code": "two"}, {"url": "nowhere"}]);
    client
        .api_json("POST", "/api/v1/links/bulk", &two)
        .expect(200);
    for _ in 0..8 {
        client.visit("one").expect(302);
    }
    let (plan, note) = json(&[]);
    assert_eq!(note, "");
    for name in ["writes_per_second", "reads_per_second", "hit_rate"] {
        let measured = assumption(&plan, name);
        assert_eq!(measured["origin"], "measured", "{plan}");
        assert_eq!(measured["basis"], "measured on a running instance");
    }
    let value = |name: &str| assumption(&plan, name)["value"].as_f64().unwrap();
    let ratio = value("reads_per_second") / value("writes_per_second");
    assert!((ratio - 4.0).abs() < 1e-9, "{ratio}");
    assert!(value("hit_rate") > 0.5, "{plan}");

    // A flag goes before what is measured.
    let (given, _) = json(&["--dau", "1M", "--hit-rate", "70%"]);
    assert_eq!(
        given["throughput"]["reads_per_second"]
            .as_f64()
            .unwrap()
            .round(),
        6.0
    );
    assert_eq!(assumption(&given, "hit_rate")["value"], 0.7);

    // Nothing happens between two scrapes.
    let (between, note) = json(&["--metrics-interval", "0.01s"]);
    assert!(note.contains("writes_per_second is not measured"), "{note}");
    assert_eq!(assumption(&between, "dau")["origin"], "default");

    // The edge has no metrics.
    let output = tollgate()
        .args(["plan", "--from-metrics", &server.edge])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(both(&output).contains(&server.edge), "{}", both(&output));
}
