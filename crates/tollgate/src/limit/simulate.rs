//! `tollgate limit simulate`: algorithms side by side on made traffic.

use std::time::Duration;

use tollgate_limit::{AlgorithmKind, Quota};
use tollgate_simulate::compare::{
    CompareError, Comparison, Fleet, Options, Outcome, Traffic, compare, draw,
};

use super::report::{Pages, Sheet, part};
use super::time;
use crate::args::{LimitSimulateArgs, TrafficArg};
use crate::{BadUsage, show};

/// The keys of a run if it is not told how many.
const MANY: u64 = 1_000;

pub(super) fn run(args: &LimitSimulateArgs) -> anyhow::Result<()> {
    let options = options(args)?;
    let comparison = compare(&options).map_err(|error| match error {
        CompareError::Fleet => BadUsage(format!("--servers, --outage: {error}")),
        CompareError::Quota(_) | CompareError::Requests(_) => BadUsage(error.to_string()),
    })?;
    if let Some(file) = &args.svg {
        show::file(file, draw(&comparison)?)?;
    }
    show::report(
        &args.output,
        &comparison,
        |comparison| pages(comparison).to_markdown(),
        |comparison| pages(comparison).text(),
    )
}

fn options(args: &LimitSimulateArgs) -> Result<Options, BadUsage> {
    let named = args.algorithms.iter().map(|name| {
        AlgorithmKind::from_name(name).ok_or_else(|| {
            let names = AlgorithmKind::ALL.map(AlgorithmKind::name).join(", ");
            BadUsage(format!("--algorithm: {name:?} is none of {names}"))
        })
    });
    let mut algorithms: Vec<AlgorithmKind> = named.collect::<Result<_, _>>()?;
    if algorithms.is_empty() {
        algorithms = AlgorithmKind::ALL.to_vec();
    }
    let window = duration("--window", &args.window)?;
    let quota = Quota::new(args.limit, window).map_err(|error| BadUsage(error.to_string()))?;
    let traffic = match args.traffic {
        TrafficArg::Steady => Traffic::Steady,
        TrafficArg::Poisson => Traffic::Poisson,
        TrafficArg::Bursty => Traffic::Bursty,
        TrafficArg::Boundary => Traffic::Boundary,
        TrafficArg::Zipf => Traffic::Zipf,
        TrafficArg::Fleet => Traffic::Fleet(Fleet {
            servers: args.servers,
            skew: duration("--skew", &args.skew)?,
            outage: outage(args)?,
        }),
    };
    let usual_keys = if args.traffic == TrafficArg::Zipf {
        MANY
    } else {
        1
    };
    Ok(Options {
        traffic,
        algorithms,
        quota,
        burst: args.burst,
        load: args.load,
        windows: args.windows,
        keys: args.keys.unwrap_or(usual_keys),
        seed: args.seed,
    })
}

fn duration(name: &str, text: &str) -> Result<Duration, BadUsage> {
    let parsed = humantime::parse_duration(text);
    parsed.map_err(|_| {
        BadUsage(format!(
            "{name}: {text:?} is no duration: write 1s, 1m or 250ms"
        ))
    })
}

fn outage(args: &LimitSimulateArgs) -> Result<[f64; 2], BadUsage> {
    let Some(text) = &args.outage else {
        let third = args.windows as f64 / 3.0;
        return Ok([third, 2.0 * third]);
    };
    let both = text.split_once("..").and_then(|(from, to)| {
        let both = [from.parse::<f64>().ok()?, to.parse::<f64>().ok()?];
        both.iter().all(|end| end.is_finite()).then_some(both)
    });
    both.ok_or_else(|| {
        BadUsage(format!(
            "--outage: {text:?} is no time: write FROM..TO, such as 4..8"
        ))
    })
}

fn pages(comparison: &Comparison) -> Pages {
    let mut summary = vec![format!(
        "{} traffic: {} requests of {} keys in {} windows, {} × the limit on average",
        comparison.traffic,
        comparison.requests,
        comparison.keys,
        comparison.windows,
        comparison.load
    )];
    summary.push(format!(
        "limit: {} per {}, buckets of {}",
        comparison.limit,
        time(comparison.window_ms),
        comparison.burst
    ));
    if let Some([from, to]) = comparison.outage {
        summary.push(format!("Redis away: from window {from:.1} to {to:.1}"));
    }
    let rows = comparison
        .outcomes
        .iter()
        .map(|outcome| row(comparison, outcome));
    Pages {
        summary,
        tables: vec![Sheet {
            title: "Algorithms".to_owned(),
            header: vec![
                "ALGORITHM",
                "ADMITTED",
                "DELAYED",
                "WORST WINDOW",
                "WORST TENTH",
                "FALSE ALLOW",
                "FALSE DENY",
                "BYTES A KEY",
                "REDIS COMMANDS",
            ],
            rows: rows.collect(),
        }],
    }
}

fn row(comparison: &Comparison, outcome: &Outcome) -> Vec<String> {
    let requests = comparison.requests;
    let name = match outcome.on_store_failure {
        Some(mode) => format!("{} {mode}", outcome.algorithm),
        None => outcome.algorithm.to_owned(),
    };
    let delayed = match outcome.delayed {
        0 => "0".to_owned(),
        delayed => format!("{delayed}, up to {}", time(outcome.longest_delay_ms)),
    };
    vec![
        name,
        format!(
            "{} ({})",
            outcome.admitted,
            part(outcome.admitted, requests)
        ),
        delayed,
        format!(
            "{} ({} % of the limit)",
            outcome.worst_window,
            outcome.worst_window * 100 / comparison.limit.max(1)
        ),
        outcome.worst_tenth.to_string(),
        part(outcome.false_allow, requests),
        part(outcome.false_deny, requests),
        outcome.bytes_per_key.to_string(),
        outcome.redis_commands.to_string(),
    ]
}
