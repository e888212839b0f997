//! A store in a cluster decides as any other, also while slots move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate_clock::SystemClock;
use tollgate_limit::AlgorithmKind;
use tollgate_limit::store::{
    Charge, LimitKey, LimitStore as _, MemoryOptions, MemoryStore, RedisOptions, RedisStore,
    Refund, StoreError,
};

use crate::bench::{charge, patient, send, store_in, yearly};
use crate::private_cluster::{PrivateCluster, cluster_cli, eventually};

fn of_domain(domain: usize, key: usize, kind: AlgorithmKind, cost: u64) -> Charge {
    let name = format!("domain{domain}|key={key}-{}|", kind.name());
    Charge {
        key: LimitKey::new(name.as_bytes()).unwrap(),
        limiter: yearly(kind, 20),
        cost,
        binds: true,
        leased: false,
    }
}

/// Key, algorithm, cost, and whether it binds.
type Asked = (usize, usize, u64, bool);

/// Requests of one of ten domains each.
fn requests() -> impl Strategy<Value = Vec<(usize, Vec<Asked>)>> {
    let kinds = AlgorithmKind::ALL.len();
    let charge = (0..3_usize, 0..kinds, 0..8_u64, prop::bool::weighted(0.8));
    let request = (0..10_usize, prop::collection::vec(charge, 1..5));
    prop::collection::vec(request, 1..40)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_decides_as_the_store_in_memory() {
    let cluster = PrivateCluster::start().await;
    let store = store_in(&cluster, patient()).await;
    let runtime = tokio::runtime::Handle::current();
    let traces = std::thread::scope(|scope| {
        let run = || {
            let mut runner = TestRunner::new(Config {
                cases: 40,
                failure_persistence: None,
                ..Config::default()
            });
            let round = AtomicU64::new(0);
            runner.run(&requests(), |trace| {
                // The limits of a year tell the two clocks not apart.
                let memory =
                    MemoryStore::new(MemoryOptions::with_seed(1), Arc::new(SystemClock::new()));
                let round = round.fetch_add(1, Ordering::Relaxed);
                for (domain, charges) in trace {
                    let charges: Vec<Charge> = charges
                        .into_iter()
                        .map(|(key, kind, cost, binds)| Charge {
                            binds,
                            leased: false,
                            ..of_domain(
                                domain,
                                key + 3 * usize::try_from(round).unwrap(),
                                AlgorithmKind::ALL[kind],
                                cost,
                            )
                        })
                        .collect();
                    let told = |answers: Vec<tollgate_limit::Shaped>| -> Vec<_> {
                        let tell = |answer: tollgate_limit::Shaped| {
                            (answer.decision.allowed(), answer.decision.remaining())
                        };
                        answers.into_iter().map(tell).collect()
                    };
                    let expected = runtime.block_on(memory.decide(&charges)).unwrap();
                    let answers = runtime.block_on(store.decide(&charges)).unwrap();
                    prop_assert_eq!(told(answers), told(expected), "{:?}", charges);
                }
                Ok(())
            })
        };
        scope.spawn(run).join().unwrap()
    });
    traces.unwrap();
    // All masters had a part of it.
    for master in cluster.masters().await {
        let keys: i64 = send(&cluster.servers[master], &["DBSIZE"]).await;
        assert!(keys > 0, "server {master}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_several_domains_are_no_request_and_keys_of_clients_spread() {
    let cluster = PrivateCluster::start().await;
    let store = store_in(&cluster, patient()).await;
    let gcra = AlgorithmKind::Gcra;
    let request = [of_domain(1, 1, gcra, 1), of_domain(2, 1, gcra, 1)];
    let error = store.decide(&request).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error}");
    for client in 0..200 {
        let request = [Charge {
            key: LimitKey::of_client(format!("ip|{client}").as_bytes()).unwrap(),
            ..of_domain(1, 1, gcra, 1)
        }];
        assert!(store.decide(&request).await.is_ok());
    }
    let masters = cluster.masters().await;
    assert_eq!(masters.len(), 3);
    for master in masters {
        let keys: i64 = send(&cluster.servers[master], &["DBSIZE"]).await;
        assert!((20..120).contains(&keys), "server {master}: {keys}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_domains_were_charged_is_given_back_at_once() {
    let cluster = PrivateCluster::start().await;
    let store = store_in(&cluster, patient()).await;
    let mut refunds = Vec::new();
    for domain in 0..10 {
        let charges = [of_domain(domain, 1, AlgorithmKind::FixedWindow, 7)];
        let answers = store.decide(&charges).await.unwrap();
        assert_eq!(answers[0].decision.remaining(), 13);
        refunds.extend(Refund::of(&charges, &answers));
    }
    store.refund(&refunds).await.unwrap();
    for domain in 0..10 {
        let peek = [of_domain(domain, 1, AlgorithmKind::FixedWindow, 0)];
        let answers = store.decide(&peek).await.unwrap();
        assert_eq!(answers[0].decision.remaining(), 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_all_servers_forgot_are_sent_again() {
    let cluster = PrivateCluster::start().await;
    let store = store_in(&cluster, patient()).await;
    for left in (15..20).rev() {
        for server in &cluster.servers {
            let _: String = send(server, &["SCRIPT", "FLUSH"]).await;
        }
        for domain in 0..10 {
            let request = [of_domain(domain, 1, AlgorithmKind::Gcra, 1)];
            let answer = store.decide(&request).await.unwrap();
            assert_eq!(answer[0].decision.remaining(), left);
        }
    }
}

/// Requests for these charges, by two stores at once, until told to end. Answers how many passed.
struct Sale {
    end: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<u64>>,
    decided: Arc<AtomicU64>,
}

impl Sale {
    fn of(stores: &[Arc<RedisStore>], requests: &[Vec<Charge>]) -> Self {
        let mut sale = Self {
            end: Arc::default(),
            tasks: Vec::new(),
            decided: Arc::default(),
        };
        for request in requests {
            for store in stores {
                let (store, request) = (Arc::clone(store), request.clone());
                let (end, decided) = (Arc::clone(&sale.end), Arc::clone(&sale.decided));
                sale.tasks.push(tokio::spawn(async move {
                    let mut passed = 0;
                    while !end.load(Ordering::Relaxed) {
                        let answers = store.decide(&request).await.unwrap();
                        if answers.iter().all(|answer| answer.decision.allowed()) {
                            passed += 1;
                        }
                        decided.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    passed
                }));
            }
        }
        sale
    }

    /// What passed of each request, by all stores together.
    async fn end(self, stores: usize) -> Vec<u64> {
        self.end.store(true, Ordering::Relaxed);
        let mut passed = Vec::new();
        for task in self.tasks {
            passed.push(task.await.unwrap());
        }
        passed
            .chunks(stores)
            .map(|each| each.iter().sum())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_under_load_loses_and_oversells_nothing() {
    const LIMIT: u64 = 60;
    let cluster = PrivateCluster::start().await;
    let stores = [
        Arc::new(store_in(&cluster, patient()).await),
        Arc::new(store_in(&cluster, patient()).await),
    ];
    // Keys by themselves, and two in one request, which may be parted for a while.
    let mut requests: Vec<Vec<Charge>> = AlgorithmKind::ALL
        .into_iter()
        .map(|kind| vec![charge(kind.name(), yearly(kind, LIMIT), 1)])
        .collect();
    let gcra = yearly(AlgorithmKind::Gcra, LIMIT);
    requests.push(vec![charge("both-1", gcra, 1), charge("both-2", gcra, 1)]);
    let slot: u16 = send(&cluster.servers[0], &["CLUSTER", "KEYSLOT", "{domain}"]).await;
    let masters = cluster.masters().await;
    let sale = Sale::of(&stores, &requests);
    let home = cluster.holder(slot).await;
    let away: Vec<usize> = masters.into_iter().filter(|at| *at != home).collect();
    for to in [away[0], away[1], home, away[0]] {
        let before = sale.decided.load(Ordering::Relaxed);
        let from = cluster.begin_migration(slot, to).await;
        let between = Duration::from_millis(5);
        cluster.end_migration(slot, from, to, between).await;
        assert_eq!(cluster.holder(slot).await, to);
        // A good deal of requests meet each state of affairs.
        while sale.decided.load(Ordering::Relaxed) < before + 400 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let passed = sale.end(stores.len()).await;
    assert_eq!(passed, vec![LIMIT; requests.len()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_on_its_way_is_looked_for_on_either_side() {
    let cluster = PrivateCluster::start().await;
    let store = store_in(&cluster, patient()).await;
    let options = RedisOptions {
        deadline: Duration::from_millis(500),
        ..patient()
    };
    let hasty = store_in(&cluster, options).await;
    let slot: u16 = send(&cluster.servers[0], &["CLUSTER", "KEYSLOT", "{domain}"]).await;
    let gcra = yearly(AlgorithmKind::Gcra, 10);
    let [old, new] = [charge("old", gcra, 1), charge("new", gcra, 1)];
    let left = async |charge: &Charge| {
        let answers = store.decide(std::slice::from_ref(charge)).await.unwrap();
        answers[0].decision.remaining()
    };
    assert_eq!(left(&old).await, 9);
    let masters = cluster.masters().await;
    let home = cluster.holder(slot).await;
    let to = masters.into_iter().find(|at| *at != home).unwrap();
    let from = cluster.begin_migration(slot, to).await;
    // What is not there yet comes to be where the slot goes.
    for expected in [9, 8, 7] {
        assert_eq!(left(&new).await, expected);
    }
    assert_eq!(left(&old).await, 8);
    for (at, name) in [(from, "old"), (to, "new")] {
        let keys: Vec<String> = send(&cluster.servers[at], &["KEYS", "*"]).await;
        assert_eq!(keys, [format!("tollgate:{{domain}}|key={name}|")]);
    }
    // Nobody has both.
    let both = [old.clone(), new.clone()];
    let error = hasty.decide(&both).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    cluster.end_migration(slot, from, to, Duration::ZERO).await;
    let answers = store.decide(&both).await.unwrap();
    let left: Vec<u64> = answers
        .iter()
        .map(|answer| answer.decision.remaining())
        .collect();
    assert_eq!(left, [7, 6]);
}

/// Many keys, and a third of the slots: `redis-cli` does it as an operator would.
#[ignore = "slow"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resharding_under_load_loses_and_oversells_nothing() {
    const LIMIT: u64 = 20;
    let cluster = PrivateCluster::start().await;
    let stores = [
        Arc::new(store_in(&cluster, patient()).await),
        Arc::new(store_in(&cluster, patient()).await),
    ];
    let requests: Vec<Vec<Charge>> = (0..150)
        .map(|domain| {
            let kind = AlgorithmKind::ALL[domain % AlgorithmKind::ALL.len()];
            vec![of_domain(domain, 1, kind, 1), of_domain(domain, 2, kind, 1)]
        })
        .collect();
    let sale = Sale::of(&stores, &requests);
    let masters = cluster.masters().await;
    let address = cluster.servers[masters[0]].address();
    let mut identities: Vec<String> = Vec::new();
    for master in &masters {
        identities.push(send(&cluster.servers[*master], &["CLUSTER", "MYID"]).await);
    }
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let mut reshard = vec!["reshard".to_owned(), address.clone()];
        for (name, value) in [
            ("--cluster-from", identities[from].as_str()),
            ("--cluster-to", identities[to].as_str()),
            ("--cluster-slots", "1500"),
        ] {
            reshard.extend([name.to_owned(), value.to_owned()]);
        }
        reshard.push("--cluster-yes".to_owned());
        // Not before all have heard of what was moved last.
        let check = ["check".to_owned(), address.clone()];
        eventually("agreement", async || {
            tokio::task::block_in_place(|| cluster_cli(&check)).is_ok()
        })
        .await;
        tokio::task::block_in_place(|| cluster_cli(&reshard)).unwrap();
    }
    let before = sale.decided.load(Ordering::Relaxed);
    while sale.decided.load(Ordering::Relaxed) < before + 20 * requests.len() as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let passed = sale.end(stores.len()).await;
    assert_eq!(passed, vec![LIMIT; requests.len()]);
}
