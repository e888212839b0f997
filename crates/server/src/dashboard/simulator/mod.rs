//! Algorithms side by side on made traffic.

mod form;
mod inputs;
mod results;

use axum::extract::RawQuery;
use maud::html;
use tokio::sync::Semaphore;
use tollgate_simulate::compare::{CompareError, Comparison, Options, compare};

use super::form::Fields;
use super::layout::Place;
use super::show::number;
use super::slider::{Wrong, sentence, status};
use super::visitor::{Shown, Visitor};
use crate::problem::{Kind, Problem};
use inputs::Inputs;

/// The most decisions for one page: requests, times algorithms, times ways to go on if servers share a Redis. It
/// takes about a second.
const MOST_DECISIONS: f64 = 500_000.0;

/// One run at a time, however many visitors there are: they are to take no more than one core from those who ask for
/// decisions and links. Whoever leaves while waiting is not run for.
static TURN: Semaphore = Semaphore::const_new(1);

pub(super) async fn page(visitor: Visitor, RawQuery(query): RawQuery) -> Shown {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let mut inputs = Inputs::read(&fields);
    let comparison = match inputs.options.take().map(bounded) {
        Some(Ok(options)) => run(options).await?,
        Some(Err(wrong)) => Err(wrong),
        None => Err(Wrong::new()),
    };
    let comparison = comparison.map_err(|wrong| inputs.wrong.extend(wrong)).ok();
    let status = status(&inputs.wrong);
    let body = html! {
        div.head { h1 { "Simulator" } }
        p.soft { "Made traffic through algorithms side by side, in memory, on a clock of its own: no limit of this server counts it. The address has all numbers, to share the run." }
        div.bench {
            (form::form(&fields, &inputs))
            (results::results(&inputs, comparison.as_ref()))
        }
    };
    Ok(visitor.page_of(status, Some(Place::Simulator), "Simulator", &body))
}

/// Refuses what would take too long.
fn bounded(options: Options) -> Result<Options, Wrong> {
    let runs = options.algorithms.len() * inputs::ways(&options.traffic);
    let decisions = options.expected_requests() * runs as f64;
    if decisions <= MOST_DECISIONS {
        return Ok(options);
    }
    let reason = format!(
        "This makes {} decisions, and a page makes at most {}. Take fewer windows, keys or algorithms, a lower limit \
         or load, or tollgate limit simulate.",
        number(decisions as u64),
        number(MOST_DECISIONS as u64)
    );
    Err(Wrong::from([("load", reason)]))
}

async fn run(options: Options) -> Result<Result<Comparison, Wrong>, Problem> {
    let stopped = |_| Problem::new(Kind::Internal, "The simulation was not finished.");
    // It is never closed.
    let turn = TURN.acquire().await.map_err(|_| stopped(()))?;
    let has_burst = options.burst.is_some();
    let run = tokio::task::spawn_blocking(move || {
        let done = compare(&options);
        drop(turn);
        done
    });
    let done = run.await.map_err(|_| stopped(()))?;
    Ok(done.map_err(|error| {
        let field = match &error {
            CompareError::Quota(_) if has_burst => "burst",
            CompareError::Quota(_) => "limit",
            CompareError::Requests(_) => "load",
            CompareError::Fleet => "outage",
        };
        Wrong::from([(field, sentence(&error.to_string()))])
    }))
}
