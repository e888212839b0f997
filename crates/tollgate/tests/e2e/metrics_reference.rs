//! `docs/metrics.md`, made of what a server with everything switched on shows at `/metrics`; and the alerts
//! and the dashboard in `deploy/`, which may ask for nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::http::Http;
use crate::private_postgres::PrivatePostgres;
use crate::private_redis::PrivateRedis;
use crate::resp;
use crate::server::{Options, Server, eventually, free_port, new_home, run};

/// Set to write the page anew instead of comparing with it.
const UPDATE: &str = "UPDATE_METRICS";

/// Headings, the beginnings of the names below them, and whether a server without configuration has
/// these; the longest beginning counts.
const SECTIONS: &[(&str, &[&str], bool, &str)] = &[
    (
        "Edge",
        &["tollgate_edge_"],
        true,
        "The public listener; see [outcomes](operations.md#outcomes).",
    ),
    ("Links", &["tollgate_links_"], true, ""),
    (
        "Files",
        &["tollgate_store_"],
        true,
        "Of links, keys and webhooks; see [when something is wrong](operations.md#when-something-is-wrong-with-the-store).",
    ),
    (
        "Link cache",
        &["tollgate_cache_"],
        true,
        "See [Caching](caching.md).",
    ),
    (
        "Link cache in Redis",
        &["tollgate_shared_cache_"],
        false,
        "Only if `links.cache` is a [Redis](shared-cache.md).",
    ),
    (
        "Links in PostgreSQL",
        &["tollgate_postgres_"],
        false,
        "Only if `links.store` is a [PostgreSQL](postgresql.md), or several; then these are sums.",
    ),
    (
        "Shards",
        &["tollgate_shards"],
        false,
        "Only if `links.store` lists [several databases](sharding.md).",
    ),
    (
        "Clicks",
        &["tollgate_clicks_"],
        true,
        "See [Clicks](clicks.md); not if `clicks.enabled` is off.",
    ),
    (
        "Statistics in PostgreSQL",
        &["tollgate_clicks_postgres_"],
        false,
        "Only if `clicks.store` is a [PostgreSQL](statistics-postgresql.md).",
    ),
    (
        "Queue of clicks in Redis",
        &["tollgate_clicks_queue_"],
        false,
        "Only if `clicks.queue` is a [Redis](click-queue.md).",
    ),
    (
        "Limits",
        &["tollgate_limits_"],
        true,
        "The [limit service](limit-service.md).",
    ),
    (
        "Limits in Redis",
        &[
            "tollgate_limits_breaker_",
            "tollgate_limits_lease_",
            "tollgate_limits_instances",
        ],
        false,
        "Only if `limits.store` is a [Redis](redis.md).",
    ),
    (
        "Global budgets",
        &["tollgate_limits_budget_"],
        false,
        "Only if `limits.global.store` is set; see [Regions](redis.md#regions).",
    ),
    (
        "Audit log",
        &["tollgate_limits_audit_"],
        false,
        "Only with `limits.audit.file`.",
    ),
    (
        "Webhooks",
        &["tollgate_webhooks_"],
        true,
        "See [Webhooks](webhooks.md).",
    ),
    ("Admin side", &["tollgate_admin_"], true, ""),
    (
        "Overload",
        &["tollgate_overload_"],
        true,
        "See [Overload](overload.md).",
    ),
    (
        "Redis protocol",
        &["tollgate_resp_"],
        true,
        "Zero without `resp.listen`.",
    ),
    (
        "gRPC",
        &["tollgate_grpc_"],
        false,
        "Only with `grpc.listen`.",
    ),
    (
        "Reverse proxy",
        &["tollgate_proxy_"],
        false,
        "Only with `proxy.listen`; see [outcomes](operations.md#outcomes).",
    ),
    (
        "Program",
        &["tollgate_build", "process_"],
        true,
        "Those of the process are only on Linux.",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A metric as it is shown.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// The names of series that a metric has.
fn series(name: &str, kind: &str) -> Vec<String> {
    match kind {
        "counter" => vec![format!("{name}_total")],
        "histogram" => ["bucket", "sum", "count"]
            .map(|end| format!("{name}_{end}"))
            .to_vec(),
        "info" => vec![format!("{name}_info")],
        _ => vec![name.to_owned()],
    }
}

fn metrics(text: &str) -> BTreeMap<String, Metric> {
    let mut all: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let help = help.trim_end_matches('.').to_owned();
            all.entry(name.to_owned()).or_default().help = help;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            all.entry(name.to_owned()).or_default().kind = kind.to_owned();
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let metric = all
            .iter_mut()
            .find(|(family, metric)| series(family, &metric.kind).iter().any(|one| one == name));
        let Some((_, metric)) = metric else {
            panic!("a series of no metric: {line}");
        };
        let labels = line
            .split_once('{')
            .and_then(|(_, rest)| rest.rsplit_once('}'));
        for label in labels.map_or("", |(labels, _)| labels).split("\",") {
            if let Some((label, _)) = label.split_once('=')
                && label != "le"
            {
                metric.labels.insert(label.to_owned());
            }
        }
    }
    all
}

fn section(name: &str) -> usize {
    let begins = |at: usize| {
        SECTIONS[at]
            .1
            .iter()
            .filter(|begin| name.starts_with(**begin))
    };
    (0..SECTIONS.len())
        .filter_map(|at| Some((begins(at).map(|begin| begin.len()).max()?, at)))
        .max()
        .unwrap_or_else(|| panic!("no section is for {name}"))
        .1
}

fn page(all: &BTreeMap<String, Metric>) -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         <!-- Made of the metrics of a server; `crates/tollgate/tests/e2e/metrics_reference.rs` compares it. -->\n\n\
         `/metrics` on the admin listener, in the OpenMetrics text format; it needs no key. Counters end with\n\
         `_total` there, histograms have `_bucket`, `_sum` and `_count`. A series with labels appears with the first\n\
         thing it counts.\n\n\
         [Operations](operations.md#metrics) tells what the outcomes mean, and what is worth an alert.\n",
    );
    for (at, (heading, _, _, intro)) in SECTIONS.iter().enumerate() {
        write!(page, "\n## {heading}\n\n").unwrap();
        if !intro.is_empty() {
            write!(page, "{intro}\n\n").unwrap();
        }
        page.push_str("| metric | kind | labels | |\n|---|---|---|---|\n");
        for (name, metric) in all.iter().filter(|(name, _)| section(name) == at) {
            let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
            writeln!(
                page,
                "| `{name}` | {} | {} | {} |",
                metric.kind,
                labels.join(", "),
                metric.help
            )
            .unwrap();
        }
    }
    page
}

