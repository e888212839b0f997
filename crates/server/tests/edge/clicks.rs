//! Which requests are captured as clicks, and what of them.

use std::num::NonZeroU64;
use std::sync::Arc;

use tempfile::TempDir;
use tollgate_clicks::capture::{Addresses, Capture, Privacy};
use tollgate_clicks::spool::{Spool, SpoolOptions, SpoolSource};
use tollgate_clicks::{Click, ClickKind, ClickSource as _, Network, Position};
use tollgate_clock::ManualClock;
use tollgate_links::{Domain, PasswordHasher};

use crate::edge::{Edge, NOW, block_on, options};

/// An edge whose clicks are spooled.
struct Clicked {
    edge: Edge,
    capture: Arc<Capture>,
    spool: Option<Spool>,
    source: SpoolSource,
    _home: TempDir,
}

fn privacy() -> Privacy {
    Privacy {
        addresses: Addresses::Truncated,
        respect_dnt: true,
        key: [5; 16],
    }
}

impl Clicked {
    fn start(privacy: Privacy) -> Self {
        let home = tempfile::tempdir().unwrap();
        let capture = Arc::new(Capture::new(privacy, 1 << 20));
        let mut options = options();
        options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        let spool = SpoolOptions {
            directory: home.path().join("spool"),
            max_bytes: 1 << 30,
            sync: None,
            identity: 1,
            process: 2,
        };
        let clock = Arc::new(ManualClock::at(NOW));
        let spool = Spool::start(&spool, Arc::clone(&capture), clock).unwrap();
        Self {
            edge: Edge::capturing(options, Some(Arc::clone(&capture))),
            capture,
            source: spool.source(),
            spool: Some(spool),
            _home: home,
        }
    }

    /// Ends the edge and then the spool, and answers all clicks.
    fn clicks(mut self) -> Vec<Click> {
        self.edge.stop();
        let captured = self.capture.stats();
        assert_eq!(captured.dropped, 0);
        self.spool.take().unwrap().finish();
        let (mut clicks, mut after) = (Vec::new(), Position::default());
        while (clicks.len() as u64) < captured.captured {
            let batch = block_on(self.source.next(after, 100)).unwrap();
            after = batch.to;
            clicks.extend(batch.clicks);
        }
        clicks
    }
}

#[test]
fn a_visit_is_captured_with_what_the_browser_says() {
    let clicked = Clicked::start(privacy());
    clicked.edge.link("abc", |_| ());
    let other = Domain::parse("other.example").unwrap();
    clicked
        .edge
        .link_on(other, "xyz", |spec| spec.forward_query = true);
    let mut client = clicked.edge.client();
    let headers = "x-forwarded-for: 203.0.113.9\r\nuser-agent: Browser/1\r\n\
                   referer: https://r.example/p?q=1\r\naccept-language: de, en;q=0.5\r\n";
    assert_eq!(
        client.get_with("/abc?a=1&utm_source=x", headers).status,
        302
    );
    client.send("GET /xyz HTTP/1.1\r\nhost: other.example\r\n\r\n");
    assert_eq!(client.receive().status, 302);
    let clicks = clicked.clicks();
    assert_eq!(clicks.len(), 2);
    let click = &clicks[0];
    assert_eq!((click.domain.as_str(), click.code.as_str()), ("", "abc"));
    assert_eq!(click.kind, ClickKind::Visit);
    assert_eq!(click.at, NOW);
    let texts = [
        &click.referrer,
        &click.user_agent,
        &click.language,
        &click.campaign,
    ];
    assert_eq!(
        texts.map(|text| text.as_ref().unwrap().as_str()),
        [
            "https://r.example/p?q=1",
            "Browser/1",
            "de, en;q=0.5",
            "utm_source=x"
        ]
    );
    assert!(click.visitor.is_some());
    let network = "203.0.113.0".parse().unwrap();
    assert_eq!(click.network, Some(Network::Truncated(network)));
    let other = &clicks[1];
    assert_eq!(
        (other.domain.as_str(), other.code.as_str()),
        ("other.example", "xyz")
    );
    assert_eq!((&other.referrer, &other.user_agent), (&None, &None));
    assert_ne!(other.id, click.id);
}

#[test]
fn of_visitors_who_object_only_that_they_came_is_kept() {
    let clicked = Clicked::start(privacy());
    clicked.edge.link("abc", |_| ());
    let mut client = clicked.edge.client();
    for wish in ["dnt: 1", "sec-gpc: 1", "dnt: 0"] {
        let headers =
            format!("{wish}\r\nuser-agent: Browser/1\r\nreferer: https://r.example/p\r\n");
        assert_eq!(client.get_with("/abc", &headers).status, 302);
    }
    let clicks = clicked.clicks();
    for click in &clicks[..2] {
        assert_eq!((click.visitor, click.network), (None, None));
        assert_eq!((&click.user_agent, &click.language), (&None, &None));
        assert_eq!(
            click.referrer.as_ref().unwrap().as_str(),
            "https://r.example"
        );
    }
    assert!(clicks[2].visitor.is_some() && clicks[2].user_agent.is_some());
}

