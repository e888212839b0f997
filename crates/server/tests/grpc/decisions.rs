use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3::HeaderValue;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::RateLimitOverride;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit,
};
use envoy_types::pb::envoy::r#type::v3::RateLimitUnit;
use envoy_types::pb::google::protobuf::UInt64Value;
use tollgate_server::grpc::GrpcOptions;

use crate::queue_places::places;
use crate::server::{Server, descriptor, request};

fn limit(name: &str, requests_per_unit: u32, unit: Unit) -> Option<RateLimit> {
    Some(RateLimit {
        name: name.to_owned(),
        requests_per_unit,
        unit: unit.into(),
    })
}

/// What is left, and how long until everything is.
fn left(status: &DescriptorStatus) -> (u32, Option<i64>) {
    let reset = status.duration_until_reset.as_ref();
    assert!(reset.is_none_or(|reset| reset.nanos == 0), "{status:?}");
    (status.limit_remaining, reset.map(|reset| reset.seconds))
}

fn text(headers: &[HeaderValue]) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|header| (header.key.as_str(), header.value.as_str()))
        .collect()
}

#[tokio::test]
async fn a_limit_is_used_up_and_comes_back() {
    let server = Server::start().await;
    server.clock.advance(Duration::from_secs(20));
    for remaining in [2, 1, 0] {
        let answer = server.one("user", "u1").await;
        assert_eq!(answer.overall_code(), Code::Ok);
        let [status] = &answer.statuses[..] else {
            panic!("{answer:?}")
        };
        assert_eq!(status.code(), Code::Ok);
        assert_eq!(status.current_limit, limit("per_user", 3, Unit::Minute));
        assert_eq!(left(status), (remaining, Some(40)));
        assert!(answer.response_headers_to_add.is_empty());
        assert!(answer.request_headers_to_add.is_empty());
    }
    let answer = server.one("user", "u1").await;
    assert_eq!(answer.overall_code(), Code::OverLimit);
    assert_eq!(answer.statuses[0].code(), Code::OverLimit);
    assert_eq!(left(&answer.statuses[0]), (0, Some(40)));
    assert!(answer.raw_body.is_empty());
    assert_eq!(server.one("user", "u2").await.overall_code(), Code::Ok);
    server.clock.advance(Duration::from_secs(40));
    assert_eq!(server.one("user", "u1").await.overall_code(), Code::Ok);
}

#[tokio::test]
async fn statuses_come_in_order_and_all_are_charged_or_none() {
    let server = Server::start().await;
    let both = request(&[
        descriptor(&[("user", "u1")]),
        descriptor(&[("nobody", "x")]),
        descriptor(&[("plan", "free")]),
        descriptor(&[("plan", "free"), ("user", "u1")]),
    ]);
    for _ in 0..2 {
        let answer = server.ask(both.clone()).await.unwrap();
        assert_eq!(answer.overall_code(), Code::Ok);
    }
    let answer = server.ask(both).await.unwrap();
    assert_eq!(answer.overall_code(), Code::OverLimit);
    let codes: Vec<Code> = answer.statuses.iter().map(DescriptorStatus::code).collect();
    assert_eq!(codes, [Code::Ok, Code::Ok, Code::OverLimit, Code::Ok]);
    let limits: Vec<_> = answer
        .statuses
        .iter()
        .map(|s| s.current_limit.clone())
        .collect();
    assert_eq!(
        limits,
        [
            limit("per_user", 3, Unit::Minute),
            None,
            limit("free", 2, Unit::Hour),
            limit("plan=free|user", 7, Unit::Week),
        ]
    );
    let remaining: Vec<u32> = answer.statuses.iter().map(|s| s.limit_remaining).collect();
    assert_eq!(
        remaining,
        [1, 0, 0, 5],
        "the refused request took something"
    );
}

