//! Servers that are away, hang, end connections, or are not to be trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tollgate_clock::ManualClock;
use tollgate_links::store::{
    Inserted, LinkStore as _, PostgresAddress, PostgresLinkStore, PostgresOptions, StoreError,
};

use crate::private_postgres::{PASSWORD, PrivatePostgres, USER};
use crate::sharing::{insert, key, start};
use crate::{PATIENCE, open, options};

fn is_away(answer: &Result<impl Sized, StoreError>) -> bool {
    match answer {
        Err(StoreError::Unavailable(text)) => {
            assert!(!text.contains(PASSWORD), "{text}");
            true
        }
        Err(other) => panic!("{other}"),
        Ok(_) => false,
    }
}

async fn until_it_answers(store: &PostgresLinkStore) {
    let begin = Instant::now();
    while is_away(&store.get(&key("a")).await) {
        assert!(begin.elapsed() < PATIENCE, "it does not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashed_is_used_again_when_it_is_back() {
    let mut server = PrivatePostgres::start();
    let store = start(&server.url("postgres")).await;
    store
        .insert(vec![insert("a", "https://a.example/")])
        .await
        .unwrap();
    server.kill();
    assert!(is_away(&store.get(&key("a")).await));
    assert!(is_away(
        &store.insert(vec![insert("b", "https://b.example/")]).await
    ));
    assert!(is_away(&store.list(&Default::default()).await));
    assert!(is_away(&store.take_click(&key("a")).await));
    assert!(store.stats().pool.failed >= 4);
    server.restart();
    until_it_answers(&store).await;
    let answers = store
        .insert(vec![insert("b", "https://b.example/")])
        .await
        .unwrap();
    assert!(matches!(answers[..], [Inserted::Created(_)]));
    // It listens again as well.
    let begin = Instant::now();
    while !store.stats().listening {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_crash_in_the_middle_of_it() {
    let mut server = PrivatePostgres::start();
    let store = start(&server.url("postgres")).await;
    let (made, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let (store, made, stop) = (Arc::clone(&store), Arc::clone(&made), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut answered = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let code = format!("w{writer}n{number}");
                    match store
                        .insert(vec![insert(&code, "https://a.example/")])
                        .await
                    {
                        Ok(_) => {
                            answered.push(code);
                            made.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
                        Err(other) => panic!("{other}"),
                    }
                }
                answered
            })
        })
        .collect();
    let reached = async |count| {
        let begin = Instant::now();
        while made.load(Ordering::SeqCst) < count {
            assert!(begin.elapsed() < PATIENCE, "no links are made");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    reached(200).await;
    let server = tokio::task::spawn_blocking(move || {
        server.kill();
        server.restart();
        server
    });
    let server = server.await.unwrap();
    let before = made.load(Ordering::SeqCst);
    reached(before + 200).await;
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        for code in writer.await.unwrap() {
            assert!(
                store.get(&key(&code)).await.unwrap().is_some(),
                "{code} is lost"
            );
        }
    }
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_waited_for_until_the_deadline() {
    let server = PrivatePostgres::start();
    let url = server.url("postgres");
    let clock = Arc::new(ManualClock::default());
    let options = PostgresOptions {
        connections: 4,
        deadline: Duration::from_secs(2),
        ..PostgresOptions::default()
    };
    let store = Arc::new(open(&url, clock, &options).await);
    let until = Instant::now() + PATIENCE;
    while is_away(&store.insert(vec![insert("a", "https://a.example/")]).await) {
        assert!(Instant::now() < until);
    }
    server.freeze();
    // More than there are connections: those that wait for one have the same deadline.
    let begin = Instant::now();
    let reads: Vec<_> = (0..10)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { is_away(&store.get(&key("a")).await) })
        })
        .collect();
    for read in reads {
        assert!(read.await.unwrap());
    }
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
    server.thaw();
    until_it_answers(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_do_not_notice_when_idle_connections_are_ended() {
    let server = PrivatePostgres::start();
    let store = start(&server.url("postgres")).await;
    store
        .insert(vec![insert("a", "https://a.example/")])
        .await
        .unwrap();
    for _ in 0..10 {
        server.sql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'tollgate'",
        );
        assert!(store.get(&key("a")).await.unwrap().is_some());
    }
    assert_eq!(store.stats().pool.failed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_hosts_the_one_that_can_be_written_is_used() {
    let (reading, writing) = (PrivatePostgres::start(), PrivatePostgres::start());
    reading.sql(
        "postgres",
        "ALTER SYSTEM SET default_transaction_read_only = on",
    );
    reading.sql("postgres", "SELECT pg_reload_conf()");
    let url = format!(
        "postgres://{USER}:{PASSWORD}@{},{}/postgres",
        reading.address(),
        writing.address()
    );
    let store = start(&url).await;
    store
        .insert(vec![insert("a", "https://a.example/")])
        .await
        .unwrap();
    assert_eq!(writing.sql("postgres", "SELECT count(*) FROM links"), "1");
    // One that can only be read is away for whoever writes, and for nobody else.
    let only = start(&writing.url("postgres")).await;
    writing.sql(
        "postgres",
        "ALTER SYSTEM SET default_transaction_read_only = on",
    );
    writing.sql("postgres", "SELECT pg_reload_conf()");
    let begin = Instant::now();
    while !is_away(&only.take_click(&key("a")).await) {
        assert!(begin.elapsed() < PATIENCE);
    }
    assert!(only.get(&key("a")).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_hangs_does_not_hide_the_next() {
    let (hanging, serving) = (PrivatePostgres::start(), PrivatePostgres::start());
    let url = |first: &PrivatePostgres, second: &PrivatePostgres| {
        let (first, second) = (first.address(), second.address());
        format!("postgres://{USER}:{PASSWORD}@{first},{second}/postgres")
    };
    // Both could be written; the first one serves until it hangs.
    drop(start(&serving.url("postgres")).await);
    let mut options = options();
    options.deadline = Duration::from_secs(4);
    let clock = Arc::new(ManualClock::default());
    let store = open(&url(&hanging, &serving), clock.clone(), &options).await;
    store
        .insert(vec![insert("a", "https://a.example/")])
        .await
        .unwrap();
    assert_eq!(hanging.sql("postgres", "SELECT count(*) FROM links"), "1");
    hanging.freeze();
    let begin = Instant::now();
    while is_away(&store.insert(vec![insert("b", "https://b.example/")]).await) {
        assert!(begin.elapsed() < PATIENCE, "the second host is not tried");
    }
    assert_eq!(serving.sql("postgres", "SELECT code FROM links"), "b");
    // One that begins while the first one hangs, too.
    let other = open(&url(&hanging, &serving), clock, &options).await;
    assert!(other.get(&key("b")).await.unwrap().is_some());
    hanging.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_without_it() {
    let server = PrivatePostgres::start();
    let url = server.url("postgres").replace(PASSWORD, "other-secret");
    let address = PostgresAddress::parse(&url).unwrap();
    let opened =
        PostgresLinkStore::open(address, Arc::new(ManualClock::default()), &options()).await;
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("password authentication failed"), "{error}");
    assert!(error.contains(&server.address()), "{error}");
    assert!(!error.contains("other-secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_looked_at_as_sslmode_says() {
    let mut server = PrivatePostgres::start();
    let made = rcgen::generate_simple_self_signed(vec!["db.example".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (authority, stranger) = (
        file("a.pem", &made.cert.pem()),
        file("s.pem", &other.cert.pem()),
    );
    server.serve_tls(&made.cert.pem(), &made.signing_key.serialize_pem());
    let opens = async |host: &str, parameters: &str| {
        let url = server.url("postgres").replace("127.0.0.1", host);
        // The name is looked at where it is asked for, the address is where it is.
        let url = format!("{url}?hostaddr=127.0.0.1&{parameters}");
        let address = PostgresAddress::parse(&url).unwrap();
        let clock = Arc::new(ManualClock::default());
        match PostgresLinkStore::open(address, clock, &options()).await {
            Ok(store) => {
                store.count().await.unwrap();
                true
            }
            Err(StoreError::Unavailable(_)) => false,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(opens("db.example", "sslmode=require").await);
    assert!(opens("db.example", "sslmode=prefer").await);
    for (host, mode, root, expected) in [
        ("db.example", "verify-full", &authority, true),
        ("localhost", "verify-full", &authority, false),
        ("localhost", "verify-ca", &authority, true),
        ("localhost", "require", &authority, true),
        ("db.example", "verify-full", &stranger, false),
        ("db.example", "verify-ca", &stranger, false),
        ("db.example", "require", &stranger, false),
    ] {
        let parameters = format!("sslmode={mode}&sslrootcert={root}");
        assert_eq!(
            opens(host, &parameters).await,
            expected,
            "{host} {parameters}"
        );
    }
    assert!(
        !opens("db.example", "sslmode=disable").await,
        "the server wants TLS"
    );
}
