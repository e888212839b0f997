//! Every command in the documentation, run: page by page in a shell, in a network of its own, where the
//! ports that the pages name are free. What a page shows of the output has to be printed, but for words with
//! a digit in them. What cannot be run is listed with the reason.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::{ADMIN_KEY, both, new_home};

/// Commands that are not run here, by page and beginning, and why.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "cargo install cargo-deb",
        "the test of the package does",
    ),
    (
        "README.md",
        "apt-get install",
        "the test of the package does",
    ),
    ("README.md", "./scripts/test", "is what runs this"),
    ("CONTRIBUTING.md", "./scripts/test", "is what runs this"),
    ("docs/benchmarks.md", "benches/", "would take an hour"),
    (
        "docs/containers.md",
        "docker",
        "needs images from the network; the files are checked by their own tools",
    ),
    (
        "docs/containers.md",
        "export POSTGRES_PASSWORD",
        "is for docker alone",
    ),
    (
        "docs/containers.md",
        "kubectl",
        "needs a cluster; the manifests are checked against the schemas of Kubernetes",
    ),
    (
        "docs/envoy.md",
        "curl -i http://127.0.0.1:10000",
        "needs Envoy, whose test does",
    ),
    (
        "docs/envoy.md",
        "grpcurl",
        "no package has grpcurl; the test of gRPC sends the same",
    ),
    ("docs/fuzzing.md", "scripts/fuzz", "takes minutes a target"),
    ("docs/fuzzing.md", "cd fuzz", "needs a defect"),
    ("docs/fuzzing.md", "cargo test", "is a stage of its own"),
    ("docs/fuzzing.md", "SCHEMATHESIS", "is a stage of its own"),
    ("docs/scaling.md", "scripts/fleet", "is a stage of its own"),
    (
        "docs/import-export.md",
        "tollgate link import --from",
        "needs other shorteners; the tests of moving in do, with files of each",
    ),
    (
        "docs/import-export.md",
        "mysqldump",
        "needs a data base of YOURLS",
    ),
    ("docs/import-export.md", "curl", "needs Kutt and Bitly"),
    (
        "docs/limits.md",
        "cargo run -p tollgate-limit",
        "would be built for this alone; clippy compiles it",
    ),
    (
        "docs/replay.md",
        "tollgate limit replay access.log --policies limits.yaml --good",
        "another test does, and compares what it prints",
    ),
    (
        "docs/sharding.md",
        "tollgate migrate rebalance",
        "needs databases; the test of shards has them",
    ),
    (
        "docs/simulate.md",
        "tollgate limit simulate",
        "another test does, and compares the pictures",
    ),
    (
        "docs/systemd.md",
        "cargo install",
        "the test of the package does",
    ),
    (
        "docs/systemd.md",
        "scripts/deb",
        "the test of the package does",
    ),
    ("docs/systemd.md", "apt-get", "the test of the package does"),
    (
        "docs/systemd.md",
        "journalctl",
        "the test of the package does",
    ),
    (
        "docs/systemd.md",
        "tollgate config",
        "the test of the package does",
    ),
    (
        "docs/systemd.md",
        "systemctl",
        "the test of the package does",
    ),
    ("docs/systemd.md", "runuser", "the test of the package does"),
];

