//! `yourls` from PyPI.

use serde_json::json;

use super::{Caller, click, start};

#[test]
#[ignore = "needs a client from PyPI: scripts/test e2e"]
fn the_client_of_yourls_goes_all_its_ways() {
    let server = start("yourls");
    let client = server.client();
    let url = format!("{}/yourls-api.php", server.admin);
    let mut yourls = Caller::python("yourls", &url, &server.key);
    let mut call = |method: &str, arguments| yourls.call(&json!([method, arguments]));

    let wanted = json!({"url": "https://example.com/1", "keyword": "one", "title": "First"});
    let made = call("shorten", wanted.clone());
    let short = client.edge("one");
    assert_eq!(made["shorturl"], short, "{made}");
    assert_eq!(made["url"], "https://example.com/1");
    assert_eq!(made["title"], "First");
    let other = call("shorten", json!({"url": "https://example.com/2"}));
    assert!(other["keyword"].is_string(), "{other}");
    client.visit("one").expect(302);
    for name in ["one", &short] {
        let long = call("expand", json!({"short": name}));
        assert_eq!(long, "https://example.com/1");
    }
    click(&client, other["keyword"].as_str().unwrap(), 2);
    let stats = call("url_stats", json!({"short": other["shorturl"]}));
    assert_eq!(stats["clicks"], 2, "{stats}");
    let top = call("stats", json!({"filter": "top", "limit": 2}));
    assert_eq!(top[0][0]["url"], "https://example.com/2", "{top}");
    assert_eq!(top[0][1]["clicks"], 1);
    let sums = json!({"total_clicks": 3, "total_links": 2});
    assert_eq!(top[1], sums);
    for filter in ["bottom", "last", "random"] {
        let list = call("stats", json!({"filter": filter, "limit": 1, "start": 1}));
        assert_eq!(list[0].as_array().unwrap().len(), 1, "{list}");
    }
    assert_eq!(call("db_stats", json!({})), sums);

    // What goes wrong it knows by name.
    let exists = call("shorten", wanted);
    assert_eq!(exists["raised"], "YOURLSURLExistsError", "{exists}");
    let taken = call(
        "shorten",
        json!({"url": "https://example.com/3", "keyword": "one"}),
    );
    assert_eq!(taken["raised"], "YOURLSKeywordExistsError", "{taken}");
    let nothing = call("shorten", json!({"url": ""}));
    assert_eq!(nothing["raised"], "YOURLSNoURLError", "{nothing}");
    let ours = call("shorten", json!({"url": short}));
    assert_eq!(ours["raised"], "YOURLSNoLoopError", "{ours}");
    let missing = call("expand", json!({"short": "none"}));
    assert_eq!(missing["raised"], "YOURLSHTTPError", "{missing}");
    let mut stranger = Caller::python("yourls", &url, "tg_00000000000000000000");
    let refused = stranger.call(&json!(["db_stats", {}]));
    assert_eq!(refused["message"], "Please log in");
}
