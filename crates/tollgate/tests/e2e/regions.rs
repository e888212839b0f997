//! Regions with limits of their own and a budget together.

use serde_json::json;

use crate::client::Client;
use crate::private_redis::PrivateRedis;
use crate::server::{Options, Server, eventually, new_home};

/// A year: no window ends while a test runs.
const POLICIES: &str = "
domain: shop
descriptors:
  - {key: user, rate_limit: {unit: year, requests_per_unit: 8, global_budget: 12}}
";

/// One with a Redis for its limits, and perhaps one for budgets. A loaded machine keeps the deadlines.
fn start(own: &PrivateRedis, global: Option<&PrivateRedis>) -> Server {
    let home = new_home();
    let policies = home.path().join("limits.yaml");
    std::fs::write(&policies, POLICIES).unwrap();
    let store = global.map(PrivateRedis::url).unwrap_or_default();
    let options = Options::default().config(&format!(
        "[limits]\nstore = {:?}\npolicies = {policies:?}\ndeadline = \"10s\"\n\
         [limits.global]\nstore = {store:?}\nevery = \"50ms\"\ndeadline = \"10s\"\n",
        own.url()
    ));
    options.start_in(&home)
}

/// What is decided about some hits.
fn ask(client: &Client, value: &str, hits: u64) -> serde_json::Value {
    let descriptors = json!([[{"key": "user", "value": value}]]);
    let body = json!({"domain": "shop", "hits": hits, "descriptors": descriptors});
    let answer = client.api_json("POST", "/api/v1/limits/check", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// How many of ten pass.
fn of_ten(client: &Client, value: &str) -> usize {
    let passes = |_: &usize| ask(client, value, 1)["allowed"] == true;
    (0..10).filter(passes).count()
}

fn remaining(client: &Client, value: &str) -> u64 {
    let answer = ask(client, value, 0);
    answer["statuses"][0]["remaining"].as_u64().unwrap()
}

#[test]
fn two_regions_spend_a_budget_and_go_on_without_each_other() {
    let (regions, mut global) = (
        [(); 2].map(|()| PrivateRedis::start()),
        PrivateRedis::start(),
    );
    let servers = [0, 1].map(|at: usize| start(&regions[at], Some(&global)));
    let [one, other] = [0, 1].map(|at: usize| servers[at].client());
    assert_eq!(of_ten(&one, "a"), 8);
    eventually("the other region is told", || {
        (remaining(&other, "a") == 4).then_some(())
    });
    assert_eq!(of_ten(&other, "a"), 4);
    let refused = ask(&other, "a", 1);
    let status = &refused["statuses"][0];
    assert_eq!(
        (&status["limit"], &status["remaining"]),
        (&json!(12), &json!(0))
    );
    eventually("both know that it is used up", || {
        (ask(&one, "a", 1)["statuses"][0]["limit"] == 12).then_some(())
    });
    let metric = |at: usize, name: &str| servers[at].client().metric(name);
    assert!(metric(1, "tollgate_limits_budget_refused_total") > 0.0);
    assert!(metric(0, "tollgate_limits_budget_keys") >= 1.0);

    global.kill();
    assert_eq!(
        [of_ten(&one, "b"), of_ten(&other, "b")],
        [8, 8],
        "each its own limit"
    );
    eventually("it is known to be away", || {
        (metric(0, "tollgate_limits_budget_away") == 1.0).then_some(())
    });
    assert!(metric(0, "tollgate_limits_budget_failures_total") > 0.0);
    global.restart();
    eventually("it is back", || {
        (metric(0, "tollgate_limits_budget_away") == 0.0).then_some(())
    });
    assert_eq!(of_ten(&one, "c"), 8);
    eventually("the other region is told again", || {
        (remaining(&other, "c") == 4).then_some(())
    });
}

#[test]
fn what_was_let_through_is_told_at_the_end() {
    let (regions, global) = (
        [(); 2].map(|()| PrivateRedis::start()),
        PrivateRedis::start(),
    );
    let one = start(&regions[0], Some(&global));
    assert_eq!(of_ten(&one.client(), "a"), 8);
    one.stop();
    let other = start(&regions[1], Some(&global));
    let client = other.client();
    eventually("it is told", || {
        (remaining(&client, "a") == 4).then_some(())
    });
}

#[test]
fn a_budget_that_is_not_enforced_is_told_in_the_log() {
    let region = PrivateRedis::start();
    let server = start(&region, None);
    assert_eq!(of_ten(&server.client(), "a"), 8);
    eventually("a warning", || {
        server
            .log()
            .contains("a global_budget, which is not enforced")
            .then_some(())
    });
}
