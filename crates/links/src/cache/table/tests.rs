use std::collections::HashMap;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::cache::tests::link as plain;
use crate::{Rule, Tag, TargetUrl};

const TIMES: Times = Times {
    fresh_until: 0,
    took: 0,
};

fn link(code: &str, target_bytes: usize, has_rules: bool) -> Arc<Link> {
    let mut link = plain(code);
    let mut target = link.spec.target.as_str().to_owned();
    target.extend(std::iter::repeat_n(
        'x',
        target_bytes.saturating_sub(target.len()),
    ));
    link.spec.target = TargetUrl::from_stored(target);
    link.spec.tags = vec![Tag::from_stored("tag")];
    if has_rules {
        link.spec.max_clicks = std::num::NonZeroU64::new(1);
    }
    Arc::new(link)
}

/// What is done to a table, and to a map beside it.
#[derive(Debug, Clone)]
enum Act {
    Keep(u16, Option<(usize, bool)>),
    Forget(u16),
    Get(u16),
    Claim(u16),
    Clear,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let name = || 0..400_u16;
    let length = prop_oneof![4 => 30..300_usize, 1 => 300..8_000_usize];
    let link = proptest::option::weighted(0.8, (length, proptest::bool::weighted(0.3)));
    let act = prop_oneof![
        60 => (name(), link).prop_map(|(name, link)| Act::Keep(name, link)),
        10 => name().prop_map(Act::Forget),
        30 => name().prop_map(Act::Get),
        5 => name().prop_map(Act::Claim),
        1 => Just(Act::Clear),
    ];
    proptest::collection::vec(act, 1..3_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_found_is_what_was_kept_last(acts in acts(), kibibytes in 64..512_u64) {
        let table = Table::new(kibibytes << 10);
        let mut model: HashMap<u16, Option<Arc<Link>>> = HashMap::new();
        for act in acts {
            match act {
                Act::Keep(n, draft) => {
                    let code = format!("c{n}");
                    let link = draft.map(|(bytes, rules)| link(&code, bytes, rules));
                    let times = Times { fresh_until: u64::from(n) * 1_000, took: 0 };
                    table.keep("", &code, times, link.as_ref());
                    model.insert(n, link);
                }
                Act::Forget(n) => {
                    table.forget("", &format!("c{n}"));
                    model.remove(&n);
                }
                Act::Get(n) => {
                    let Some(kept) = table.get("", &format!("c{n}")) else { continue };
                    let Some(known) = model.get(&n) else {
                        return Err(TestCaseError::fail("it was forgotten"));
                    };
                    prop_assert_eq!(kept.times.fresh_until, u64::from(n) * 1_000);
                    prop_assert_eq!(kept.link.is_some(), known.is_some());
                    if let (Some(kept), Some(known)) = (kept.link, known) {
                        prop_assert_eq!(kept.target(), known.spec.target.as_str());
                        prop_assert_eq!(kept.is_counted(), known.spec.max_clicks.is_some());
                    }
                }
                Act::Claim(n) => {
                    let code = format!("c{n}");
                    if table.claim("", &code) {
                        prop_assert!(!table.claim("", &code));
                        table.unclaim("", &code);
                        prop_assert!(table.claim("", &code));
                    }
                }
                Act::Clear => {
                    table.clear();
                    model.clear();
                    prop_assert_eq!(table.size().0, 0);
                }
            }
            let (entries, bytes) = table.size();
            prop_assert!(entries <= model.len() as u64);
            prop_assert!(bytes <= kibibytes << 10, "{} of {} KiB", bytes, kibibytes);
            for shard in &table.shards {
                shard.read().check();
            }
        }
    }
}

#[test]
fn a_name_without_room_is_not_remembered_and_what_was_known_is_forgotten() {
    let table = Table::new(64 << 10);
    table.keep("", "a", TIMES, Some(&link("a", 30, false)));
    assert!(table.get("", "a").is_some());
    // Longer than a segment, as no target is that is checked.
    table.keep("", "a", TIMES, Some(&link("a", 40_000, false)));
    assert!(table.get("", "a").is_none());
    table.keep("", "a", TIMES, Some(&link("a", 40_000, true)));
    assert!(table.get("", "a").is_none());
    assert_eq!(table.size().0, 0);
    let none = Table::new(0);
    none.keep("", "a", TIMES, None);
    assert!(none.get("", "a").is_none());
}

#[test]
fn a_link_of_many_long_rules_is_remembered_and_does_not_push_all_others_out() {
    let with_rules = |code: &str, rules: usize| {
        let mut link = (*link(code, 100, false)).clone();
        let rule = Rule {
            conditions: Vec::new(),
            target: "x".repeat(4_000),
        };
        link.spec.rules = vec![rule; rules];
        Arc::new(link)
    };
    // One shard.
    let table = Table::new(1 << 20);
    for n in 0..1_000 {
        let code = format!("c{n}");
        table.keep("", &code, TIMES, Some(&link(&code, 100, false)));
    }
    let before = table.size();
    table.keep("", "many", TIMES, Some(&with_rules("many", 50)));
    let kept = table.get("", "many").unwrap().link.unwrap();
    assert_eq!(kept.whole().unwrap().spec.rules.len(), 50);
    assert_eq!(table.size().0, before.0 + 1);
    assert!(table.size().1 > before.1 + 200_000);
    // A quarter of the room is the most.
    table.keep("", "more", TIMES, Some(&with_rules("more", 70)));
    assert!(table.get("", "more").is_none());
    assert_eq!(table.size().0, before.0 + 1);
}

#[test]
fn a_link_that_was_asked_for_keeps_its_place_when_it_is_read_again() {
    for has_rules in [false, true] {
        let table = Table::new(1 << 20);
        let scan = |name: &str| {
            for n in 0..20_000 {
                let code = format!("{name}{n}");
                table.keep("", &code, TIMES, Some(&link(&code, 100, false)));
            }
        };
        let hot = link("hot", 100, has_rules);
        table.keep("", "hot", TIMES, Some(&hot));
        assert!(table.get("", "hot").is_some());
        scan("a");
        table.keep("", "hot", TIMES, Some(&hot));
        // Nobody asks for it meanwhile: names that are asked for once push out others of their kind.
        scan("b");
        assert!(table.get("", "hot").is_some(), "{has_rules}");
    }
}

#[test]
fn names_on_two_domains_are_two() {
    let table = Table::new(1 << 20);
    table.keep("a.example", "b", TIMES, None);
    assert!(table.get("", "b").is_none() && table.get("b", "a.example").is_none());
    table.keep("", "b", TIMES, Some(&link("b", 30, false)));
    assert!(table.get("a.example", "b").unwrap().link.is_none());
    assert!(table.get("", "b").unwrap().link.is_some());
}

#[test]
fn a_link_that_is_read_again_takes_no_more_room() {
    let table = Table::new(8 << 20);
    let links: Vec<_> = (0..1_000)
        .map(|n| link(&format!("c{n}"), 100, n % 10 == 0))
        .collect();
    let keep_all = || {
        for link in &links {
            table.keep("", link.key.code.as_str(), TIMES, Some(link));
        }
        table.size()
    };
    let first = keep_all();
    assert_eq!(first.0, 1_000);
    for _ in 0..200 {
        let (entries, bytes) = keep_all();
        assert_eq!(entries, 1_000);
        // Those that are kept as they are leave records behind, which are cleaned in time.
        assert!(bytes < first.1 + (1 << 20), "{bytes} {first:?}");
    }
}

/// Numbers from 0 on, the first ones more often (Zipf's law with exponent 1).
fn zipf(names: usize, draws: usize, rng: &mut StdRng) -> Vec<usize> {
    let weights = (1..=names).map(|rank| 1.0 / rank as f64);
    let sums: Vec<f64> = weights
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect();
    let all = sums[names - 1];
    let draw = |_| {
        let at = rng.random::<f64>() * all;
        sums.partition_point(|sum| *sum < at).min(names - 1)
    };
    (0..draws).map(draw).collect()
}

/// The share of requests that found what they asked for, when what was missed is kept.
fn hits(table: &Table, requests: impl IntoIterator<Item = String>) -> f64 {
    let (mut hits, mut all) = (0, 0);
    for code in requests {
        all += 1;
        match table.get("", &code) {
            Some(_) => hits += 1,
            None => table.keep("", &code, TIMES, Some(&link(&code, 100, false))),
        }
    }
    f64::from(hits) / f64::from(all)
}

#[test]
fn what_is_followed_often_stays_also_through_a_scan() {
    let mut rng = StdRng::seed_from_u64(5);
    let table = Table::new(2 << 20);
    let name = |n: usize| format!("c{n:06}");
    // Room for about a seventh of the links.
    let links = 100_000;
    let warm_up = zipf(links, 200_000, &mut rng);
    hits(&table, warm_up.into_iter().map(name));
    let kept = table.size().0 as usize;
    assert!((10_000..20_000).contains(&kept), "{kept}");
    let requests = zipf(links, 100_000, &mut rng);
    // The best that can be done is to know those that are asked for most.
    let best = requests.iter().filter(|n| **n < kept).count() as f64 / requests.len() as f64;
    let found = hits(&table, requests.iter().copied().map(name));
    assert!(found > 0.95 * best, "{found} of at best {best}");
    // Beside as many requests for names that are asked for once.
    let mut scan = 0..;
    let among = requests.iter().flat_map(|n| {
        let other = format!("scan{}", scan.next().unwrap());
        [name(*n), other]
    });
    let found = 2.0 * hits(&table, among);
    assert!(found > 0.97 * best, "{found} of at best {best}");
}

#[test]
fn a_link_of_a_hundred_bytes_takes_little_more_than_its_texts() {
    let table = Table::new(1 << 30);
    let links = 300_000;
    for n in 0..links {
        let code = format!("{n:07}");
        table.keep("", &code, TIMES, Some(&link(&code, 100, false)));
    }
    let (entries, bytes) = table.size();
    assert_eq!(entries, links);
    let each = bytes as f64 / links as f64;
    assert!(each <= 1.3 * 107.0, "{each}");
}
