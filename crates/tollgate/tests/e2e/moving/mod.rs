//! Moving in from other shorteners, with what they have counted.

mod identical;
mod stub;

use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::private_postgres::PrivatePostgres;
use crate::server::{Options, Server, both, eventually};
use stub::Stub;

/// A file beside this one.
fn fixture(name: &str) -> PathBuf {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/moving");
    PathBuf::from(here).join(name)
}

/// A copy of a fixture, beside which an import may keep its progress.
fn copy(server: &Server, name: &str) -> PathBuf {
    let copy = server.path(name);
    std::fs::copy(fixture(name), &copy).unwrap();
    copy
}

/// Imports, and answers the report.
#[track_caller]
fn import(server: &Server, arguments: &[&str]) -> Value {
    report(&output(server, arguments))
}

fn output(server: &Server, arguments: &[&str]) -> Output {
    let mut command = server.cli();
    command.args(["link", "import", "--json"]).args(arguments);
    command.output().unwrap()
}

#[track_caller]
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", both(output)))
}

/// Numbers of a report: links created, there before, conflicts and bad; clicks counted and lost.
fn counts(report: &Value) -> [u64; 6] {
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{report}"));
    let clicks = &report["clicks"];
    [
        &report["created"],
        &report["present"],
        &report["conflicts"],
        &report["bad"],
        &clicks["counted"],
        &clicks["lost"],
    ]
    .map(number)
}

/// Clicks of a link: in the years from 2010 to 2100, and those without a time.
fn clicks_of(server: &Server, code: &str) -> (u64, u64) {
    let path = format!("/api/v1/links/{code}/stats?from=2010-01-01&to=2100-01-01&bucket=month");
    let stats = server.client().api("GET", &path).expect(200).json();
    let number = |name: &str| stats[name].as_u64().unwrap_or(0);
    (number("total"), number("untimed"))
}

#[test]
fn a_shlink_that_runs_moves_in_with_its_visits() {
    let old = Options::default().config("[compat]\nshlink = true").start();
    let client = old.client();
    let links = [
        json!({
            "url": "https://example.com/spring?a=1", "code": "spring", "title": "Spring",
            "tags": ["sale", "spring"], "forward_query": true, "max_clicks": 100,
            "created_at": "2020-01-02T03:04:05Z", "expires_at": "2099-01-01T00:00:00Z",
            "rules": [
                {"if": [{"type": "os", "is": "ios"}], "url": "https://ios.example/"},
                {"if": [{"type": "language", "is": "pt"}, {"type": "query", "name": "ref"}],
                 "url": "https://pt.example/"},
            ],
        }),
        json!({"url": "https://example.com/quiet", "code": "quiet", "created_at": "2020-01-03T00:00:00Z"}),
    ];
    for link in &links {
        client.create(link);
    }
    let follow = || {
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let headers = [
            ("user-agent", agent),
            ("referer", "https://www.news.example/x"),
        ];
        client.visit_with("spring", &headers).expect(302);
        client
            .visit_with("spring", &[("user-agent", "curl/8.5.0")])
            .expect(302);
    };
    let counted = |clicks: u64| {
        eventually("the clicks", || {
            (clicks_of(&old, "spring").0 == clicks).then_some(())
        });
    };
    follow();
    follow();
    counted(4);

    let new = Server::start();
    let source = [
        "--from",
        "shlink",
        "--source-url",
        &old.admin,
        "--source-key",
        &old.key,
    ];
    let dry = import(&new, &[&source[..], &["--dry-run"]].concat());
    assert_eq!(counts(&dry), [2, 0, 0, 0, 0, 0], "{dry}");
    assert_eq!(
        (&dry["dry_run"], &dry["clicks"]["found"]),
        (&json!(true), &json!(4))
    );
    new.client().link("spring").expect(404);

    let told = import(&new, &source);
    assert_eq!(counts(&told), [2, 0, 0, 0, 4, 0], "{told}");
    assert_eq!(told["left_out"], json!({}), "{told}");
    let fields = |server: &Server, code: &str| {
        let mut link = server.client().link(code).expect(200).json();
        let fields = link.as_object_mut().unwrap();
        for own in ["short_url", "updated_at", "created_by", "version", "origin"] {
            fields.remove(own);
        }
        link
    };
    for code in ["spring", "quiet"] {
        assert_eq!(fields(&new, code), fields(&old, code));
    }
    let statistics = |server: &Server| {
        let path = "/api/v1/links/spring/stats?by=referrer,browser,os,device,channel&bots=exclude";
        let mut stats = server.client().api("GET", path).expect(200).json();
        let fields = stats.as_object_mut().unwrap();
        // Visitors are not told by Shlink, and the period ends now.
        for other in ["unique", "from", "to", "series"] {
            fields.remove(other);
        }
        stats
    };
    assert_eq!(statistics(&new), statistics(&old));

    // Once more: nothing is counted twice, and what came since is.
    let again = import(&new, &source);
    assert_eq!(counts(&again), [0, 2, 0, 0, 0, 0], "{again}");
    assert_eq!(again["clicks"]["before"], 4);
    follow();
    counted(6);
    let later = import(&new, &source);
    assert_eq!(later["clicks"]["counted"], 2, "{later}");
    assert_eq!(clicks_of(&new, "spring"), (6, 0));
}

