//! Clicks that go through a topic of Kafka to whichever server counts them. The brokers are those that come with the client for
//! tests: three that speak the protocol, in the process of this test.

use rdkafka::mocking::MockCluster;
use serde_json::json;

use crate::click_queue::{counted, each_click_once, total, visit};
use crate::private_postgres::PrivatePostgres;
use crate::server::{Options, eventually};

#[test]
fn each_click_is_counted_once_by_whichever_server() {
    let postgres = PrivatePostgres::start();
    let brokers = MockCluster::new(3).unwrap();
    brokers.create_topic("clicks", 4, 3).unwrap();
    let queue = format!("kafka://{}/clicks", brokers.bootstrap_servers());
    let options = || {
        Options::default()
            .stores(&postgres.url("postgres"))
            .env("TOLLGATE_CLICKS__QUEUE", &queue)
            .config("[clicks.kafka]\nclaim_after = \"6s\"")
    };
    let [stays, dies] = [options().start(), options().start()];
    let client = stays.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    visit(&client, &code, 20);
    visit(&dies.client(), &code, 20);
    counted(&client, 40);

    // Killed, its disk has what it had not forwarded, and what it took is given to another one.
    visit(&dies.client(), &code, 100);
    let home = dies.kill();
    visit(&client, &code, 10);
    let again = options().start_in(&home);
    eventually("what survived the kill", || {
        let told = total(&client);
        (told >= 50 && again.client().metric("tollgate_clicks_lag_seconds") == 0.0).then_some(())
    });
    each_click_once(&client, &postgres);
    assert!(client.metric("tollgate_clicks_queue_pieces_total") > 0.0);
}