/// What a page takes for granted, as commands before its own.
const BEFORE: &[(&str, &str)] = &[
    ("docs/bitly.md", "export TOLLGATE_COMPAT__BITLY=true"),
    ("docs/shlink.md", "export TOLLGATE_COMPAT__SHLINK=true"),
    ("docs/yourls.md", "export TOLLGATE_COMPAT__YOURLS=true"),
    (
        "docs/security.md",
        "export TOLLGATE_LINKS__DOMAINS=https://lnk.example",
    ),
    (
        "docs/dashboard.md",
        "block docs/replay.md log | gzip >access.log.gz; block docs/replay.md yaml >limits.yaml",
    ),
    (
        "docs/replay.md",
        "block docs/replay.md log >access.log; block docs/replay.md yaml >limits.yaml",
    ),
    (
        "docs/limit-service.md",
        "block docs/limit-service.md yaml >limits.yaml",
    ),
    (
        "docs/import-export.md",
        r#"echo '{"url": "https://example.com/"}' | gzip >links.ndjson.gz"#,
    ),
    (
        "docs/resp.md",
        "block docs/limit-service.md yaml >limits.yaml; export TOLLGATE_LIMITS__POLICIES=limits.yaml",
    ),
    ("docs/links.md", "block docs/links.md json >rules.json"),
    (
        "docs/links.md",
        "echo iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mMIBQAAVwBWkstlwQAAAABJRU5ErkJggg== \
         | base64 -d >logo.png",
    ),
    (
        "docs/links.md",
        "tollgate serve; tollgate link create https://example.com/ --code spring --password secret",
    ),
    (
        "docs/proxy.md",
"mkdir -p www/reports
         python3 -m http.server --bind 127.0.0.1 --directory www 3000 2>/dev/null &
         until command curl --silent --output /dev/null http://127.0.0.1:3000/; do sleep 0.05; done",
    ),
];

/// What has to be changed in the commands of a page (`""` is every page): what it says, and what is run
/// instead.
const CHANGED: &[(&str, &str, &str)] = &[
    ("", "TOLLGATE_KEY=tg_…", "TOLLGATE_KEY=$TOLLGATE_ADMIN_KEY"),
    (
        "docs/getting-started.md",
        "tg_y1M4MEp8dxFkdPE2KOYMVFqRkB1S5eNB",
        "$TOLLGATE_ADMIN_KEY",
    ),
    (
        "docs/getting-started.md",
        "tollgate config check tollgate.toml",
        "block docs/getting-started.md toml >tollgate.toml; tollgate config check tollgate.toml",
    ),
    (
        "docs/getting-started.md",
        "serve --config tollgate.toml --data-dir /var/lib/tollgate",
        "serve --data-dir lib",
    ),
    (
        "docs/api.md",
        r#"'If-None-Match: "1.1795593254506.l0"'"#,
        r#""If-None-Match: $(last '"[0-9]+[.][0-9]+[.][0-9a-z]+"')""#,
    ),
    (
        "docs/api.md",
        r#"'If-Match: "1.1795593254506.l0"'"#,
        r#""If-Match: $(last '"[0-9]+[.][0-9]+[.][0-9a-z]+"')""#,
    ),
    (
        "docs/api.md",
        "$api/keys/key_01m88v5dnxk78wv7",
        "$api/keys/$(last 'key_[0-9a-z]+')",
    ),
    (
        "docs/security.md",
        "key_01m88v5dfhahmbwa",
        "$(last 'key_[0-9a-z]+')",
    ),
    (
        "docs/webhooks.md",
        "wh_0199c7f0a1b27c3d8e4f5a6b7c8d9e0f",
        "$(last 'wh_[0-9a-f]+')",
    ),
    (
        "docs/webhooks.md",
        "msg_0199c7f0b2c37d4e9f506172839405a6",
        "$(last 'msg_[0-9a-f]+')",
    ),
    (
        "docs/proxy.md",
        "curl -i http://127.0.0.1:8084/reports/",
        "for _ in 1 2 3; do curl http://127.0.0.1:8084/reports/; done
         ! curl -i http://127.0.0.1:8084/reports/",
    ),
    ("docs/resp.md", "redis-cli", "redis-cli --no-raw"),
    (
        "docs/plan.md",
        "--from-metrics http://10.0.0.1:8081 --from-metrics http://10.0.0.2:8081 --metrics-interval 60s",
        "--from-metrics http://127.0.0.1:8081 --from-metrics http://127.0.0.1:8081 --metrics-interval 1s",
    ),
    (
        "docs/operations.md",
        "backup --data-dir /var/lib/tollgate /backup/2030-01-31",
        "backup backup",
    ),
    (
        "docs/operations.md",
        "restore --data-dir /var/lib/tollgate /backup/2030-01-31",
        "restore --data-dir copy backup",
    ),
];