/// Has everything that a server can show.
struct Everything {
    _postgres: [PrivatePostgres; 2],
    _redis: PrivateRedis,
    server: Server,
}

impl Everything {
    fn start() -> Self {
        let (postgres, redis) = (PrivatePostgres::start(), PrivateRedis::start());
        let standby = postgres.standby();
        let home = new_home();
        let audit = home.path().join("audit.ndjson");
        let shards =
            ["postgres", &postgres.database()].map(|name| postgres.url_with(&[&standby], name));
        let shards = shards.join(" ");
        let server = Options::default()
            .stores(&postgres.url("postgres"))
            .env("TOLLGATE_LINKS__STORE", &shards)
            .env("TOLLGATE_CLICKS__QUEUE", &format!("{}/clicks", redis.url()))
            .config(&format!(
                "[limits]\nstore = {url:?}\ndeadline = \"10s\"\naudit.file = {audit:?}\n\
                 global.store = {url:?}\nglobal.deadline = \"10s\"\n\
                 [links]\ncache = {url:?}\npostgres.replicas = \"prefer\"",
                url = redis.url()
            ))
            .arg("--resp-listen=127.0.0.1:0")
            .arg("--grpc-listen=127.0.0.1:0")
            .arg("--proxy-listen=127.0.0.1:0")
            .arg(&format!(
                "--proxy-upstream=http://127.0.0.1:{}",
                free_port()
            ))
            .start_in(&home);
        Self {
            _postgres: [postgres, standby],
            _redis: redis,
            server,
        }
    }