#[tokio::test]
async fn what_no_rule_is_for_passes_without_a_limit() {
    let server = Server::start().await;
    let mut unknown = request(&[descriptor(&[("user", "u1")])]);
    unknown.domain = "elsewhere".to_owned();
    let unknown = server.ask(unknown).await.unwrap();
    for answer in [server.one("nobody", "x").await, unknown] {
        assert_eq!(answer.overall_code(), Code::Ok);
        assert_eq!(answer.statuses[0].code(), Code::Ok);
        assert_eq!(answer.statuses[0].current_limit, None);
        assert_eq!(left(&answer.statuses[0]), (0, None));
    }
}

#[tokio::test]
async fn no_limit_nothing_at_all_shadows_and_replaced_rules() {
    let server = Server::start().await;
    let answer = server.one("staff", "x").await;
    assert_eq!(answer.statuses[0].code(), Code::Ok);
    assert_eq!(answer.statuses[0].current_limit, None);
    assert_eq!(left(&answer.statuses[0]), (u32::MAX, None));

    let answer = server.one("banned", "x").await;
    assert_eq!(answer.overall_code(), Code::OverLimit);
    let status = &answer.statuses[0];
    assert_eq!(status.current_limit, limit("banned", 0, Unit::Day));
    assert_eq!(left(status), (0, None));

    for _ in 0..3 {
        let answer = server.one("watched", "x").await;
        assert_eq!(answer.overall_code(), Code::Ok);
        assert_eq!(answer.statuses[0].limit_remaining, 0);
    }

    let [user, vip] = [("user", "u9"), ("vip", "u9")].map(|entry| descriptor(&[entry]));
    let answer = server.ask(request(&[user, vip])).await.unwrap();
    assert_eq!(answer.statuses[0].code(), Code::Ok);
    assert_eq!(answer.statuses[0].current_limit, None);
    assert_eq!(answer.statuses[1].limit_remaining, 8);
}

#[tokio::test]
async fn a_window_that_is_no_unit_is_sent_as_unknown() {
    let server = Server::start().await;
    let answer = server.one("odd", "x").await;
    let status = &answer.statuses[0];
    assert_eq!(status.current_limit, limit("odd", 30, Unit::Unknown));
    assert_eq!(status.limit_remaining, 29);
}

#[tokio::test]
async fn hits_are_those_of_the_descriptor_or_else_of_the_request() {
    let server = Server::start().await;
    let asked = async |of_request: u32, of_descriptor: Option<u64>| {
        let mut one = descriptor(&[("user", "u1")]);
        one.hits_addend = of_descriptor.map(|value| UInt64Value { value });
        let mut request = request(&[one]);
        request.hits_addend = of_request;
        let answer = server.ask(request).await.unwrap();
        (answer.overall_code(), answer.statuses[0].limit_remaining)
    };
    assert_eq!(asked(0, Some(0)).await, (Code::Ok, 3), "a peek");
    assert_eq!(asked(0, None).await, (Code::Ok, 2), "0 means 1");
    assert_eq!(asked(3, None).await, (Code::OverLimit, 2), "too much");
    assert_eq!(asked(9, Some(1)).await, (Code::Ok, 1), "its own wins");
    assert_eq!(asked(1, None).await, (Code::Ok, 0));
    assert_eq!(asked(1, Some(0)).await, (Code::OverLimit, 0), "a peek");
    assert_eq!(asked(0, Some(1 << 53)).await.0, Code::OverLimit);
}

