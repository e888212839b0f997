//! What is going on when a server is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::Round;
use super::clicks::{Answered, follow};
use super::ledger::{Ledger, Token};
use crate::client::{Client, link_path};
use crate::http::Reply;
use crate::server::Server;

/// Requests that may pass, of which there are more.
pub(super) const LIMIT: u64 = 200;
/// Clicks of the link that has only so many.
pub(super) const MAX_CLICKS: u64 = 3_000;

/// Clients that go on until the server is gone.
#[derive(Debug)]
pub(super) struct Load {
    clients: Vec<JoinHandle<()>>,
    visitors: Vec<JoinHandle<Vec<Answered>>>,
}

impl Load {
    pub(super) fn start(
        server: &Server,
        round: &Round,
        ledger: &Arc<Ledger>,
        visited: &str,
    ) -> Self {
        let mut random = StdRng::seed_from_u64(round.seed);
        let mut clients = Vec::new();
        for (number, work) in [create, create, change, change, click, check, manage_keys]
            .into_iter()
            .enumerate()
        {
            let one = One {
                client: server.client(),
                ledger: Arc::clone(ledger),
                name: format!("{}-{number}", round.number),
                random: StdRng::seed_from_u64(random.random()),
            };
            clients.push(thread::spawn(move || work(one)));
        }
        let (admin, key, ledger) = (server.admin.clone(), server.key.clone(), Arc::clone(ledger));
        let name = format!("https://b.example/{}", round.number);
        clients.push(thread::spawn(move || in_bulk(&admin, &key, &name, &ledger)));
        let visitors = (0..2).map(|visitor| {
            let (edge, code) = (server.edge.clone(), visited.to_owned());
            let name = format!("{}/{visitor}", round.number);
            thread::spawn(move || follow(&edge, &code, &name))
        });
        Self {
            clients,
            visitors: visitors.collect(),
        }
    }

    /// Waits until all have noticed that the server is gone. What each visitor saw.
    pub(super) fn join(self) -> Vec<Vec<Answered>> {
        for client in self.clients {
            client.join().unwrap();
        }
        self.visitors
            .into_iter()
            .map(|visitor| visitor.join().unwrap())
            .collect()
    }
}

/// One client.
struct One {
    client: Client,
    ledger: Arc<Ledger>,
    /// Of which no other client has the same.
    name: String,
    random: StdRng,
}

impl One {
    /// Nothing, if the server is gone.
    fn send(&self, method: &str, path: &str, token: Option<&str>, body: &Value) -> Option<Reply> {
        let mut request = self
            .client
            .request(method, path)
            .header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("idempotency-key", token);
        }
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.client.http.try_send(request, body).ok()
    }
}

/// Makes links: by each strategy, under aliases, and with idempotency keys, which are sent again.
fn create(mut one: One) {
    const STRATEGIES: [&str; 5] = ["counter", "hash", "snowflake", "pool", "random"];
    for at in 0.. {
        let url = format!("https://c.example/{}/{at}", one.name);
        let (token, code) = match one.random.random_range(0..10) {
            0 | 1 => (None, Some(format!("alias-{}-{at}", one.name))),
            2 | 3 => (Some(format!("token-{}-{at}", one.name)), None),
            4 => {
                let Some(token) = one.ledger.some_token(one.random.random_range(0..1_000_000))
                else {
                    continue;
                };
                if !create_again(&one, token) {
                    return;
                }
                continue;
            }
            _ => (None, None),
        };
        let mut draft = json!({"url": url});
        match &code {
            Some(code) => {
                draft["code"] = json!(code);
                one.ledger.send_alias(code, &url);
            }
            None => {
                if token.is_none() {
                    let strategy = STRATEGIES[one.random.random_range(0..STRATEGIES.len())];
                    draft["strategy"] = json!(strategy);
                }
                one.ledger.send(&url);
            }
        }
        let reply = one.send("POST", "/api/v1/links", token.as_deref(), &draft);
        let made = reply.as_ref().map(|reply| {
            assert_eq!(reply.status, 201, "{}", reply.text());
            reply.json()["code"].as_str().unwrap().to_owned()
        });
        if let Some(key) = token {
            one.ledger.keep_token(Token {
                key,
                url: url.clone(),
                code: made.clone(),
            });
        }
        let Some(made) = made else { return };
        one.ledger.made(&made, &url);
    }
}