#[test]
fn only_who_is_led_on_or_astray_is_a_click() {
    let clicked = Clicked::start(privacy());
    let edge = &clicked.edge;
    edge.link("abc", |_| ());
    edge.link("locked", |spec| {
        spec.password = Some(PasswordHasher::default().hash("right").unwrap());
    });
    edge.link("later", |spec| {
        spec.starts_at = Some(NOW.saturating_add(std::time::Duration::from_secs(1)));
    });
    edge.link("over", |spec| spec.expires_at = Some(NOW));
    let mut client = edge.client();
    // No clicks.
    for (path, status) in [
        ("/", 200),
        ("/robots.txt", 200),
        ("/abc+", 200),
        ("/none+", 404),
        ("/no/code", 404),
        ("/locked", 403),
        ("/later", 404),
        ("/over", 410),
    ] {
        assert_eq!(client.get(path).status, status, "{path}");
    }
    assert_eq!(client.request("HEAD", "/abc").status, 302);
    assert_eq!(client.request("HEAD", "/none").status, 404);
    assert_eq!(client.request("POST", "/none").status, 404);
    assert_eq!(client.request("POST", "/abc").status, 405);
    assert_eq!(client.post_form("/locked", "password=wrong").status, 403);
    // Clicks, the first two of a link that is not in the cache and then is.
    assert_eq!(client.get("/abc").status, 302);
    assert_eq!(client.get("/abc").status, 302);
    assert_eq!(client.get("/none").status, 404);
    assert_eq!(client.get("/none").status, 404);
    assert_eq!(client.post_form("/locked", "password=right").status, 303);
    let clicks = clicked.clicks();
    let seen: Vec<_> = clicks
        .iter()
        .map(|click| (click.code.as_str(), click.kind))
        .collect();
    assert_eq!(
        seen,
        [
            ("abc", ClickKind::Visit),
            ("abc", ClickKind::Visit),
            ("none", ClickKind::Orphan),
            ("none", ClickKind::Orphan),
            ("locked", ClickKind::Visit),
        ]
    );
}

/// The store of the links alone decides, whatever becomes of the clicks.
#[test]
fn max_clicks_is_exact_without_clicks_with_them_and_with_a_full_queue() {
    // Nobody takes anything out of the queue.
    let full = Arc::new(Capture::new(privacy(), 0));
    let taken = Clicked::start(privacy());
    let edges = [
        Edge::start(),
        Edge::capturing(options(), Some(Arc::clone(&full))),
    ];
    for edge in edges.iter().chain([&taken.edge]) {
        edge.link("fill", |_| ());
        edge.link("few", |spec| spec.max_clicks = NonZeroU64::new(7));
        for _ in 0..300 {
            assert_eq!(edge.client().get("/fill").status, 302);
        }
        let visitors: Vec<_> = (0..4)
            .map(|_| {
                let mut client = edge.client();
                let ask = move || {
                    (0..10)
                        .map(|_| client.get("/few").status)
                        .collect::<Vec<_>>()
                };
                std::thread::spawn(ask)
            })
            .collect();
        let statuses: Vec<u16> = visitors
            .into_iter()
            .flat_map(|visitor| visitor.join().unwrap())
            .collect();
        let of = |status| statuses.iter().filter(|&&given| given == status).count();
        assert_eq!((of(302), of(410)), (7, 33), "{statuses:?}");
    }
    let stats = full.stats();
    assert_eq!(stats.captured + stats.dropped, 307, "{stats:?}");
    assert!(stats.dropped > 0, "{stats:?}");
    let clicks = taken.clicks();
    assert_eq!(clicks.iter().filter(|click| click.code == "few").count(), 7);
}

#[test]
fn absurd_headers_are_cut_and_never_break_anything() {
    let clicked = Clicked::start(privacy());
    clicked.edge.link("abc", |_| ());
    let mut client = clicked.edge.client();
    let referrer = "r".repeat(8 * 1024);
    client.send(format!(
        "GET /abc HTTP/1.1\r\nhost: x\r\nreferer: {referrer}\r\nuser-agent: "
    ));
    client.send([0xff, 0xfe, b'x', 0x80]).send("\r\n\r\n");
    assert_eq!(client.receive().status, 302);
    assert_eq!(
        client
            .get_with("/abc", "user-agent:\r\nreferer:\r\n")
            .status,
        302
    );
    let clicks = clicked.clicks();
    let referrer = clicks[0].referrer.as_ref().unwrap().as_str();
    assert!(
        referrer.ends_with('…') && referrer.len() == 1024,
        "{}",
        referrer.len()
    );
    let agent = clicks[0].user_agent.as_ref().unwrap().as_str();
    assert_eq!(agent, "\u{fffd}\u{fffd}x\u{fffd}");
    assert_eq!((&clicks[1].user_agent, &clicks[1].referrer), (&None, &None));
}
