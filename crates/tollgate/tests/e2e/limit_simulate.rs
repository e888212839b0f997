//! `tollgate limit simulate`, as it is typed.

use serde_json::Value;

use crate::server::{both, run, tollgate};

fn simulate(args: &[&str]) -> String {
    run(tollgate().args(["limit", "simulate"]).args(args))
}

#[test]
fn algorithms_stand_side_by_side_as_text_json_markdown_and_picture() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("picture.svg");
    let args = [
        "--traffic",
        "boundary",
        "--load",
        "1.3",
        "--algorithm",
        "fixed_window,sliding_log",
    ];
    let json = simulate(&[&args[..], &["--json", "--svg", file.to_str().unwrap()]].concat());
    let report: Value = serde_json::from_str(&json).unwrap();
    let outcomes = report["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[0]["algorithm"], "fixed_window");
    assert_eq!(outcomes[0]["worst_window"], 200);
    assert_eq!(outcomes[1]["worst_window"], 100);
    assert_eq!(outcomes[1]["false_allow"], 0);
    let svg = std::fs::read_to_string(file).unwrap();
    assert!(
        svg.starts_with("<svg") && svg.contains("sliding_log: at most 100"),
        "{svg}"
    );
    let text = simulate(&args);
    assert!(
        text.contains("\nfixed_window\t") && text.contains("200 (200 % of the limit)"),
        "{text}"
    );
    let markdown = simulate(&[&args[..], &["--markdown"]].concat());
    assert!(markdown.contains("| fixed\\_window | "), "{markdown}");
}

#[test]
fn a_fleet_is_tried_in_each_way_to_go_on_without_its_redis() {
    let text = simulate(&[
        "--traffic",
        "fleet",
        "--algorithm",
        "gcra",
        "--outage",
        "2..6",
        "--skew",
        "500ms",
    ]);
    for told in [
        "Redis away: from window 2.0 to 6.0",
        "\ngcra open\t",
        "\ngcra closed\t",
        "\ngcra local\t",
    ] {
        assert!(text.contains(told), "{told:?} is not in\n{text}");
    }
}

#[test]
fn what_makes_no_sense_is_bad_usage() {
    for (args, part) in [
        (&["--algorithm", "magic"][..], "fixed_window"),
        (&["--window", "soon"], "--window"),
        (&["--limit", "0"], "limit"),
        (&["--load", "1000000000"], "requests"),
        (&["--burst", "0"], "burst"),
        (&["--traffic", "fleet", "--outage", "9"], "--outage"),
        (&["--traffic", "fleet", "--servers", "0"], "--servers"),
    ] {
        let output = tollgate()
            .args(["limit", "simulate"])
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?} {}", both(&output));
        assert!(both(&output).contains(part), "{args:?} {}", both(&output));
    }
}
