//! Brokers that tests have for themselves.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// The topic of each.
pub(super) const TOPIC: &str = "clicks";

/// What a test may do to brokers.
pub(super) trait Brokers {
    /// The URL of the topic.
    fn url(&self) -> String;
    /// All of them go away, or a part of them if there are several.
    fn down(&mut self, all: bool);
    /// They are back.
    fn up(&mut self);
}

/// Three brokers of the cluster that the client comes with for tests.
pub(super) struct Mock(MockCluster<'static, DefaultProducerContext>);

impl Mock {
    pub(super) fn start(partitions: i32) -> Self {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic(TOPIC, partitions, 3).unwrap();
        Self(cluster)
    }

    /// Hosts and ports.
    pub(super) fn addresses(&self) -> String {
        self.0.bootstrap_servers()
    }
}

impl Brokers for Mock {
    fn url(&self) -> String {
        format!("kafka://{}/{TOPIC}", self.addresses())
    }

    fn down(&mut self, all: bool) {
        let which = if all { 1..=3 } else { 2..=2 };
        for broker in which {
            self.0.broker_down(broker).unwrap();
        }
    }

    fn up(&mut self) {
        for broker in 1..=3 {
            self.0.broker_up(broker).unwrap();
        }
    }
}
