//! A server on a free port, and a client for it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tollgate_access::store::MemoryKeyStore;
use tollgate_access::{Keys, NewKey, Scope};
use tollgate_audit::{AuditLog, AuditOptions};
use tollgate_clock::{Clock, ManualClock, UnixMillis};
use tollgate_limit::service::LimitService;
use tollgate_limit::store::{MemoryOptions, MemoryStore as LimitMemory};
use tollgate_links::store::MemoryStore;
use tollgate_links::{
    CacheOptions, CodeFilter, CodeRules, Domains, LinkCache, LinkService, PasswordHasher,
    ServiceParts, SpecRules, Strategies, StrategyKind, StrategyOptions, TargetRules,
};
use tollgate_server::admin::{AdminOptions, AdminParts, serve};
use tollgate_server::compat::CompatOptions;
use tollgate_server::health::Health;
use tollgate_server::limits::{
    Attribute, BUILT_IN, Forwarding, Guard, Limits, PolicyBook, PolicySources,
};
use tollgate_server::metrics::Metrics;
use tollgate_server::overload::{Overload, OverloadOptions};
use tollgate_server::webhooks::Webhooks;
use tollgate_webhooks::{AddressRules, Dispatcher, Outbox, Sender, SystemLookup};

use crate::clicks::Counter;
use crate::switch::SwitchStore;

pub const START: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);
pub type Body = BoxBody<Bytes, std::io::Error>;

pub struct Server {
    pub address: SocketAddr,
    pub admin: String,
    pub keys: Arc<Keys>,
    pub store: Arc<SwitchStore>,
    pub clock: Arc<ManualClock>,
    /// Where policies are kept.
    pub policies: TempDir,
    pub limits: Limits,
    /// Who changed what.
    pub audit: Arc<AuditLog>,
    /// What lets requests in.
    pub overload: Overload,
    /// Takes clicks to be counted.
    pub clicks: Counter,
    pub shutdown: CancellationToken,
    pub task: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The problem, checked to be a whole one.
    pub fn problem(&self, status: u16, kind: &str) -> Value {
        let problem = self.json();
        assert_eq!(self.status, status, "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["type"], format!("urn:tollgate:problem:{kind}"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for field in ["title", "detail"] {
            assert!(!problem[field].as_str().unwrap().is_empty(), "{problem}");
        }
        problem
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(AdminOptions::default()).await
    }

    /// One that has APIs of other shorteners.
    pub async fn compatible(compat: CompatOptions) -> Self {
        Self::with(AdminOptions {
            compat,
            ..AdminOptions::default()
        })
        .await
    }

