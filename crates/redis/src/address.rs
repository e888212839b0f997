//! Where a Redis is, by its URL.

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisResult,
};
use url::Url;

/// Where a Sentinel listens unless its address says so.
const SENTINEL_PORT: u16 = 26_379;

/// Why a URL is not that of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisUrlError {
    /// No URL.
    #[error(
        "not the URL of a Redis ({0}): give redis://host:port/database, rediss://…, \
         redis+sentinel://host:port,host:port/master or redis+cluster://host:port,host:port"
    )]
    Malformed(String),
    /// Of something else.
    #[error(
        "{0}:// is not a Redis: give redis://, rediss://, redis+sentinel://, redis+cluster:// or \
         rediss+cluster://"
    )]
    Scheme(String),
}

/// What a URL names.
pub(crate) enum Location {
    /// One server at a time.
    Server(Address),
    /// Several servers, each with a part of the keys.
    Cluster(Members),
}

/// Where to connect.
pub(crate) enum Address {
    /// To this server.
    One(Client),
    /// To the one that a Sentinel names.
    Sentinels(Sentinels),
}

pub(crate) struct Sentinels {
    addresses: Vec<ConnectionAddr>,
    master: String,
    settings: RedisConnectionInfo,
}

/// Where a cluster can be asked for its servers, and how all of them are spoken to.
pub(crate) struct Members {
    pub(crate) seeds: Vec<Node>,
    settings: ConnectionInfo,
}

/// A server of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Location {
    /// No message shows the URL, which may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self, RedisUrlError> {
        match url.split_once("://") {
            Some(("redis+cluster", rest)) => {
                return Members::parse("redis", rest).map(Self::Cluster);
            }
            Some(("rediss+cluster", rest)) => {
                return Members::parse("rediss", rest).map(Self::Cluster);
            }
            Some(("redis+sentinel", rest)) => {
                let sentinels = Sentinels::parse(rest)?;
                return Ok(Self::Server(Address::Sentinels(sentinels)));
            }
            _ => {}
        }
        let url = Url::parse(url).map_err(malformed)?;
        match url.scheme() {
            "redis" | "rediss" => {}
            other => return Err(RedisUrlError::Scheme(other.to_owned())),
        }
        let client = Client::open(info(url)?.set_tcp_settings(settings()));
        client
            .map(|client| Self::Server(Address::One(client)))
            .map_err(malformed)
    }
}

impl Members {
    /// `[user:password@]host[:port],host[:port]…`
    fn parse(scheme: &str, rest: &str) -> Result<Self, RedisUrlError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() {
            return Err(malformed(
                "a cluster has one database, and nothing follows its hosts",
            ));
        }
        let mut seeds = Vec::new();
        let mut settings = None;
        for url in urls(scheme, authority, "") {
            let info = info(url?)?;
            match info.addr() {
                ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                    seeds.push(Node::new(host, *port));
                }
                _ => return Err(malformed("a server of a cluster has a host")),
            }
            settings = Some(info);
        }
        match settings {
            Some(settings) => Ok(Self { seeds, settings }),
            None => Err(malformed("the hosts are missing")),
        }
    }

    /// How to reach one of them.
    pub(crate) fn address(&self, node: &Node) -> RedisResult<Address> {
        let (host, port) = (node.host.clone(), node.port);
        let address = match self.settings.addr() {
            ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let info = self.settings.clone().set_addr(address);
        Client::open(info.set_tcp_settings(settings())).map(Address::One)
    }
}

impl Node {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
        }
    }

    /// `host:port`, as a server of a cluster names another one. Without a host it is that of
    /// whoever names it.
    pub(crate) fn parse(text: &str, named_by: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host {
            "" | "?" => &named_by.host,
            host => host,
        };
        Some(Self::new(host, port.parse().ok()?))
    }
}

/// One URL for each of several hosts, which have the user and password in common.
fn urls(
    scheme: &str,
    authority: &str,
    path: &str,
) -> impl Iterator<Item = Result<Url, RedisUrlError>> {
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    hosts.split(',').map(move |host| {
        let url = Url::parse(&format!("{scheme}://{user}@{host}/{path}")).map_err(malformed)?;
        match url.has_host() {
            true => Ok(url),
            false => Err(malformed("a host is missing")),
        }
    })
}

impl Address {
    /// Connects to where messages arrive. `attempt` as in [`open`](Self::open).
    pub(crate) async fn listen(&self, attempt: usize) -> RedisResult<PubSub> {
        match self {
            Self::One(client) => client.get_async_pubsub().await,
            Self::Sentinels(sentinels) => {
                let mut sentinels = sentinels.builder(attempt)?.build()?;
                let client = sentinels.async_get_client().await?;
                client.get_async_pubsub().await
            }
        }
    }

    /// Connects. `attempt` counts, so that a Sentinel that is away is not always the first asked.
    pub(crate) async fn open(
        &self,
        attempt: usize,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        match self {
            Self::One(client) => {
                client
                    .get_multiplexed_async_connection_with_config(config)
                    .await
            }
            Self::Sentinels(sentinels) => {
                let mut client = sentinels.builder(attempt)?.build()?;
                client.get_async_connection_with_config(config).await
            }
        }
    }
}

