//! Each click counts once.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use tollgate_clicks::query::{Bucket, Filter, Period, Query, Scope, Statistics};
use tollgate_clicks::store::Added;
use tollgate_clicks::{ClickId, Dimension, EnrichedClick, Position, SourceId, Value};
use tollgate_clock::UnixMillis;

use super::engine::{Engine, Keep};
use super::listed::raw;
use super::*;

/// All of the time in which clicks of the suite happen.
pub(crate) fn everything() -> Query {
    let at = UnixMillis::from_millis;
    Query::new(
        Scope::Everything,
        Period::new(at(NOW - 9 * DAY), at(NOW + DAY)).unwrap(),
    )
}

pub(crate) fn a_batch_that_does_not_follow_is_refused_and_counts_nothing<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(1)).await;
        let one = one_click("x", NOW);
        let clicks = std::slice::from_ref(&one);
        assert_eq!(
            store.add(batch(at(1), at(2), clicks)).await,
            Ok(Added::Elsewhere(at(0)))
        );
        store.add(batch(at(0), at(5), clicks)).await.unwrap();
        for (after, to) in [(at(0), at(5)), (at(7), at(9)), (at(3), at(9))] {
            let added = store.add(batch(after, to, clicks)).await;
            assert_eq!(added, Ok(Added::Elsewhere(at(5))));
        }
        // Another source is another story.
        let other = batch_of("spool-2", at(0), at(5), clicks);
        assert_eq!(store.add(other).await, Ok(Added::Counted));
        // A position alone, without clicks.
        let position = batch_of("spool-2", at(5), at(6), &[]);
        assert_eq!(store.add(position).await, Ok(Added::Counted));
        assert_eq!(store.statistics(everything()).await.unwrap().total, 2);
        for (source, position) in [("spool-1", at(5)), ("spool-2", at(6)), ("spool-3", at(0))] {
            let source = SourceId(source.into());
            assert_eq!(store.position(&source).await, Ok(position));
        }
    });
}

/// What one of several instances does in a round.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// How many clicks it has at most.
    size: usize,
    /// Whether the batch is given again, at the same time, to another instance.
    twice: bool,
    /// Whether it is given again later, as if the answer had been lost.
    again: bool,
    /// Whether the instance is started anew before.
    restart: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    (1_usize..40, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(size, twice, again, restart)| Turn {
            size,
            twice,
            again,
            restart,
        },
    )
}

/// However many instances count at the same time, each from a source of its own, and are started anew
/// and give again what was counted, everything is counted once.
pub(crate) fn instances_count_together_as_the_model<E: Engine>() {
    let sources = prop::collection::vec(prop::collection::vec(click(), 0..120), 1..4);
    let turns = prop::collection::vec(turn(), 1..8);
    check(E::CASES / 2, (sources, turns), |(sources, turns)| {
        runtime().block_on(async {
            let engine = E::fresh();
            let mut stores = Vec::new();
            for _ in &sources {
                stores.push(engine.open(Keep::days(30)).await);
            }
            let mut done = vec![0_usize; sources.len()];
            for (round, _) in (0..200).zip(turns.iter().cycle()) {
                let mut adding = Vec::new();
                for (number, clicks) in sources.iter().enumerate() {
                    let turn = turns[(round + number) % turns.len()];
                    if turn.restart {
                        stores[number] = engine.open(Keep::days(30)).await;
                    }
                    let from = done[number];
                    let to = clicks.len().min(from + turn.size);
                    if from == to {
                        continue;
                    }
                    done[number] = to;
                    let name = format!("spool-{number}");
                    let batch = batch_of(&name, at(from as u64), at(to as u64), &clicks[from..to]);
                    let own = Arc::clone(&stores[number]);
                    let other = Arc::clone(&stores[(number + 1) % stores.len()]);
                    adding.push(async move {
                        let both = if turn.twice {
                            join_all([own.add(batch.clone()), other.add(batch.clone())]).await
                        } else {
                            vec![own.add(batch.clone()).await]
                        };
                        let counted = both.iter().filter(|one| **one == Ok(Added::Counted));
                        assert_eq!(counted.count(), 1, "{both:?}");
                        if turn.again {
                            let (to, added) = (batch.to, own.add(batch).await);
                            assert_eq!(added, Ok(Added::Elsewhere(to)));
                        }
                    });
                }
                if adding.is_empty() {
                    break;
                }
                join_all(adding).await;
            }
            let store = engine.open(Keep::days(30)).await;
            let mut all = Vec::new();
            for (number, clicks) in sources.iter().enumerate() {
                let position = store
                    .position(&SourceId(format!("spool-{number}").into()))
                    .await;
                prop_assert_eq!(position, Ok(at(clicks.len() as u64)));
                all.extend(clicks.iter().cloned());
            }
            for (scope, bucket) in [
                (Scope::Everything, Bucket::Day),
                (Scope::Everything, Bucket::Hour),
                (Scope::Orphans, Bucket::Hour),
                (Scope::Domain("go.example".into()), Bucket::Hour),
                (Scope::Link(link("s.example", "x")), Bucket::Day),
                (Scope::Link(link("s.example", "x")), Bucket::Hour),
            ] {
                let query = Query {
                    bucket,
                    by: vec![Dimension::Link, Dimension::Country, Dimension::Bot],
                    scope,
                    compare: true,
                    ..everything()
                };
                let answer = store.statistics(query.clone()).await.unwrap();
                prop_assert_eq!(answer, model::statistics(&all, &query), "{:?}", query);
            }
            let listed: BTreeSet<ClickId> = raw(&*store, Scope::Everything)
                .await
                .into_iter()
                .map(|one| one.click.id)
                .collect();
            let expected: BTreeSet<ClickId> = all
                .iter()
                .filter(|one| model::in_scope(one, &Scope::Everything))
                .map(|one| one.click.id)
                .collect();
            prop_assert_eq!(listed, expected);
            Ok(())
        })
    });
}