/// Sends a link again, perhaps to another process than before.
fn create_again(one: &One, mut token: Token) -> bool {
    let draft = json!({"url": token.url});
    let Some(reply) = one.send("POST", "/api/v1/links", Some(&token.key), &draft) else {
        one.ledger.keep_token(token);
        return false;
    };
    assert_eq!(reply.status, 201, "{}", reply.text());
    let code = reply.json()["code"].as_str().unwrap().to_owned();
    match &token.code {
        Some(before) if *before != code => one.ledger.with(|books| books.token_answers += 1),
        Some(_) => {}
        // The first answer was lost: the link is as good as any from now on.
        None => one.ledger.made(&code, &token.url),
    }
    token.code = Some(code);
    one.ledger.keep_token(token);
    true
}

/// Edits and deletes links.
fn change(mut one: One) {
    let mut edits = 0;
    loop {
        let Some(code) = one.ledger.take(one.random.random_range(0..1_000_000)) else {
            if one
                .client
                .http
                .try_send(one.client.request("GET", "/health/live"), ())
                .is_err()
            {
                return;
            }
            continue;
        };
        let deletes = one.random.random_range(0..4) == 0;
        let url = format!("https://e.example/{}/{edits}", one.name);
        let to = (!deletes).then_some(url.as_str());
        edits += 1;
        one.ledger.change(&code, to);
        let (method, body, status) = match to {
            Some(url) => ("PATCH", json!({"url": url}), 200),
            None => ("DELETE", Value::Null, 204),
        };
        let Some(reply) = one.send(method, &link_path(&code), None, &body) else {
            return;
        };
        assert_eq!(reply.status, status, "{}", reply.text());
        one.ledger.changed(&code, to);
    }
}

/// Follows the link that has a number of clicks.
fn click(one: One) {
    loop {
        let request = ureq::http::Request::get(one.client.edge("limited"));
        one.ledger.with(|books| books.clicks.1 += 1);
        match one.client.http.try_send(request, ()) {
            Ok(reply) => one.ledger.with(|books| {
                books.clicks.1 -= 1;
                if reply.status == 302 {
                    books.clicks.0 += 1;
                } else {
                    assert_eq!(reply.status, 410, "{}", reply.text());
                }
            }),
            Err(_) => return,
        }
    }
}

/// Asks whether a request passes.
fn check(one: One) {
    while let Some(passes) = passes(&one.client, "user") {
        if passes {
            one.ledger.passed();
        }
    }
}

/// Whether a request passes; nothing, if the server is gone.
pub(super) fn passes(client: &Client, key: &str) -> Option<bool> {
    let body = json!({"domain": "shop", "descriptors": [[{"key": key, "value": "u"}]]});
    let request = client
        .request("POST", "/api/v1/limits/check")
        .header("content-type", "application/json");
    let reply = client.http.try_send(request, body.to_string()).ok()?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    Some(reply.json()["allowed"] == true)
}

/// Makes keys and revokes half of them.
fn manage_keys(mut one: One) {
    loop {
        let draft = json!({"name": "k", "scopes": ["links:read"]});
        let Some(reply) = one.send("POST", "/api/v1/keys", None, &draft) else {
            return;
        };
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        one.ledger
            .with(|books| books.keys.insert(id.clone(), vec![false]));
        if one.random.random() {
            continue;
        }
        one.ledger
            .with(|books| books.keys.insert(id.clone(), vec![false, true]));
        let path = format!("/api/v1/keys/{id}");
        let Some(reply) = one.send("DELETE", &path, None, &Value::Null) else {
            return;
        };
        assert!(reply.status < 300, "{}: {}", reply.status, reply.text());
        one.ledger.with(|books| books.keys.insert(id, vec![true]));
    }
}

/// Over a plain socket, so that answers are read while lines are still being sent.
fn in_bulk(admin: &str, key: &str, name: &str, ledger: &Arc<Ledger>) {
    let address = admin.trim_start_matches("http://");
    let Ok(stream) = TcpStream::connect(address) else {
        return;
    };
    let mut sending = stream.try_clone().unwrap();
    let head = format!(
        "POST /api/v1/links/bulk HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let (name, sent) = (name.to_owned(), Arc::clone(ledger));
    let sender = thread::spawn(move || {
        if sending.write_all(head.as_bytes()).is_err() {
            return;
        }
        for at in 0.. {
            let url = format!("{name}/{at}");
            let line = format!("{{\"url\":\"{url}\"}}\n");
            sent.send(&url);
            if write!(sending, "{:x}\r\n{line}\r\n", line.len()).is_err() {
                return;
            }
        }
    });
    for line in BufReader::new(stream).lines() {
        // The last line may be cut off, and some are the framing of the answer.
        let Ok(line) = line else { break };
        if let Ok(answer) = serde_json::from_str::<Value>(&line)
            && answer["status"] == 201
        {
            let link = &answer["link"];
            ledger.made(
                link["code"].as_str().unwrap(),
                link["url"].as_str().unwrap(),
            );
        }
    }
    sender.join().unwrap();
}
