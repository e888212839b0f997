//! Messages on their way: to a receiver that can be told how to answer, with a clock that is set.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tollgate_clock::{Clock as _, ManualClock, UnixMillis};
use tollgate_webhooks::{
    ATTEMPTS, AddressRules, Delivery, DeliveryState, Dispatcher, Draft, Event, EventKind, Lookup,
    Outbox, Passed, Sender, SigningSecret, Subscription,
};

const START: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);
/// The longest wait for what usually takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who is told.
struct Receiver {
    address: SocketAddr,
    /// The status that it answers; 0 answers nothing.
    status: Arc<AtomicU16>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            status: Arc::new(AtomicU16::new(204)),
            seen: Arc::default(),
        };
        let (status, seen) = (receiver.status.clone(), receiver.seen.clone());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (status, seen) = (status.clone(), seen.clone());
                tokio::spawn(async move {
                    let mut text = String::new();
                    let mut part = [0; 4096];
                    // One request a connection.
                    while !is_whole(&text) {
                        let read = stream.read(&mut part).await.unwrap();
                        if read == 0 {
                            return;
                        }
                        text.push_str(std::str::from_utf8(&part[..read]).unwrap());
                    }
                    seen.lock().unwrap().push(text);
                    let status = status.load(Relaxed);
                    if status == 0 {
                        std::future::pending::<()>().await;
                    }
                    let answer = format!(
                        "HTTP/1.1 {status} Said\r\nlocation: http://127.0.0.1:1/\r\n\
                         content-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                });
            }
        });
        receiver
    }

    fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.address)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = header(head, "content-length").map_or(0, |text| text.parse().unwrap());
    body.len() >= length
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = request.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

