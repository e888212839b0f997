//! `tollgate limit …`: decisions and policies, through the API; and what these would do, without a server.

mod forecast;
mod replay;
mod report;
mod simulate;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tollgate_limit::policy::PolicySet;
use ureq::http::Method;

use self::forecast::{Forecasts, share};
use crate::args::{
    LimitArgs, LimitCheckArgs, LimitCommand, LimitDeniedArgs, LimitPoliciesArgs, LimitSetArgs,
    LimitUnsetArgs,
};
use crate::client::{Client, NOTHING, segment};
use crate::{BadUsage, FAILED, show};

const POLICIES: &str = "/api/v1/limits/policies";

const CHECK_HEADER: [&str; 6] = [
    "DESCRIPTOR",
    "POLICY",
    "OUTCOME",
    "LIMIT",
    "REMAINING",
    "RETRY AFTER",
];
const DENIED_HEADER: [&str; 4] = ["DOMAIN", "POLICY", "DESCRIPTOR", "DENIED"];
const POLICY_HEADER: [&str; 10] = [
    "DOMAIN",
    "FROM",
    "POLICY",
    "PATH",
    "LIMIT",
    "ALGORITHM",
    "ALLOWED",
    "DENIED",
    "WOULD DENY",
    "P99 IN US",
];

/// What is asked.
#[derive(Debug, Serialize)]
struct Check<'a> {
    domain: &'a str,
    descriptors: Vec<Vec<Entry<'a>>>,
    hits: u64,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    key: &'a str,
    value: &'a str,
}

/// What was decided.
#[derive(Debug, Serialize, Deserialize)]
struct CheckView {
    allowed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    statuses: Vec<StatusView>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StatusView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    allowed: bool,
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    would_refuse: bool,
}