    pub async fn with(options: AdminOptions) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let memory = Arc::new(MemoryStore::new(clock.clone()));
        let store = Arc::new(SwitchStore::new(memory.clone()));
        let domains = Domains::new("http://s.example", &["https://go.example".to_owned()]).unwrap();
        let filter = Arc::new(CodeFilter::new(&[], &[]));
        let strategies = StrategyOptions {
            length: 7,
            case_insensitive: false,
            block_size: 1_000,
            sha256: false,
            worker_ttl: Duration::from_secs(60),
            pool_target: 0,
            quarantine: Duration::from_secs(60),
        };
        let cache = CacheOptions {
            max_bytes: 1 << 20,
            ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(60),
            early_refresh: 1.0,
            seed: 1,
        };
        let service = LinkService::new(ServiceParts {
            store: store.clone(),
            feed: memory.clone(),
            cache: LinkCache::new(cache, store.clone(), clock.clone()),
            strategies: Arc::new(Strategies::new(
                strategies,
                memory,
                filter.clone(),
                clock.clone(),
            )),
            default_strategy: StrategyKind::Counter,
            codes: CodeRules::default(),
            filter,
            specs: SpecRules {
                targets: TargetRules {
                    schemes: vec!["http".into(), "https".into()],
                    allow_credentials: false,
                    own_hosts: domains.own_hosts(),
                },
                passwords: PasswordHasher::default(),
            },
            domains,
            clock: clock.clone(),
        });
        let keys = Keys::new(Arc::new(MemoryKeyStore::default()), clock.clone());
        let first = keys.bootstrap(None).await.unwrap().unwrap();
        let keys = Arc::new(keys);
        let policies = TempDir::new().unwrap();
        let limits = limits(policies.path(), clock.clone());
        let shutdown = CancellationToken::new();
        let clicks = Counter::start(&policies.path().join("clicks.db"), clock.clone());
        let audit = audit(policies.path());
        let at: Arc<dyn Clock> = clock.clone();
        let overload = Overload::new(OverloadOptions::default(), &at).unwrap();
        let state = AdminParts {
            clicks: Some(clicks.shown(&shutdown)),
            limits: limits.clone(),
            audit: audit.clone(),
            webhooks: webhooks(&policies.path().join("webhooks.db"), clock.clone()),
            service,
            keys: keys.clone(),
            metrics: Arc::new(Metrics::new()),
            health: Health::new(store.clone(), clock.clone(), Vec::new()),
            overload: overload.clone(),
            sign_on: None,
            options,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            clicks,
            address,
            admin: first.secret.expose().to_owned(),
            audit,
            keys,
            store,
            clock,
            policies,
            limits,
            overload,
            task: tokio::spawn(serve(listener, state.into(), shutdown.clone())),
            shutdown,
        }
    }

    /// The secret of a new key.
    pub async fn key(&self, scopes: &[Scope], domain: Option<tollgate_links::Domain>) -> String {
        let new = NewKey {
            name: "test".into(),
            scopes: scopes.iter().copied().collect(),
            domain,
            expires_at: None,
        };
        let created = self.keys.create(new).await.unwrap();
        created.secret.expose().to_owned()
    }

    /// Sends a request on a connection of its own and waits for the head of the answer.
    pub async fn open(&self, request: Request<Body>) -> http::Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.open(request).await.into_parts();
        // A stream of events has no end.
        let media = head.headers.get("content-type");
        let body = match media.is_some_and(|media| media == "text/event-stream") {
            true => Bytes::new(),
            false => body.collect().await.unwrap().to_bytes(),
        };
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// A request by the admin key.
    pub fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "admin")
            .header("authorization", format!("Bearer {}", self.admin))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path).body(empty()).unwrap())
            .await
    }

    /// Sends JSON by the admin key, with one more header.
    pub async fn json(
        &self,
        method: &str,
        path: &str,
        header: Option<(&str, &str)>,
        body: &Value,
    ) -> Answer {
        let mut request = self
            .request(method, path)
            .header("content-type", "application/json");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        self.send(request.body(full(body.to_string())).unwrap())
            .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, None, body).await
    }
}

fn audit(directory: &Path) -> Arc<AuditLog> {
    let options = AuditOptions {
        chain: true,
        leave_out: Vec::new(),
    };
    Arc::new(AuditLog::open(&directory.join("audit.db"), options).unwrap())
}

/// Nothing is sent but what a test sends.
fn webhooks(file: &Path, clock: Arc<ManualClock>) -> Webhooks {
    let outbox = Arc::new(Outbox::open(file).unwrap());
    let lookup = Arc::new(SystemLookup);
    let timeout = Duration::from_secs(10);
    let sender = Sender::new(AddressRules::default(), lookup, timeout).unwrap();
    let rng = StdRng::seed_from_u64(1);
    let dispatcher = Dispatcher::new(outbox.clone(), sender, clock, rng, timeout);
    Webhooks {
        outbox,
        dispatcher: Arc::new(dispatcher),
    }
}

/// The file `limits.yaml` of the directory, if it is there, and what the API keeps beside it.
fn limits(directory: &Path, clock: Arc<ManualClock>) -> Limits {
    let file = directory.join("limits.yaml");
    std::fs::write(&file, POLICIES).unwrap();
    let sources = PolicySources {
        built_in: BUILT_IN,
        file: Some(file),
        directory: directory.join("kept"),
    };
    let store = Arc::new(LimitMemory::new(MemoryOptions::with_seed(1), clock.clone()));
    let (policies, read) = sources.load().unwrap();
    let service = Arc::new(LimitService::new(policies, store.clone(), store).with_stopwatch(clock));
    Limits {
        guard: Guard::new(service.clone()),
        book: Arc::new(PolicyBook::new(read, service.clone())),
        service,
        forwarding: Arc::new(Forwarding {
            domain: "http".to_owned(),
            by: vec![vec![Attribute::RemoteAddress], vec![Attribute::Path]],
            without_key: false,
            trusted_proxies: Vec::new(),
        }),
    }
}

/// Two domains to ask about.
const POLICIES: &str = "\
domain: shop
descriptors:
  - key: user
    rate_limit: {name: per_user, unit: minute, requests_per_unit: 3}
  - key: plan
    value: free
    rate_limit: {name: free, unit: hour, requests_per_unit: 2}
  - key: watched
    rate_limit: {name: watched, unit: minute, requests_per_unit: 1}
    shadow_mode: true
---
domain: http
descriptors:
  - key: remote_address
    rate_limit: {name: per_address, unit: minute, requests_per_unit: 2}
";

pub fn empty() -> Body {
    full("")
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}