/// What pages show that is not printed here, and why.
const NOT_SHOWN: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "admin key ",
        "the key is chosen here; tests of keys look at what is printed otherwise",
    ),
    ("README.md", "           shown only this once", "the same"),
];

/// What the commands find in the shell. Our program is started as anybody would; that it serves is waited
/// for, and another start ends the one before.
const PRELUDE: &str = r#"
    ip link set lo up
    export PATH="$(dirname "$BINARY"):/usr/sbin:$PATH" HOME="$PWD" LC_ALL=C.UTF-8
    export TOLLGATE_ADMIN_KEY TOLLGATE_KEY="$TOLLGATE_ADMIN_KEY" TOLLGATE_DATA_DIR="$PWD/data"
    cp -r "$ROOT/deploy" .

    tollgate() {
        [[ $1 == serve ]] || { "$BINARY" "$@"; return; }
        if [[ -n ${server-} ]]; then
            kill "$server"
            wait "$server"
        fi
        "$BINARY" "$@" </dev/null >>"$HOME/log" 2>&1 &
        server=$!
        until command curl --silent --fail --output /dev/null http://127.0.0.1:8081/health/ready; do
            kill -0 "$server" || { cat "$HOME/log" >&2; return 1; }
            sleep 0.05
        done
    }
    cargo() {
        while [[ $1 != -- ]]; do shift; done
        tollgate "${@:2}"
    }
    curl() { command curl --silent --show-error --fail-with-body --max-time 60 "$@"; }
    # The first block of a page in this language.
    block() { awk -v begin="\`\`\`$2" '$0 == begin {on = 1; next} /^```/ && on {exit} on' "$ROOT/$1"; }
    # The last of these that was printed, for identifiers that differ each time.
    last() { grep --only-matching --extended-regexp "$1" "$HOME/told" | tail -1; }
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A command of a page, whole with its continued lines and here document, and what the page shows of its
/// output.
struct Step {
    command: String,
    shown: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let mut all: Vec<Step> = Vec::new();
    let mut language = None;
    // A command that goes on, and the line that ends it if that is a here document.
    let mut open: Option<(String, Option<String>)> = None;
    for line in text.lines() {
        if let Some(begun) = line.strip_prefix("```") {
            assert!(open.is_none(), "{page}: {open:?} has no end");
            language = language.is_none().then_some(begun);
            continue;
        }
        if !matches!(language, Some("sh" | "console")) {
            continue;
        }
        let (mut command, end) = match open.take() {
            Some((begun, end)) => (begun + "\n" + line, end),
            None if language == Some("sh") => (line.to_owned(), None),
            None => match line.strip_prefix("$ ") {
                Some(typed) => (typed.to_owned(), None),
                None => {
                    let step = all.last_mut().expect("output comes after a command");
                    step.shown.push(line.to_owned());
                    continue;
                }
            },
        };
        let ends = match &end {
            Some(end) => line == end,
            None => !command.ends_with(['\\', '|']),
        };
        let here = end.is_none().then(|| command.split_once("<<'")).flatten();
        if let Some((_, rest)) = here {
            let end = rest.split('\'').next().unwrap().to_owned();
            open = Some((command, Some(end)));
        } else if ends {
            command = command.trim().to_owned();
            if !command.is_empty() && !command.starts_with('#') {
                all.push(Step {
                    command,
                    shown: Vec::new(),
                });
            }
        } else {
            open = Some((command, end));
        }
    }
    all
}

/// Every page that has commands.
fn pages() -> Vec<String> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    let mut pages: Vec<String> = ["README.md", "CONTRIBUTING.md"]
        .map(str::to_owned)
        .into_iter()
        .chain(docs.filter(|name| name.ends_with(".md")))
        .filter(|page| !steps(page).is_empty())
        .collect();
    pages.sort();
    pages
}

