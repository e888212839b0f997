//! Plans that can be checked on the back of an envelope, to the digits that one would write there.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use tollgate_plan::{
    Assumption as A, Assumptions, Origin, Output as O, Plan, Strategy, WarningKind, birthday_odds,
};

fn plan(given: &[(A, &str)]) -> Plan {
    Plan::new(assumptions(given)).unwrap()
}

fn assumptions(given: &[(A, &str)]) -> Assumptions {
    let mut all = Assumptions::new();
    for (assumption, text) in given {
        all.set(assumption.parse(text).unwrap(), Origin::Given);
    }
    all
}

/// Compares a result with a number of so many digits.
#[track_caller]
fn is(plan: &Plan, output: O, digits: usize, expected: f64) {
    let value = plan.value(output);
    let rounded = |value: f64| format!("{value:.*e}", digits - 1);
    assert_eq!(rounded(value), rounded(expected), "{output:?} is {value}");
}

fn warned(plan: &Plan, kind: WarningKind) -> Option<&str> {
    let found = plan.warnings().iter().find(|warning| warning.kind == kind);
    found.map(|warning| &*warning.message)
}

#[test]
fn two_hundred_writes_a_second_for_five_years() {
    let given = [
        (A::WritesPerSecond, "200"),
        (A::Retention, "5y"),
        (A::RecordSize, "500B"),
        (A::IndexFactor, "1.5"),
        (A::Replication, "3"),
        (A::ReadWriteRatio, "100:1"),
        (A::Peak, "5"),
        (A::ResponseSize, "100B"),
    ];
    let plan = plan(&given);
    is(&plan, O::Records, 3, 31.5e9);
    is(&plan, O::ReadsPerSecond, 5, 20_000.0);
    is(&plan, O::PeakReadsPerSecond, 6, 100_000.0);
    is(&plan, O::PeakWritesPerSecond, 4, 1_000.0);
    is(&plan, O::OutBits, 2, 16e6);
    assert_eq!(plan.value(O::Records), 31.536e9);
    assert_eq!(plan.value(O::StorageBytes), 15.768e12);
    assert_eq!(plan.value(O::BytesWithIndexes), 1.5 * 15.768e12);
    assert_eq!(plan.value(O::BytesReplicated), 3.0 * 1.5 * 15.768e12);
    let bytes = plan.get(O::StorageBytes).unwrap();
    assert_eq!(
        bytes.output.unit().show(bytes.value),
        "15.77 TB (14.34 TiB)"
    );
    assert_eq!(bytes.formula, "records × record_size");
    assert_eq!(bytes.calculation, "31,536,000,000 × 500 B");
}

/// On envelopes, 31.5 billion are multiplied on, without the days behind the point.
#[test]
fn thirty_one_and_a_half_billion_links_take_15_75_terabytes() {
    let given = [(A::WritesPerSecond, "200"), (A::Retention, "157500000s")];
    let plan = plan(&given);
    assert_eq!(plan.value(O::Records), 31.5e9);
    assert_eq!(plan.value(O::StorageBytes), 15.75e12);
    assert_eq!(plan.value(O::BytesWithIndexes), 23.625e12);
    assert_eq!(plan.value(O::BytesReplicated), 70.875e12);
}

#[test]
fn ten_million_users() {
    let given = [
        (A::Dau, "10M"),
        (A::CreateShare, "1%"),
        (A::ClickShare, "50%"),
        (A::Peak, "10"),
        (A::RequestSize, "500B"),
        (A::ResponseSize, "200B"),
    ];
    let small = plan(&given);
    is(&small, O::WritesPerSecond, 2, 1.2);
    is(&small, O::ReadsPerSecond, 2, 58.0);
    is(&small, O::PeakWritesPerSecond, 2, 12.0);
    is(&small, O::PeakReadsPerSecond, 2, 580.0);
    is(&small, O::PeakInBits, 1, 0.05e6);
    is(&small, O::PeakOutBits, 1, 0.9e6);
    assert!(warned(&small, WarningKind::OneMachine).is_some());

    let mut more = given;
    more[0] = (A::Dau, "1000M");
    let large = plan(&more);
    for output in [
        O::WritesPerSecond,
        O::ReadsPerSecond,
        O::PeakReadsPerSecond,
        O::Records,
        O::BytesReplicated,
        O::PeakOutBits,
        O::HotLinks,
    ] {
        let ratio = large.value(output) / small.value(output);
        assert!((ratio - 100.0).abs() < 1e-9, "{output:?}: {ratio}");
    }
    assert_eq!(warned(&large, WarningKind::OneMachine), None);
}

