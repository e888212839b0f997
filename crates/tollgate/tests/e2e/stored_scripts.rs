//! Scripts in every text that somebody else may write, shown to an administrator in a real browser whose protection
//! against them is switched off: what is escaped is not run, whatever the browser thinks of it.

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Value, json};

use crate::client::Client;
use crate::dashboard::sign_in;
use crate::devtools::Page;
use crate::server::{Server, eventually};

/// Gets out of an attribute, a title, a text area and a script, and then runs in four ways. It has no `&`, which would
/// read differently where it is escaped once too often.
const SCRIPT: &str = "javascript:ran(1)//'\"--></title></textarea></script><img src=x onerror=ran(2)>\
                      <svg/onload=ran(3)><script>ran(4)</script><a href=javascript:ran(5)>press</a>";

/// The same where a text is short.
const SHORT: &str = "'\"></title></textarea><img src=x onerror=ran(2)><svg/onload=ran(3)>";

const TAG: &str = "<img src=x onerror=ran(2)>";

/// What shows that the text is there, as text.
const SHOWN: &str = "onerror=ran(2)";

/// Notes what was run, in every document before anything of it is.
const WATCH: &str = "globalThis.runs = []; globalThis.ran = n => { runs.push(n) }; globalThis.refused = [];
    document.addEventListener('securitypolicyviolation', e => refused.push(e.blockedURI + ' ' + e.violatedDirective));";

/// Fewer pages than these would mean that they were not found.
const LEAST_PAGES: usize = 35;
const MOST_PAGES: usize = 200;

#[test]
#[ignore = "needs chromium"]
fn no_stored_script_runs_on_any_page() {
    let server = Server::start();
    let client = server.client();
    store_scripts(&client);
    // The policy of the browser is a second wall: each has to hold alone.
    for unprotected in [true, false] {
        let mut page = Page::open(true);
        page.before_each_document(WATCH);
        if unprotected {
            page.ignore_content_security_policy();
            sees_what_runs(&client, &mut page);
        }
        sign_in(&server, &mut page);
        let mut showing = 0;
        let visited = walk(&server, &mut page, |page, path| {
            assert_eq!(page.value("runs"), json!([]), "{path}");
            assert_eq!(page.value("refused"), json!([]), "{path}");
            let leads = "[...document.querySelectorAll('[href],[src],[action],[formaction]')]
                .flatMap(it => ['href', 'src', 'action', 'formaction'].map(name => it.getAttribute(name)))
                .filter(it => /^\\s*(javascript|data|vbscript):/i.test(it ?? '')
                    && !it.startsWith('data:image/svg+xml;base64,'))";
            assert_eq!(page.value(leads), json!([]), "{path}");
            let text = page.value("document.documentElement.innerHTML").to_string();
            showing += usize::from(text.contains(SHOWN));
        });
        println!("{visited} pages, {showing} of them show scripts as text");
        assert!(visited >= LEAST_PAGES, "{visited}");
        assert!(showing >= 15, "{showing}");
    }
}

/// A test that cannot see a script run would find none.
fn sees_what_runs(client: &Client, page: &mut Page) {
    page.go(&client.edge("l+"));
    page.ready();
    page.value(&format!("document.body.innerHTML = {}", json!(SCRIPT)));
    page.until("runs.includes(2)");
}

