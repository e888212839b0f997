//! The dashboard in a real browser.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::browser::only_from;
use crate::client::Client;
use crate::devtools::Page;
use crate::server::{Options, Server};

/// Ends the address of the replay that is filled in.
const FILLED_IN: &str = "#filled-in";

/// Comes to the first page with the key of the server.
pub(crate) fn sign_in(server: &Server, page: &mut Page) {
    page.go(&server.admin);
    page.type_and_enter("#key", &server.key);
    page.until("document.querySelector('h1')?.textContent == 'Overview'");
}

/// What a person sees of an element.
fn text(page: &mut Page, selector: &str) -> String {
    let expression = format!("document.querySelector({})?.innerText", json!(selector));
    page.value(&expression)
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
#[ignore = "needs chromium"]
fn a_link_is_made_and_its_clicks_are_seen_as_they_come() {
    let server = Server::start();
    let client = server.client();
    let mut page = Page::open(true);
    sign_in(&server, &mut page);
    assert!(text(&mut page, ".empty").contains("There are no links yet"));

    page.go(&format!("{}/new", server.admin));
    page.type_into("#url", "https://a.example/spring");
    page.type_into("#code", "login");
    page.until("document.querySelector('#code-check .error') != null");
    page.type_into("#code", "spring");
    page.until("document.querySelector('#code-check')?.innerText == 'free'");
    page.type_and_enter("#title", "Spring");
    page.until("location.pathname == '/links/spring'");
    assert!(text(&mut page, ".notice").contains("/spring was made."));
    page.until("document.querySelector('.chart canvas') != null");
    page.until("document.querySelector('[data-live-state]')?.innerText == 'Live'");
    assert_eq!(text(&mut page, "#total"), "0");
    for seen in 1..=2 {
        client.visit("spring").expect(302);
        page.until(&format!(
            "document.querySelector('#total')?.innerText == '{seen}'"
        ));
    }

    page.go(&format!("{}/links", server.admin));
    page.type_into("#q", "nothing");
    page.until("document.querySelector('#found')?.innerText.includes('No link is like this')");
    page.type_into("#q", "spr");
    page.until("document.querySelector('#found th a')?.innerText == '/spring'");
    page.until("location.search.includes('q=spr')");
    only_from(&page, &[&server.admin]);
}

#[test]
#[ignore = "needs chromium"]
fn a_policy_is_written_and_refuses() {
    let server = Server::start();
    let mut page = Page::open(true);
    sign_in(&server, &mut page);
    page.go(&format!("{}/limits/new", server.admin));
    page.until("document.querySelector('#yaml')?.value.includes('requests_per_unit: 60')");
    page.value(
        "(yaml => { yaml.value = yaml.value.replace('60', '1') })(document.querySelector('#yaml'))",
    );
    page.press("[value=save]");
    page.until("location.pathname == '/limits' && document.querySelector('#domain-shop') != null");
    for verdict in ["200", "429"] {
        page.type_into("#descriptors", "user=anna");
        page.press("#try form button");
        page.until(&format!(
            "document.querySelector('.verdict')?.innerText.includes('{verdict}')"
        ));
    }
    // The numbers come by themselves.
    let refused = "document.querySelector('#domain-shop [data-label=Refused]')?.innerText";
    page.until(&format!("{refused} == '1'"));
    page.press("#domain-shop tbody form button");
    page.until("document.querySelector('#domain-shop .badge.warn')?.innerText == 'shadow'");
    only_from(&page, &[&server.admin]);
}

#[test]
#[ignore = "needs chromium"]
fn a_slider_redraws_what_follows_from_it() {
    let server = Server::start();
    let mut page = Page::open(true);
    sign_in(&server, &mut page);
    let slide_to_end = |name: &str| {
        format!(
            "(slider => {{ slider.value = slider.max; \
             slider.dispatchEvent(new Event('input', {{bubbles: true}})) }})\
             (document.querySelector('[data-slides={name}]'))"
        )
    };
    page.go(&format!("{}/planner", server.admin));
    page.ready();
    page.until("document.querySelector('[data-slides=dau]')?.hidden == false");
    page.value(&slide_to_end("dau"));
    page.until("document.querySelector('#writes td')?.innerText == '578.7/s'");
    page.until("location.search.includes('dau=5G')");
    page.type_into("#retention", "soon");
    page.until("document.querySelector('#retention-error')?.innerText.startsWith('Write a time')");
    page.until("document.querySelector('#plan .alert')?.innerText.includes('retention')");
    assert_eq!(
        page.value("document.querySelector('#retention').value"),
        "soon"
    );
    page.type_into("#retention", "1d");
    page.until("document.querySelector('#retention-error')?.innerText == ''");
    page.until("document.querySelector('#records td')?.innerText == '50 million'");
    // The other way to tell the traffic has other sliders.
    page.press("[name=by][value=rates]");
    page.until("document.querySelector('#writes_per_second')?.offsetParent != null");
    page.until("document.querySelector('#dau')?.offsetParent == null");
    page.until("document.querySelector('#writes td')?.innerText == '200/s'");

    page.go(&format!("{}/simulator", server.admin));
    let rows = |count: usize| {
        format!(
            "document.querySelectorAll('#run tbody tr').length == {count} && document.querySelectorAll('#run svg').length == {count}"
        )
    };
    page.until(&rows(3));
    page.press("[value=sliding_counter]");
    page.until(&rows(4));
    page.value(&slide_to_end("limit"));
    page.until("document.querySelector('#run p')?.innerText.includes('at most 1,000 a minute')");
    page.type_into("#limit", "1000000");
    page.until("document.querySelector('#load-error')?.innerText.includes('500,000')");
    only_from(&page, &[&server.admin]);
}

#[test]
#[ignore = "needs chromium"]
fn a_log_is_replayed_while_it_is_filled_in() {
    let server = Server::start();
    let mut page = Page::open(true);
    sign_in(&server, &mut page);
    page.go(&format!("{}/replay", server.admin));
    page.ready();
    page.until("document.querySelector('[data-slides=share]')?.hidden == false");
    fill_in_replay(&mut page);
    let proposed = |text: &str| {
        format!(
            "document.querySelector('#report td[data-label=Proposed]')?.innerText.trim() == '{text}'"
        )
    };
    page.until(&proposed("18 an hour"));
    page.until("document.querySelector('#report td[data-label=Refused]')?.innerText == '16'");
    enter(&mut page, "share", "0.5");
    page.until(&proposed("2 an hour"));
    enter(&mut page, "share", "none");
    page.until("document.querySelector('#report .alert')?.innerText.includes('such as 0.999')");
    enter(&mut page, "share", "1");
    page.until(&proposed("18 an hour"));
    page.press("[value=keep]");
    page.shows("is shown beside this forecast");
    only_from(&page, &[&server.admin]);
}

#[test]
#[ignore = "needs chromium"]
fn everything_works_without_scripts() {
    let server = Server::start();
    let client = server.client();
    let mut page = Page::open(false);
    sign_in(&server, &mut page);
    page.go(&format!("{}/new", server.admin));
    page.type_and_enter("#url", "https://a.example/x");
    page.shows("was made.");
    let code = text(&mut page, "dd.big a");
    let code = code
        .trim()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    client.visit(&code).expect(302);
    page.press(".head .actions a:last-child");
    page.shows("Delete the link");
    page.press(".danger");
    page.shows("was deleted.");
    client.visit(&code).expect(404);
    page.go(&format!(
        "{}/planner?dau=20M&retention=1d&by=users",
        server.admin
    ));
    page.press(".sliders .primary");
    page.shows("200,000");
    page.go(&format!("{}/simulator?seed=2", server.admin));
    page.press(".sliders .primary");
    page.shows("What passes");
}

/// A page, with a replay if its address ends so.
fn visit(server: &Server, page: &mut Page, path: &str) {
    page.go(&format!("{}{path}", server.admin));
    page.ready();
    if path.ends_with(FILLED_IN) {
        fill_in_replay(page);
        page.until("document.querySelector('#report table') != null");
    }
}

/// Two addresses, of which one asks 18 times, the other twice.
fn fill_in_replay(page: &mut Page) {
    let line = |n: u32| {
        let address = if n % 10 == 9 { 1 } else { 0 };
        format!("192.0.2.{address} - - [10/Oct/2025:13:55:36 +0000] \"GET / HTTP/1.1\" 200 5\n")
    };
    let policies = "domain: shop\ndescriptors:\n- key: remote_address\n  rate_limit: {unit: hour, requests_per_unit: 2}\n";
    enter(page, "yaml", policies);
    enter(page, "log", &(0..20).map(line).collect::<String>());
    enter(page, "by", "remote_address");
}

/// Fills a field at once, whatever is in it.
fn enter(page: &mut Page, name: &str, text: &str) {
    page.value(&format!(
        "(field => {{ field.value = {}; field.dispatchEvent(new Event('input', {{bubbles: true}})) }})\
         (document.querySelector('[name={name}]'))",
        Value::from(text)
    ));
}

/// `AXE` says where axe is, which finds what people with a screen reader or without a mouse cannot use.
#[test]
#[ignore = "needs chromium and axe"]
fn axe_finds_nothing_on_any_page() {
    let axe = std::env::var_os("AXE").expect("AXE names the file axe.min.js");
    let axe = std::fs::read_to_string(axe).expect("a script");
    let (server, pages) = filled();
    let mut page = Page::open(true);
    page.look(1280, false);
    page.go(&format!("{}/sign-in", server.admin));
    page.ready();
    let mut found = audit(&mut page, &axe, "/sign-in");
    sign_in(&server, &mut page);
    for (width, dark) in [(1280, false), (1280, true), (390, false)] {
        page.look(width, dark);
        for path in &pages {
            visit(&server, &mut page, path);
            let name = format!("{path} ({width}, dark: {dark})");
            found.extend(audit(&mut page, &axe, &name));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What axe has against a page.
fn audit(page: &mut Page, axe: &str, name: &str) -> Vec<String> {
    page.value(&format!("{axe}; null"));
    let run = "axe.run().then(found => found.violations.flatMap(one => one.nodes.map(
        node => one.id + ': ' + node.html.slice(0, 200) + ' ' + node.failureSummary)))";
    let found = page.value(run);
    let found = found
        .as_array()
        .unwrap_or_else(|| panic!("axe does not run on {name}"));
    let found = found.iter().filter_map(Value::as_str);
    found.map(|one| format!("{name}: {one}")).collect()
}

/// `PICTURES` says where they are left. Also, no page is wider than its screen.
#[test]
#[ignore = "makes pictures for scripts/screenshots"]
fn pictures_of_every_page() {
    let directory = std::env::var_os("PICTURES").expect("PICTURES names a directory");
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory).expect("a directory");
    let (server, mut pages) = filled();
    let mut page = Page::open(true);
    pages.insert(0, "/sign-in".to_owned());
    for path in &pages {
        if path == "/" {
            sign_in(&server, &mut page);
        }
        let name: String = path
            .trim_matches('/')
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '-'
                }
            })
            .collect();
        let name = match &*name {
            "" => "overview",
            // Its identifier is another one each time.
            name if name.contains("-wh-") => "webhook",
            name => name,
        };
        for (look, width, dark) in [
            ("light", 1280, false),
            ("dark", 1280, true),
            ("tablet", 800, false),
            ("phone", 390, false),
        ] {
            page.look(width, dark);
            visit(&server, &mut page, path);
            page.until("[...document.querySelectorAll('[data-series]')].every(one => one.querySelector('canvas'))");
            // A page that is too wide makes a phone's window wider, too.
            let wide = page.value(&format!(
                "document.documentElement.scrollWidth > Math.min(innerWidth, {width})"
            ));
            let picture = BASE64_STANDARD.decode(page.picture()).expect("Base64");
            std::fs::write(directory.join(format!("{name}-{look}.png")), picture).expect("a file");
            assert_eq!(wide, false, "{path} is wider than the screen ({look})");
        }
    }
}

