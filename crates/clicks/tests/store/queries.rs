//! Every query is answered as by the model.

use proptest::prelude::*;
use tollgate_clicks::query::{
    Bots, Bucket, Filter, List, Period, Query, QueryError, Scope, Totals, zone,
};
use tollgate_clicks::store::Added;
use tollgate_clicks::{Dimension, EnrichedClick, Position, Value};
use tollgate_clock::UnixMillis;

use super::engine::{Engine, Keep};
use super::*;

fn scope() -> impl Strategy<Value = Scope> {
    prop::sample::select(vec![
        Scope::Everything,
        Scope::Orphans,
        Scope::Domain("go.example".into()),
        Scope::Domain("none.example".into()),
        Scope::Domain("".into()),
        Scope::Link(link("go.example", "x")),
        Scope::Link(link("go.example", "none")),
        Scope::Links(vec![]),
        Scope::Links(vec![
            link("s.example", "x"),
            link("go.example", "y"),
            link("", "Zz"),
            link("s.example", "x"),
            link("s.example", "none"),
        ]),
    ])
}

fn filter() -> impl Strategy<Value = Filter> {
    let value = |text: &str| Value::of(text);
    prop::sample::select(vec![
        (Dimension::Country, value("a")),
        (Dimension::Country, Value::None),
        (Dimension::Browser, value("b")),
        (Dimension::Browser, Value::Other),
        (Dimension::Bot, value("true")),
        (Dimension::Bot, value("false")),
        (Dimension::Bot, value("perhaps")),
        (Dimension::Link, value("go.example/x")),
        (Dimension::Link, value("Zz")),
        (Dimension::Domain, value("s.example")),
        (Dimension::Domain, Value::None),
    ])
    .prop_map(|(dimension, value)| Filter { dimension, value })
}

fn query() -> impl Strategy<Value = Query> {
    // At any time, at quarters, and at hours.
    let period = (
        0_i64..5 * DAY,
        1_i64..5 * DAY,
        prop::sample::select(vec![1, HOUR / 4, HOUR]),
    )
        .prop_map(|(before, length, unit)| {
            let from = (NOW - before) / unit * unit;
            let to = (from + length + unit - 1) / unit * unit;
            let at = UnixMillis::from_millis;
            Period::new(at(from), at(to)).unwrap()
        });
    let names = prop::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "Asia/Kolkata",
        "Asia/Kathmandu",
    ]);
    let bucket = prop::sample::select(vec![Bucket::Hour, Bucket::Day, Bucket::Week, Bucket::Month]);
    let bots = prop::sample::select(vec![Bots::Include, Bots::Exclude, Bots::Only]);
    (
        (scope(), period, names, bucket, bots),
        prop::collection::vec(prop::sample::select(Dimension::ALL.to_vec()), 0..4),
        prop::collection::vec(filter(), 0..3),
        0_usize..5,
        any::<bool>(),
    )
        .prop_map(
            |((scope, period, name, bucket, bots), by, mut filters, top, compare)| {
                filters.sort_by_key(|filter| filter.dimension);
                filters.dedup_by_key(|filter| filter.dimension);
                Query {
                    zone: zone(name).unwrap(),
                    bucket,
                    bots,
                    by,
                    filters,
                    top,
                    compare,
                    ..Query::new(scope, period)
                }
            },
        )
}

/// However the clicks are cut into batches, and however often each is given, every query
/// answers what the model does.
pub(crate) fn every_query_is_answered_as_by_the_model<E: Engine>() {
    let input = (
        prop::collection::vec(click(), 0..200),
        prop::collection::vec((1_usize..80, 1_usize..3), 1..6),
        prop::collection::vec(query(), 12),
    );
    check(E::CASES, input, |(clicks, sizes, queries)| {
        runtime().block_on(async {
            let engine = E::fresh();
            let store = engine.open(Keep::days(30)).await;
            let (mut rest, mut position) = (&clicks[..], Position::default());
            for (size, times) in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*size).min(rest.len()));
                let to = at(position.offset + now.len() as u64);
                for time in 0..*times {
                    let added = store.add(batch(position, to, now)).await.unwrap();
                    let expected = if time == 0 {
                        Added::Counted
                    } else {
                        Added::Elsewhere(to)
                    };
                    prop_assert_eq!(added, expected);
                }
                (rest, position) = (later, to);
            }
            for query in queries {
                let answer = store.statistics(query.clone()).await.unwrap();
                prop_assert_eq!(answer, model::statistics(&clicks, &query), "{:?}", query);
                let always = Period::new(
                    UnixMillis::from_millis(NOW - 9 * DAY),
                    UnixMillis::from_millis(NOW + DAY),
                );
                let of = |bots| Query {
                    bots,
                    ..Query::new(query.scope.clone(), always.clone().unwrap())
                };
                let [people, programs] = [Bots::Exclude, Bots::Only]
                    .map(|bots| model::statistics(&clicks, &of(bots)).total);
                let totals = store
                    .totals(vec![Scope::Orphans, query.scope.clone()])
                    .await
                    .unwrap();
                prop_assert_eq!(totals[1], Totals { people, programs }, "{:?}", query.scope);
            }
            Ok(())
        })
    });
}