#[test]
fn the_hot_set_of_two_hundred_writes_a_second() {
    let given = [
        (A::WritesPerSecond, "200"),
        (A::HotWindow, "30d"),
        (A::HotShare, "20%"),
        (A::RecordSize, "500B"),
    ];
    let plan = plan(&given);
    is(&plan, O::WindowLinks, 3, 518e6);
    is(&plan, O::HotLinks, 1, 100e6);
    is(&plan, O::MemoryBytes, 1, 50e9);
    let sets = plan.hot_sets();
    assert_eq!(
        sets.iter().map(|set| set.days).collect::<Vec<_>>(),
        [1, 7, 30, 90, 365]
    );
    assert_eq!(
        sets.iter().map(|set| set.links).collect::<Vec<_>>(),
        [17.28e6, 120.96e6, 518.4e6, 1_555.2e6, 6_307.2e6]
    );
    assert_eq!(sets[2].hot_links, plan.value(O::HotLinks));
    assert_eq!(sets[2].bytes, 51.84e9);
    assert!(
        warned(&plan, WarningKind::HotSet)
            .unwrap()
            .contains("51.84 GB")
    );
}

#[test]
fn misses_need_replicas() {
    let given = [
        (A::ReadsPerSecond, "5800"),
        (A::Peak, "10"),
        (A::HitRate, "90%"),
        (A::ReplicaQueries, "100/s"),
    ];
    let most = plan(&given);
    assert_eq!(most.value(O::PeakReadsPerSecond), 58_000.0);
    is(&most, O::StoreReadsPerSecond, 2, 5_800.0);
    is(&most, O::Replicas, 1, 60.0);
    assert_eq!(most.value(O::Replicas), 58.0);
    is(&most, O::HitRateForFewReplicas, 4, 0.9897);
    let told = warned(&most, WarningKind::HitRate).unwrap();
    assert!(
        told.contains("58 replicas") && told.contains("98.97 %"),
        "{told}"
    );

    let mut better = given;
    better[2] = (A::HitRate, "98.9656%");
    let few = plan(&better);
    assert_eq!(few.value(O::Replicas), 6.0);
    assert_eq!(warned(&few, WarningKind::HitRate), None);
}

#[test]
fn redis_nodes_by_look_ups_and_by_memory() {
    let given = [(A::ReadsPerSecond, "58000"), (A::Peak, "10")];
    let plan_of = |more: &[(A, &str)]| plan(&[&given[..], more].concat());
    let by_look_ups = plan_of(&[]);
    assert_eq!(by_look_ups.value(O::PeakReadsPerSecond), 580_000.0);
    assert_eq!(by_look_ups.value(O::RedisNodesLeast), 3.0);
    assert_eq!(by_look_ups.value(O::RedisNodesMost), 6.0);
    is(&by_look_ups, O::MemoryBytes, 4, 150.3e9);
    assert_eq!(by_look_ups.value(O::RedisNodesForMemory), 5.0);
    assert_eq!(by_look_ups.value(O::RedisNodes), 6.0);
    assert_eq!(by_look_ups.value(O::RedisServers), 12.0);
    let by_memory = plan_of(&[(A::RedisMemory, "10GB")]);
    assert_eq!(by_memory.value(O::RedisNodesMost), 6.0);
    assert_eq!(by_memory.value(O::RedisNodes), 16.0);
}

