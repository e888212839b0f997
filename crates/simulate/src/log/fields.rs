//! Which keys of JSON mean what.

use std::collections::HashMap;

use tollgate_limit::attribute::Attribute;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Time,
    Client,
    Method,
    /// A path, or a whole target.
    Path,
    /// A line such as `GET / HTTP/1.1`.
    Request,
    Host,
    UserAgent,
    Referrer,
    ApiKey,
    Authorization,
    /// A header that somebody counts by, by its number.
    Header(usize),
}

/// The names by which each value is looked for, the best first.
const USUAL: [(Role, &[&str]); 10] = [
    (
        Role::Time,
        &[
            "time",
            "timestamp",
            "@timestamp",
            "ts",
            "msec",
            "time_iso8601",
            "time_local",
            "time_msec",
            "StartUTC",
            "start_time",
            "date",
            "datetime",
        ],
    ),
    (
        Role::Client,
        &[
            "client_ip",
            "request.client_ip",
            "remote_address",
            "remote_addr",
            "remote_ip",
            "request.remote_ip",
            "ClientHost",
            "client",
            "ip",
            "clientip",
            "remoteIP",
            "downstream_remote_address",
            "request.remote_addr",
        ],
    ),
    (
        Role::Method,
        &[
            "method",
            "request_method",
            "request.method",
            "RequestMethod",
            "verb",
        ],
    ),
    (
        Role::Path,
        &[
            "path",
            "request_uri",
            "uri",
            "request.uri",
            "RequestPath",
            "url",
            "x-envoy-origin-path",
        ],
    ),
    (Role::Request, &["request", "request_line"]),
    (
        Role::Host,
        &[
            "host",
            "http_host",
            "request.host",
            "RequestHost",
            "server_name",
            "vhost",
            "authority",
            ":authority",
        ],
    ),
    (
        Role::UserAgent,
        &[
            "user_agent",
            "http_user_agent",
            "request.headers.User-Agent",
            "userAgent",
            "agent",
            "request_User-Agent",
        ],
    ),
    (
        Role::Referrer,
        &[
            "referer",
            "referrer",
            "http_referer",
            "http_referrer",
            "request.headers.Referer",
        ],
    ),
    (
        Role::ApiKey,
        &[
            "api_key",
            "http_x_api_key",
            "x_api_key",
            "request.headers.X-Api-Key",
        ],
    ),
    (
        Role::Authorization,
        &[
            "http_authorization",
            "authorization",
            "request.headers.Authorization",
        ],
    ),
];

/// Where in an object values are: a tree of keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) role: Option<(Role, usize)>,
    pub(super) below: HashMap<Box<str>, Node, foldhash::fast::FixedState>,
}

/// By which keys the values of a line of JSON are found; a dot leads into an object. By default, those that servers
/// are commonly set up with.
#[derive(Debug, Clone)]
pub struct Fields {
    pub(super) root: Node,
    headers: Vec<String>,
}

/// A field that is not `NAME=KEY`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no field: write NAME=KEY, where NAME is time, client, method, path, request, host, user_agent, \
     referrer, api_key or header:NAME, and KEY is a key of the log's JSON, such as http.client"
)]
pub struct FieldError(String);

impl Default for Fields {
    fn default() -> Self {
        let mut fields = Self {
            root: Node::default(),
            headers: Vec::new(),
        };
        for (role, names) in USUAL {
            for (rank, name) in names.iter().enumerate() {
                fields.insert(name, role, rank + 1);
            }
        }
        fields
    }
}

impl Fields {
    /// The same, with a field as the command line writes it: `time=timestamp`. It goes before all others of its name.
    ///
    /// # Errors
    /// [`FieldError`], for a text of another form.
    pub fn with(mut self, text: &str) -> Result<Self, FieldError> {
        let wrong = || FieldError(text.to_owned());
        let (name, key) = text.split_once('=').ok_or_else(wrong)?;
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(wrong());
        }
        let role = match name {
            "time" => Role::Time,
            "client" => Role::Client,
            "method" => Role::Method,
            "path" => Role::Path,
            "request" => Role::Request,
            "host" => Role::Host,
            "user_agent" => Role::UserAgent,
            "referrer" => Role::Referrer,
            "api_key" => Role::ApiKey,
            _ => match Attribute::parse(name) {
                Some(Attribute::Header(header)) => Role::Header(self.number(header.as_str())),
                _ => return Err(wrong()),
            },
        };
        self.insert(key, role, 0);
        Ok(self)
    }

    /// The same, looking for a header also: by its own name, as nginx names its variables (`http_x_tenant`), and
    /// where Caddy and Traefik put it.
    #[must_use]
    pub fn with_header(mut self, name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let role = Role::Header(self.number(&name));
        let title: Vec<String> = name
            .split('-')
            .map(|part| {
                part.get(..1).unwrap_or_default().to_ascii_uppercase()
                    + part.get(1..).unwrap_or_default()
            })
            .collect();
        let title = title.join("-");
        let names = [
            format!("http_{}", name.replace('-', "_")),
            format!("request.headers.{title}"),
            format!("request_{title}"),
            name,
        ];
        for (rank, name) in names.iter().enumerate() {
            // What has a meaning already keeps it.
            if self.node(name).role.is_none() {
                self.insert(name, role, rank + 1);
            }
        }
        self
    }

    /// The number of a header that is looked for.
    pub(super) fn header(&self, name: &str) -> Option<usize> {
        self.headers.iter().position(|header| header == name)
    }

    fn number(&mut self, name: &str) -> usize {
        self.header(name).unwrap_or_else(|| {
            self.headers.push(name.to_owned());
            self.headers.len() - 1
        })
    }

    fn node(&mut self, key: &str) -> &mut Node {
        let parts = key.split('.');
        parts.fold(&mut self.root, |node, part| {
            node.below.entry(part.into()).or_default()
        })
    }

    fn insert(&mut self, key: &str, role: Role, rank: usize) {
        self.node(key).role = Some((role, rank));
    }
}