pub(crate) fn pages_list_every_click_once_newest_day_first<E: Engine>() {
    let input = (
        prop::collection::vec(click(), 0..120),
        scope(),
        1_usize..40,
        prop::sample::select(vec![Bots::Include, Bots::Exclude, Bots::Only]),
        prop::option::of(1_i64..5),
    );
    check(E::CASES, input, |(clicks, scope, limit, bots, days)| {
        let period = days.map(|days| {
            let at = UnixMillis::from_millis;
            Period::new(at(NOW - days * DAY), at(NOW - HOUR)).unwrap()
        });
        let mut listed = Vec::new();
        runtime().block_on(async {
            let engine = E::fresh();
            let store = engine.open(Keep::days(30)).await;
            store
                .add(batch(Position::default(), at(1), &clicks))
                .await
                .unwrap();
            let mut after = None;
            loop {
                let scope = scope.clone();
                let page = store
                    .clicks(List {
                        scope,
                        period,
                        bots,
                        after,
                        limit,
                    })
                    .await
                    .unwrap();
                assert!(page.clicks.len() <= limit);
                listed.extend(page.clicks);
                match page.next {
                    None => break,
                    // As text, as a client gives it back.
                    next => after = next.map(|next| next.to_string().parse().unwrap()),
                }
            }
        });
        let mut expected: Vec<EnrichedClick> = clicks
            .into_iter()
            .filter(|click| model::in_scope(click, &scope) && bots.admits(click.bot))
            .filter(|click| {
                period.is_none_or(|period| (period.from()..period.to()).contains(&click.click.at))
            })
            .collect();
        expected.reverse();
        expected.sort_by_key(|click| std::cmp::Reverse(click.click.at.as_millis() / DAY));
        prop_assert_eq!(listed, expected);
        Ok(())
    });
}

pub(crate) fn wrong_queries_name_the_parameter<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(1)).await;
        let at = UnixMillis::from_millis;
        let period = Period::new(at(NOW - 9 * DAY), at(NOW)).unwrap();
        let ask = |change: fn(&mut Query)| {
            let mut query = Query::new(Scope::Everything, period);
            change(&mut query);
            store.statistics(query)
        };
        let two = |first: &str, second: &str| -> Vec<Filter> {
            vec![first.parse().unwrap(), second.parse().unwrap()]
        };
        let refused = ask(|query| {
            query.filters = vec!["country=DE".parse().unwrap(), "country=FR".parse().unwrap()]
        });
        assert_eq!(
            refused.await,
            Err(QueryError::TwoFilters(Dimension::Country))
        );
        let mut query = Query::new(Scope::Everything, period);
        query.filters = two("country=DE", "browser=Firefox");
        let error = store.statistics(query).await.unwrap_err();
        assert!(matches!(error, QueryError::RawIsGone { .. }), "{error}");
        assert_eq!(error.parameter(), Some("from"));
        assert!(
            error.to_string().contains("2026-11-24T00:00:00Z"),
            "{error}"
        );
        let many = vec![link("go.example", "x"); Scope::MAX_LINKS + 1];
        let error = store
            .statistics(Query::new(Scope::Links(many), period))
            .await
            .unwrap_err();
        assert_eq!(error.parameter(), Some("tag"));
        assert_eq!(
            "colour=red".parse::<Filter>().unwrap_err().parameter(),
            Some("by")
        );
        assert_eq!(
            "red".parse::<Filter>().unwrap_err().parameter(),
            Some("filter")
        );
        assert_eq!(
            "year".parse::<Bucket>().unwrap_err().parameter(),
            Some("bucket")
        );
        assert_eq!(
            "maybe".parse::<Bots>().unwrap_err().parameter(),
            Some("bots")
        );
    });
}
