//! The suite that every store of clicks passes, against a naive model.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[cfg(feature = "clickhouse")]
mod clickhouse;
mod counting;
mod engine;
mod importing;
mod listed;
mod model;
mod queries;
mod retention;

#[cfg(any(feature = "clickhouse", feature = "postgres"))]
#[path = "../../../redis/tests/private/free_port.rs"]
mod free_port;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "clickhouse")]
#[allow(dead_code, reason = "shared with the tests of other crates")]
mod private_chdb;
#[cfg(feature = "postgres")]
#[allow(dead_code, reason = "shared with the tests of other crates")]
#[path = "../../../postgres/tests/private_postgres/mod.rs"]
mod private_postgres;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{TestCaseResult, TestRunner};
use smol_str::SmolStr;
use tollgate_clicks::query::LinkName;
use tollgate_clicks::store::EnrichedBatch;
use tollgate_clicks::{
    Click, ClickId, ClickKind, Dimension, EnrichedClick, Position, Snippet, SourceId, Values,
};
use tollgate_clock::{ManualClock, UnixMillis};

/// 2026-11-25T12:00:00Z.
const NOW: i64 = 1_795_608_000_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(UnixMillis::from_millis(NOW)))
}

fn at(offset: u64) -> Position {
    let segment = u64::from(offset > 0);
    Position { segment, offset }
}

fn batch(after: Position, to: Position, clicks: &[EnrichedClick]) -> EnrichedBatch {
    batch_of("spool-1", after, to, clicks)
}

fn batch_of(
    source: &str,
    after: Position,
    to: Position,
    clicks: &[EnrichedClick],
) -> EnrichedBatch {
    EnrichedBatch {
        source: SourceId(source.into()),
        after,
        to,
        clicks: clicks.iter().cloned().map(Arc::new).collect(),
    }
}

/// A click of few links, values and visitors, so that they meet.
fn click() -> impl Strategy<Value = EnrichedClick> {
    let value = || prop::option::of(prop::sample::select(vec!["a", "b", "\u{e9}\u{1f600}"]));
    let who = (any::<u64>(), any::<u64>(), prop::option::of(0_u64..30));
    let what = (
        prop::sample::select(vec!["go.example", "s.example", ""]),
        prop::sample::select(vec!["x", "y", "Zz"]),
        prop::bool::weighted(0.8),
    );
    let when = (0_i64..4 * DAY).prop_map(|before| NOW - before);
    (who, what, when, any::<bool>(), value(), value(), value()).prop_map(
        |((process, number, visitor), (domain, code, visit), at, bot, country, browser, utm)| {
            let mut values = Values::default();
            values.set(Dimension::Country, country.map(SmolStr::from));
            values.set(Dimension::Browser, browser.map(SmolStr::from));
            values.set(Dimension::UtmSource, utm.map(SmolStr::from));
            EnrichedClick {
                click: Click {
                    id: ClickId { process, number },
                    at: UnixMillis::from_millis(at),
                    domain: domain.into(),
                    code: code.into(),
                    kind: if visit {
                        ClickKind::Visit
                    } else {
                        ClickKind::Orphan
                    },
                    referrer: Snippet::of(b"https://a.example/", 100),
                    user_agent: browser.and_then(|agent| Snippet::of(agent.as_bytes(), 100)),
                    language: None,
                    campaign: None,
                    visitor,
                    network: None,
                },
                adjusted: false,
                bot,
                values,
            }
        },
    )
}

/// A visit of a link on `go.example`.
fn one_click(code: &str, at: i64) -> EnrichedClick {
    let mut one = click()
        .new_tree(&mut TestRunner::deterministic())
        .unwrap()
        .current();
    one.click.code = SmolStr::from(code);
    one.click.domain = "go.example".into();
    one.click.kind = ClickKind::Visit;
    one.click.at = UnixMillis::from_millis(at);
    one
}

fn link(domain: &str, code: &str) -> LinkName {
    LinkName {
        domain: domain.into(),
        code: code.into(),
    }
}

/// Checks a property of an engine in as many cases as it has time for.
fn check<S: Strategy>(cases: u32, input: S, test: impl Fn(S::Value) -> TestCaseResult) {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let checked = TestRunner::new(config).run(&input, test);
    checked.unwrap_or_else(|error| panic!("{error}"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// With threads, so that tasks run at once.
fn threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