#[test]
fn a_hundred_thousand_links_a_day() {
    let given = [
        (A::WritesPerSecond, "100000/d"),
        (A::RecordSize, "500B"),
        (A::Retention, "10y"),
    ];
    let plan = plan(&given);
    is(&plan, O::RecordsPerDay, 9, 100_000.0);
    is(&plan, O::BytesPerDay, 2, 50e6);
    is(&plan, O::BytesPerYear, 2, 18e9);
    is(&plan, O::StorageBytes, 2, 180e9);
}

#[test]
fn the_birthday_bound() {
    let hex = plan(&[(A::CodeAlphabet, "16"), (A::CodeLength, "6")]);
    assert_eq!(hex.value(O::Keyspace), 16_777_216.0);
    is(&hex, O::EvenOddsCodes, 2, 4_800.0);
    is(&hex, O::ExpectedFirstClash, 1, 5_000.0);
    let even = birthday_odds(hex.value(O::EvenOddsCodes), hex.value(O::Keyspace));
    assert!((even - 0.5).abs() < 1e-3, "{even}");
    let six = plan(&[(A::CodeLength, "6")]);
    is(&six, O::Keyspace, 3, 56.8e9);
    let seven = plan(&[]);
    is(&seven, O::Keyspace, 3, 3.52e12);
}

#[test]
fn codes_that_are_too_short_are_told() {
    let given = [(A::WritesPerSecond, "200"), (A::CodeLength, "6")];
    let short = plan(&given);
    let told = warned(&short, WarningKind::CodesRunOut).unwrap();
    assert!(
        told.contains("9.006 years") && told.contains("7 characters"),
        "{told}"
    );
    let long = plan(&[(A::WritesPerSecond, "200"), (A::CodeLength, "7")]);
    assert_eq!(warned(&long, WarningKind::CodesRunOut), None);
    assert_eq!(warned(&long, WarningKind::CodesClash), None);

    let mut drawn = assumptions(&[(A::WritesPerSecond, "200")]);
    drawn.strategy = Strategy::Random;
    let drawn = Plan::new(drawn).unwrap();
    let told = warned(&drawn, WarningKind::CodesClash).unwrap();
    // The square root of 2 ln 2 × 62^7, at 200 a second.
    assert!(
        told.contains("2.21 million") && told.contains("3.069 h"),
        "{told}"
    );
    assert!(told.contains("12 characters"), "{told}");

    let mut by_time = Assumptions::new();
    by_time.strategy = Strategy::Snowflake;
    let by_time = Plan::new(by_time).unwrap();
    let told = warned(&by_time, WarningKind::CodesTooShortForStrategy).unwrap();
    assert!(told.contains("11 characters"), "{told}");
}

#[test]
fn reads_and_writes_follow_from_each_other() {
    for (given, writes, reads) in [
        (&[(A::WritesPerSecond, "20")][..], 20.0, 2_000.0),
        (
            &[(A::WritesPerSecond, "20"), (A::ReadShare, "90%")],
            20.0,
            180.0,
        ),
        (
            &[(A::WritesPerSecond, "20"), (A::ReadsPerSecond, "50")],
            20.0,
            50.0,
        ),
        (&[(A::ReadsPerSecond, "500")], 5.0, 500.0),
        (
            &[(A::ReadsPerSecond, "90"), (A::ReadShare, "90%")],
            10.0,
            90.0,
        ),
        (&[(A::Dau, "864000"), (A::ReadWriteRatio, "20")], 0.1, 2.0),
        (&[(A::Dau, "864000"), (A::ReadsPerSecond, "20")], 0.1, 20.0),
    ] {
        let plan = plan(given);
        let is_near = |output, expected: f64| (plan.value(output) - expected).abs() < 1e-9;
        assert!(is_near(O::WritesPerSecond, writes), "{given:?}");
        assert!(is_near(O::ReadsPerSecond, reads), "{given:?}");
    }
}

#[test]
fn shards_and_their_servers() {
    let plan = plan(&[(A::WritesPerSecond, "200"), (A::ShardStorage, "1TB")]);
    assert_eq!(plan.value(O::Shards), 24.0);
    // 100,000 reads at peak, a tenth of them missed: 100 replicas, 5 for each shard.
    assert_eq!(plan.value(O::Replicas), 100.0);
    assert_eq!(plan.value(O::StoreServers), 24.0 * 6.0);
    assert!(
        warned(&plan, WarningKind::Shards)
            .unwrap()
            .contains("24 shards")
    );
    assert!(warned(&plan, WarningKind::Clicks).is_none());
}

