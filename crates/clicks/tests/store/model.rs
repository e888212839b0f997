//! The statistics as one would count them by hand: all clicks in a list.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_clicks::query::{
    Breakdown, Counted, Period, Previous, Query, Scope, Statistics, Step,
};
use tollgate_clicks::{ClickKind, Dimension, EnrichedClick, Value};
use tollgate_clock::UnixMillis;

use crate::HOUR;

const QUARTER: i64 = HOUR / 4;

pub(crate) fn in_scope(click: &EnrichedClick, scope: &Scope) -> bool {
    let visit = click.click.kind == ClickKind::Visit;
    let is = |link: &tollgate_clicks::query::LinkName| {
        link.domain == click.click.domain && link.code == click.click.code
    };
    match scope {
        Scope::Everything => visit,
        Scope::Orphans => !visit,
        Scope::Domain(domain) => visit && click.click.domain == *domain,
        Scope::Link(link) => visit && is(link),
        Scope::Links(links) => visit && links.iter().any(is),
    }
}

/// Whether single clicks have to be read.
fn needs_raw(query: &Query) -> bool {
    let others: Vec<_> = query
        .filters
        .iter()
        .filter(|filter| filter.dimension != Dimension::Bot)
        .collect();
    match others.as_slice() {
        [] => false,
        [one] => {
            one.dimension > Dimension::UtmContent
                || query
                    .by
                    .iter()
                    .any(|by| *by != one.dimension && *by != Dimension::Bot)
        }
        _ => true,
    }
}

pub(crate) fn statistics(clicks: &[EnrichedClick], query: &Query) -> Statistics {
    let raw = needs_raw(query);
    let filtered_rollup = !raw
        && query
            .filters
            .iter()
            .any(|filter| filter.dimension != Dimension::Bot);
    let chosen: Vec<&EnrichedClick> = clicks
        .iter()
        .filter(|click| in_scope(click, &query.scope) && query.bots.admits(click.bot))
        .filter(|click| {
            query
                .filters
                .iter()
                .all(|filter| click.value(filter.dimension) == filter.value)
        })
        .collect();
    let starts = query.bucket.starts(query.period, &query.zone).unwrap();
    let (total, unique, series) = count(&chosen, &starts, query.period, raw, filtered_rollup);
    let previous = query.compare.then(|| {
        let period = query.period.before().unwrap();
        let (total, unique, _) = count(&chosen, &[period.from()], period, raw, filtered_rollup);
        Previous {
            period,
            total,
            unique,
        }
    });
    let mut dimensions = Vec::new();
    for by in &query.by {
        if !dimensions.contains(by) {
            dimensions.push(*by);
        }
    }
    let by = dimensions
        .into_iter()
        .map(|by| break_down(&chosen, by, query, raw));
    Statistics {
        period: query.period,
        total,
        unique,
        series,
        by: by.collect(),
        previous,
        from_raw: raw,
    }
}

fn count(
    clicks: &[&EnrichedClick],
    starts: &[UnixMillis],
    period: Period,
    raw: bool,
    filtered_rollup: bool,
) -> (u64, Option<u64>, Vec<Step>) {
    let step = |at: i64| {
        let inside = at >= period.from().as_millis() && at < period.to().as_millis();
        inside.then(|| {
            starts
                .iter()
                .rposition(|start| start.as_millis() <= at)
                .unwrap()
        })
    };
    let by_hour = |at: i64| {
        let hour = at.div_euclid(HOUR) * HOUR;
        (0..4)
            .rev()
            .find_map(|quarter| step(hour + quarter * QUARTER))
    };
    let mut clicks_of = vec![0; starts.len()];
    let mut visitors = vec![BTreeSet::new(); starts.len()];
    for click in clicks {
        let at = click.click.at.as_millis();
        let place = if filtered_rollup {
            by_hour(at)
        } else {
            step(at)
        };
        if let Some(place) = place {
            clicks_of[place] += 1;
        }
        let place = if raw { step(at) } else { by_hour(at) };
        if let (Some(place), Some(visitor)) = (place, click.click.visitor) {
            visitors[place].insert(visitor);
        }
    }
    let series = starts.iter().zip(&clicks_of).zip(&visitors);
    let series = series.map(|((start, clicks), visitors)| Step {
        start: *start,
        clicks: *clicks,
        unique: (!filtered_rollup).then_some(visitors.len() as u64),
    });
    let all: BTreeSet<_> = visitors.iter().flatten().collect();
    let unique = (!filtered_rollup).then_some(all.len() as u64);
    (clicks_of.iter().sum(), unique, series.collect())
}

fn break_down(clicks: &[&EnrichedClick], by: Dimension, query: &Query, raw: bool) -> Breakdown {
    let (mut from, mut to) = (
        query.period.from().as_millis(),
        query.period.to().as_millis(),
    );
    if !raw {
        from = from.div_euclid(HOUR) * HOUR;
        to = (to + HOUR - 1).div_euclid(HOUR) * HOUR;
    }
    let mut values: BTreeMap<Value, u64> = BTreeMap::new();
    for click in clicks {
        if (from..to).contains(&click.click.at.as_millis()) {
            *values.entry(click.value(by)).or_default() += 1;
        }
    }
    let mut values: Vec<Counted> = values
        .into_iter()
        .map(|(value, clicks)| Counted { value, clicks })
        .collect();
    values.sort_by(|a, b| b.clicks.cmp(&a.clicks).then_with(|| a.value.cmp(&b.value)));
    let beyond = values.split_off(query.top.min(values.len()));
    let other: u64 = beyond.iter().map(|counted| counted.clicks).sum();
    if other > 0 {
        values.push(Counted {
            value: Value::Other,
            clicks: other,
        });
    }
    Breakdown {
        dimension: by,
        values,
    }
}
