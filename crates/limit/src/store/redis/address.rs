//! Where a Redis is, by its URL.

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo as _};
use url::Url;

/// Why a URL is not that of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisUrlError {
    /// No URL.
    #[error("not the URL of a Redis ({0}): give redis://host:port/database or rediss://…")]
    Malformed(String),
    /// Of several servers.
    #[error("{0}:// is not supported: give redis:// or rediss:// and the address of one server")]
    Topology(String),
    /// Of something else.
    #[error("{0}:// is not a Redis: give redis:// or rediss://")]
    Scheme(String),
}

/// A client, which has not connected. No message shows the URL, which may hold a password.
pub(super) fn client(url: &str) -> Result<Client, RedisUrlError> {
    let malformed = |why: &dyn std::fmt::Display| RedisUrlError::Malformed(why.to_string());
    if let Some((scheme @ ("redis+sentinel" | "redis+cluster"), _)) = url.split_once("://") {
        return Err(RedisUrlError::Topology(scheme.to_owned()));
    }
    let url = Url::parse(url).map_err(|error| malformed(&error))?;
    match url.scheme() {
        "redis" | "rediss" => {}
        other => return Err(RedisUrlError::Scheme(other.to_owned())),
    }
    if url.fragment().is_some() {
        return Err(malformed(&"nothing may follow #"));
    }
    let info: ConnectionInfo = url
        .into_connection_info()
        .map_err(|error| malformed(&error))?;
    // Decisions are short and none waits for more to send.
    let settings = TcpSettings::default().set_nodelay(true);
    Client::open(info.set_tcp_settings(settings)).map_err(|error| malformed(&error))
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
            assert!(client(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn others_are_refused_with_what_to_give_and_without_their_password() {
        for (url, begins) in [
            (
                "redis+sentinel://a,b,c/master",
                "redis+sentinel:// is not supported",
            ),
            ("redis+cluster://a,b,c", "redis+cluster:// is not supported"),
            ("memcached://secret@a", "memcached:// is not a Redis"),
            ("rediss://a/#insecure", "not the URL of a Redis"),
            ("redis://:secret@a/words", "not the URL of a Redis"),
            ("secret", "not the URL of a Redis"),
        ] {
            let error = client(url).unwrap_err().to_string();
            assert!(error.starts_with(begins), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