struct Bench {
    outbox: Arc<Outbox>,
    clock: Arc<ManualClock>,
    /// How long a message may take.
    timeout: Duration,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            outbox: Arc::new(Outbox::open(&directory.path().join("w.db")).unwrap()),
            clock: Arc::new(ManualClock::at(START)),
            timeout: Duration::from_millis(500),
            directory,
        }
    }

    /// As after a restart.
    fn reopened(self) -> Self {
        drop(self.outbox);
        Self {
            outbox: Arc::new(Outbox::open(&self.directory.path().join("w.db")).unwrap()),
            ..self
        }
    }

    async fn subscribe(&self, url: &str, events: &[EventKind]) -> (Subscription, SigningSecret) {
        let thresholds: &[u64] = match events.contains(&EventKind::LinkThreshold) {
            true => &[10, 100, 1_000],
            false => &[],
        };
        let draft = Draft::new(
            url,
            events.iter().copied().collect(),
            thresholds.iter().copied().collect(),
            None,
            String::new(),
        );
        let secret = SigningSecret::generate().unwrap();
        let draft = draft.unwrap();
        let made = self.outbox.subscribe(draft, secret.clone(), START).await;
        (made.unwrap(), secret)
    }

    async fn queue(&self, number: i64) -> u64 {
        let event = Event {
            kind: EventKind::LinkCreated,
            key: format!("created:{number}"),
            domain: String::new(),
            at: START,
            data: serde_json::json!({"code": number.to_string()}),
        };
        let queued = self
            .outbox
            .queue(vec![event], vec![("made", number)], self.clock.now());
        queued.await.unwrap().messages
    }

    fn dispatcher(&self, rules: AddressRules, lookup: Arc<dyn Lookup>) -> Running {
        let sender = Sender::new(rules, lookup, self.timeout).unwrap();
        let dispatcher = Arc::new(Dispatcher::new(
            self.outbox.clone(),
            sender,
            self.clock.clone(),
            StdRng::seed_from_u64(1),
            Duration::from_secs(86_400),
        ));
        let (end, ended) = oneshot::channel::<()>();
        let run = Arc::clone(&dispatcher).run(async move {
            let _ = ended.await;
        });
        Running {
            task: tokio::spawn(run),
            dispatcher,
            end,
        }
    }

    fn to_this_machine(&self) -> Running {
        let rules = AddressRules::new(vec!["127.0.0.0/8".parse().unwrap()]);
        self.dispatcher(rules, Arc::new(Names::default()))
    }

    async fn deliveries(&self, of: &Subscription) -> Vec<Delivery> {
        let page = self.outbox.deliveries(&of.id, None, None, 1_000).await;
        page.unwrap().deliveries
    }

    /// Waits until all of a subscription's messages are as wanted.
    async fn until(&self, of: &Subscription, wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = self.deliveries(of).await;
            if all.iter().all(&wanted) {
                return all;
            }
            assert!(Instant::now() < deadline, "{all:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A receiver that is told of links that are made, and the secret that it knows.
async fn subscribed() -> (Bench, Receiver, Subscription, SigningSecret) {
    let bench = Bench::new();
    let receiver = Receiver::start().await;
    let (hook, secret) = bench
        .subscribe(&receiver.url(), &[EventKind::LinkCreated])
        .await;
    (bench, receiver, hook, secret)
}

struct Running {
    task: tokio::task::JoinHandle<()>,
    dispatcher: Arc<Dispatcher>,
    end: oneshot::Sender<()>,
}

impl Running {
    async fn stop(self) {
        drop(self.end);
        self.task.await.unwrap();
    }
}

/// A name whose address changes each time that it is asked for.
#[derive(Default)]
struct Names {
    addresses: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Lookup for Names {
    fn lookup(&self, _: String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        let at = self.asked.fetch_add(1, Relaxed);
        let addresses = self.addresses.get(at).cloned();
        Box::pin(async move { addresses.ok_or_else(|| io::Error::other("no such name")) })
    }
}

#[tokio::test]
async fn a_message_arrives_signed_once() {
    let (bench, receiver, hook, secret) = subscribed().await;
    let running = bench.to_this_machine();
    assert_eq!(bench.queue(1).await, 1);
    assert_eq!(bench.queue(1).await, 0, "the same event");
    assert_eq!(bench.outbox.position("made").await.unwrap(), Some(1));
    running.dispatcher.wake();
    let all = bench
        .until(&hook, |one| one.state == DeliveryState::Delivered)
        .await;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].attempts, all[0].last_status), (1, Some(204)));
    let seen = receiver.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with("POST /hook?a=b HTTP/1.1\r\n"));
    let (head, body) = seen[0].split_once("\r\n\r\n").unwrap();
    assert_eq!(body, all[0].body);
    assert_eq!(header(head, "webhook-id"), Some(&*all[0].id));
    assert_eq!(header(head, "webhook-timestamp"), Some("1800000000"));
    let signature = secret.sign(&all[0].id, 1_800_000_000, body).unwrap();
    assert_eq!(header(head, "webhook-signature"), Some(&*signature));
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_accepted_is_sent_again_until_it_is_dead_and_can_be_sent_anew() {
    let (bench, receiver, hook, _) = subscribed().await;
    // A redirect is not followed.
    receiver.status.store(302, Relaxed);
    let running = bench.to_this_machine();
    bench.queue(1).await;
    for attempt in 1..=ATTEMPTS {
        running.dispatcher.wake();
        let all = bench.until(&hook, |one| one.attempts == attempt).await;
        assert_eq!(all[0].last_status, Some(302));
        match all[0].next_at {
            Some(next) => {
                assert_eq!(all[0].state, DeliveryState::Waiting);
                bench.clock.advance(next.since(bench.clock.now()));
            }
            None => assert_eq!((attempt, all[0].state), (ATTEMPTS, DeliveryState::Dead)),
        }
    }
    assert_eq!(running.dispatcher.stats().dead(), 1);
    let ids: BTreeSet<String> = receiver
        .seen()
        .iter()
        .map(|request| header(request, "webhook-id").unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1, "the same each time");
    receiver.status.store(200, Relaxed);
    let id = ids.first().unwrap();
    let again = bench
        .outbox
        .send_again(&hook.id, id, bench.clock.now())
        .await;
    assert!(again.unwrap());
    running.dispatcher.wake();
    let all = bench
        .until(&hook, |one| one.state == DeliveryState::Delivered)
        .await;
    assert_eq!(all[0].attempts, 1);
    running.stop().await;
}

#[tokio::test]
async fn nobody_answering_is_no_answer() {
    let (bench, receiver, hook, _) = subscribed().await;
    receiver.status.store(0, Relaxed);
    let running = bench.to_this_machine();
    bench.queue(1).await;
    running.dispatcher.wake();
    let all = bench.until(&hook, |one| one.attempts == 1).await;
    assert_eq!(all[0].state, DeliveryState::Waiting);
    let error = all[0].last_error.clone().unwrap();
    assert!(error.contains("no answer within"), "{error}");
    running.stop().await;
}