/// A server with something on each page, and the pages.
fn filled() -> (Server, Vec<String>) {
    let server = Options::default()
        .config(
            "[links]\nbase_url = \"https://go.example.com\"\ndomains = [\"https://lnk.example\"]",
        )
        .start();
    let client = server.client();
    fill(&client);
    let limits = "domain: shop\ndescriptors:\n  # Everybody who is signed in.\n  - key: user\n    rate_limit: {name: per_user, unit: minute, requests_per_unit: 5}\n  - key: plan\n    value: free\n    rate_limit: {name: free_plan, unit: hour, requests_per_unit: 1000, algorithm: sliding_counter}\n  - key: search\n    shadow_mode: true\n    rate_limit: {name: searches, unit: second, requests_per_unit: 2}\n";
    let put = client.request("PUT", "/api/v1/limits/policies/shop");
    let put = put.header("content-type", "application/yaml");
    client.http.send(put, limits).expect(204);
    for user in ["anna", "anna", "bert"] {
        let entry = |key: &str, value: &str| json!([{"key": key, "value": value}]);
        let ask = json!({"domain": "shop", "descriptors": [entry("user", user), entry("plan", "free")], "hits": 3});
        client
            .api_json("POST", "/api/v1/limits/check", &ask)
            .expect(200);
    }
    let key = json!({"name": "newsletter", "scopes": ["links:read", "links:write"], "domain": "lnk.example"});
    client.api_json("POST", "/api/v1/keys", &key).expect(201);
    let hook = json!({"url": "https://hooks.example.com/links", "events": ["link.created", "link.threshold"], "thresholds": [100, 1000], "description": "Chat"});
    let hook = client
        .api_json("POST", "/api/v1/webhooks", &hook)
        .expect(201);
    let id = hook.json()["id"]
        .as_str()
        .expect("an identifier")
        .to_owned();
    client
        .api_json("POST", &format!("/api/v1/webhooks/{id}/ping"), &json!({}))
        .expect(202);
    let webhook = format!("/webhooks/{id}");
    let pages = [
        "/",
        "/links",
        "/links?q=nothing-like-this",
        "/new",
        "/links/spring",
        "/links/spring/edit",
        "/links/spring/delete",
        "/limits",
        "/limits/of/shop",
        "/limits/new",
        "/replay",
        "/keys",
        "/audit",
        "/domains",
        "/webhooks",
        &webhook,
        "/planner",
        "/planner?by=rates&writes_per_second=200&hit_rate=50%25&code_length=4&strategy=random&peak=x",
        "/simulator",
        "/simulator?traffic=fleet&windows=20",
        "/system",
        &format!("/replay{FILLED_IN}"),
    ];
    (server, pages.map(str::to_owned).to_vec())
}