/// Runs a page, and answers what went wrong; notes which of the lists above it needed.
fn run(page: &str, used: &mut BTreeSet<String>) -> Result<(), String> {
    let steps = steps(page);
    let mut script = PRELUDE.to_owned();
    for (_, before) in BEFORE.iter().filter(|(of, _)| *of == page) {
        used.insert(format!("{page}: {before}"));
        writeln!(script, "{before}").unwrap();
    }
    let serves = |text: &str| text.contains("tollgate serve") || text.contains("-- serve");
    if !serves(&script[PRELUDE.len()..]) && !steps.iter().any(|step| serves(&step.command)) {
        script.push_str("tollgate serve\n");
    }
    let mut runs = 0;
    let mut shown = Vec::new();
    for Step {
        mut command,
        shown: lines,
    } in steps
    {
        let not = NOT_RUN
            .iter()
            .find(|(of, begin, _)| *of == page && command.starts_with(begin));
        if let Some((_, begin, _)) = not {
            used.insert(format!("{page}: {begin}"));
            continue;
        }
        for (of, from, to) in CHANGED {
            if (of.is_empty() || *of == page) && command.contains(from) {
                used.insert(format!("{of}: {from}"));
                command = command.replace(from, to);
            }
        }
        runs += 1;
        shown.extend(lines);
        // In this shell, since commands set variables and change the directory.
        writeln!(
            script,
            "echo {0} >>\"$HOME/told\"\n{{ {command}\n}} >>\"$HOME/told\" 2>&1 </dev/null",
            quoted(&format!("$ {command}"))
        )
        .unwrap();
    }
    if runs == 0 {
        return Ok(());
    }
    let home = new_home();
    let output = Command::new("unshare")
        .args([
            "--map-root-user",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .args(["bash", "-euc", &script])
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("BINARY", env!("CARGO_BIN_EXE_tollgate"))
        .env("ROOT", std::fs::canonicalize(root()).unwrap())
        .env("TOLLGATE_ADMIN_KEY", ADMIN_KEY)
        .current_dir(home.path())
        .output()
        .expect("unshare of util-linux");
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap_or_default();
    let told = read("told") + &read("log");
    if output.status.success() {
        let printed: Vec<String> = told.lines().map(without_chance).collect();
        let is_printed = |line: &String| {
            // The rest is left out.
            let begin = without_chance(line.split('…').next().unwrap());
            printed.iter().any(|one| one.starts_with(&begin))
        };
        let mut excused = |line: &String| {
            let not = NOT_SHOWN
                .iter()
                .find(|(of, begin, _)| *of == page && line.starts_with(begin));
            if let Some((_, begin, _)) = not {
                used.insert(format!("{page}: {begin}"));
            }
            not.is_some()
        };
        let wrong: Vec<&String> = shown
            .iter()
            .filter(|line| !is_printed(line) && !excused(line))
            .collect();
        return if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "{page} shows what is not printed: {wrong:#?}\n{told}"
            ))
        };
    }
    Err(format!(
        "{page}: {}\n{told}{}",
        output.status,
        both(&output)
    ))
}

/// A line without what differs from run to run: codes, words with a digit in them, and how much space there is.
fn without_chance(line: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || "_-/+=".contains(c);
    let mut plain = String::new();
    let mut rest = line.trim();
    while let Some(c) = rest.chars().next() {
        let end = if is_part(c) {
            rest.find(|c| !is_part(c)).unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        if c.is_whitespace() {
            rest = rest.trim_start();
            plain.push(' ');
        } else if word.contains(|c: char| c.is_ascii_digit()) || plain.ends_with(r#""code":""#) {
            plain.push('#');
        } else {
            plain.push_str(word);
        }
    }
    plain
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
#[ignore = "needs namespaces, see scripts/test"]
fn every_command_runs() {
    let mut used = BTreeSet::new();
    let failed: Vec<String> = pages()
        .iter()
        .filter_map(|page| run(page, &mut used).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    let not = NOT_RUN.iter().chain(NOT_SHOWN);
    let not = not.map(|(page, begin, _)| (*page, *begin));
    let changed = CHANGED.iter().map(|(page, from, _)| (*page, *from));
    for (page, text) in not.chain(changed).chain(BEFORE.iter().copied()) {
        let entry = format!("{page}: {text}");
        assert!(
            used.contains(&entry),
            "no page needs this any more: {entry}"
        );
    }
}