impl Sentinels {
    /// `[user:password@]host[:port],host[:port]…/master[/database]`
    fn parse(rest: &str) -> Result<Self, RedisUrlError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (master, database) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() {
            return Err(malformed("the name of the master is missing"));
        }
        let mut addresses = Vec::new();
        let mut settings = None;
        for url in urls("redis", authority, database) {
            let mut url = url?;
            if url.port().is_none() && url.set_port(Some(SENTINEL_PORT)).is_err() {
                return Err(malformed("a Sentinel has no host"));
            }
            let info = info(url)?;
            addresses.push(info.addr().clone());
            settings = Some(info.redis_settings().clone());
        }
        Ok(Self {
            addresses,
            master: master.to_owned(),
            settings: settings.unwrap_or_default(),
        })
    }

    fn builder(&self, attempt: usize) -> RedisResult<SentinelClientBuilder> {
        let mut addresses = self.addresses.clone();
        let first = attempt % addresses.len().max(1);
        addresses.rotate_left(first);
        let mut builder =
            SentinelClientBuilder::new(addresses, &self.master, SentinelServerType::Master)?
                .set_client_to_redis_tcp_settings(settings())
                .set_client_to_redis_db(self.settings.db());
        if let Some(user) = self.settings.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = self.settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        Ok(builder)
    }
}

fn malformed(why: impl std::fmt::Display) -> RedisUrlError {
    RedisUrlError::Malformed(why.to_string())
}

/// What a URL of one server says. The end of one may ask not to check certificates: no.
fn info(url: Url) -> Result<ConnectionInfo, RedisUrlError> {
    if url.fragment().is_some() {
        return Err(malformed("nothing may follow #"));
    }
    url.into_connection_info().map_err(malformed)
}

/// Calls are short, and none waits for more to send.
fn settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_of_one_server_are_taken() {
        for url in [
            "redis://127.0.0.1",
            "redis://127.0.0.1:7000/3",
            "rediss://name:secret@redis.example:6380",
        ] {
            let parsed = Location::parse(url);
            assert!(
                matches!(parsed, Ok(Location::Server(Address::One(_)))),
                "{url}"
            );
        }
    }

    #[test]
    fn others_are_refused_with_what_to_give_and_without_their_password() {
        for (url, begins) in [
            ("redis+cluster://:secret@a,b/1", "not the URL of a Redis"),
            ("redis+cluster://:secret@a,,b", "not the URL of a Redis"),
            ("redis+cluster://:secret@", "not the URL of a Redis"),
            (
                "rediss+cluster://:secret@a#insecure",
                "not the URL of a Redis",
            ),
            ("redis+sentinel://:secret@a,b", "not the URL of a Redis"),
            (
                "redis+sentinel://:secret@a,,b/main",
                "not the URL of a Redis",
            ),
            (
                "redis+sentinel://:secret@a/main/words",
                "not the URL of a Redis",
            ),
            ("memcached://secret@a", "memcached:// is not a Redis"),
            ("rediss://a/#insecure", "not the URL of a Redis"),
            ("redis://:secret@a/words", "not the URL of a Redis"),
            ("secret", "not the URL of a Redis"),
        ] {
            let error = Location::parse(url).err().unwrap().to_string();
            assert!(error.starts_with(begins), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn sentinels_are_asked_in_turn_for_a_master_that_has_the_password() {
        let url = "redis+sentinel://user:p%40ss@a,b:7000,[::1]/main/3";
        let Ok(Location::Server(Address::Sentinels(sentinels))) = Location::parse(url) else {
            panic!("{url}");
        };
        let shown: Vec<String> = sentinels
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["a:26379", "b:7000", "::1:26379"]);
        assert_eq!(sentinels.master, "main");
        let settings = &sentinels.settings;
        let held = (settings.username(), settings.password(), settings.db());
        assert_eq!(held, (Some("user"), Some("p@ss"), 3));
        for attempt in 0..4 {
            assert!(sentinels.builder(attempt).unwrap().build().is_ok());
        }
    }
    #[test]
    fn servers_of_a_cluster_are_spoken_to_alike() {
        let url = "redis+cluster://user:p%40ss@a,b:7000,[::1]:7001";
        let Ok(Location::Cluster(members)) = Location::parse(url) else {
            panic!("{url}");
        };
        let node = Node::new;
        let seeds = [node("a", 6379), node("b", 7000), node("::1", 7001)];
        assert_eq!(members.seeds, seeds);
        let Ok(Address::One(client)) = members.address(&node("c", 7002)) else {
            panic!("one server");
        };
        let info = client.get_connection_info();
        assert_eq!(info.addr().to_string(), "c:7002");
        let settings = info.redis_settings();
        let held = (settings.username(), settings.password());
        assert_eq!(held, (Some("user"), Some("p@ss")));

        let url = "rediss+cluster://a/";
        let Ok(Location::Cluster(members)) = Location::parse(url) else {
            panic!("{url}");
        };
        let Ok(Address::One(client)) = members.address(&node("c", 7002)) else {
            panic!("one server");
        };
        let address = client.get_connection_info().addr().clone();
        assert!(matches!(
            address,
            ConnectionAddr::TcpTls { host, port: 7002, insecure: false, .. } if host == "c"
        ));
    }

    #[test]
    fn servers_of_a_cluster_name_each_other() {
        let from = Node::new("a", 1);
        for (text, named) in [
            ("10.0.0.1:7000", Some(("10.0.0.1", 7000))),
            ("::1:7000", Some(("::1", 7000))),
            (":7000", Some(("a", 7000))),
            ("?:7000", Some(("a", 7000))),
            ("b", None),
            ("b:70000", None),
        ] {
            let named = named.map(|(host, port)| Node::new(host, port));
            assert_eq!(Node::parse(text, &from), named, "{text}");
        }
    }
}
