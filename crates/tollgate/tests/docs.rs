//! The documentation against the code: links lead somewhere, commands exist, configurations load,
//! and what the server can answer is named.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[allow(
    dead_code,
    reason = "only the description of the command line is needed"
)]
#[path = "../src/args.rs"]
mod args;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use tollgate_config::{Config, Sources};

/// Set to rewrite `docs/command-line.md` instead of comparing with it.
const UPDATE: &str = "UPDATE_COMMAND_LINE";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page, by its path from the root.
fn pages() -> Vec<String> {
    let top = ["README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG"];
    let mut pages: Vec<String> = top.iter().map(|name| format!("{name}.md")).collect();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|end| end == "md") {
            pages.push(format!("docs/{name}"));
        }
    }
    pages.sort();
    pages
}

/// A fenced block: its language, and what it holds.
struct Block {
    page: String,
    language: String,
    text: String,
}

/// A page cut into its blocks and the prose around them.
fn cut(page: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose) = (Vec::new(), String::new());
    let mut open: Option<Block> = None;
    for line in read(page).lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                open = Some(Block {
                    page: page.to_owned(),
                    language: language.trim().to_owned(),
                    text: String::new(),
                });
            }
            (None, Some(block)) => writeln!(block.text, "{line}").unwrap(),
            (None, None) => writeln!(prose, "{line}").unwrap(),
        }
    }
    assert!(open.is_none(), "{page}: a block is not closed");
    (blocks, prose)
}

fn blocks(languages: &[&str]) -> Vec<Block> {
    let all = pages().into_iter().flat_map(|page| cut(&page).0);
    all.filter(|block| languages.contains(&block.language.as_str()))
        .collect()
}

/// Prose without what stands between backquotes, where brackets mean something else.
fn without_code(prose: &str) -> String {
    prose.split('`').step_by(2).collect()
}

/// Where the links of a text lead.
fn targets(prose: &str) -> Vec<String> {
    let ends = prose.split("](").skip(1);
    ends.map(|rest| rest.split(')').next().unwrap_or_default().to_owned())
        .collect()
}

/// The anchors of a page's headings, as forges and mdBook make them.
fn anchors(prose: &str) -> BTreeSet<String> {
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let directory = Path::new(&page).parent().unwrap().to_owned();
        for target in targets(&without_code(&cut(&page).1)) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = match file {
                "" => page.clone(),
                file => directory.join(file).to_str().unwrap().to_owned(),
            };
            let there = root().join(&path).exists();
            let fits = there && (anchor.is_empty() || anchors(&cut(&path).1).contains(anchor));
            if !fits {
                broken.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Every Rust source of the crates, tests included.
fn sources(directory: &Path, all: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// A threat that is said to be shown by a test is shown by one that is there.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let mut code = String::new();
    sources(&root().join("crates"), &mut code);
    let page = read("docs/security.md");
    let (_, model) = page.split_once("### Threats").unwrap();
    let (table, _) = model.split_once("### What remains").unwrap();
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let shown = row.trim_end_matches('|').rsplit('|').next().unwrap();
        // Names of tests have words with underscores; others are files.
        for name in shown.split('`').skip(1).step_by(2) {
            if name.matches('_').count() < 3 {
                continue;
            }
            named += 1;
            assert!(
                code.contains(&format!("fn {name}")),
                "there is no test {name}"
            );
        }
    }
    assert!(named > 15, "{named}");
}

#[test]
fn the_summary_lists_every_page() {
    let listed: BTreeSet<String> = targets(&read("docs/SUMMARY.md")).into_iter().collect();
    for page in pages() {
        if let Some(name) = page.strip_prefix("docs/")
            && name != "SUMMARY.md"
        {
            assert!(
                listed.contains(name),
                "docs/SUMMARY.md does not list {name}"
            );
        }
    }
}

#[test]
fn configurations_load() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tollgate.toml");
    let blocks = blocks(&["toml"]);
    assert!(!blocks.is_empty());
    for Block { page, text, .. } in blocks {
        fs::write(&file, &text).unwrap();
        let loaded = Config::load(&Sources {
            file: Some(&file),
            ..Sources::default()
        });
        assert!(loaded.is_ok(), "{page}: {}\n{text}", loaded.unwrap_err());
    }
}

#[test]
fn commands_exist() {
    let mut seen = 0;
    for Block {
        page,
        language,
        text,
    } in blocks(&["sh", "console"])
    {
        for line in text.replace("\\\n", " ").lines() {
            let typed = match language.as_str() {
                "sh" => Some(line),
                _ => line.strip_prefix("$ "),
            };
            for command in typed.into_iter().flat_map(commands) {
                let parsed = args::Cli::command().try_get_matches_from(&command);
                let fault = parsed.err().filter(clap::Error::use_stderr);
                assert!(fault.is_none(), "{page}: {command:?}: {}", fault.unwrap());
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
}

/// The calls of `tollgate` in a line of a shell, each as its words.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    for c in line.chars().chain([' ']) {
        match (c, quote) {
            ('"' | '\'', None) => (quote, begun) = (Some(c), true),
            (c, Some(end)) if c == end => quote = None,
            ('#', None) if !begun => break,
            (' ' | '|' | ';' | '>' | '<' | '&', None) => {
                if std::mem::take(&mut begun) {
                    all.last_mut().unwrap().push(std::mem::take(&mut word));
                }
                if c != ' ' {
                    all.push(Vec::new());
                }
            }
            (c, _) => {
                begun = true;
                word.push(c);
            }
        }
    }
    let ours = |mut words: Vec<String>| {
        if words.starts_with(&["cargo".to_owned(), "run".to_owned()]) {
            let at = words.iter().position(|word| word == "--")?;
            words[at] = "tollgate".to_owned();
            words.drain(..at);
        }
        (words.first()? == "tollgate").then_some(words)
    };
    all.into_iter().filter_map(ours).collect()
}

/// The variables of ours that a text names.
fn variables(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let begins = text.match_indices("TOLLGATE_").map(|(at, _)| &text[at..]);
    begins
        .map(|rest| &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())])
        .collect()
}

