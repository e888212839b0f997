//! With brokers that run already, on loopback or elsewhere: `TOLLGATE_TEST_KAFKA` has their hosts and ports.

use std::time::{SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use super::brokers::Brokers;
use super::{SLOWLY, counted_once, taken_in_order};
use crate::runtime;

/// A topic of a test's own, which goes with the value.
struct Given {
    addresses: String,
    topic: String,
    admin: AdminClient<DefaultClientContext>,
}

impl Given {
    fn new(partitions: i32) -> Self {
        let addresses = std::env::var("TOLLGATE_TEST_KAFKA").expect("hosts and ports of brokers");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &addresses);
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let topic = format!("tollgate-test-{}", now.as_nanos());
        let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
        let made = runtime().block_on(admin.create_topics([&new], &AdminOptions::new()));
        for one in made.unwrap() {
            one.unwrap();
        }
        Self {
            addresses,
            topic,
            admin,
        }
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let options = AdminOptions::new();
        let gone = runtime().block_on(self.admin.delete_topics(&[&self.topic], &options));
        if let Err(error) = gone {
            eprintln!("{}: {error}", self.topic);
        }
    }
}

impl Brokers for Given {
    fn url(&self) -> String {
        format!("kafka://{}/{}", self.addresses, self.topic)
    }

    // Others may use them.
    fn down(&mut self, _: bool) {}

    fn up(&mut self) {}
}

#[test]
#[ignore = "needs brokers"]
fn pieces_are_taken_in_their_order_and_again_until_they_are_done() {
    taken_in_order(&Given::new(4));
}

#[test]
#[ignore = "needs brokers"]
fn each_click_counts_once_while_instances_come_and_go() {
    counted_once(&mut Given::new(3), &SLOWLY);
}