#[test]
fn of_a_shlink_nothing_is_lost_in_silence() {
    let stub = Stub::start(|path| {
        let page = |data: Value| json!({"data": data, "pagination": {"pagesCount": 1}});
        match path {
            "/rest/v3/short-urls" => json!({"shortUrls": page(json!([
                {"shortCode": "a", "shortUrl": "https://s.example/a", "longUrl": "https://a.example/",
                 "dateCreated": "2021-02-03T04:05:06+01:00", "tags": [], "crawlable": false,
                 "visitsSummary": {"total": 5, "nonBots": 4, "bots": 1},
                 "meta": {"validSince": null, "validUntil": null, "maxVisits": null},
                 "domain": null, "title": null, "forwardQuery": true, "hasRedirectRules": true,
                 "novelty": "x"},
                {"shortCode": "p/q", "shortUrl": "https://s.example/p/q", "longUrl": "https://a.example/",
                 "dateCreated": "2021-02-03T04:05:06+01:00", "tags": [], "crawlable": true,
                 "visitsSummary": {"total": 9}, "forwardQuery": false},
            ]))}),
            "/rest/v3/short-urls/a/redirect-rules" => json!({"redirectRules": [
                {"longUrl": "https://v4.example/", "priority": 1,
                 "conditions": [{"type": "ip-address", "matchKey": null, "matchValue": "192.0.2.*"}]},
                {"longUrl": "https://android.example/", "priority": 2,
                 "conditions": [{"type": "device", "matchKey": null, "matchValue": "android"}]},
            ]}),
            "/rest/v3/short-urls/a/visits" => json!({"visits": page(json!([
                {"referer": "", "date": "2021-03-04T00:00:00+01:00", "userAgent": "curl/8.5.0",
                 "visitLocation": null, "potentialBot": true},
                {"referer": "https://www.news.example/", "date": "2021-03-03T00:00:00+01:00",
                 "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                 "visitLocation": {"countryCode": "ES", "cityName": "Zaragoza"}, "potentialBot": false},
            ]))}),
            other => panic!("{other}"),
        }
    });
    let server = Server::start();
    let source = [
        "--from",
        "shlink",
        "--source-url",
        stub.url(),
        "--source-key",
        "a-b-c",
    ];
    let output = output(&server, &source);
    let told = report(&output);
    assert_eq!(output.status.code(), Some(1), "a link failed: {told}");
    // Two visits are listed, and three more are not.
    assert_eq!(counts(&told), [1, 0, 0, 1, 5, 9], "{told}");
    let left_out = json!({"crawlable: false": 1, "novelty": 1, "redirectRules": 1});
    assert_eq!(told["left_out"], left_out);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("https://s.example/a: redirectRules is left out"),
        "{error}"
    );
    assert!(error.contains("ip-address"), "{error}");
    assert!(error.contains("https://s.example/p/q: "), "{error}");
    let link = server.client().link("a").expect(200).json();
    assert_eq!(link["rules"].as_array().unwrap().len(), 1, "{link}");
    let path = "/api/v1/links/a/stats?from=2021-03-01&to=2021-04-01&by=city,browser,bot";
    let stats = server.client().api("GET", path).json();
    assert_eq!(stats["total"], 2, "{stats}");
    let cities = stats["by"]["city"].as_array().unwrap();
    assert_eq!(cities.len(), 2, "{stats}");
    let zaragoza = json!({"value": "Zaragoza, ES", "clicks": 1});
    assert!(cities.contains(&zaragoza), "{stats}");
    assert!(stub.keys().iter().all(|key| key == "a-b-c"));
}