#[tokio::test]
async fn addresses_that_are_not_public_are_never_connected_to() {
    let bench = Bench::new();
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let mut hooks = Vec::new();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "inside.example",
        "localhost",
    ] {
        let url = format!("http://{host}:{port}/");
        hooks.push(bench.subscribe(&url, &[EventKind::LinkCreated]).await.0);
    }
    bench.queue(1).await;
    // Each name is at an inner address.
    let names = Names {
        addresses: vec![vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]; 2],
        ..Names::default()
    };
    let running = bench.dispatcher(AddressRules::default(), Arc::new(names));
    for hook in &hooks {
        let all = bench.until(hook, |one| one.attempts == 1).await;
        let error = all[0].last_error.clone().unwrap();
        assert!(error.contains("no public address"), "{error}");
    }
    assert_eq!(receiver.seen(), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_the_check_leads_nowhere_else() {
    let bench = Bench::new();
    let receiver = Receiver::start().await;
    let url = format!("http://rebound.example:{}/", receiver.address.port());
    let (hook, _) = bench.subscribe(&url, &[EventKind::LinkCreated]).await;
    bench.queue(1).await;
    // Asked once for each attempt: what was checked is what is connected to.
    let names = Arc::new(Names {
        addresses: vec![
            vec!["10.0.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap()],
            vec!["10.0.0.1".parse().unwrap()],
        ],
        ..Names::default()
    });
    let rules = AddressRules::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let running = bench.dispatcher(rules, names.clone());
    let all = bench
        .until(&hook, |one| one.state == DeliveryState::Delivered)
        .await;
    assert_eq!(names.asked.load(Relaxed), 1);
    assert_eq!(receiver.seen().len(), 1, "by the address that is allowed");
    let now = bench.clock.now();
    bench
        .outbox
        .send_again(&hook.id, &all[0].id, now)
        .await
        .unwrap();
    running.dispatcher.wake();
    let all = bench.until(&hook, |one| one.last_error.is_some()).await;
    assert!(all[0].last_error.as_ref().unwrap().contains("10.0.0.1"));
    assert_eq!((names.asked.load(Relaxed), receiver.seen().len()), (2, 1));
    running.stop().await;
}

#[tokio::test]
async fn what_waits_is_sent_after_a_restart_and_what_was_being_sent_is_sent_again() {
    let (bench, receiver, hook, _) = subscribed().await;
    receiver.status.store(0, Relaxed);
    bench.queue(1).await;
    let running = bench.to_this_machine();
    let deadline = Instant::now() + PATIENCE;
    while receiver.seen().is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // As by kill -9: nobody writes down what became of it.
    running.task.abort();
    assert!(running.task.await.unwrap_err().is_cancelled());
    drop(running.dispatcher);
    bench.queue(2).await;
    receiver.status.store(200, Relaxed);
    let deadline = Instant::now() + PATIENCE;
    let bench = loop {
        // Tasks that are aborted let go of it a moment later.
        if Arc::strong_count(&bench.outbox) == 1 {
            break bench.reopened();
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let running = bench.to_this_machine();
    bench.clock.advance(Duration::from_secs(6));
    running.dispatcher.wake();
    let all = bench
        .until(&hook, |one| one.state == DeliveryState::Delivered)
        .await;
    assert_eq!(all.len(), 2);
    assert_eq!(receiver.seen().len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn a_slow_receiver_does_not_hold_up_others() {
    let mut bench = Bench::new();
    bench.timeout = 2 * PATIENCE;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.status.store(0, Relaxed);
    let (hanging, _) = bench
        .subscribe(&slow.url(), &[EventKind::LinkCreated])
        .await;
    let (swift, _) = bench
        .subscribe(&quick.url(), &[EventKind::LinkCreated])
        .await;
    for number in 0..50 {
        bench.queue(number).await;
    }
    let running = bench.to_this_machine();
    bench
        .until(&swift, |one| one.state == DeliveryState::Delivered)
        .await;
    assert_eq!(bench.deliveries(&hanging).await.len(), 50);
    assert_eq!((slow.seen().len(), quick.seen().len()), (8, 50));
    running.task.abort();
}

#[tokio::test]
async fn thresholds_are_told_once_each() {
    let bench = Bench::new();
    let (hook, _) = bench
        .subscribe("https://example.com/", &[EventKind::LinkThreshold])
        .await;
    let clicks = async |clicks: u64| {
        let link = Passed {
            domain: String::new(),
            code: "a".to_owned(),
            clicks,
            data: serde_json::json!({"code": "a"}),
        };
        let queued = bench.outbox.passed(vec![link], START).await.unwrap();
        queued.messages
    };
    let told = [9, 10, 11, 99, 1_234, 1_235, 500];
    let mut messages = Vec::new();
    for number in told {
        messages.push(clicks(number).await);
    }
    // 100 was passed together with 1,000: only that is told.
    assert_eq!(messages, [0, 1, 0, 0, 1, 0, 0]);
    let all = bench.deliveries(&hook).await;
    let bodies: Vec<serde_json::Value> = all
        .iter()
        .map(|one| serde_json::from_str(&one.body).unwrap())
        .collect();
    assert_eq!(bodies[0]["type"], "link.threshold");
    let data = serde_json::json!({"code": "a", "threshold": 1_000, "clicks": 1_234});
    assert_eq!(bodies[0]["data"], data);
    // A link of the same name begins anew.
    let deleted = Event {
        kind: EventKind::LinkDeleted,
        key: "deleted:1".to_owned(),
        domain: String::new(),
        at: START,
        data: serde_json::json!({"code": "a"}),
    };
    let queued = bench
        .outbox
        .queue(vec![deleted], vec![("changed", 1)], START);
    assert_eq!(queued.await.unwrap().messages, 0, "nobody wants that");
    assert_eq!(clicks(12).await, 1);
}

#[tokio::test]
async fn paused_and_deleted_webhooks_are_told_nothing() {
    let (bench, receiver, hook, _) = subscribed().await;
    assert_eq!(bench.queue(1).await, 1);
    let paused = bench
        .outbox
        .change(&hook.id, hook.draft.clone(), true)
        .await;
    assert!(paused.unwrap().unwrap().paused);
    assert_eq!(bench.queue(2).await, 0);
    let running = bench.to_this_machine();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(receiver.seen().len(), 0);
    bench
        .outbox
        .change(&hook.id, hook.draft.clone(), false)
        .await
        .unwrap();
    running.dispatcher.wake();
    let all = bench
        .until(&hook, |one| one.state == DeliveryState::Delivered)
        .await;
    assert_eq!(all.len(), 1);
    assert!(bench.outbox.unsubscribe(&hook.id).await.unwrap());
    assert!(!bench.outbox.unsubscribe(&hook.id).await.unwrap());
    assert_eq!(bench.queue(3).await, 0);
    assert_eq!(bench.deliveries(&hook).await, []);
    running.stop().await;
}

#[tokio::test]
async fn for_a_day_messages_are_signed_with_the_old_secret_too() {
    let (bench, receiver, hook, old) = subscribed().await;
    let new = SigningSecret::generate().unwrap();
    let day = Duration::from_secs(86_400);
    let until = START.saturating_add(day);
    assert!(
        bench
            .outbox
            .rotate(&hook.id, new.clone(), until)
            .await
            .unwrap()
    );
    let running = bench.to_this_machine();
    for (wait, secrets) in [(Duration::ZERO, vec![&new, &old]), (day, vec![&new])] {
        bench.clock.advance(wait);
        let now = bench.clock.now().as_millis();
        bench.queue(now).await;
        running.dispatcher.wake();
        bench
            .until(&hook, |one| one.state == DeliveryState::Delivered)
            .await;
        let seen = receiver.seen().pop().unwrap();
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        let id = header(head, "webhook-id").unwrap();
        let signed = secrets
            .iter()
            .map(|secret| secret.sign(id, now / 1_000, body).unwrap());
        let wanted: Vec<String> = signed.collect();
        assert_eq!(header(head, "webhook-signature"), Some(&*wanted.join(" ")));
    }
    running.stop().await;
}

#[tokio::test]
async fn what_is_done_is_forgotten_in_time_and_pages_show_the_rest() {
    let (bench, _receiver, hook, _) = subscribed().await;
    for number in 0..5 {
        bench.queue(number).await;
    }
    let page = async |state, before| {
        let page = bench.outbox.deliveries(&hook.id, state, before, 2).await;
        page.unwrap()
    };
    let mut before = None;
    let mut sizes = Vec::new();
    loop {
        let found = page(Some(DeliveryState::Waiting), before).await;
        sizes.push(found.deliveries.len());
        before = found.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(page(Some(DeliveryState::Dead), None).await.deliveries, []);
    let running = bench.to_this_machine();
    bench
        .until(&hook, |one| one.state == DeliveryState::Delivered)
        .await;
    running.stop().await;
    bench.clock.advance(Duration::from_secs(86_401));
    // It looks when it starts.
    let running = bench.to_this_machine();
    let deadline = Instant::now() + PATIENCE;
    while !bench.deliveries(&hook).await.is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.stop().await;
}
