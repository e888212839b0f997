//! Policies that change while they are in force.

use tollgate_limit::policy::Descriptor;

use crate::bench::Bench;

fn policies(limit: u64, before: &str) -> String {
    format!(
        "domain: d\ndescriptors:\n{before}  - key: k\n    rate_limit: \
         {{unit: day, requests_per_unit: {limit}}}\n"
    )
}

#[test]
fn counters_and_statistics_stay() {
    let bench = Bench::new(&policies(5, ""));
    let descriptor = Descriptor::of([("k", "v")]);
    assert_eq!(bench.passing("d", &descriptor), 5);
    let before = "  - key: other\n    rate_limit: {unit: day, requests_per_unit: 1}\n";
    bench
        .service
        .reload("limits.yaml", &policies(8, before))
        .unwrap();
    assert_eq!(bench.passing("d", &descriptor), 3);
    let stats = bench.service.stats();
    let paths: Vec<_> = stats.rules.iter().map(|one| &*one.rule.path).collect();
    assert_eq!(paths, ["other", "k", "^request"]);
    assert_eq!((stats.rules[1].allowed, stats.rules[1].denied), (8, 2));
    assert_eq!(stats.rules[0].allowed, 0);
}

#[test]
fn a_bad_file_leaves_the_old_one_in_force() {
    let bench = Bench::new(&policies(5, ""));
    for bad in [
        "",
        "domain: d\ndescriptors: [{key: k, rate_limit: {unit: day}}]\n",
    ] {
        let error = bench.service.reload("new.yaml", bad).unwrap_err();
        assert_eq!(error.file, "new.yaml");
    }
    assert_eq!(bench.passing("d", &Descriptor::of([("k", "v")])), 5);
}
