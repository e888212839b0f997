//! The examples of the pages about replays and simulations, run: what the pages show is what the program does.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to write the pictures and outputs anew instead of comparing with them.
const UPDATE: &str = "UPDATE_EXAMPLES";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a command prints, run in this directory.
fn run(command: &str, directory: &Path) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOLLGATE_") {
            program.env_remove(name);
        }
    }
    let words = command.split_whitespace().skip(1);
    let output = program.args(words).current_dir(directory).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first block of this language, without its fences.
fn block<'p>(page: &'p str, language: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_replay_tells_what_its_page_says() {
    let file = root().join("docs/replay.md");
    let page = fs::read_to_string(&file).unwrap();
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("access.log"), block(&page, "log")).unwrap();
    fs::write(home.path().join("limits.yaml"), block(&page, "yaml")).unwrap();
    let shown = block(&page, "console");
    let command = shown.lines().next().unwrap().strip_prefix("$ ").unwrap();
    let told = format!("$ {command}\n{}", run(command, home.path()));
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&file, page.replace(shown, &told)).unwrap();
        return;
    }
    assert!(
        shown == told,
        "docs/replay.md is old: run with {UPDATE}=1. Told:\n{told}"
    );
}

#[test]
fn the_pictures_are_those_that_the_simulation_draws() {
    let page = fs::read_to_string(root().join("docs/simulate.md")).unwrap();
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("docs/simulate")).unwrap();
    let mut pictures = 0;
    for command in page.lines().filter_map(|line| line.strip_prefix("$ ")) {
        run(command, home.path());
        let Some((_, name)) = command.split_once("--svg ") else {
            continue;
        };
        pictures += 1;
        let drawn = fs::read_to_string(home.path().join(name)).unwrap();
        let kept = root().join(name);
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&kept, &drawn).unwrap();
        }
        let shown = fs::read_to_string(&kept).unwrap_or_default();
        assert!(
            shown == drawn,
            "{name} is old: run with {UPDATE}=1, and look at it"
        );
        let link = name.strip_prefix("docs/").unwrap();
        assert!(page.contains(&format!("]({link})")), "{name} is not shown");
    }
    assert!(pictures >= 5, "{pictures}");
}