/// All of them have clicks for the same roll-ups all the time.
pub(crate) fn instances_that_count_the_same_links_at_once_lose_nothing<E: Engine>() {
    const INSTANCES: u64 = 3;
    const BATCHES: u64 = 15;
    threads().block_on(async {
        let engine = E::fresh();
        let clicks: Vec<EnrichedClick> = (0..40)
            .map(|number| {
                let mut one = one_click(["x", "y"][number % 2], NOW);
                one.click.visitor = Some(number as u64);
                one
            })
            .collect();
        let mut counting = Vec::new();
        for number in 0..INSTANCES {
            let (store, clicks) = (engine.open(Keep::days(30)).await, clicks.clone());
            counting.push(tokio::spawn(async move {
                for step in 0..BATCHES {
                    let source = format!("spool-{number}");
                    let batch = batch_of(&source, at(step), at(step + 1), &clicks);
                    assert_eq!(store.add(batch).await, Ok(Added::Counted));
                }
            }));
        }
        for one in join_all(counting).await {
            one.unwrap();
        }
        let store = engine.open(Keep::days(30)).await;
        let expected = INSTANCES * BATCHES * 40;
        let hour = UnixMillis::from_millis(NOW);
        let hour = Period::new(hour, hour.saturating_add(Duration::from_secs(3_600)));
        // Days and hours are counted apart.
        for period in [everything().period, hour.unwrap()] {
            let query = Query {
                by: vec![Dimension::Link],
                period,
                ..everything()
            };
            let answer = store.statistics(query).await.unwrap();
            assert_eq!((answer.total, answer.unique), (expected, Some(40)));
            let of_links: Vec<u64> = answer.by[0].values.iter().map(|one| one.clicks).collect();
            assert_eq!(of_links, [expected / 2, expected / 2]);
        }
        assert_eq!(raw(&*store, Scope::Everything).await.len() as u64, expected);
    });
}

pub(crate) fn many_values_of_a_dimension_are_bounded_and_none_is_lost<E: Engine>() {
    runtime().block_on(async {
        let engine = E::fresh();
        let store = engine.open(Keep::days(30)).await;
        let clicks: Vec<EnrichedClick> = (0..2_500)
            .map(|number| {
                let mut one = one_click("x", NOW - (number % 3) * HOUR);
                let value = format!("campaign-{number}");
                one.values.set(Dimension::UtmCampaign, Some(value.into()));
                one
            })
            .collect();
        let mut position = Position::default();
        for part in clicks.chunks(700) {
            let to = at(position.offset + part.len() as u64);
            store.add(batch(position, to, part)).await.unwrap();
            position = to;
        }
        let answer: Statistics = store
            .statistics(Query {
                by: vec![Dimension::UtmCampaign],
                top: 10_000,
                ..everything()
            })
            .await
            .unwrap();
        let values = &answer.by[0].values;
        assert_eq!(answer.total, 2_500);
        assert_eq!(values.iter().map(|one| one.clicks).sum::<u64>(), 2_500);
        assert_eq!(values.len(), 1_001, "a thousand, and all others");
        assert_eq!(values.last().unwrap().value, Value::Other);
        // Single clicks still tell them.
        let filters = ["utm_campaign=campaign-2499", "browser=(none)"];
        let one: Vec<Filter> = filters.iter().map(|one| one.parse().unwrap()).collect();
        let browser = clicks[0].value(Dimension::Browser);
        let answer = store
            .statistics(Query {
                filters: vec![
                    one[0].clone(),
                    Filter {
                        value: browser,
                        ..one[1].clone()
                    },
                ],
                ..everything()
            })
            .await;
        assert_eq!(answer.unwrap().total, 1);
    });
}