fn fill(client: &Client) {
    let rules =
        json!([{"if": [{"type": "os", "is": "ios"}], "url": "https://apps.example.com/shop"}]);
    let links = [
        json!({"url": "https://shop.example.com/spring-sale?utm_source=newsletter&utm_campaign=spring", "code": "spring", "title": "Spring sale", "tags": ["sale", "newsletter"], "rules": rules}),
        json!({"url": "https://shop.example.com/autumn", "code": "autumn", "title": "Autumn", "tags": ["sale"], "expires_at": "2099-10-31T23:00:00Z"}),
        json!({"url": "https://docs.example.com/a/very/long/path/that/goes/on/and/on/until/nobody/wants/to/read/it/any/more", "code": "manual"}),
        json!({"url": "https://example.com/report", "code": "report", "password": "x", "title": "Report for the board"}),
        json!({"url": "https://example.com/ticket", "code": "ticket", "max_clicks": 1}),
        json!({"url": "https://shop.example.com/", "code": "shop", "domain": "lnk.example"}),
    ];
    for link in links {
        client.create(&link);
    }
    const AGENTS: [&str; 3] = [
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    ];
    const REFERRERS: [&str; 3] = [
        "https://www.google.com/",
        "https://news.example.org/today",
        "https://social.example.net/",
    ];
    for turn in 0..30_usize {
        let code = ["spring", "autumn", "spring", "manual", "spring", "ticket"][turn % 6];
        let headers = [
            ("user-agent", AGENTS[turn % 3]),
            ("referer", REFERRERS[turn % 2 + turn % 5 / 4]),
            ("accept-language", "de-DE"),
        ];
        client.visit_with(code, &headers);
    }
    crate::server::eventually("the clicks", || {
        let stats = client.api("GET", "/api/v1/stats").json();
        (stats["total"].as_u64()? >= 26).then_some(())
    });
}
