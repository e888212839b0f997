//! Clicks that go through a topic of Kafka to whichever server counts them. The brokers are those that come with the client for
//! tests: three that speak the protocol, in the process of this test. The same with Tansu, a broker that is none.

#[path = "../../../clicks/tests/queue/kafka/front.rs"]
mod front;
#[path = "../../../clicks/tests/queue/kafka/private_tansu.rs"]
mod private_tansu;

use rdkafka::mocking::MockCluster;
use serde_json::json;

use self::front::{Authority, Front};
use self::private_tansu::PrivateTansu;
use crate::click_queue::{counted, each_click_once, total, visit};
use crate::private_postgres::PrivatePostgres;
use crate::server::{Options, both, eventually, new_home};

/// A server that shares links, statistics and the queue with others.
fn options(postgres: &PrivatePostgres, queue: &str, more: &str) -> Options {
    let section = format!("[clicks.kafka]\nclaim_after = \"6s\"\n{more}");
    Options::default()
        .stores(&postgres.url("postgres"))
        .env("TOLLGATE_CLICKS__QUEUE", queue)
        .config(&section)
}

fn while_one_dies(postgres: &PrivatePostgres, options: &dyn Fn() -> Options) {
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
    each_click_once(&client, postgres);
    assert!(client.metric("tollgate_clicks_queue_pieces_total") > 0.0);
}

#[test]
fn each_click_is_counted_once_by_whichever_server() {
    let postgres = PrivatePostgres::start();
    let brokers = MockCluster::new(3).unwrap();
    brokers.create_topic("clicks", 4, 3).unwrap();
    let queue = format!("kafka://{}/clicks", brokers.bootstrap_servers());
    while_one_dies(&postgres, &|| options(&postgres, &queue, ""));
}

#[test]
#[ignore = "needs Tansu"]
fn tansu_with_users_and_tls() {
    let postgres = PrivatePostgres::start();
    let mut tansu = PrivateTansu::start(4);
    tansu.ask_for("tollgate", "sesame-of-kafka");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let authority = Authority::new();
    let files = new_home();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let config = authority.server("127.0.0.1", None);
    let front = runtime.block_on(Front::start(&tansu.address(), config));
    let addresses = front.addresses();
    let queue = format!("kafkas://tollgate:sesame-of-kafka@{addresses}/clicks");
    let more = format!("sasl_mechanism = \"scram-sha-256\"\nca_file = {ca:?}");
    while_one_dies(&postgres, &|| options(&postgres, &queue, &more));

    // A wrong password is told, and nothing of it.
    let queue = format!("kafkas://tollgate:wrong-sesame@{addresses}/clicks");
    let server = options(&postgres, &queue, &more).start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://b.example/"}));
    visit(&client, &code, 5);
    eventually("the refusal to be told", || {
        server
            .log()
            .contains("SASL SCRAM authentication failed")
            .then_some(())
    });
    assert!(!server.log().contains("sesame"), "{}", server.log());
}

#[test]
fn brokers_with_tls_are_those_of_the_authority_that_is_trusted() {
    let postgres = PrivatePostgres::start();
    let brokers = MockCluster::new(1).unwrap();
    brokers.create_topic("clicks", 2, 1).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (authority, clients) = (Authority::new(), Authority::new());
    let config = authority.server("127.0.0.1", Some(&clients));
    let front = runtime.block_on(Front::start(&brokers.bootstrap_servers(), config));
    let files = new_home();
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca = write("ca.pem", &authority.pem());
    let (certificate, key) = clients.sign("tollgate");
    let certificate = write("client.pem", &certificate.pem());
    let key = write("client.key", &key.serialize_pem());
    let queue = format!("kafkas://{}/clicks", front.addresses());
    let more = format!("ca_file = {ca:?}\nclient_cert = {certificate:?}\nclient_key = {key:?}");
    let server = options(&postgres, &queue, &more).start();
    let client = server.client();
    let code = client.code(&json!({"url": "https://a.example/"}));
    visit(&client, &code, 20);
    counted(&client, 20);

    let queue = queue.replace("://", "://me:sesame@");
    for (file, key) in [("ca_file", "missing.pem"), ("client_key", "client.pem")] {
        let path = files.path().join(key);
        let more = match file {
            "ca_file" => format!("ca_file = {path:?}"),
            _ => format!("client_cert = {certificate:?}\nclient_key = {path:?}"),
        };
        let failed = options(&postgres, &queue, &more).fails_to_start(&new_home());
        let text = both(&failed);
        assert!(text.contains(&format!("clicks.kafka.{file}")), "{text}");
        assert!(!text.contains("sesame"), "{text}");
    }
}