#[test]
fn clicks_that_come_too_fast_are_told() {
    let plan = plan(&[(A::ReadsPerSecond, "40000"), (A::ClickRetention, "365d")]);
    let told = warned(&plan, WarningKind::Counting).unwrap();
    assert!(
        told.contains("40,000/s") && told.contains("32,701/s"),
        "{told}"
    );
    assert_eq!(plan.value(O::KafkaPartitions), 7.0);
    assert!(warned(&plan, WarningKind::Clicks).is_some());
}

#[test]
fn cost_is_there_by_the_prices_that_are_given() {
    let base = [(A::WritesPerSecond, "200")];
    assert!(plan(&base).get(O::TotalCost).is_none());
    let priced = [
        (A::WritesPerSecond, "200"),
        (A::StorePrice, "100"),
        (A::TrafficPrice, "0.05"),
        (A::ResponseSize, "100B"),
    ];
    let plan = plan(&priced);
    assert_eq!(plan.value(O::StoreCost), 144.0 * 100.0);
    // 20,000 × 100 B × 30 days = 5,184 GB.
    assert!((plan.value(O::TrafficCost) - 259.2).abs() < 1e-9);
    assert!((plan.value(O::TotalCost) - 14_659.2).abs() < 1e-9);
    assert_eq!(
        plan.get(O::TotalCost).unwrap().formula,
        "store_cost + traffic_cost"
    );
    assert!(plan.get(O::RedisCost).is_none());
}

#[test]
fn every_result_has_its_formula_and_assumptions() {
    let plan = plan(&[(A::InstancePrice, "1")]);
    for quantity in plan.quantities() {
        assert!(quantity.value.is_finite(), "{quantity:?}");
        assert!(!quantity.formula.is_empty(), "{quantity:?}");
        assert!(!quantity.calculation.contains("NaN"), "{quantity:?}");
        assert!(!quantity.assumptions.is_empty(), "{quantity:?}");
    }
    let replicas = plan.get(O::Replicas).unwrap();
    let names: Vec<&str> = replicas.assumptions.iter().map(|one| one.name()).collect();
    assert_eq!(
        names,
        [
            "dau",
            "click_share",
            "peak",
            "hit_rate",
            "replica_queries",
            "utilisation"
        ]
    );
}

#[test]
fn the_plan_as_json_has_an_object_for_each_section() {
    let plan = plan(&[(A::WritesPerSecond, "200")]);
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["throughput"]["writes_per_second"], 200);
    assert_eq!(json["throughput"]["reads_per_second"], 20_000);
    assert_eq!(json["throughput"]["peak_writes_per_second"], 1_000);
    assert_eq!(json["throughput"]["peak_reads_per_second"], 100_000);
    assert_eq!(json["storage"]["records"], 31_536_000_000_u64);
    assert_eq!(json["storage"]["bytes"], 15_768_000_000_000_u64);
    assert_eq!(
        json["storage"]["bytes_with_indexes"],
        23_652_000_000_000_u64
    );
    assert_eq!(json["storage"]["bytes_replicated"], 70_956_000_000_000_u64);
    for key in ["in_bits_per_second", "out_bits_per_second"] {
        assert!(json["bandwidth"][key].is_number(), "{key}");
    }
    assert_eq!(json["memory"]["hot_links"], 103_680_000);
    assert_eq!(json["memory"]["bytes"], 51_840_000_000_u64);
    assert_eq!(json["memory"]["hot_sets"][0]["days"], 1);
    assert_eq!(json["machines"]["instances"], 1);
    assert_eq!(json["results"][0]["name"], "throughput.writes_per_second");
    assert_eq!(json["results"][1]["calculation"], "200/s × 100");
    assert_eq!(json["assumptions"][0]["origin"], "given");
    assert!(json["machine"].as_str().unwrap().contains("EPYC"));
    assert_eq!(json.get("cost"), None);
}
