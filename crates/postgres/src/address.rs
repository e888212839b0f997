//! Where a PostgreSQL is, read from a URL.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::dial::each_host;

/// A URL that cannot be used. The text never holds the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not begin as such URLs do.
    #[error(
        "give the URL of a PostgreSQL, such as \"postgres://user:password@host:5432/database\""
    )]
    NotPostgres,
    /// A parameter after the `?` has a value it cannot have.
    #[error("the parameter {parameter} of the URL has to be {expected}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// What it can be.
        expected: &'static str,
    },
    /// Anything else, as the client says it.
    #[error("the URL of the PostgreSQL cannot be read: {0}")]
    Unreadable(String),
}

/// How far the connection is to be trusted: what `sslmode` means to all clients of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Encrypted or not, the certificate is not looked at.
    Anyone,
    /// The certificate is of a known authority.
    Authority,
    /// And it is for the host that was asked for.
    Host,
}

/// One or several servers of one database, of which the one that can be written is used.
#[derive(Clone)]
pub struct PostgresAddress {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
    /// The certificates of authorities that are trusted, instead of those of the system.
    pub(crate) authorities: Option<PathBuf>,
    /// Statements that give each connection its settings.
    pub(crate) settings: String,
    place: String,
}

impl PostgresAddress {
    /// Reads a URL, of the form that libpq takes.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(AddressError::NotPostgres);
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        // What the client does not know itself is taken out; the rest is left as it was written.
        let (mut rest, mut mode, mut authorities) = (Vec::new(), String::from("prefer"), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match form_urlencoded::parse(pair.as_bytes()).next() {
                Some((name, value)) if name == "sslmode" => mode = value.into_owned(),
                Some((name, value)) if name == "sslrootcert" => {
                    authorities = Some(PathBuf::from(value.into_owned()));
                }
                _ => rest.push(pair),
            }
        }
        let (ssl_mode, trust) = match mode.as_str() {
            "disable" => (SslMode::Disable, Trust::Anyone),
            "prefer" => (SslMode::Prefer, Trust::Anyone),
            // With authorities, as libpq has it, they are asked.
            "require" if authorities.is_some() => (SslMode::Require, Trust::Authority),
            "require" => (SslMode::Require, Trust::Anyone),
            "verify-ca" => (SslMode::Require, Trust::Authority),
            "verify-full" => (SslMode::Require, Trust::Host),
            _ => {
                return Err(AddressError::Parameter {
                    parameter: "sslmode",
                    expected: "disable, prefer, require, verify-ca or verify-full",
                });
            }
        };
        let text = format!("{base}?{}", rest.join("&"));
        let mut config: Config = text
            .parse()
            .map_err(|error| AddressError::Unreadable(chain(&error)))?;
        config.ssl_mode(ssl_mode);
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::Unreadable("it names no host".into()));
        }
        if config.get_user().is_none() {
            return Err(AddressError::Unreadable("it names no user".into()));
        }
        if config.get_hosts().len() > 1
            && config.get_target_session_attrs() == TargetSessionAttrs::Any
        {
            // Of a primary and its standbys, after whatever promotions.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if url_says_nothing_of_keepalives(&rest) {
            // A listener only waits: two hours, the usual, would leave it deaf for as long.
            config.keepalives_idle(std::time::Duration::from_secs(30));
        }
        if config.get_application_name().is_none() {
            config.application_name("tollgate");
        }
        let place = place(&config);
        Ok(Self {
            config,
            trust,
            authorities,
            settings: String::new(),
            place,
        })
    }

    /// The same address, whose connections have a setting of ours with this number.
    #[must_use]
    pub fn with_setting(mut self, name: &'static str, number: u64) -> Self {
        self.settings
            .push_str(&format!("; SET {name} = '{number}'"));
        self
    }

    /// The address without anything secret, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Each of its servers alone, whatever can be done there.
    pub(crate) fn each_server(&self) -> Vec<Self> {
        let each = each_host(&self.config).into_iter();
        each.map(|mut config| {
            config.target_session_attrs(TargetSessionAttrs::Any);
            Self {
                place: place(&config),
                config,
                trust: self.trust,
                authorities: self.authorities.clone(),
                settings: self.settings.clone(),
            }
        })
        .collect()
    }

    /// Hosts and ports.
    pub(crate) fn servers(&self) -> String {
        servers(&self.config)
    }

    /// How many servers it names.
    #[must_use]
    pub fn server_count(&self) -> usize {
        let (hosts, addresses) = (self.config.get_hosts(), self.config.get_hostaddrs());
        hosts.len().max(addresses.len())
    }

    /// Whether the one that can be written is looked for among several.
    #[must_use]
    pub fn finds_primary(&self) -> bool {
        self.config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite
    }
}