/// Visits every page that a page leads to, and what people see at the edge.
fn walk(server: &Server, page: &mut Page, mut look: impl FnMut(&mut Page, &str)) -> usize {
    let asked = url_encoded(SCRIPT);
    let mut queue: VecDeque<String> = [
        "/".to_owned(),
        format!("/links?q={asked}&tag={asked}"),
        format!("/audit?actor={asked}"),
        format!("/new?url={asked}&code={asked}&title={asked}"),
        format!("/planner?retention={asked}"),
        format!("/simulator?limit={asked}"),
        format!("/{asked}"),
    ]
    .map(|path| server.admin.clone() + &path)
    .into();
    queue.extend(["l+", "locked", &asked].map(|path| server.client().edge(path)));
    let mut seen: BTreeSet<String> = queue.iter().cloned().collect();
    let mut visited = 0;
    while let Some(path) = queue.pop_front() {
        page.go(&path);
        page.ready();
        look(page, &path);
        visited += 1;
        let links = page
            .value("[...document.querySelectorAll('a[href]')].map(it => it.href.split('#')[0])");
        for link in links
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            // A page for each period and order of a list is the same page.
            let known = link.split('?').next().unwrap_or(link).to_owned();
            let ours = link.strip_prefix(&server.admin);
            let page = ours
                .is_some_and(|path| !["/api/", "/metrics"].iter().any(|it| path.starts_with(it)));
            if page && seen.insert(known) {
                queue.push_back(link.to_owned());
            }
        }
        assert!(visited < MOST_PAGES, "{queue:?}");
    }
    visited
}

/// Writes it wherever somebody may write something. What takes no such text says so.
fn store_scripts(client: &Client) {
    let title: String = SCRIPT.chars().take(500).collect();
    let condition = json!([{"type": "query", "name": SCRIPT, "value": SCRIPT}]);
    let target = format!("https://a.example/{SCRIPT}?q={SCRIPT}#{SCRIPT}");
    let link = json!({
        "url": target, "code": "l", "title": title, "tags": [TAG],
        "rules": [{"if": condition, "url": target}],
    });
    client.create(&link);
    client.create(&json!({"url": target, "code": "locked", "title": title, "password": "x"}));
    client
        .patch("l", &json!({"title": format!("{title}!")}))
        .expect(200);
    for wrong in [
        json!({"url": SCRIPT}),
        json!({"url": "https://a.example/", "code": SCRIPT}),
        json!({"url": "https://a.example/", "domain": SCRIPT}),
    ] {
        client.draft(&wrong).expect(422);
    }
    let key = json!({"name": SHORT, "scopes": ["links:read"]});
    let key = client
        .api_json("POST", "/api/v1/keys", &key)
        .expect(201)
        .json();
    let hook = json!({
        "url": format!("https://a.example/{SCRIPT}"), "events": ["link.created"], "description": SCRIPT,
    });
    client
        .api_json("POST", "/api/v1/webhooks", &hook)
        .expect(201);
    let policies = json!({
        "domain": "shop",
        "descriptors": [
            {"key": "user", "rate_limit": {"name": SCRIPT, "unit": "minute", "requests_per_unit": 1}},
            {"key": SCRIPT, "value": SCRIPT, "rate_limit": {"unit": "minute", "requests_per_unit": 1}},
        ],
    });
    // JSON is YAML.
    let put = client.request("PUT", "/api/v1/limits/policies/shop");
    let put = put.header("content-type", "application/yaml");
    client.http.send(put, policies.to_string()).expect(204);
    for descriptor in [
        json!({"key": "user", "value": SCRIPT}),
        json!({"key": SCRIPT, "value": SCRIPT}),
    ] {
        let ask = json!({"domain": "shop", "descriptors": [[descriptor]], "hits": 1});
        for status in [200, 429] {
            let reply = client.api_json("POST", "/api/v1/limits/check", &ask);
            assert!([200, status].contains(&reply.status), "{reply:?}");
        }
    }
    // As somebody with a key of that name, for the audit log.
    let another = client.with_key(key["secret"].as_str().unwrap_or_default());
    another
        .draft(&json!({"url": "https://a.example/"}))
        .expect(403);
    let query = format!(
        "l?utm_source={0}&utm_medium={0}&utm_campaign={0}",
        url_encoded(SCRIPT)
    );
    let headers = [
        ("user-agent", SCRIPT),
        ("referer", &*format!("https://a.example/{SCRIPT}")),
        ("accept-language", SCRIPT),
        ("x-forwarded-for", SCRIPT),
    ];
    client.visit_with(&query, &headers);
    client.visit_with("l", &[("referer", SCRIPT)]);
    eventually("the clicks", || {
        let stats = client.api("GET", "/api/v1/stats").json();
        (stats["total"].as_u64()? >= 2).then_some(())
    });
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
