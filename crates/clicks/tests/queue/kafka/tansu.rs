//! With Tansu, a broker that keeps topics in a file of SQLite. Where it is, `TANSU` says: `./scripts/test kafka` builds it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use tempfile::TempDir;

use super::brokers::{Brokers, TOPIC};
use super::{SHORT, counted_once, queue, taken_in_order, told_of_absence};
use crate::{PATIENCE, runtime};

/// A broker, which ends with the value.
struct Tansu {
    port: u16,
    home: TempDir,
    authentication: bool,
    child: Option<Child>,
}

impl Tansu {
    fn start(partitions: i32) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut tansu = Self {
            port: free.local_addr().unwrap().port(),
            home: tempfile::tempdir().unwrap(),
            authentication: false,
            child: None,
        };
        drop(free);
        tansu.up();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", tansu.address());
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let topic = NewTopic::new(TOPIC, partitions, TopicReplication::Fixed(1));
        let made = runtime().block_on(admin.create_topics([&topic], &AdminOptions::new()));
        for one in made.unwrap() {
            one.unwrap();
        }
        tansu
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(std::env::var_os("TANSU").expect("where Tansu is"));
        command.current_dir(self.home.path());
        command
    }
}

impl Brokers for Tansu {
    fn url(&self) -> String {
        format!("kafka://{}/{TOPIC}", self.address())
    }

    fn down(&mut self, _: bool) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn up(&mut self) {
        let at = format!("tcp://{}", self.address());
        let mut command = self.command();
        command
            .args([
                "broker",
                "--silent",
                "--storage-engine",
                "sqlite://tansu.db",
            ])
            .args(["--listener-url", &at, "--advertised-listener-url", &at])
            .stdout(Stdio::null());
        if self.authentication {
            command.arg("--authentication");
        }
        self.child = Some(command.spawn().unwrap());
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < end, "Tansu does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Tansu {
    fn drop(&mut self) {
        self.down(true);
    }
}

#[test]
#[ignore = "needs Tansu"]
fn pieces_are_taken_in_their_order_and_again_until_they_are_done() {
    taken_in_order(&Tansu::start(4));
}

#[test]
#[ignore = "needs Tansu"]
fn a_broker_that_is_away_is_told() {
    told_of_absence(&mut Tansu::start(1));
}

#[test]
#[ignore = "needs Tansu"]
fn each_click_counts_once_while_instances_and_the_broker_come_and_go() {
    counted_once(&mut Tansu::start(3), &|url| queue(url, SHORT));
}
