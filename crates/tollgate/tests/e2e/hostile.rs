//! What somebody hostile tries on a server, and what they can read in its log.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use serde_json::json;

use crate::server::{Options, Server, both, eventually, new_home, run, tollgate};

/// Sends bytes as they are, and answers all that comes back.
fn raw(address: &str, request: &str) -> String {
    let host = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")
}

/// The head of an answer has no line that the request has put there.
#[track_caller]
fn has_no_injected_line(answer: &str) {
    let head = answer.split("\r\n\r\n").next().unwrap();
    for line in head.split(['\r', '\n']) {
        assert!(!line.to_lowercase().starts_with("x-evil"), "{answer}");
        assert!(!line.to_lowercase().starts_with("set-cookie"), "{answer}");
    }
}

#[test]
fn no_header_is_injected() {
    let server = Server::start();
    let client = server.client();
    let forwards = json!({"url": "https://a.example/?x=1", "code": "go", "forward_query": true});
    client.create(&forwards);
    for path in [
        "/go?a=%0d%0aX-Evil:%201",
        "/go?%0d%0aX-Evil:%201",
        "/go?a=%0aX-Evil:%201%0d",
        "/%0d%0aX-Evil:%201",
        "/go%0d%0aX-Evil:%201",
        "/go+%0d%0aX-Evil:%201",
        "/go.qr?size=%0d%0aX-Evil:%201",
    ] {
        let answer = raw(&server.edge, &get(path, ""));
        assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
        has_no_injected_line(&answer);
    }
    let answer = raw(&server.edge, &get("/go?a=%0d%0aX-Evil:%201", ""));
    assert!(answer.contains("location: https://a.example/?"), "{answer}");
    // In targets and what else is stored, they are refused or taken out.
    for url in [
        "https://a.example/\r\nX-Evil: 1",
        "https://a.example/\nX-Evil: 1",
        "https://a.example/\u{b}",
    ] {
        client
            .draft(&json!({"url": url}))
            .problem(422, "invalid-fields");
    }
    for draft in [
        json!({"url": "https://a.example/", "code": "a\r\nX-Evil: 1"}),
        json!({"url": "https://a.example/", "title": "a\r\nX-Evil: 1"}),
        json!({"url": "https://a.example/", "tags": ["a\r\nX-Evil: 1"]}),
        json!({"url": "https://a.example/", "domain": "a\r\nX-Evil: 1"}),
    ] {
        client.draft(&draft).problem(422, "invalid-fields");
    }
    for path in [
        "/api/v1/links/%0d%0aX-Evil:%201",
        "/sign-in?next=/%0d%0aX-Evil:%201",
        "/sign-in/provider?next=/%0d%0aX-Evil:%201",
    ] {
        has_no_injected_line(&raw(
            &server.admin,
            &get(path, "x-request-id: a%0d%0aX-Evil: 1\r\n"),
        ));
    }
}

#[test]
fn what_a_visitor_sends_makes_no_line_of_the_log() {
    let server = Options::default()
        .config("[log]\nlevel = \"debug\"")
        .start();
    let client = server.client();
    client.create(&json!({"url": "https://a.example/", "code": "go"}));
    let marks = "user-agent: \x1b[31mred\x1b]0;title\x07\r\nreferer: https://b.example/\x1b[2J\r\nx-request-id: \x1b[1m\r\n";
    for path in [
        "/go",
        "/%1b%5b31m%0a2030-01-01T00:00:00Z%20ERROR%20forged",
        "/go?%1b[2J%0aforged",
    ] {
        raw(&server.edge, &get(path, marks));
        raw(&server.admin, &get(path, marks));
        let admin = format!("/api/v1/links{path}");
        raw(&server.admin, &get(&admin, marks));
    }
    let key = json!({"name": "x\u{1b}[31m", "scopes": ["links:read"]});
    client
        .api_json("POST", "/api/v1/keys", &key)
        .problem(422, "invalid-fields");
    let log = server.log();
    assert!(log.contains("answered"), "{log}");
    for line in log.lines() {
        assert!(!line.contains(['\u{1b}', '\u{7}', '\r']), "{line:?}");
        assert!(!line.trim_start().starts_with("2030-01-01"), "{line:?}");
    }
}

