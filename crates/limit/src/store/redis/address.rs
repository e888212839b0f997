//! Where a Redis is, by its URL.

use redis::aio::MultiplexedConnection;
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
        "not the URL of a Redis ({0}): give redis://host:port/database, rediss://… or \
         redis+sentinel://host:port,host:port/master"
    )]
    Malformed(String),
    /// Of a cluster.
    #[error("redis+cluster:// is not supported: give the address of one server, or of Sentinels")]
    Cluster,
    /// Of something else.
    #[error("{0}:// is not a Redis: give redis://, rediss:// or redis+sentinel://")]
    Scheme(String),
}

/// Where to connect.
pub(super) enum Address {
    /// To this server.
    One(Client),
    /// To the one that a Sentinel names.
    Sentinels(Sentinels),
}

pub(super) struct Sentinels {
    addresses: Vec<ConnectionAddr>,
    master: String,
    settings: RedisConnectionInfo,
}

impl Address {
    /// No message shows the URL, which may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, RedisUrlError> {
        match url.split_once("://") {
            Some(("redis+cluster", _)) => return Err(RedisUrlError::Cluster),
            Some(("redis+sentinel", rest)) => return Sentinels::parse(rest).map(Self::Sentinels),
            _ => {}
        }
        let url = Url::parse(url).map_err(malformed)?;
        match url.scheme() {
            "redis" | "rediss" => {}
            other => return Err(RedisUrlError::Scheme(other.to_owned())),
        }
        let client = Client::open(info(url)?.set_tcp_settings(settings()));
        client.map(Self::One).map_err(malformed)
    }

    /// Connects. `attempt` counts, so that a Sentinel that is away is not always the first asked.
    pub(super) async fn open(
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
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut addresses = Vec::new();
        let mut settings = None;
        for host in hosts.split(',') {
            let mut url =
                Url::parse(&format!("redis://{user}@{host}/{database}")).map_err(malformed)?;
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

/// Decisions are short, and none waits for more to send.
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
            assert!(Address::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn others_are_refused_with_what_to_give_and_without_their_password() {
        for (url, begins) in [
            ("redis+cluster://a,b,c", "redis+cluster:// is not supported"),
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
            let error = Address::parse(url).err().unwrap().to_string();
            assert!(error.starts_with(begins), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn sentinels_are_asked_in_turn_for_a_master_that_has_the_password() {
        let url = "redis+sentinel://user:p%40ss@a,b:7000,[::1]/main/3";
        let Ok(Address::Sentinels(sentinels)) = Address::parse(url) else {
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
}
