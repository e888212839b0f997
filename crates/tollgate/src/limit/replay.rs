//! `tollgate limit replay`: access logs through policies.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tollgate_config::{Config, Sources};
use tollgate_limit::attribute::Attribute;
use tollgate_limit::policy::PolicySet;
use tollgate_simulate::log::{Fields, Log};
use tollgate_simulate::replay::demand::Share;
use tollgate_simulate::replay::{Good, GoodReport, Options, Report, RuleReport, Times, replay};

use super::report::{Pages, Sheet, part, percent};
use super::{at_most, ceiling, quota, read_policies, time};
use crate::args::LimitReplayArgs;
use crate::serve::options;
use crate::{BadUsage, FAILED, config, show};

/// Ends with 1 if no line of the logs is a request.
pub(super) fn run(args: &LimitReplayArgs) -> anyhow::Result<ExitCode> {
    let config = config::load(&Sources {
        file: args.config.as_deref(),
        environment: config::environment(),
        flags: Vec::new(),
    })?;
    let policies = policies(args, &config)?;
    let options = options(args, &config, &policies)?;
    let bar = bar(args);
    let logs = args.logs.iter().map(|path| open(path, &bar));
    let report = replay(policies, &options, logs.collect::<Result<_, _>>()?)?;
    bar.finish_and_clear();
    show::report(
        &args.output,
        &report,
        |report| pages(report).to_markdown(),
        |report| pages(report).text(),
    )?;
    Ok(if report.requests > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn policies(args: &LimitReplayArgs, config: &Config) -> anyhow::Result<PolicySet> {
    let file = args.policies.as_ref().or(config.limits.policies.as_ref());
    let Some(file) = file else {
        let message = "no policies: give --policies, or --config with limits.policies";
        return Err(BadUsage(message.to_owned()).into());
    };
    Ok(read_policies(file)?.1)
}

fn options(
    args: &LimitReplayArgs,
    config: &Config,
    policies: &PolicySet,
) -> anyhow::Result<Options> {
    let (usual, usual_by) = options::counted(config);
    let domain = match (&args.domain, &policies.domains()[..]) {
        (Some(domain), _) => domain.clone(),
        (None, [only]) => (*only).to_owned(),
        (None, _) => usual,
    };
    let by = match &args.by[..] {
        [] => usual_by,
        by => by
            .iter()
            .map(|by| descriptor(by))
            .collect::<Result<_, _>>()?,
    };
    let usage = |error: &dyn std::error::Error| BadUsage(error.to_string());
    let fields = args
        .fields
        .iter()
        .try_fold(Fields::default(), |fields, text| {
            fields.with(text).map_err(|error| usage(&error))
        })?;
    let good = args.good.iter().map(|text| -> anyhow::Result<Good> {
        if Good::is_rule(text) {
            return Ok(Good::rule(text).map_err(|error| usage(&error))?);
        }
        let list =
            std::fs::read_to_string(text).with_context(|| format!("{text} cannot be read"))?;
        Ok(Good::list(&list))
    });
    let suggest = args.suggest.map(|share| {
        let wrong = || {
            BadUsage(format!(
                "--suggest: {share} is no share: give 0 to 1, such as 0.999"
            ))
        };
        Share::new(share).ok_or_else(wrong)
    });
    Ok(Options {
        domain,
        by,
        fields,
        good: good.collect::<Result<_, _>>()?,
        worst: args.limit.into(),
        bad_lines: args.limit.into(),
        suggest: suggest.transpose()?,
        times: if args.as_written {
            Times::AsWritten
        } else {
            Times::Spread
        },
    })
}

/// `remote_address`, or several joined by `+`.
fn descriptor(text: &str) -> Result<Vec<Attribute>, BadUsage> {
    Attribute::parse_joined(text).map_err(|error| BadUsage(format!("--by: {error}")))
}

fn open(path: &Path, bar: &ProgressBar) -> anyhow::Result<Log> {
    let name = path.display().to_string();
    let failed = || format!("{name} cannot be read");
    let log = if path == Path::new("-") {
        Log::open("standard input", bar.wrap_read(io::stdin()))
    } else {
        let file = File::open(path).with_context(failed)?;
        Log::open(&name, bar.wrap_read(file))
    };
    log.with_context(failed)
}

/// Counts the bytes of all logs; hidden where standard error is no terminal.
fn bar(args: &LimitReplayArgs) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let sizes = args.logs.iter().map(|path| {
        let data = std::fs::metadata(path).ok()?;
        data.is_file().then_some(data.len())
    });
    let (bar, template) = match sizes.sum::<Option<u64>>() {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {bytes} {bytes_per_sec}",
        ),
    };
    // The templates are constants; the default style is the fallback, not a failure.
    ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style))
}

fn pages(report: &Report) -> Pages {
    Pages {
        summary: summary(report),
        tables: vec![
            rules(report),
            worst(report),
            suggestions(report),
            bad_lines(report),
        ],
    }
}

