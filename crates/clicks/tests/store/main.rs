//! The store against a naive model.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod model;
mod queries;
mod retention;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use smol_str::SmolStr;
use tollgate_clicks::store::{EnrichedBatch, SqliteClickStore, SqliteOptions};
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

fn open(path: &Path, retain_raw: Duration, archive: Option<&Path>) -> SqliteClickStore {
    let options = SqliteOptions {
        retain_raw,
        archive: archive.map(Path::to_owned),
        ..SqliteOptions::default()
    };
    SqliteClickStore::open(path, clock(), options).unwrap()
}

fn at(offset: u64) -> Position {
    Position { segment: 1, offset }
}

fn batch(after: Position, to: Position, clicks: &[EnrichedClick]) -> EnrichedBatch {
    EnrichedBatch {
        source: SourceId("spool-1".into()),
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

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}
