//! Every route of the API against every kind of key: what is let in, what is not, and what is written down of it.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Request;
use serde_json::json;
use tollgate_access::{NewKey, Scope};
use tollgate_audit::Query;
use tollgate_links::Domain;

use crate::server::{Answer, START, Server, full};

/// What a key that is bound to another domain gets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// 403: what is asked for is on a domain that is not its own.
    Refused,
    /// An answer about its own domain.
    Own,
    /// What is asked for has no domain.
    Any,
    /// No key with this scope can be bound.
    Never,
}

struct Route {
    method: &'static str,
    path: &'static str,
    /// The query that is sent along.
    query: &'static str,
    scope: Scope,
    bound: Bound,
    media: &'static str,
    body: &'static str,
    /// What a key that may gets.
    status: u16,
    /// What is in the audit log then.
    audit: Option<&'static str>,
}

const JSON: &str = "application/json";
/// Of the default domain, in the path or the query: a bound key has to name it.
const DEFAULT: &str = "domain=s.example";

const fn read(path: &'static str, scope: Scope, bound: Bound) -> Route {
    Route {
        method: "GET",
        path,
        query: "",
        scope,
        bound,
        media: "",
        body: "",
        status: 200,
        audit: None,
    }
}

const fn change(
    method: &'static str,
    path: &'static str,
    scope: Scope,
    body: &'static str,
    status: u16,
    audit: &'static str,
) -> Route {
    Route {
        method,
        media: JSON,
        body,
        status,
        audit: Some(audit),
        ..read(path, scope, Bound::Never)
    }
}

/// Each is asked in this order, so what is deleted comes last.
const ROUTES: &[Route] = &[
    Route {
        bound: Bound::Own,
        ..change(
            "POST",
            "/api/v1/links",
            Scope::LinksWrite,
            r#"{"url": "https://a.example/"}"#,
            201,
            "link.create",
        )
    },
    Route {
        bound: Bound::Own,
        ..change(
            "POST",
            "/api/v1/links/bulk",
            Scope::LinksWrite,
            r#"[{"url": "https://a.example/b"}]"#,
            200,
            "link.create",
        )
    },
    read("/api/v1/links", Scope::LinksRead, Bound::Own),
    Route {
        query: DEFAULT,
        ..read("/api/v1/links/{code}", Scope::LinksRead, Bound::Refused)
    },
    Route {
        query: DEFAULT,
        ..read(
            "/api/v1/links/{code}/history",
            Scope::LinksRead,
            Bound::Refused,
        )
    },
    Route {
        query: DEFAULT,
        ..read(
            "/api/v1/links/{code}/stats",
            Scope::StatsRead,
            Bound::Refused,
        )
    },
    Route {
        query: DEFAULT,
        ..read(
            "/api/v1/links/{code}/clicks",
            Scope::StatsRead,
            Bound::Refused,
        )
    },
    read("/api/v1/stats", Scope::StatsRead, Bound::Own),
    read("/api/v1/stats/orphans", Scope::StatsRead, Bound::Refused),
    read("/api/v1/events", Scope::StatsRead, Bound::Own),
    Route {
        query: DEFAULT,
        bound: Bound::Refused,
        ..change(
            "PATCH",
            "/api/v1/links/{code}",
            Scope::LinksWrite,
            r#"{"title": "A"}"#,
            200,
            "link.update",
        )
    },
    change(
        "POST",
        "/api/v1/clicks/import",
        Scope::Admin,
        r#"{"source": "old", "links": [{"code": "page", "after": 0, "untimed": 3}]}"#,
        200,
        "clicks.import",
    ),
    change(
        "POST",
        "/api/v1/keys",
        Scope::Admin,
        r#"{"name": "a", "scopes": ["links:read"]}"#,
        201,
        "key.create",
    ),
    read("/api/v1/keys", Scope::Admin, Bound::Never),
    read("/api/v1/keys/{id}", Scope::Admin, Bound::Never),
    Route {
        audit: None,
        bound: Bound::Any,
        ..change(
            "POST",
            "/api/v1/limits/check",
            Scope::LimitsCheck,
            r#"{"domain": "shop", "descriptors": [[{"key": "user", "value": "a"}]]}"#,
            200,
            "",
        )
    },
    read("/api/v1/limits/authorize", Scope::LimitsCheck, Bound::Any),
    Route {
        method: "POST",
        ..read("/api/v1/limits/authorize", Scope::LimitsCheck, Bound::Any)
    },
    read("/api/v1/limits/denied", Scope::LimitsCheck, Bound::Any),
    read("/api/v1/limits/policies", Scope::LimitsCheck, Bound::Any),
    read(
        "/api/v1/limits/policies/{domain}",
        Scope::LimitsCheck,
        Bound::Any,
    ),
    Route {
        media: "application/yaml",
        ..change(
            "PUT",
            "/api/v1/limits/policies/{domain}",
            Scope::Admin,
            "domain: shop\n",
            204,
            "policies.set",
        )
    },
    change(
        "DELETE",
        "/api/v1/limits/policies/{domain}",
        Scope::Admin,
        "",
        204,
        "policies.unset",
    ),
    change(
        "POST",
        "/api/v1/webhooks",
        Scope::Admin,
        r#"{"url": "https://a.example/hook", "events": ["link.created"]}"#,
        201,
        "webhook.create",
    ),
    read("/api/v1/webhooks", Scope::Admin, Bound::Never),
    read("/api/v1/webhooks/{id}", Scope::Admin, Bound::Never),
    Route {
        media: "application/merge-patch+json",
        ..change(
            "PATCH",
            "/api/v1/webhooks/{id}",
            Scope::Admin,
            r#"{"paused": false, "description": "x"}"#,
            200,
            "webhook.update",
        )
    },
    change(
        "POST",
        "/api/v1/webhooks/{id}/rotate",
        Scope::Admin,
        "",
        200,
        "webhook.rotate",
    ),
    // A message, which changes nothing.
    Route {
        audit: None,
        ..change(
            "POST",
            "/api/v1/webhooks/{id}/ping",
            Scope::Admin,
            "",
            202,
            "",
        )
    },
    read(
        "/api/v1/webhooks/{id}/deliveries",
        Scope::Admin,
        Bound::Never,
    ),
    Route {
        audit: None,
        ..change(
            "POST",
            "/api/v1/webhooks/{id}/deliveries/{delivery}/resend",
            Scope::Admin,
            "",
            202,
            "",
        )
    },
    read("/api/v1/audit", Scope::AuditRead, Bound::Refused),
    read("/api/v1/audit/export", Scope::AuditRead, Bound::Refused),
    change(
        "POST",
        "/api/v1/keys/{id}/rotate",
        Scope::Admin,
        "",
        200,
        "key.rotate",
    ),
    change(
        "DELETE",
        "/api/v1/webhooks/{id}",
        Scope::Admin,
        "",
        204,
        "webhook.delete",
    ),
    change(
        "DELETE",
        "/api/v1/keys/{id}",
        Scope::Admin,
        "",
        204,
        "key.revoke",
    ),
    Route {
        query: DEFAULT,
        bound: Bound::Refused,
        ..change(
            "DELETE",
            "/api/v1/links/{code}",
            Scope::LinksWrite,
            "",
            204,
            "link.delete",
        )
    },
];