/// Everything that is to stay secret, at the level at which all is told.
#[test]
fn no_secret_is_logged_even_at_trace() {
    let config = "\
[log]
level = \"trace\"
[resp]
listen = \"127.0.0.1:0\"
password = \"secret-of-resp\"
[compat]
yourls = true
shlink = true
bitly = true
yourls_signature = \"secret-of-yourls\"
[webhooks]
allow_private = [\"127.0.0.0/8\"]
";
    let mut server = Options::default().config(config).start();
    let client = server.client();
    let mut secrets = vec![
        server.key.clone(),
        "secret-of-resp".into(),
        "secret-of-yourls".into(),
        "secret-of-link".into(),
        "secret-of-edit".into(),
        "secret-of-target".into(),
        "secret-wrong-guess".into(),
        "$argon2id".into(),
    ];
    let key = json!({"name": "a", "scopes": ["links:read"]});
    let made = client
        .api_json("POST", "/api/v1/keys", &key)
        .expect(201)
        .json();
    secrets.push(made["secret"].as_str().unwrap().to_owned());
    let path = format!("/api/v1/keys/{}/rotate", made["id"].as_str().unwrap());
    let rotated = client.api("POST", &path).expect(200).json();
    secrets.push(rotated["secret"].as_str().unwrap().to_owned());
    client.create(
        &json!({"url": "https://a.example/", "code": "locked", "password": "secret-of-link"}),
    );
    let rows = "{\"url\": \"https://a.example/\", \"password\": \"secret-of-link\"}\n{\"url\": 1, \"password\": \"secret-of-link\"}\n";
    let bulk = client
        .request("POST", "/api/v1/links/bulk")
        .header("content-type", "application/x-ndjson");
    client.http.send(bulk, rows);
    client
        .patch("locked", &json!({"password": "secret-of-edit"}))
        .expect(200);
    client.draft(&json!({"url": "https://a.example/", "password": ["secret-of-link"]}));
    assert_eq!(client.unlock("locked", "secret-wrong-guess").status, 403);
    assert!(client.unlock("locked", "secret-of-edit").status < 400);
    let hook = json!({"url": "http://127.0.0.1:9/hook?token=secret-of-target", "events": ["link.created"]});
    let hook = client
        .api_json("POST", "/api/v1/webhooks", &hook)
        .expect(201)
        .json();
    secrets.push(hook["secret"].as_str().unwrap().to_owned());
    let id = hook["id"].as_str().unwrap();
    client
        .api("POST", &format!("/api/v1/webhooks/{id}/ping"))
        .expect(202);
    eventually("a try to send", || {
        let sent = client
            .api("GET", &format!("/api/v1/webhooks/{id}/deliveries"))
            .json();
        (sent["deliveries"][0]["attempts"].as_u64() > Some(0)).then_some(())
    });
    // Wrong and right, by every way in.
    client
        .with_key("tg_secret-wrong-guess-0000000000")
        .api("GET", "/api/v1/links");
    for way in [
        format!(
            "{}/yourls-api.php?action=stats&signature=secret-of-yourls",
            server.admin
        ),
        format!("{}/rest/v3/short-urls", server.admin),
    ] {
        client.http.get_with(&way, &[("x-api-key", &server.key)]);
    }
    let form = format!("key={}&next=/", server.key);
    let sign_in = ureq::http::Request::post(format!("{}/sign-in", server.admin))
        .header("content-type", "application/x-www-form-urlencoded");
    let reply = client.http.send(sign_in, form);
    let cookie = reply.header("set-cookie").to_owned();
    let session = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
    assert!(session.len() > 20, "{cookie}");
    client.http.get_with(
        &format!("{}/links", server.admin),
        &[("cookie", &format!("tollgate_session={session}"))],
    );
    secrets.push(session);
    let resp = server.address("resp").replace("redis", "http");
    for password in ["secret-of-resp", "secret-wrong-guess"] {
        raw(&resp, &format!("AUTH {password}\r\nQUIT\r\n"));
    }
    run(server.cli().args([
        "link",
        "create",
        "https://a.example/x",
        "--password",
        "secret-of-link",
    ]));
    // What was asked last has been logged.
    eventually("the last line", || {
        server.log().contains("/api/v1/links").then_some(())
    });
    server.terminate();
    assert!(server.wait().success());
    let log = server.log();
    assert!(log.contains("TRACE"), "it is told at all");
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
}

#[test]
fn the_admin_side_is_not_opened_to_strangers_by_mistake() {
    let check = |address: &str, allowed: &str| {
        let mut command = tollgate();
        command
            .args(["config", "check"])
            .env("TOLLGATE_ADMIN__LISTEN", address)
            .env("TOLLGATE_ADMIN__ALLOW_PUBLIC", allowed);
        command.output().unwrap()
    };
    for address in [
        "0.0.0.0:8081",
        "[::]:8081",
        "8.8.8.8:80",
        "[2001:db8::1]:80",
        "[::ffff:8.8.8.8]:80",
    ] {
        let refused = check(address, "false");
        assert_eq!(refused.status.code(), Some(1), "{address}");
        let told = both(&refused);
        assert!(
            told.contains("admin.listen") && told.contains("admin.allow_public"),
            "{told}"
        );
        assert!(check(address, "true").status.success(), "{address}");
    }
    for address in [
        "127.0.0.1:8081",
        "[::1]:8081",
        "10.1.2.3:8081",
        "172.16.0.1:1",
        "192.168.1.1:1",
        "[fd00::1]:1",
        "[fe80::1]:1",
        "169.254.1.1:1",
    ] {
        assert!(check(address, "false").status.success(), "{address}");
    }
    // Nothing is made by a server that does not start.
    let home = new_home();
    let mut serve = Command::new("timeout");
    serve
        .arg("60")
        .arg(env!("CARGO_BIN_EXE_tollgate"))
        .args([
            "serve",
            "--edge-listen",
            "127.0.0.1:0",
            "--admin-listen",
            "0.0.0.0:0",
            "--data-dir",
            "data",
        ])
        .current_dir(home.path());
    let failed = serve.output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", both(&failed));
    assert!(!home.path().join("data").exists());
}