#[tokio::test]
async fn a_limit_that_the_request_brings_wins() {
    let server = Server::start().await;
    let bringing = |requests_per_unit, unit: RateLimitUnit| {
        let mut one = descriptor(&[("user", "u1")]);
        one.limit = Some(RateLimitOverride {
            requests_per_unit,
            unit: unit.into(),
        });
        request(&[one])
    };
    for (code, remaining) in [(Code::Ok, 1), (Code::Ok, 0), (Code::OverLimit, 0)] {
        let answer = server.ask(bringing(2, RateLimitUnit::Hour)).await.unwrap();
        assert_eq!(answer.overall_code(), code);
        let limit = answer.statuses[0].current_limit.clone().unwrap();
        assert_eq!((limit.requests_per_unit, limit.unit()), (2, Unit::Hour));
        assert_eq!(answer.statuses[0].limit_remaining, remaining);
    }
    // It counts apart from the rule, and 0 lets nothing through.
    assert_eq!(
        server.one("user", "u1").await.statuses[0].limit_remaining,
        2
    );
    let answer = server.ask(bringing(0, RateLimitUnit::Day)).await.unwrap();
    assert_eq!(answer.overall_code(), Code::OverLimit);
    // In a domain that nobody knows nothing is limited.
    let mut elsewhere = bringing(0, RateLimitUnit::Day);
    elsewhere.domain = "elsewhere".to_owned();
    let answer = server.ask(elsewhere).await.unwrap();
    assert_eq!(answer.overall_code(), Code::Ok);
    assert_eq!(answer.statuses[0].current_limit, None);
}

#[tokio::test]
async fn headers_are_sent_if_they_are_asked_for() {
    let server = Server::with(GrpcOptions {
        headers: true,
        ..GrpcOptions::default()
    })
    .await;
    let asked = async || {
        let descriptors = [("user", "u1"), ("plan", "free")].map(|entry| descriptor(&[entry]));
        server.ask(request(&descriptors)).await.unwrap()
    };
    asked().await;
    let answer = asked().await;
    let policy = r#""per_user";q=3;w=60, "free";q=2;w=3600"#;
    let mut headers = text(&answer.response_headers_to_add);
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            ("ratelimit", r#""per_user";r=1;t=60, "free";r=0;t=3600"#),
            ("ratelimit-policy", policy),
        ]
    );
    let answer = asked().await;
    let headers = text(&answer.response_headers_to_add);
    assert!(headers.contains(&("retry-after", "3600")), "{headers:?}");
    assert!(headers.contains(&("ratelimit-policy", policy)));
    let none = server.one("nobody", "x").await;
    assert!(none.response_headers_to_add.is_empty());
}

#[tokio::test]
async fn a_delay_goes_on_with_the_request() {
    let server = Server::start().await;
    let first = server.one("report", "x").await;
    assert!(first.request_headers_to_add.is_empty());
    for millis in ["1000", "2000"] {
        let answer = server.one("report", "x").await;
        assert_eq!(answer.overall_code(), Code::Ok);
        let headers = text(&answer.request_headers_to_add);
        assert_eq!(headers, [("x-ratelimit-delay", millis)]);
    }
}

#[tokio::test]
async fn a_queue_waits_here() {
    let server = Server::start().await;
    server.one("slow", "x").await;
    let began = Instant::now();
    let answer = server.one("slow", "x").await;
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert_eq!(answer.overall_code(), Code::Ok);
    assert!(answer.request_headers_to_add.is_empty());
}

#[tokio::test]
async fn who_gives_up_waiting_gives_the_place_back() {
    let server = Server::start().await;
    server.one("endless", "x").await;
    let places = async |wanted| places(&server.service, "shop", ("endless", "x"), wanted).await;
    places(2).await;
    tokio::select! {
        answer = server.one("endless", "x") => panic!("{answer:?}"),
        () = places(1) => {}
    }
    places(2).await;
}

#[tokio::test]
async fn a_call_that_waits_holds_up_no_other_of_its_connection() {
    let server = Server::start().await;
    let client = server.client().await;
    let ask = |key| {
        let mut client = client.clone();
        let request = request(&[descriptor(&[(key, "x")])]);
        async move { client.should_rate_limit(request).await.unwrap() }
    };
    let places = async |wanted| places(&server.service, "shop", ("endless", "x"), wanted).await;
    ask("endless").await;
    tokio::select! {
        answer = ask("endless") => panic!("{answer:?}"),
        () = async {
            places(1).await;
            for expected in [Code::Ok, Code::Ok, Code::Ok, Code::OverLimit] {
                assert_eq!(ask("user").await.into_inner().overall_code(), expected);
            }
        } => {}
    }
    places(2).await;
}
