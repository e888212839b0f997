//! `tollgate plan`: from traffic to machines.

use std::time::Duration;

use anyhow::Context as _;
use tollgate_clock::{Clock as _, SystemClock};
use tollgate_links::StrategyKind;
use tollgate_plan::{
    Assumption, Assumptions, Conflict, Measurement, Origin, Plan, Scrape, Strategy, Sweep, Unit,
    draw, plan_as_markdown, plan_as_text, sweep_as_markdown, sweep_as_text,
};
use ureq::http::Method;

use crate::args::PlanArgs;
use crate::client::{Client, NOTHING};
use crate::{BadUsage, show};

const METRICS: &str = "/metrics";

/// Runs `tollgate plan`.
pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<()> {
    // What is wrong is told before anything is asked.
    let sweep = args
        .sweep
        .as_deref()
        .map(|text| Sweep::parse(text, args.points))
        .transpose()
        .map_err(|error| BadUsage(format!("--sweep: {error}")))?;
    let interval = args.metrics_interval.as_deref().map(interval).transpose()?;
    let mut assumptions = Assumptions::new();
    assumptions.strategy = strategy(args.strategy);
    for &setting in &args.assumptions.0 {
        assumptions.set(setting, Origin::Given);
    }
    assumptions.check().map_err(bad_usage)?;
    if !args.from_metrics.is_empty() {
        measure(&args.from_metrics, interval, &mut assumptions)?;
    }
    let Some(sweep) = sweep else {
        let plan = Plan::new(assumptions).map_err(bad_usage)?;
        return show::report(&args.output, &plan, plan_as_markdown, |plan| {
            show::bytes(plan_as_text(plan).as_bytes())
        });
    };
    let table = sweep.run(&assumptions).map_err(bad_usage)?;
    if let Some(file) = &args.svg {
        show::file(file, draw(&table)?)?;
    }
    show::report(&args.output, &table, sweep_as_markdown, |table| {
        show::bytes(sweep_as_text(table).as_bytes())
    })
}

/// Names flags as they are typed.
fn bad_usage(conflict: Conflict) -> BadUsage {
    let flag = |one: Assumption| format!("--{}", one.name().replace('_', "-"));
    let Conflict(one, other, why) = conflict;
    let (one, other) = (flag(one), flag(other));
    BadUsage(format!("{one} and {other} do not go together: {why}"))
}

fn interval(text: &str) -> anyhow::Result<Duration> {
    let seconds = Unit::Seconds.parse(text);
    let seconds = seconds.map_err(|error| BadUsage(format!("--metrics-interval: {error}")))?;
    let interval = Duration::try_from_secs_f64(seconds).ok();
    let interval = interval.filter(|interval| !interval.is_zero());
    let wrong = || BadUsage("--metrics-interval: give a time above 0".to_owned());
    Ok(interval.ok_or_else(wrong)?)
}

fn strategy(kind: StrategyKind) -> Strategy {
    match kind {
        StrategyKind::Counter => Strategy::Counter,
        StrategyKind::Hash => Strategy::Hash,
        StrategyKind::Snowflake => Strategy::Snowflake,
        StrategyKind::Pool => Strategy::Pool,
        StrategyKind::Random => Strategy::Random,
    }
}

/// Fills in what the metrics of these servers say, and tells what they do not say.
fn measure(
    servers: &[String],
    interval: Option<Duration>,
    assumptions: &mut Assumptions,
) -> anyhow::Result<()> {
    let clients: Vec<Client> = servers
        .iter()
        .map(|url| Client::to(url.trim_end_matches('/').trim_end_matches(METRICS), None))
        .collect::<Result<_, _>>()
        .context("--from-metrics")?;
    let clock = SystemClock::new();
    let scrape = |client: &Client| -> anyhow::Result<(Scrape, f64)> {
        let text = client.send(Method::GET, METRICS, &[], &[], NOTHING)?;
        let now = clock.now().as_millis() as f64 / 1000.0;
        Ok((Scrape::parse(&String::from_utf8_lossy(&text))?, now))
    };
    let scrape_all = || -> anyhow::Result<Vec<(Scrape, f64)>> {
        let each = clients.iter().zip(servers);
        each.map(|(client, url)| scrape(client).with_context(|| format!("--from-metrics {url}")))
            .collect()
    };
    let first = scrape_all()?;
    let measured = match interval {
        None => first
            .iter()
            .map(|(scrape, now)| Measurement::since_start(scrape, *now))
            .sum::<Result<Measurement, _>>()?,
        Some(interval) => {
            std::thread::sleep(interval);
            let second = scrape_all()?;
            first
                .iter()
                .zip(&second)
                .map(|((first, before), (second, now))| {
                    Measurement::between(first, second, now - before)
                })
                .sum::<Result<Measurement, _>>()?
        }
    };
    let settings = measured.settings();
    for one in Measurement::MEASURED {
        if !settings.iter().any(|setting| setting.assumption() == one) {
            show::note(format_args!(
                "{one} is not measured: nothing of it has happened"
            ));
        }
    }
    for setting in settings {
        assumptions.fill(setting);
    }
    Ok(())
}