#[test]
fn a_dump_of_yourls_moves_in_with_its_log() {
    let server = Server::start();
    let client = server.client();
    // Somebody else's, and one that is there already with another title.
    client.create(&json!({"url": "https://other.example/", "code": "mine"}));
    client.create(
        &json!({"url": "https://plain.example/?q=a%20b&c=1;d", "code": "plain", "title": "Mine"}),
    );
    let dump = copy(&server, "yourls.sql");
    let arguments = ["--from", "yourls", dump.to_str().unwrap()];
    let dry = import(&server, &[&arguments[..], &["--dry-run"]].concat());
    client.link("guide").expect(404);
    let output = output(&server, &arguments);
    let told = report(&output);
    assert_eq!(output.status.code(), Some(1));
    for name in [
        "created",
        "present",
        "differing",
        "conflicts",
        "bad",
        "left_out",
    ] {
        assert_eq!(dry[name], told[name], "{name}: {dry}");
    }
    // Lost: of `mine`, one; of `mail`, four; of links that are not in the dump, two.
    assert_eq!(counts(&told), [2, 1, 1, 1, 17, 7], "{told}");
    assert_eq!(told["differing"], 1);
    assert_eq!(told["left_out"], json!({"ip": 5}));
    let kinds: Vec<_> = told["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["line"].as_u64().unwrap(), row["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(
        kinds,
        [(50, "conflict"), (51, "bad"), (53, "differs")],
        "{told}"
    );

    let docs = client.link("guide").json();
    assert_eq!(docs["title"], "The guide: 'Start' here");
    assert_eq!(docs["created_at"], "2017-12-10T12:00:00Z");
    assert_eq!(client.link("hex").json()["url"], "https://hex.example/");
    assert_eq!(client.link("plain").json()["title"], "Mine");
    assert_eq!(clicks_of(&server, "guide"), (3, 7));
    assert_eq!(clicks_of(&server, "plain"), (0, 7));
    assert_eq!(clicks_of(&server, "mine"), (0, 0));
    let path = "/api/v1/links/guide/stats?from=2017-12-01&to=2018-01-01&by=country,referrer,bot";
    let stats = client.api("GET", path).json();
    assert_eq!(stats["unique"], 2, "{stats}");
    assert_eq!(
        stats["by"]["country"][0],
        json!({"value": "IN", "clicks": 2})
    );
    let shown = crate::server::run(server.cli().args(["stats", "guide"]));
    assert!(shown.contains("7 more without a time"), "{shown}");

    let again = import(&server, &arguments);
    assert_eq!(again["clicks"]["counted"], 0, "{again}");
    assert_eq!(clicks_of(&server, "guide"), (3, 7));
}

#[test]
fn files_of_others_move_in() {
    let server = Server::start();
    let client = server.client();
    let take = |name: &str, arguments: &[&str]| {
        let file = copy(&server, name);
        import(&server, &[arguments, &[file.to_str().unwrap()]].concat())
    };

    let told = take("shlink.csv", &["--from", "shlink"]);
    assert_eq!(counts(&told), [2, 0, 0, 0, 12, 0], "{told}");
    let spring = client.link("spring").json();
    assert_eq!(spring["tags"], json!(["sale", "spring"]));
    assert_eq!(spring["title"], "Spring, at last");
    assert_eq!(spring["created_at"], "2023-05-06T05:08:09Z");
    assert_eq!(clicks_of(&server, "spring"), (0, 12));

    let told = take("yourls.csv", &["--from", "yourls"]);
    assert_eq!(counts(&told), [2, 0, 0, 0, 3, 0], "{told}");
    assert_eq!(told["left_out"], json!({"ip": 2}));

    let told = take("kutt.json", &["--from", "kutt"]);
    assert_eq!(counts(&told), [1, 0, 0, 1, 42, 1], "{told}");
    assert_eq!(told["rows"][0]["field"], "password");
    let told = take("kutt.json", &["--from", "kutt", "--without-passwords"]);
    assert_eq!(counts(&told), [1, 1, 0, 0, 1, 0], "{told}");
    assert_eq!(
        client.link("secret").json()["expires_at"],
        "2124-01-02T03:04:05Z"
    );
    let told = take("kutt.csv", &["--from", "kutt"]);
    assert_eq!(counts(&told), [1, 1, 0, 0, 3, 0], "{told}");
    assert_eq!(told["left_out"], json!({"banned": 1}));

    // One link with two short ones; the CSV has the same, with its clicks.
    client.delete("spring").expect(204);
    let told = take("bitly.json", &["--from", "bitly"]);
    assert_eq!(counts(&told), [2, 0, 0, 0, 0, 0], "{told}");
    assert_eq!(
        client.link("spring").json()["url"],
        "https://example.com/spring"
    );
    let told = take("bitly.csv", &["--from", "bitly"]);
    assert_eq!(counts(&told), [0, 1, 0, 0, 20, 0], "{told}");
    assert_eq!(told["left_out"], json!({"domain": 1}));

    let columns = ["url=Ziel", "code=Kurz", "clicks=Aufrufe"];
    let mut arguments = vec!["--from", "csv"];
    arguments.extend(columns.iter().flat_map(|column| ["--column", column]));
    let told = take("any.csv", &arguments);
    assert_eq!(counts(&told), [2, 0, 0, 0, 5, 0], "{told}");
    assert_eq!(told["left_out"], json!({"Nummer": 2, "Bemerkung": 1}));
    assert_eq!(
        client.visit("zwei").expect(302).location(),
        "https://b.example/"
    );
}

#[test]
fn statistics_in_postgresql_take_what_moves_in_once() {
    let postgres = PrivatePostgres::start();
    let url = postgres.url("postgres");
    let start = || Options::default().stores(&url).start();
    let servers = [start(), start()];
    let dump = copy(&servers[0], "yourls.sql");
    let arguments = ["--from", "yourls", dump.to_str().unwrap()];
    let told = import(&servers[0], &arguments);
    // Lost: of `mail`, four; of links that are not in the dump, two.
    assert_eq!(counts(&told), [4, 0, 0, 1, 18, 6], "{told}");
    // Again, as if nothing had been noted, and by another server.
    for server in &servers {
        let dump = copy(&servers[1], "yourls.sql");
        let told = import(server, &["--from", "yourls", dump.to_str().unwrap()]);
        assert_eq!(counts(&told), [0, 4, 0, 1, 0, 6], "{told}");
        assert_eq!(told["clicks"]["before"], 18, "{told}");
    }
    for server in &servers {
        assert_eq!(clicks_of(server, "guide"), (3, 7));
        assert_eq!(clicks_of(server, "plain"), (0, 7));
        assert_eq!(clicks_of(server, "mine"), (1, 0));
        let all = "/api/v1/stats?from=2010-01-01&to=2100-01-01&bucket=month";
        let stats = server.client().api("GET", all).expect(200).json();
        assert_eq!(
            (&stats["total"], &stats["untimed"]),
            (&json!(4), &json!(14))
        );
    }
    let number = |sql: &str| postgres.sql("postgres", sql);
    let of_all = "SELECT sum(clicks) FROM click_days JOIN click_scopes ON id = scope AND kind = 0";
    assert_eq!(number(of_all), "18");
    // They are older than single clicks are kept.
    assert_eq!(number("SELECT count(*) FROM click_raw"), "0");
    assert_eq!(
        number("SELECT count(*) FROM click_raw_days WHERE day < 20000"),
        "0"
    );

    // A link that goes takes along how far it was imported.
    servers[0].client().delete("guide").expect(204);
    eventually("the clicks of a deleted link to go", || {
        let left = number("SELECT count(*) FROM click_sources WHERE id LIKE 'import/%/guide/%'");
        (left == "0").then_some(())
    });
    let told = import(&servers[1], &arguments);
    assert_eq!(counts(&told), [1, 3, 0, 1, 10, 6], "{told}");
    assert_eq!(clicks_of(&servers[0], "guide"), (3, 7));
}

#[test]
fn a_dry_run_tells_what_the_run_then_does() {
    let server = Server::start();
    server
        .client()
        .create(&json!({"url": "https://there.example/", "code": "there"}));
    let file = server.path("links.csv");
    let lines = [
        "url,code,tags",
        "https://a.example/,one,x",
        "https://there.example/,there,",
        "https://there.example/,there,new",
        "https://else.example/,there,",
        "nowhere,bad,",
        "https://a.example/,one,x",
        "https://b.example/,one,",
        "https://c.example/,,",
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let path = file.to_str().unwrap();
    let dry = output(&server, &["--dry-run", path]);
    assert!(!server.path("links.csv.import").exists());
    let list = server.client().api("GET", "/api/v1/links").json();
    assert_eq!(list["links"].as_array().unwrap().len(), 1);
    let real = output(&server, &[path]);
    assert_eq!((dry.status.code(), real.status.code()), (Some(1), Some(1)));
    let (dry, real) = (report(&dry), report(&real));
    assert_eq!(counts(&real), [2, 3, 2, 1, 0, 0], "{real}");
    assert_eq!(counts(&dry), counts(&real), "{dry}");
    let lines = |report: &Value| -> Vec<(Value, Value)> {
        let rows = report["rows"].as_array().unwrap().iter();
        rows.map(|row| (row["line"].clone(), row["kind"].clone()))
            .collect()
    };
    assert_eq!(lines(&dry), lines(&real));

    let mut text = server.cli();
    text.args(["link", "import", "--dry-run", path]);
    let text = both(&text.output().unwrap());
    assert!(
        text.contains("dry run, nothing is changed: 1 created"),
        "{text}"
    );
    assert!(
        text.contains("line 4: there before, but differs: tags"),
        "{text}"
    );
    assert!(text.contains("1 are bad and 2 have a code"), "{text}");
}

#[test]
fn what_makes_no_sense_is_bad_usage() {
    let server = Server::start();
    let file = copy(&server, "any.csv");
    let file = file.to_str().unwrap();
    for (arguments, told) in [
        (vec![], "FILE"),
        (
            vec!["--from", "kutt", "--source-url", "http://127.0.0.1:1"],
            "--source-url",
        ),
        (
            vec!["--from", "yourls", "--format", "sql", "-"],
            "three times",
        ),
        (
            vec!["--from", "shlink", "--format", "sql", file],
            "shlink as sql",
        ),
        (vec!["--column", "colour=x", file], "FIELD=NAME"),
        (vec!["--column", "url=Nowhere", file], "Nowhere"),
    ] {
        let output = output(&server, &arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            both(&output)
        );
        assert!(
            both(&output).contains(told),
            "{arguments:?}: {}",
            both(&output)
        );
    }
    // Clicks need more than links do, which is told before anything is made.
    let few = json!({"name": "few", "scopes": ["links:read", "links:write"]});
    let key = server.client().secret(&few);
    let csv = copy(&server, "yourls.csv");
    let with_key = |more: &[&str]| {
        let mut command = server.cli();
        command
            .env("TOLLGATE_KEY", &key)
            .args(["link", "import", "--from", "yourls"])
            .arg(&csv)
            .args(more);
        command.output().unwrap()
    };
    let refused = with_key(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        both(&refused).contains("--without-clicks"),
        "{}",
        both(&refused)
    );
    server.client().link("ozh").expect(404);
    let links_alone = with_key(&["--without-clicks"]);
    assert!(links_alone.status.success(), "{}", both(&links_alone));
    assert!(
        both(&links_alone).contains("clicks (2)"),
        "{}",
        both(&links_alone)
    );
}

#[test]
fn an_import_that_goes_on_counts_clicks_once() {
    let server = Server::start();
    let file = server.path("links.csv");
    let lines = "keyword,url,clicks\na,https://a.example/,5\nb,nowhere,3\nc,https://c.example/,2\n";
    std::fs::write(&file, lines).unwrap();
    let path = file.to_str().unwrap();
    let stopped = output(&server, &["--from", "yourls", "--strict", path]);
    assert_eq!(stopped.status.code(), Some(1));
    assert!(both(&stopped).contains("line 3: url"), "{}", both(&stopped));
    assert_eq!(clicks_of(&server, "a"), (0, 5));
    std::fs::write(&file, lines.replace("nowhere", "https://b.example/")).unwrap();
    let told = output(&server, &["--from", "yourls", path]);
    assert!(
        both(&told).contains("going on after 1 rows"),
        "{}",
        both(&told)
    );
    assert_eq!(counts(&report(&told)), [3, 0, 0, 0, 10, 0]);
    for (code, clicks) in [("a", 5), ("b", 3), ("c", 2)] {
        assert_eq!(clicks_of(&server, code), (0, clicks), "{code}");
    }
}

#[test]
fn links_can_be_put_on_one_domain() {
    let server = Options::default()
        .config("[links]\ndomains = [\"https://lnk.example\"]")
        .start();
    let file = copy(&server, "bitly.csv");
    let file = file.to_str().unwrap();
    let told = import(
        &server,
        &["--from", "bitly", "--domain", "lnk.example", file],
    );
    assert_eq!(counts(&told), [1, 0, 0, 0, 20, 0], "{told}");
    assert_eq!(told["left_out"], json!({}));
    server.client().link("3abcDE").expect(404);
    let path = "/api/v1/links/3abcDE/stats?domain=lnk.example";
    let stats = server.client().api("GET", path).expect(200).json();
    assert_eq!(stats["untimed"], 20, "{stats}");
    // One that is not served here is told, and nothing goes elsewhere.
    let other = ["--from", "bitly", "--domain", "no.example", file];
    let told = import(&server, &other);
    assert_eq!(counts(&told), [0, 0, 0, 1, 0, 20], "{told}");
    assert_eq!(told["rows"][0]["field"], "domain");
}
