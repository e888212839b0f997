//! The API and the edge of one server, as tests use them.

use serde_json::Value;
use ureq::http::Request;
use ureq::http::request::Builder;

use crate::http::{Http, Reply, encoded};
use crate::server::Server;

/// Talks to one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) http: Http,
    edge: String,
    admin: String,
    key: String,
}

impl Server {
    pub(crate) fn client(&self) -> Client {
        Client {
            http: Http::new(),
            edge: self.edge.clone(),
            admin: self.admin.clone(),
            key: self.key.clone(),
        }
    }
}

impl Client {
    /// The same, with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    /// A request to the API, with the key.
    pub(crate) fn request(&self, method: &str, path: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.admin))
            .header("authorization", format!("Bearer {}", self.key))
    }

    pub(crate) fn api(&self, method: &str, path: &str) -> Reply {
        self.http.send(self.request(method, path), ())
    }

    pub(crate) fn api_json(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.api_with(method, path, &[], body)
    }

    pub(crate) fn api_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Reply {
        let request = headers.iter().fold(
            self.request(method, path)
                .header("content-type", "application/json"),
            |request, (name, value)| request.header(*name, *value),
        );
        self.http.send(request, body.to_string())
    }

    /// Sends a draft, whatever comes of it.
    pub(crate) fn draft(&self, draft: &Value) -> Reply {
        self.api_json("POST", "/api/v1/links", draft)
    }

    /// Creates a link, and answers it.
    #[track_caller]
    pub(crate) fn create(&self, draft: &Value) -> Value {
        self.draft(draft).expect(201).json()
    }

    /// Creates a link, and answers its code.
    #[track_caller]
    pub(crate) fn code(&self, draft: &Value) -> String {
        let link = self.create(draft);
        link["code"].as_str().expect("a code").to_owned()
    }

    /// Makes a key, and answers its secret.
    #[track_caller]
    pub(crate) fn secret(&self, draft: &Value) -> String {
        let made = self.api_json("POST", "/api/v1/keys", draft).expect(201);
        made.json()["secret"].as_str().expect("a secret").to_owned()
    }

    pub(crate) fn link(&self, code: &str) -> Reply {
        self.api("GET", &link_path(code))
    }

    pub(crate) fn patch(&self, code: &str, patch: &Value) -> Reply {
        self.api_json("PATCH", &link_path(code), patch)
    }

    pub(crate) fn delete(&self, code: &str) -> Reply {
        self.api("DELETE", &link_path(code))
    }

    /// The address of a path on the edge.
    pub(crate) fn edge(&self, path: &str) -> String {
        format!("{}/{path}", self.edge)
    }

    /// Follows a code, or asks the edge for another path; not percent-encoded yet.
    pub(crate) fn visit(&self, code: &str) -> Reply {
        self.http.get(&self.edge(&encoded(code)))
    }

    pub(crate) fn visit_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.http.get_with(&self.edge(path), headers)
    }

    /// Submits the password form of a link.
    pub(crate) fn unlock(&self, code: &str, password: &str) -> Reply {
        let request = Request::post(self.edge(code))
            .header("content-type", "application/x-www-form-urlencoded");
        self.http
            .send(request, format!("password={}", encoded(password)))
    }

    /// What a metric says.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let metrics = self.open("/metrics");
        let mut lines = metrics.text().lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {series}"));
        value.parse().expect("a number")
    }

    /// Whether the server says that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.open("/health/ready").status == 200
    }

    /// A path of the admin side that needs no key.
    pub(crate) fn open(&self, path: &str) -> Reply {
        self.http.get(&format!("{}{path}", self.admin))
    }
}

pub(crate) fn link_path(code: &str) -> String {
    format!("/api/v1/links/{}", encoded(code))
}