    /// After one request of each kind, so that labels show.
    fn metrics(&self) -> BTreeMap<String, Metric> {
        let client = self.server.client();
        client.visit("nothing").expect(404);
        client.api("GET", "/api/v1/links").expect(200);
        Http::new()
            .get(&format!("{}/", self.server.address("proxy")))
            .expect(502);
        resp::ask(&self.server.address("resp"), "PING\r\nQUIT\r\n");
        // No call that the server knows, which is an answer, too.
        run(Command::new("curl")
            .args(["--silent", "--http2-prior-knowledge", "--request", "POST"])
            .args(["--header", "content-type: application/grpc"])
            .arg(format!("{}/nothing", self.server.address("grpc"))));
        eventually("all labels", || {
            let all = metrics(client.open("/metrics").text());
            let has = |name: &str| {
                all.get(name)
                    .is_some_and(|metric| !metric.labels.is_empty())
            };
            let counted = [
                "tollgate_edge_request_duration_seconds",
                "tollgate_admin_request_duration_seconds",
                "tollgate_proxy_requests",
                "tollgate_resp_commands",
                "tollgate_grpc_request_duration_seconds",
                "tollgate_limits_decision_duration_seconds",
            ];
            counted.into_iter().all(has).then_some(all)
        })
    }
}

#[test]
fn the_page_is_that_of_the_code() {
    let all = Everything::start().metrics();
    let made = page(&all);
    let file = root().join("docs/metrics.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == made,
        "docs/metrics.md is old: run the tests with {UPDATE}=1, and look at the difference"
    );
}

#[test]
fn what_is_only_there_on_demand_is_what_the_page_says() {
    let server = Server::start();
    let all = metrics(server.client().open("/metrics").text());
    let shown: BTreeSet<usize> = all.keys().map(|name| section(name)).collect();
    for (at, (heading, _, always, _)) in SECTIONS.iter().enumerate() {
        assert_eq!(shown.contains(&at), *always, "{heading}");
    }
}

/// The metrics and labels that a query of Prometheus names.
fn asked(query: &str) -> Vec<(String, Vec<String>)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut all = Vec::new();
    for begin in ["tollgate_", "process_"] {
        for (at, _) in query.match_indices(begin) {
            if query[..at].ends_with(is_part) {
                continue;
            }
            let rest = &query[at..];
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let selector = rest[end..]
                .strip_prefix('{')
                .and_then(|rest| rest.split('}').next());
            let labels = selector.unwrap_or_default().split(',');
            let labels = labels
                .filter_map(|one| Some(one.split(['=', '!']).next()?.trim().to_owned()))
                .filter(|label| !label.is_empty())
                .collect();
            all.push((rest[..end].to_owned(), labels));
        }
    }
    all
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let all = Everything::start().metrics();
    let known: BTreeMap<String, &Metric> = all
        .iter()
        .flat_map(|(name, metric)| {
            series(name, &metric.kind)
                .into_iter()
                .map(move |s| (s, metric))
        })
        .collect();
    for file in [
        "deploy/prometheus/alerts.yaml",
        "deploy/grafana/tollgate.json",
    ] {
        // In JSON, quotes are escaped.
        let text = std::fs::read_to_string(root().join(file))
            .unwrap()
            .replace('\\', "");
        let asked = asked(&text);
        assert!(asked.len() > 10, "{file}: {asked:?}");
        for (name, labels) in asked {
            let metric = known.get(&name).unwrap_or_else(|| panic!("{file}: {name}"));
            for label in labels {
                // What Prometheus adds.
                let added = ["instance", "job", "le"].contains(&label.as_str());
                assert!(
                    added || metric.labels.contains(&label),
                    "{file}: {name} has no label {label}"
                );
            }
        }
    }
}

#[test]
fn the_dashboard_asks_in_the_language_of_prometheus() {
    let file = root().join("deploy/grafana/tollgate.json");
    let board: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let rules: Vec<Value> = targets
        .flatten()
        .enumerate()
        .map(|(at, target)| {
            // What Grafana puts in.
            let query = target["expr"].as_str().unwrap();
            let query = query.replace("$__rate_interval", "5m");
            json!({"record": format!("query_{at}"), "expr": query})
        })
        .collect();
    assert!(rules.len() > 20);
    let home = new_home();
    let all = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    // JSON is YAML, too.
    std::fs::write(home.path().join("rules.yaml"), all.to_string()).unwrap();
    run(Command::new("promtool")
        .args(["check", "rules", "rules.yaml"])
        .current_dir(home.path()));
}

#[test]
fn alerts_ring_when_they_should() {
    let rules = root().join("deploy/prometheus");
    run(Command::new("promtool")
        .args(["check", "rules", "alerts.yaml"])
        .current_dir(&rules));
    run(Command::new("promtool")
        .args(["check", "config", "prometheus.yaml"])
        .current_dir(&rules));
    run(Command::new("promtool")
        .args(["test", "rules", "alerts_test.yaml"])
        .current_dir(&rules));
}