/// What the paths name.
struct Things {
    key: String,
    webhook: String,
    delivery: String,
}

impl Things {
    async fn make(server: &Server) -> Self {
        let link = json!({"url": "https://example.com/", "code": "page"});
        assert_eq!(server.post("/api/v1/links", &link).await.status, 201);
        let key = json!({"name": "other", "scopes": ["links:read"]});
        let key = server.post("/api/v1/keys", &key).await.json();
        let hook = json!({"url": "https://b.example/hook", "events": ["link.created"]});
        let hook = server.post("/api/v1/webhooks", &hook).await.json();
        let id = hook["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/webhooks/{id}/ping");
        let ping = server.post(&path, &json!({})).await;
        Self {
            key: key["id"].as_str().unwrap().to_owned(),
            delivery: ping.json()["id"].as_str().unwrap().to_owned(),
            webhook: id,
        }
    }

    fn path(&self, route: &Route) -> String {
        let id = if route.path.contains("webhooks") {
            &self.webhook
        } else {
            &self.key
        };
        let path = route
            .path
            .replace("{code}", "page")
            .replace("{domain}", "shop")
            .replace("{delivery}", &self.delivery)
            .replace("{id}", id);
        match route.query {
            "" => path,
            query => format!("{path}?{query}"),
        }
    }
}

async fn ask(server: &Server, things: &Things, route: &Route, key: Option<&str>) -> Answer {
    let mut request = Request::builder()
        .method(route.method)
        .uri(things.path(route))
        .header("host", "admin");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    if !route.media.is_empty() {
        request = request.header("content-type", route.media);
    }
    server.send(request.body(full(route.body)).unwrap()).await
}

/// A route that is new has to say here who may ask it.
#[test]
fn the_table_has_every_route() {
    let described = serde_json::to_value(tollgate_server::admin::openapi()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routes.insert((method.to_uppercase(), path.clone()));
        }
    }
    let table: BTreeSet<(String, String)> = ROUTES
        .iter()
        .map(|route| (route.method.to_owned(), route.path.to_owned()))
        .collect();
    assert_eq!(table, routes);
}

