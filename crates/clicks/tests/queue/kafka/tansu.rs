//! With Tansu, a broker that keeps topics in a file of SQLite.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tollgate_clicks::queue::{
    KafkaQueue, KafkaQueueOptions, KafkaTls, Put, SaslMechanism, SharedQueue as _,
};
use tollgate_clicks::spool::Piece;

use super::brokers::{Brokers, TOPIC};
use super::front::{Authority, Front};
use super::private_tansu::PrivateTansu;
use super::tls::refusal;
use super::{NEVER, SLOWLY, counted_once, options, piece, queue, taken, taken_in_order};
use crate::runtime;

impl Brokers for PrivateTansu {
    fn url(&self) -> String {
        format!("kafka://{}/{TOPIC}", self.address())
    }

    fn down(&mut self, _: bool) {
        self.kill();
    }

    fn up(&mut self) {
        self.run();
    }
}

#[test]
#[ignore = "needs Tansu"]
fn pieces_are_taken_in_their_order_and_again_until_they_are_done() {
    taken_in_order(&PrivateTansu::start(4));
}

#[test]
#[ignore = "needs Tansu"]
fn what_is_put_while_the_broker_is_away_is_there_once() {
    let mut tansu = PrivateTansu::start(1);
    let runtime = runtime();
    let _entered = runtime.enter();
    let queue = queue(&tansu.url(), NEVER);
    let pieces = [0, 100, 200, 300].map(|after| piece("spool-1", after, after + 100));
    let put = |piece: &Piece, anew| {
        let (queue, piece) = (Arc::clone(&queue), piece.clone());
        runtime.spawn(async move { queue.put(&piece, anew).await })
    };
    let waited = |task: JoinHandle<_>| runtime.block_on(task).unwrap();
    assert_eq!(waited(put(&pieces[0], true)), Ok(Put::Done));
    for (number, piece) in pieces.iter().enumerate().skip(1) {
        // Killed while it is on its way, or before.
        let task = if number % 2 == 0 {
            let task = put(piece, false);
            tansu.kill();
            task
        } else {
            tansu.kill();
            put(piece, false)
        };
        std::thread::sleep(Duration::from_secs(1));
        tansu.run();
        assert_eq!(waited(task), Ok(Put::Done));
    }
    runtime.block_on(async {
        let all = taken(&queue, pieces.len()).await;
        let told: Vec<_> = all.into_iter().map(|taken| taken.piece).collect();
        assert_eq!(told, pieces);
        let more = queue.take(1, false).await;
        assert_eq!(more, Ok(Vec::new()));
    });
}

#[test]
#[ignore = "needs Tansu"]
fn each_click_counts_once_while_instances_and_the_broker_come_and_go() {
    counted_once(&mut PrivateTansu::start(3), &SLOWLY);
}

#[test]
#[ignore = "needs Tansu"]
fn a_user_is_known_by_the_password() {
    let mut tansu = PrivateTansu::start(2);
    tansu.ask_for("tollgate", "sesame");
    let address = tansu.address();
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    let authority = Authority::new();
    std::fs::write(&ca, authority.pem()).unwrap();
    let with = |sasl_mechanism| KafkaQueueOptions {
        sasl_mechanism,
        tls: KafkaTls::default(),
        ..options(NEVER)
    };
    runtime().block_on(async {
        let front = Front::start(&address, authority.server("127.0.0.1", None)).await;
        let mut spool = 0;
        for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
            let mut secured = with(mechanism);
            secured.tls.ca = Some(ca.clone());
            let url = format!("kafka://tollgate:sesame@{address}/{TOPIC}");
            let url_of_front = format!("kafkas://tollgate:sesame@{}/{TOPIC}", front.addresses());
            for (url, options) in [(url, with(mechanism)), (url_of_front, secured)] {
                let queue = KafkaQueue::new(&url, options).unwrap();
                spool += 1;
                let first = piece(&format!("spool-{spool}"), 32, 100);
                assert_eq!(queue.put(&first, true).await, Ok(Put::Done), "{url}");
                let one = taken(&queue, 1).await.remove(0);
                assert_eq!(one.piece, first);
                queue.done(&[one.name]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            let wrong = format!("kafka://tollgate:sesam@{address}/{TOPIC}");
            let told = refusal(&wrong, with(mechanism), "uthentication").await;
            assert!(!told.contains("sesam"), "{told}");
            println!("{told}");
        }
        // What this broker does not know.
        let plain = format!("kafka://tollgate:sesame@{address}/{TOPIC}");
        let told = refusal(&plain, with(SaslMechanism::Plain), "PLAIN").await;
        assert!(!told.contains("sesam"), "{told}");
        println!("{told}");
    });
}