impl std::fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PostgresAddress").field(&self.place).finish()
    }
}

fn url_says_nothing_of_keepalives(parameters: &[&str]) -> bool {
    !parameters
        .iter()
        .any(|pair| pair.starts_with("keepalives_idle="))
}

fn place(config: &Config) -> String {
    let database = config
        .get_dbname()
        .or(config.get_user())
        .unwrap_or_default();
    format!("postgres://{}/{database}", servers(config))
}

fn servers(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(number, host)| {
            // One port is that of all hosts.
            let port = ports.get(number).or(ports.first()).unwrap_or(&5432);
            match host {
                Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(directory) => format!("{}:{port}", directory.display()),
            }
        })
        .collect();
    hosts.join(",")
}

/// An error with all it came from.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        // Some errors quote their cause.
        if !text.ends_with(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_where_but_no_password() {
        let address = PostgresAddress::parse(
            "postgres://me:sesame@a.example,b.example:6432/links?sslmode=disable",
        );
        let address = address.unwrap();
        assert_eq!(
            address.place(),
            "postgres://a.example:5432,b.example:6432/links"
        );
        assert!(!format!("{address:?}").contains("sesame"));
        for wrong in [
            "postgres://me:sesame@a:port/x",
            "postgres://me:sesame@a/x?sslmode=sesame",
            "postgres://me:sesame@a/x?sesame=1",
            "mysql://me:sesame@a/x",
        ] {
            let error = PostgresAddress::parse(wrong).unwrap_err();
            assert!(!error.to_string().contains("me:sesame"), "{error}");
        }
    }

    #[test]
    fn several_hosts_mean_the_one_that_can_be_written() {
        let attrs = |url| {
            let address = PostgresAddress::parse(url).unwrap();
            address.config.get_target_session_attrs()
        };
        assert_eq!(attrs("postgres://u@a/d"), TargetSessionAttrs::Any);
        assert_eq!(attrs("postgres://u@a,b/d"), TargetSessionAttrs::ReadWrite);
        assert_eq!(
            attrs("postgres://u@a,b/d?target_session_attrs=read-only"),
            TargetSessionAttrs::ReadOnly
        );
    }

    #[test]
    fn sslmode_means_what_it_means_everywhere() {
        let read = |parameters: &str| {
            let address =
                PostgresAddress::parse(&format!("postgres://u@a/d?{parameters}")).unwrap();
            (address.config.get_ssl_mode(), address.trust)
        };
        assert_eq!(read(""), (SslMode::Prefer, Trust::Anyone));
        assert_eq!(read("sslmode=disable"), (SslMode::Disable, Trust::Anyone));
        assert_eq!(read("sslmode=require"), (SslMode::Require, Trust::Anyone));
        assert_eq!(
            read("sslmode=require&sslrootcert=ca.pem"),
            (SslMode::Require, Trust::Authority)
        );
        assert_eq!(
            read("sslmode=verify-ca"),
            (SslMode::Require, Trust::Authority)
        );
        assert_eq!(
            read("connect_timeout=3&sslmode=verify-full"),
            (SslMode::Require, Trust::Host)
        );
    }

    #[test]
    fn an_address_needs_host_and_user() {
        for wrong in ["postgres:///d", "postgres://a/d"] {
            assert!(matches!(
                PostgresAddress::parse(wrong),
                Err(AddressError::Unreadable(_))
            ));
        }
    }
}