#[tokio::test]
async fn nobody_gets_in_without_a_key_that_is_in_force() {
    let server = Server::start().await;
    let things = Things::make(&server).await;
    let revoked = server.keys.create(NewKey::admin("revoked")).await.unwrap();
    server.keys.revoke(&revoked.key.id).await.unwrap();
    let expiring = NewKey {
        expires_at: Some(START.saturating_add(Duration::from_secs(1))),
        ..NewKey::admin("expired")
    };
    let expired = server.keys.create(expiring).await.unwrap();
    server.clock.advance(Duration::from_secs(1));
    let rotated = server.keys.create(NewKey::admin("rotated")).await.unwrap();
    server
        .keys
        .rotate(&rotated.key.id, Duration::ZERO)
        .await
        .unwrap();
    let before = entries(&server).await.len();
    let keys = [
        None,
        Some(""),
        Some("tg_00000000000000000000000000000000"),
        Some(revoked.secret.expose()),
        Some(expired.secret.expose()),
        Some(rotated.secret.expose()),
    ];
    for route in ROUTES {
        for key in keys {
            let answer = ask(&server, &things, route, key).await;
            assert_eq!(
                answer.status, 401,
                "{} {} {key:?}",
                route.method, route.path
            );
            answer.problem(401, "unauthorized");
            assert!(answer.headers.contains_key("www-authenticate"));
        }
    }
    assert_eq!(entries(&server).await.len(), before, "nothing was changed");
}

#[tokio::test]
async fn a_key_is_let_in_by_its_scope_alone() {
    for scope in Scope::ALL {
        let server = Server::start().await;
        let things = Things::make(&server).await;
        let key = server.key(&[scope], None).await;
        let others = Scope::ALL.into_iter().filter(|other| *other != scope);
        let others: Vec<Scope> = others.filter(|other| *other != Scope::Admin).collect();
        // All but this one.
        let rest = server.key(&others, None).await;
        for route in ROUTES {
            let what = format!("{} {} by {scope}", route.method, route.path);
            let known = entries(&server).await.len();
            if scope != Scope::Admin && route.scope == scope {
                let answer = ask(&server, &things, route, Some(&rest)).await;
                answer.problem(403, "missing-scope");
                assert_eq!(entries(&server).await.len(), known, "{what}");
            }
            let answer = ask(&server, &things, route, Some(&key)).await;
            let found = &entries(&server).await[known..];
            if scope == Scope::Admin || route.scope == scope {
                assert_eq!(answer.status, route.status, "{what}: {:?}", answer.body);
                assert_eq!(found, route.audit.as_slice(), "{what}");
            } else {
                answer.problem(403, "missing-scope");
                assert!(found.is_empty(), "{what}: {found:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_is_bound_to_a_domain_stays_there() {
    let server = Server::start().await;
    let things = Things::make(&server).await;
    let domain = Domain::from_stored("go.example");
    for route in ROUTES.iter().filter(|route| route.bound != Bound::Never) {
        let what = format!("{} {}", route.method, route.path);
        let key = server.key(&[route.scope], Some(domain.clone())).await;
        let answer = ask(&server, &things, route, Some(&key)).await;
        match route.bound {
            Bound::Refused => {
                answer.problem(403, "foreign-domain");
            }
            Bound::Own | Bound::Any => assert_eq!(answer.status, route.status, "{what}"),
            Bound::Never => {}
        }
        if route.bound == Bound::Own && !answer.body.is_empty() {
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            assert!(!text.contains("s.example/"), "{what}: {text}");
            // Another domain than its own is refused where one can be named.
            if route.method == "GET" {
                let other = Route {
                    query: DEFAULT,
                    ..read(route.path, route.scope, route.bound)
                };
                let answer = ask(&server, &things, &other, Some(&key)).await;
                answer.problem(403, "foreign-domain");
            }
        }
    }
    let bound = json!({"name": "a", "scopes": ["admin"], "domain": "go.example"});
    server
        .post("/api/v1/keys", &bound)
        .await
        .problem(422, "invalid-fields");
}

/// The actions in the audit log, oldest first.
async fn entries(server: &Server) -> Vec<String> {
    let query = Query {
        ascending: true,
        limit: std::num::NonZeroUsize::new(10_000),
        ..Query::default()
    };
    let page = server.audit.find(&query).await.unwrap();
    let actions = page
        .entries
        .iter()
        .map(|entry| entry.entry().unwrap().action);
    actions.map(|action| action.to_string()).collect()
}
