//! Where a ClickHouse is, read from a URL.

use secrecy::SecretString;
use url::Url;

/// A URL that cannot be used. The text never holds the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClickHouseAddressError {
    /// It is not of the form that is asked for.
    #[error(
        "give the URL of a database in a ClickHouse, such as \
         \"clickhouse://user:password@host:8123/database\", or \"clickhouses://\" for HTTPS"
    )]
    NotClickHouse,
    /// There are none.
    #[error("the URL of a ClickHouse has no parameters")]
    Parameters,
}

/// A database, by the HTTP interface of its server.
#[derive(Clone)]
pub struct ClickHouseAddress {
    /// Scheme, host and port.
    pub(super) base: String,
    pub(super) database: String,
    pub(super) user: Option<String>,
    pub(super) password: SecretString,
}

impl std::fmt::Debug for ClickHouseAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place())
    }
}

impl ClickHouseAddress {
    /// Reads `clickhouse://user:password@host:port/database`.
    ///
    /// # Errors
    /// See [`ClickHouseAddressError`].
    pub fn parse(text: &str) -> Result<Self, ClickHouseAddressError> {
        use ClickHouseAddressError::{NotClickHouse, Parameters};
        let url = Url::parse(text).map_err(|_| NotClickHouse)?;
        let (scheme, port) = match url.scheme() {
            "clickhouse" => ("http", 8123),
            "clickhouses" => ("https", 8443),
            _ => return Err(NotClickHouse),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Parameters);
        }
        let database = url.path().trim_start_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let host = url.host_str().filter(|host| !host.is_empty());
        let (Some(host), false, true) = (host, database.is_empty(), database.bytes().all(plain))
        else {
            return Err(NotClickHouse);
        };
        let decoded = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
            decoded
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| NotClickHouse)
        };
        let user = match url.username() {
            "" => None,
            user => Some(decoded(user)?),
        };
        Ok(Self {
            base: format!("{scheme}://{host}:{}", url.port().unwrap_or(port)),
            database: database.to_owned(),
            user,
            password: decoded(url.password().unwrap_or_default())?.into(),
        })
    }

    /// Where it is, without anything secret.
    #[must_use]
    pub fn place(&self) -> String {
        format!("the ClickHouse at {}/{}", self.base, self.database)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_host_and_a_database_are_enough() {
        let address = ClickHouseAddress::parse("clickhouse://ch.example/clicks").unwrap();
        assert_eq!(
            address.place(),
            "the ClickHouse at http://ch.example:8123/clicks"
        );
        assert_eq!(address.user, None);
        let address = ClickHouseAddress::parse("clickhouses://me:s%40me@h:1/db_1").unwrap();
        assert_eq!(address.place(), "the ClickHouse at https://h:1/db_1");
        assert_eq!(address.user.as_deref(), Some("me"));
        assert_eq!(address.password.expose_secret(), "s@me");
        assert!(!format!("{address:?}").contains("s@me"));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        use ClickHouseAddressError::{NotClickHouse, Parameters};
        for (text, error) in [
            ("clickhouse://h", NotClickHouse),
            ("clickhouse:///db", NotClickHouse),
            ("clickhouse://h/a/b", NotClickHouse),
            ("clickhouse://h/d;x", NotClickHouse),
            ("http://h/db", NotClickHouse),
            ("clickhouse://h/db?secure=1", Parameters),
        ] {
            assert_eq!(ClickHouseAddress::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