fn summary(report: &Report) -> Vec<String> {
    let lines = &report.lines;
    let formats: Vec<String> = lines
        .formats
        .iter()
        .map(|(format, count)| format!("{count} {}", format.name()))
        .collect();
    let mut summary = vec![format!(
        "{} lines: {} requests ({}), {} bad",
        lines.read,
        report.requests,
        formats.join(", "),
        lines.bad
    )];
    if let (Some(from), Some(to)) = (report.from, report.to) {
        summary.push(format!("from {from} to {to}"));
    }
    summary.push(format!(
        "refused: {} of {} requests ({})",
        report.refused,
        report.requests,
        part(report.refused, report.requests)
    ));
    if let Some(good) = report.good {
        summary.push(format!(
            "good clients: {} of {} requests refused ({})",
            good.refused,
            good.requests,
            percent(good.block_rate())
        ));
    }
    if report.delayed > 0 {
        summary.push(format!(
            "made to wait: {} requests, at most {}",
            report.delayed,
            time(report.longest_delay_ms)
        ));
    }
    if report.uncounted > 0 {
        summary.push(format!("counted by no rule: {} requests", report.uncounted));
    }
    if lines.late > 0 {
        summary.push(format!(
            "out of order: {} lines, by at most {}",
            lines.late,
            time(lines.most_late_ms)
        ));
    }
    let store = report.store;
    if store.evictions + store.overflowed > 0 {
        summary.push(format!(
            "the store was full: {} keys were forgotten early, {} requests shared a limit",
            store.evictions, store.overflowed
        ));
    }
    summary
}

fn rules(report: &Report) -> Sheet {
    let mut header = vec![
        "POLICY",
        "LIMIT",
        "ALGORITHM",
        "REQUESTS",
        "REFUSED",
        "WOULD REFUSE",
        "KEYS",
        "NEVER REFUSED",
    ];
    if report.good.is_some() {
        header.extend(["GOOD", "GOOD REFUSED"]);
    }
    let row = |rule: &RuleReport| {
        let keys = &rule.keys;
        let about = if keys.exact { "" } else { "about " };
        let mut never = percent(keys.never_refused);
        if !keys.exact {
            never = format!("{never} ± {}", percent(keys.never_refused_error));
        }
        let mut row = vec![
            rule.policy.clone(),
            limit(rule),
            rule.algorithm.clone().unwrap_or_default(),
            rule.requests.to_string(),
            rule.refused.to_string(),
            rule.would_refuse.to_string(),
            format!("{about}{}", keys.count),
            never,
        ];
        if let Some(good @ GoodReport { requests, refused }) = rule.good {
            row.push(requests.to_string());
            row.push(format!("{refused} ({})", percent(good.block_rate())));
        }
        row
    };
    Sheet {
        title: "Policies".to_owned(),
        header,
        rows: report.rules.iter().map(row).collect(),
    }
}

fn limit(rule: &RuleReport) -> String {
    ceiling(rule.limit, rule.window_ms, rule.shadow)
}

fn worst(report: &Report) -> Sheet {
    let rows = report.worst.iter().map(|worst| {
        let refused = at_most(worst.refused, worst.error);
        vec![worst.policy.clone(), worst.key.clone(), refused]
    });
    Sheet {
        title: "Refused most".to_owned(),
        header: vec!["POLICY", "KEY", "REFUSED"],
        rows: rows.collect(),
    }
}

fn suggestions(report: &Report) -> Sheet {
    let rows = report.rules.iter().flat_map(|rule| {
        rule.suggestions.iter().map(|suggestion| {
            let about = if suggestion.exact { "" } else { "about " };
            let own = Some(suggestion.window_ms) == rule.window_ms;
            vec![
                rule.policy.clone(),
                quota(Some(suggestion.limit), Some(suggestion.window_ms)),
                if own { limit(rule) } else { String::new() },
                quota(Some(suggestion.highest), Some(suggestion.window_ms)),
                format!("{about}{}", suggestion.keys),
            ]
        })
    });
    let share = report.share.map(percent).unwrap_or_default();
    Sheet {
        title: format!("Limits that leave {share} of keys alone"),
        header: vec!["POLICY", "LIMIT", "NOW", "ALL KEYS", "KEYS"],
        rows: rows.collect(),
    }
}

fn bad_lines(report: &Report) -> Sheet {
    let rows = report.lines.bad_lines.iter().map(|bad| {
        let place = format!("{}:{}", bad.log, bad.line);
        vec![place, bad.reason.clone(), bad.text.clone()]
    });
    let shown = report.lines.bad_lines.len();
    Sheet {
        title: format!("Bad lines, {shown} of {}", report.lines.bad),
        header: vec!["LINE", "REASON", "TEXT"],
        rows: rows.collect(),
    }
}
