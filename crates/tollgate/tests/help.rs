//! The command line's outward face: every help text in one snapshot, so that a change of it shows
//! in the diff.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::process::{Command, Output};

fn tollgate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    // The help texts show variables that are set.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOLLGATE_") {
            command.env_remove(name);
        }
    }
    command.args(args).env("COLUMNS", "100").output().unwrap()
}

const COMMANDS: [&str; 23] = [
    "",
    "serve",
    "link",
    "link create",
    "link get",
    "link list",
    "link update",
    "link delete",
    "link import",
    "link export",
    "link history",
    "plan",
    "key",
    "key create",
    "key list",
    "key revoke",
    "limit replay",
    "limit simulate",
    "config",
    "config check",
    "migrate",
    "completions",
    "man",
];

#[test]
fn help() {
    let mut all = String::new();
    for command in COMMANDS {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        let output = tollgate(&args);
        assert!(output.status.success(), "{command}");
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text
            .lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n");
        all.push_str(&format!("$ tollgate {}\n{text}\n\n", args.join(" ")));
    }
    insta::assert_snapshot!("help", all);
}

#[test]
fn what_makes_no_sense_is_bad_usage() {
    for args in [
        &["link", "create"][..],
        &["link", "update", "x"],
        &["link", "update", "x", "--title", "t", "--clear", "title"],
        &["link", "get", "x", "--server", "nowhere"],
        &["link", "create", "https://a.example", "--rules", "{"],
        &["link", "import", "links.txt"],
        &["link", "import", "-"],
        &["key", "create", "x", "--scopes", "everything"],
        &["plan", "--hit-rate", "90"],
        &["plan", "--dau", "1M", "--writes-per-second", "1"],
        &["plan", "--sweep", "nothing=1..2"],
        &["plan", "--svg", "x.svg"],
        &["serve", "--edge-listen", "8080"],
        &["nothing"],
    ] {
        let output = tollgate(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let output = tollgate(&["link", "get", "x", "--server", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("http://127.0.0.1:1 does not answer"),
        "{text}"
    );
}