#[test]
fn deployments_set_variables_that_there_are() {
    let configuration = read("docs/configuration.md");
    let help = read("docs/command-line.md");
    let mut known = variables(&configuration);
    known.extend(variables(&help));
    // Which only `serve` reads, when there are no keys.
    known.insert("TOLLGATE_ADMIN_KEY");
    for file in [
        "deploy/docker/Dockerfile",
        "deploy/compose/compose.yaml",
        "deploy/kubernetes/tollgate.yaml",
        "deploy/debian/tollgate.toml",
    ] {
        let text = read(file);
        let named = variables(&text);
        assert!(!named.is_empty(), "{file}");
        for name in named {
            assert!(known.contains(name), "{file}: {name}");
        }
    }
}

#[test]
fn every_problem_is_documented() {
    const PREFIX: &str = "urn:tollgate:problem:";
    let source = read("crates/server/src/problem.rs");
    let page = read("docs/api.md");
    let names: BTreeSet<&str> = source
        .split(PREFIX)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{PREFIX}{name}");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let (_, dependencies) = manifest.split_once("[workspace.dependencies]").unwrap();
    let (dependencies, _) = dependencies.split_once("\n[").unwrap();
    let page = read("ARCHITECTURE.md");
    for line in dependencies.lines() {
        if let Some((name, _)) = line.split_once(" = ")
            && !name.starts_with("tollgate-")
        {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}

#[test]
fn the_command_line_page_is_that_of_the_code() {
    let mut page = String::from(
        "# Command line\n\n\
         <!-- Made from the help texts; `crates/tollgate/tests/docs.rs` compares it. -->\n\n\
         What `--help` says of every command. `--json` is for programs: it prints what the API \
         answers.\nWithout it, tables are aligned on a terminal, and have tabs between the cells \
         in a pipe; a plan is aligned everywhere.\n",
    );
    let mut cli = without_values(args::Cli::command()).term_width(100);
    cli.build();
    write_help(&mut page, &mut cli, "tollgate");
    let file = root().join("docs/command-line.md");
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&file, &page).unwrap();
    }
    assert!(
        read("docs/command-line.md") == page,
        "docs/command-line.md is old: run the tests with {UPDATE}=1, and look at the difference"
    );
}

#[test]
fn the_examples_of_plans_are_what_they_print() {
    for page in ["docs/plan.md", "docs/scaling.md"] {
        prints_its_examples(page);
    }
}

/// The console blocks of the page, run in a shell; what they print stands below each.
fn prints_its_examples(name: &str) {
    let home = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_tollgate"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", binary.parent().unwrap().display());
    let run = |command: &str| {
        let output = Command::new("sh")
            .args(["-c", command])
            .env("PATH", &path)
            .current_dir(home.path())
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{command}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let (mut page, mut is_example, mut command) = (String::new(), false, String::new());
    for line in read(name).lines() {
        if let Some(language) = line.strip_prefix("```") {
            is_example = language == "console";
        }
        let continues = command.ends_with(['\\', '|']);
        let is_command = line.starts_with("$ ") || continues;
        if !is_example || line.starts_with("```") || is_command {
            writeln!(page, "{line}").unwrap();
        }
        if is_example && is_command {
            let typed = line.strip_prefix("$ ").unwrap_or(line);
            command = if continues {
                format!("{command}\n{typed}")
            } else {
                typed.to_owned()
            };
            if !command.ends_with(['\\', '|']) {
                page.push_str(&run(&command));
            }
        }
    }
    if std::env::var_os("UPDATE_PLAN").is_some() {
        fs::write(root().join(name), &page).unwrap();
    }
    assert!(
        read(name) == page,
        "{name} is old: run the tests with UPDATE_PLAN=1, and look at the difference"
    );
}

#[test]
fn what_plans_take_from_benchmarks_is_what_was_measured() {
    let page = read("docs/benchmarks.md");
    let machine = "On a virtual machine with two cores of an AMD EPYC, Debian 12";
    assert!(page.contains(machine));
    let mut seen = 0;
    for one in tollgate_plan::Assumption::ALL {
        if let tollgate_plan::Basis::Benchmark(name) = one.basis() {
            let (benchmark, _) = name.split_once(':').unwrap();
            assert!(root().join(benchmark).exists(), "{benchmark}");
            let value = tollgate_plan::Unit::Count.show_in_formula(one.default().unwrap());
            assert!(page.contains(&format!("| {value} |")), "{one}: {value}");
            seen += 1;
        }
    }
    assert!(seen > 3, "{seen}");
}

/// The help texts show variables that are set.
fn without_values(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| arg.hide_env_values(true))
        .mut_subcommands(without_values)
}

fn write_help(page: &mut String, command: &mut clap::Command, name: &str) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let text = lines.join("\n");
    writeln!(page, "\n## {name}\n\n```text\n{}\n```", text.trim()).unwrap();
    for inner in command.get_subcommands_mut() {
        if inner.get_name() != "help" {
            let name = format!("{name} {}", inner.get_name());
            write_help(page, inner, &name);
        }
    }
}