/// Who is refused most.
#[derive(Debug, Serialize, Deserialize)]
struct DeniedList {
    denied: Vec<DeniedView>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DeniedView {
    domain: String,
    policy: String,
    descriptor: Vec<EntryView>,
    count: u64,
    error: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryView {
    key: String,
    value: String,
}

/// The policies in force.
#[derive(Debug, Serialize, Deserialize)]
struct PolicyList {
    domains: Vec<DomainView>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DomainView {
    domain: String,
    origin: String,
    policies: Vec<PolicyView>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PolicyView {
    name: String,
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    algorithm: Option<String>,
    cost: u64,
    shadow: bool,
    allowed: u64,
    denied: u64,
    would_deny: u64,
    errors: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p50_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p99_us: Option<u64>,
    /// The share of its requests that it refuses, or would, beside a forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    /// The same, as a replay forecast it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forecast: Option<f64>,
}

/// Runs `tollgate limit …`.
pub(crate) fn run(args: LimitArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        LimitCommand::Check(args) => return check(&args),
        LimitCommand::Policies(args) => policies(&args)?,
        LimitCommand::Denied(args) => denied(&args)?,
        LimitCommand::Set(args) => set(&args)?,
        LimitCommand::Unset(args) => unset(&args)?,
        LimitCommand::Replay(args) => return replay::run(&args),
        LimitCommand::Simulate(args) => simulate::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends with 1 if the request is refused, so that scripts can ask.
fn check(args: &LimitCheckArgs) -> anyhow::Result<ExitCode> {
    let check = Check {
        domain: &args.domain,
        descriptors: args
            .descriptors
            .iter()
            .map(|text| descriptor(text))
            .collect::<Result<_, _>>()?,
        hits: args.hits,
    };
    let client = Client::new(&args.server)?;
    let path = "/api/v1/limits/check";
    let answer: CheckView = client.call(Method::POST, path, &[], &[], Some(&check))?;
    if args.server.json {
        show::json(&answer)?;
    } else {
        show::line(if answer.allowed { "allowed" } else { "refused" })?;
        if let Some(delay) = answer.delay_ms {
            show::line(format_args!("after waiting {delay} ms"))?;
        }
        let rows = args
            .descriptors
            .iter()
            .zip(&answer.statuses)
            .map(|(text, status)| {
                vec![
                    text.clone(),
                    status.policy.clone().unwrap_or_default(),
                    status.outcome.clone(),
                    quota(status.limit, status.window_ms),
                    status
                        .remaining
                        .map(|left| left.to_string())
                        .unwrap_or_default(),
                    status.retry_after_ms.map(time).unwrap_or_default(),
                ]
            });
        show::table(&CHECK_HEADER, rows)?;
    }
    Ok(if answer.allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

/// `key=value`, several joined by commas.
fn descriptor(text: &str) -> Result<Vec<Entry<'_>>, BadUsage> {
    text.split(',')
        .map(|entry| {
            let (key, value) = entry.split_once('=').ok_or_else(|| {
                BadUsage(format!(
                    "{entry:?} is no entry of a descriptor: write key=value"
                ))
            })?;
            Ok(Entry { key, value })
        })
        .collect()
}

fn policies(args: &LimitPoliciesArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    if let Some(domain) = &args.domain {
        let path = format!("{POLICIES}/{}", segment(domain));
        let yaml = client.send(Method::GET, &path, &[], &[], NOTHING)?;
        return show::bytes(&yaml);
    }
    let forecasts = Forecasts::read(&args.forecast)?;
    let mut list: PolicyList = client.call(Method::GET, POLICIES, &[], &[], NOTHING)?;
    if let Some(forecasts) = &forecasts {
        for domain in &mut list.domains {
            for policy in &mut domain.policies {
                let over = policy.denied + policy.would_deny;
                policy.share = share(over, policy.allowed + over);
                policy.forecast = forecasts.share(&domain.domain, &policy.path);
            }
        }
    }
    if args.server.json {
        return show::json(&list);
    }
    let with_forecast = forecasts.is_some();
    let rows = list.domains.into_iter().flat_map(|domain| {
        let policies = domain.policies.into_iter();
        policies.map(move |policy| {
            let limit = ceiling(policy.limit, policy.window_ms, policy.shadow);
            let algorithm = policy.algorithm.unwrap_or_default();
            let (name, from) = (domain.domain.clone(), domain.origin.clone());
            let counts = [policy.allowed, policy.denied, policy.would_deny];
            let mut row = vec![name, from, policy.name, policy.path, limit, algorithm];
            row.extend(counts.map(|count| count.to_string()));
            let p99 = policy.p99_us.map(|micros| format!("<={micros}"));
            row.push(p99.unwrap_or_default());
            if with_forecast {
                let percent = |share: Option<f64>| share.map(report::percent).unwrap_or_default();
                row.extend([policy.share, policy.forecast].map(percent));
            }
            row
        })
    });
    let mut header = POLICY_HEADER.to_vec();
    if with_forecast {
        header.extend(["REFUSES", "FORECAST"]);
    }
    show::table(&header, rows)
}

fn denied(args: &LimitDeniedArgs) -> anyhow::Result<()> {
    let most = args.limit.to_string();
    let query = [("limit", Some(&*most))];
    let client = Client::new(&args.server)?;
    let path = "/api/v1/limits/denied";
    let list: DeniedList = client.call(Method::GET, path, &query, &[], NOTHING)?;
    if args.server.json {
        return show::json(&list);
    }
    let rows = list.denied.into_iter().map(|denied| {
        let entries = denied.descriptor.iter();
        let entries: Vec<String> = entries.map(|e| format!("{}={}", e.key, e.value)).collect();
        let count = at_most(denied.count, denied.error);
        vec![denied.domain, denied.policy, entries.join(","), count]
    });
    show::table(&DENIED_HEADER, rows)
}

fn set(args: &LimitSetArgs) -> anyhow::Result<()> {
    // Before anything is sent.
    let (yaml, policies) = read_policies(&args.file)?;
    let file = args.file.display();
    let [domain] = policies.domains()[..] else {
        anyhow::bail!("{file}: give one document, of one domain");
    };
    let path = format!("{POLICIES}/{}", segment(domain));
    Client::new(&args.server)?.send_text(Method::PUT, &path, "application/yaml", &yaml)?;
    let rules = policies.rules().iter().filter(|rule| !rule.is_brought());
    let count = rules.count();
    show::line(format_args!("{domain}: {count} policies are in force"))
}

fn unset(args: &LimitUnsetArgs) -> anyhow::Result<()> {
    let path = format!("{POLICIES}/{}", segment(&args.domain));
    Client::new(&args.server)?.send(Method::DELETE, &path, &[], &[], NOTHING)?;
    Ok(())
}

/// A file of policies, as it is written and as it is meant. Mistakes are told with its name.
fn read_policies(file: &Path) -> anyhow::Result<(String, PolicySet)> {
    let name = file.display().to_string();
    let yaml = std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    let policies = PolicySet::parse(&name, &yaml)?;
    Ok((yaml, policies))
}

/// The limit of a policy, and whether it only looks on.
fn ceiling(limit: Option<u64>, window_ms: Option<u64>, shadow: bool) -> String {
    let mut text = quota(limit, window_ms);
    if text.is_empty() {
        "unlimited".clone_into(&mut text);
    }
    if shadow {
        text.push_str(" (shadow)");
    }
    text
}

/// A count of which so much may be another's.
fn at_most(count: u64, error: u64) -> String {
    match error {
        0 => count.to_string(),
        error => format!("{} to {count}", count - error),
    }
}

fn quota(limit: Option<u64>, window_ms: Option<u64>) -> String {
    match (limit, window_ms) {
        (Some(limit), Some(window)) => format!("{limit} per {}", time(window)),
        _ => String::new(),
    }
}

/// A time in the largest unit that is whole.
fn time(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1_000, "s"),
    ];
    let whole = UNITS
        .iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    whole.map_or_else(
        || format!("{ms} ms"),
        |(unit, name)| format!("{} {name}", ms / unit),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_whole_units() {
        let told = [86_400_000, 60_000, 90_000, 1_500, 0].map(time);
        assert_eq!(told, ["1 d", "1 min", "90 s", "1500 ms", "0 ms"]);
    }
}
