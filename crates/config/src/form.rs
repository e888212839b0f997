//! The forms values take: how each is read, and what to tell somebody who wrote it wrong.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use url::Url;

use crate::secret::Secret;
use crate::sections::{
    Addresses, Attribute, ClickQueue, Engine, Hash, LimitStore, LogFormat, OnLinkDelete,
    OnStoreFailure, Redirect, Replicas, Root, SaslMechanism, Strategy,
};
use crate::value::{Kind, Value};

/// How a value of type `T` is written.
pub(crate) struct Form<T> {
    /// The TOML kind.
    pub(crate) kind: Kind,
    /// Completes "expected …" and heads the reference.
    pub(crate) expects: &'static str,
    /// `Err` with an empty text means "not of this form"; another text tells more.
    pub(crate) read: fn(&Value) -> Result<T, String>,
}

/// Not of the form; the message is made of the form's `expects`.
fn wrong<T>() -> Result<T, String> {
    Err(String::new())
}

fn parsed<T>(value: &Value, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    value.text().and_then(parse).map_or_else(wrong, Ok)
}

fn texts<T>(value: &Value, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let Value::List(items) = value else {
        return wrong();
    };
    items
        .iter()
        .map(|item| item.text().map_or_else(wrong, &parse))
        .collect()
}

/// A whole number between two bounds, both included.
fn between(value: &Value, least: u64, most: u64) -> Result<u64, String> {
    match value {
        Value::Integer(n) => u64::try_from(*n)
            .ok()
            .filter(|n| (least..=most).contains(n))
            .map_or_else(wrong, Ok),
        _ => wrong(),
    }
}

pub(crate) const ADDRESS: Form<SocketAddr> = Form {
    kind: Kind::Text,
    expects: "an address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
    read: |value| parsed(value, |text| text.parse().ok()),
};

/// The address of a listener that may be left out by an empty text.
pub(crate) const OPTIONAL_ADDRESS: Form<Option<SocketAddr>> = Form {
    kind: Kind::Text,
    expects: "an address with a port, such as \"127.0.0.1:6380\" or \"[::]:6380\", or \"\"",
    read: |value| {
        parsed(value, |text| match text {
            "" => Some(None),
            _ => text.parse().ok().map(Some),
        })
    },
};

/// Any text; an empty one is none.
pub(crate) const SECRET: Form<Option<Secret>> = Form {
    kind: Kind::Text,
    expects: "any text",
    read: |value| match value.text() {
        Some(text) => Ok((!text.is_empty()).then(|| Secret::new(text))),
        // The usual message would show it.
        None => Err("expected any text, in quotes".to_owned()),
    },
};

pub(crate) const DURATION: Form<Duration> = Form {
    kind: Kind::Text,
    expects: "a duration with its unit, such as \"500ms\", \"30s\", \"1h 30m\" or \"90d\"",
    read: duration,
};

/// A duration that paces a loop, so it cannot be zero.
pub(crate) const PERIOD: Form<Duration> = Form {
    kind: Kind::Text,
    expects: "a duration above zero with its unit, such as \"500ms\", \"30s\" or \"1h\"",
    read: |value| {
        duration(value).and_then(|d| {
            if d.is_zero() {
                Err("it cannot be zero".to_owned())
            } else {
                Ok(d)
            }
        })
    },
};

/// A century: sums with the time now never leave the calendar.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

fn duration(value: &Value) -> Result<Duration, String> {
    let duration = parsed(value, |text| match text {
        "0" => Some(Duration::ZERO),
        _ => humantime::parse_duration(text).ok(),
    })?;
    if duration > LONGEST {
        return Err("at most 100 years".to_owned());
    }
    Ok(duration)
}

/// A terabyte: more memory than any of these bounds is meant for.
const LARGEST: u64 = 1 << 40;

pub(crate) const SIZE: Form<u64> = Form {
    kind: Kind::Text,
    expects: "a size from 1 byte to 1 TiB, such as \"64KiB\" or \"1GB\"",
    read: |value| size(value, 1, LARGEST),
};

/// hyper's buffer cannot be smaller than 8 KiB.
pub(crate) const HEADER_SIZE: Form<u64> = Form {
    kind: Kind::Text,
    expects: "a size from 8KiB to 1MiB",
    read: |value| size(value, 8 << 10, 1 << 20),
};

/// Much less holds no moment of clicks, much more is no memory of a server.
pub(crate) const QUEUE_SIZE: Form<u64> = Form {
    kind: Kind::Text,
    expects: "a size from 64KiB to 1GiB",
    read: |value| size(value, 64 << 10, 1 << 30),
};

pub(crate) const SPOOL_SIZE: Form<u64> = Form {
    kind: Kind::Text,
    expects: "a size from 16MiB to 1TiB",
    read: |value| size(value, 16 << 20, LARGEST),
};

fn size(value: &Value, least: u64, most: u64) -> Result<u64, String> {
    let bytes = match value {
        Value::Integer(n) => u64::try_from(*n).ok(),
        _ => value
            .text()
            .and_then(|text| Some(text.parse::<ByteSize>().ok()?.as_u64())),
    };
    bytes
        .filter(|n| (least..=most).contains(n))
        .map_or_else(wrong, Ok)
}

pub(crate) const SWITCH: Form<bool> = Form {
    kind: Kind::Switch,
    expects: "true or false",
    read: |value| match value {
        Value::Switch(on) => Ok(*on),
        _ => wrong(),
    },
};

pub(crate) const COUNT: Form<u64> = Form {
    kind: Kind::Integer,
    expects: "a whole number from 0 to 1000000000",
    read: |value| between(value, 0, 1_000_000_000),
};

/// Calls at once on a connection, of which HTTP/2 can number 2^31.
pub(crate) const STREAMS: Form<u32> = Form {
    kind: Kind::Integer,
    expects: "a whole number from 1 to 1000000",
    read: |value| between(value, 1, 1_000_000).and_then(|n| u32::try_from(n).or_else(|_| wrong())),
};

pub(crate) const POSITIVE: Form<u64> = Form {
    kind: Kind::Integer,
    expects: "a whole number from 1 to 1000000000",
    read: |value| between(value, 1, 1_000_000_000),
};

pub(crate) const THREADS: Form<usize> = Form {
    kind: Kind::Integer,
    expects: "a whole number from 0 to 1024; 0 takes one for each core",
    read: |value| between(value, 0, 1024).map(|n| usize::try_from(n).unwrap_or_default()),
};

pub(crate) const CODE_LENGTH: Form<usize> = Form {
    kind: Kind::Integer,
    expects: "a whole number from 4 to 21",
    read: |value| between(value, 4, 21).map(|n| usize::try_from(n).unwrap_or_default()),
};

pub(crate) const BATCH: Form<usize> = Form {
    kind: Kind::Integer,
    expects: "a whole number from 1 to 100000",
    read: |value| between(value, 1, 100_000).map(|n| usize::try_from(n).unwrap_or_default()),
};

pub(crate) const BUDGET_KEYS: Form<usize> = Form {
    kind: Kind::Integer,
    expects: "a whole number from 1 to 10000000",
    read: |value| between(value, 1, 10_000_000).map(|n| usize::try_from(n).unwrap_or_default()),
};

pub(crate) const CONNECTIONS: Form<usize> = Form {
    kind: Kind::Integer,
    expects: "a whole number from 1 to 1000",
    read: |value| between(value, 1, 1_000).map(|n| usize::try_from(n).unwrap_or_default()),
};

pub(crate) const PARTITIONS: Form<u64> = Form {
    kind: Kind::Integer,
    expects: "a whole number from 1 to 64",
    read: |value| between(value, 1, 64),
};

pub(crate) const BETA: Form<f64> = Form {
    kind: Kind::Number,
    expects: "a number from 0 to 100",
    read: |value| {
        let beta = match value {
            Value::Number(n) => *n,
            // Every integer in the range is exact in a float.
            Value::Integer(n) => i32::try_from(*n).map_or(f64::NAN, f64::from),
            _ => f64::NAN,
        };
        if (0.0..=100.0).contains(&beta) {
            Ok(beta)
        } else {
            wrong()
        }
    },
};

pub(crate) const WORDS: Form<Vec<String>> = Form {
    kind: Kind::List,
    expects: "an array of strings",
    read: |value| texts(value, |text| Ok(text.to_owned())),
};

pub(crate) const SCHEMES: Form<Vec<String>> = Form {
    kind: Kind::List,
    expects: "an array of at least one URL scheme, such as [\"http\", \"https\"]",
    read: |value| {
        let schemes = texts(value, |text| {
            let scheme = text.to_ascii_lowercase();
            let well_formed = scheme.starts_with(|c: char| c.is_ascii_lowercase())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
            if !well_formed {
                return Err(format!("{text:?} is no URL scheme"));
            }
            // A browser runs these in its own context: a redirect must never lead there.
            if matches!(scheme.as_str(), "javascript" | "data" | "vbscript" | "file") {
                return Err(format!("the scheme {text:?} is never allowed"));
            }
            Ok(scheme)
        })?;
        if schemes.is_empty() {
            return wrong();
        }
        Ok(schemes)
    },
};

pub(crate) const NETWORKS: Form<Vec<IpNet>> = Form {
    kind: Kind::List,
    expects: "an array of networks or addresses, such as [\"10.0.0.0/8\", \"::1\"]",
    read: |value| {
        texts(value, |text| {
            text.parse::<IpNet>()
                .ok()
                .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
                .ok_or_else(|| format!("{text:?} is no network or address"))
        })
    },
};

pub(crate) const STRATEGY: Form<Strategy> = Form {
    kind: Kind::Text,
    expects: "\"counter\", \"hash\", \"snowflake\", \"pool\" or \"random\"",
    read: |value| {
        parsed(value, |text| match text {
            "counter" => Some(Strategy::Counter),
            "hash" => Some(Strategy::Hash),
            "snowflake" => Some(Strategy::Snowflake),
            "pool" => Some(Strategy::Pool),
            "random" => Some(Strategy::Random),
            _ => None,
        })
    },
};

pub(crate) const HASH: Form<Hash> = Form {
    kind: Kind::Text,
    expects: "\"xxh3\" or \"sha256\"",
    read: |value| {
        parsed(value, |text| match text {
            "xxh3" => Some(Hash::Xxh3),
            "sha256" => Some(Hash::Sha256),
            _ => None,
        })
    },
};

pub(crate) const REDIRECT: Form<Redirect> = Form {
    kind: Kind::Integer,
    expects: "301, 302, 307 or 308",
    read: |value| match value {
        Value::Integer(301) => Ok(Redirect::MovedPermanently),
        Value::Integer(302) => Ok(Redirect::Found),
        Value::Integer(307) => Ok(Redirect::Temporary),
        Value::Integer(308) => Ok(Redirect::Permanent),
        _ => wrong(),
    },
};

pub(crate) const ADDRESSES: Form<Addresses> = Form {
    kind: Kind::Text,
    expects: "\"truncated\", \"full\" or \"none\"",
    read: |value| {
        parsed(value, |text| match text {
            "truncated" => Some(Addresses::Truncated),
            "full" => Some(Addresses::Full),
            "none" => Some(Addresses::None),
            _ => None,
        })
    },
};

pub(crate) const LOG_FORMAT: Form<LogFormat> = Form {
    kind: Kind::Text,
    expects: "\"text\" or \"json\"",
    read: |value| {
        parsed(value, |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        })
    },
};

const BASE_URL_TEXT: &str = "a base URL without a path, such as \"https://go.example.com\"";

pub(crate) const BASE_URL: Form<Option<String>> = Form {
    kind: Kind::Text,
    expects: "a base URL without a path, such as \"https://go.example.com\", or \"\"",
    read: |value| match value.text() {
        Some("") => Ok(None),
        Some(text) => base_url(text).map(Some),
        None => wrong(),
    },
};

pub(crate) const BASE_URLS: Form<Vec<String>> = Form {
    kind: Kind::List,
    expects: "an array of base URLs without a path, such as [\"https://go.example.com\"]",
    read: |value| texts(value, base_url),
};

fn base_url(text: &str) -> Result<String, String> {
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    match Url::parse(text) {
        Ok(url) if plain(&url) => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not {BASE_URL_TEXT}")),
    }
}

pub(crate) const ROOT: Form<Root> = Form {
    kind: Kind::Text,
    expects: "\"landing\" or an http(s) URL to redirect to",
    read: |value| {
        parsed(value, |text| match text {
            "landing" => Some(Root::Landing),
            _ => Url::parse(text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .map(|url| Root::Redirect(url.to_string())),
        })
    },
};

/// A server that requests are passed on to: the URL as machines write it.
pub(crate) const UPSTREAM: Form<Option<String>> = Form {
    kind: Kind::Text,
    expects: "the URL of a server without a path, such as \"http://127.0.0.1:3000\", or \"\"",
    read: |value| match value.text() {
        Some("") => Ok(None),
        Some(text) => {
            // As machines write it: a name in any script becomes ASCII.
            let url = base_url(text).ok().and_then(|text| Url::parse(&text).ok());
            url.map_or_else(wrong, |url| Ok(Some(url.origin().ascii_serialization())))
        }
        None => wrong(),
    },
};

/// A file that may be left out by an empty text.
pub(crate) const OPTIONAL_FILE: Form<Option<PathBuf>> = Form {
    kind: Kind::Text,
    expects: "the path of a file, or \"\"",
    read: |value| parsed(value, |text| Some((!text.is_empty()).then(|| text.into()))),
};

/// A directory that may be left out by an empty text.
pub(crate) const OPTIONAL_DIRECTORY: Form<Option<PathBuf>> = Form {
    kind: Kind::Text,
    expects: "the path of a directory, or \"\"",
    read: OPTIONAL_FILE.read,
};

/// What becomes of the statistics of deleted links.
pub(crate) const ON_LINK_DELETE: Form<OnLinkDelete> = Form {
    kind: Kind::Text,
    expects: "\"delete\" or \"keep\"",
    read: |value| {
        parsed(value, |text| match text {
            "delete" => Some(OnLinkDelete::Delete),
            "keep" => Some(OnLinkDelete::Keep),
            _ => None,
        })
    },
};

/// `sqlite:` and a path. Empty: in the data directory.
pub(crate) const STORE: Form<Option<PathBuf>> = Form {
    kind: Kind::Text,
    expects: "\"sqlite:\" and the path of a file, such as \"sqlite:/var/lib/tollgate/links.db\"",
    read: |value| {
        let text = value.text().map_or_else(wrong, Ok)?;
        match text.split_once(':') {
            None if text.is_empty() => Ok(None),
            Some(("sqlite", path)) if !path.is_empty() => {
                // Both common spellings of an absolute path lead to the same file.
                Ok(Some(path.strip_prefix("//").unwrap_or(path).into()))
            }
            Some((engine, _)) if engine != "sqlite" => Err(format!(
                "the engine {engine:?} is not supported by this build: use \"sqlite:\" and a path"
            )),
            _ => wrong(),
        }
    },
};

/// A ClickHouse is for statistics only; its URL may hold a password.
fn click_engine(value: &Value) -> Result<Engine, String> {
    let text = value.text().map_or_else(wrong, Ok)?;
    match text.split_once("://") {
        // What connects reads the rest.
        Some(("clickhouse" | "clickhouses", rest)) if rest.contains('/') => {
            Ok(Engine::ClickHouse(Secret::new(text)))
        }
        Some(("clickhouse" | "clickhouses", _)) => {
            Err("this names no database of a ClickHouse: give \
             clickhouse://user:password@host:8123/database"
                .to_owned())
        }
        _ => engine(value),
    }
}

/// The URL of a PostgreSQL may hold a password: no message shows it.
fn engine(value: &Value) -> Result<Engine, String> {
    let text = value.text().map_or_else(wrong, Ok)?;
    match text.split_once(':') {
        // Several hosts are no URL: what connects reads the rest.
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
            Ok(Engine::Postgres(Secret::new(text)))
        }
        Some(("sqlite", _)) | None => (STORE.read)(value).map(Engine::Sqlite),
        Some((engine @ ("postgres" | "postgresql"), _)) => Err(format!(
            "this is no URL of a PostgreSQL: give {engine}://user:password@host:5432/database"
        )),
        Some((engine, _)) => Err(format!(
            "the engine {engine:?} is not supported by this build: use \"sqlite:\" and a path, \
             or \"postgres://\" and an address"
        )),
    }
}

pub(crate) const LINK_STORE: Form<Engine> = Form {
    kind: Kind::Text,
    expects: "\"sqlite:\" and the path of a file, such as \"sqlite:/var/lib/tollgate/links.db\", the URL of a PostgreSQL, such as \"postgres://user:password@host:5432/database\", an array of such URLs, or a table of DynamoDB, such as \"dynamodb://eu-central-1/tollgate\"",
    read: link_engine,
};

/// The same, a table, or several shards: as an array, or with spaces between, which no URL has.
fn link_engine(value: &Value) -> Result<Engine, String> {
    if let Some(("dynamodb", rest)) = value.text().and_then(|text| text.split_once("://")) {
        return table(value, rest);
    }
    let several = match value {
        Value::List(several) => several.clone(),
        Value::Text(text) if text.trim().contains(char::is_whitespace) => {
            let words = text.split_whitespace();
            words.map(|word| Value::Text(word.to_owned())).collect()
        }
        _ => return engine(value),
    };
    // A path may have spaces.
    if matches!(value, Value::Text(text) if !text.trim_start().starts_with("postgres")) {
        return engine(value);
    }
    let shards = several.iter().map(|one| match engine(one) {
        Ok(Engine::Postgres(url)) => Ok(url),
        _ => Err(
            "links can only be spread over PostgreSQLs: give an array of URLs such as \
                  \"postgres://user:password@host:5432/database\""
                .to_owned(),
        ),
    });
    let shards = shards.collect::<Result<Vec<Secret>, _>>()?;
    if shards.is_empty() {
        return Err("list at least one shard".to_owned());
    }
    Ok(Engine::Shards(shards))
}

/// A table of DynamoDB, for links only. What connects reads the rest.
fn table(value: &Value, rest: &str) -> Result<Engine, String> {
    match value.text() {
        Some(text) if rest.contains('/') => Ok(Engine::Dynamo(Secret::new(text))),
        _ => Err(
            "this names no table of DynamoDB: give dynamodb://region/table, such as \
             \"dynamodb://eu-central-1/tollgate\""
                .to_owned(),
        ),
    }
}

pub(crate) const CLICK_STORE: Form<Engine> = Form {
    kind: Kind::Text,
    expects: "\"sqlite:\" and the path of a file, such as \"sqlite:/var/lib/tollgate/clicks.db\", the URL of a PostgreSQL, such as \"postgres://user:password@host:5432/database\", or that of a ClickHouse, such as \"clickhouse://user:password@host:8123/database\"",
    read: click_engine,
};

/// How brokers are told who comes.
pub(crate) const SASL_MECHANISM: Form<SaslMechanism> = Form {
    kind: Kind::Text,
    expects: "\"scram-sha-512\", \"scram-sha-256\" or \"plain\"",
    read: |value| {
        parsed(value, |text| match text {
            "plain" => Some(SaslMechanism::Plain),
            "scram-sha-256" => Some(SaslMechanism::ScramSha256),
            "scram-sha-512" => Some(SaslMechanism::ScramSha512),
            _ => None,
        })
    },
};

/// The URL of a Redis or a Kafka may hold a password: no message shows it.
pub(crate) const CLICK_QUEUE: Form<ClickQueue> = Form {
    kind: Kind::Text,
    expects: "\"local:\", or the URL of a Redis with the name of a stream at its end, such as \"redis://127.0.0.1:6379/clicks\", \"redis+sentinel://host1,host2/master/clicks\" or \"redis+cluster://host1,host2/clicks\"; or the brokers of a Kafka with the name of a topic, such as \"kafka://host1:9092,host2:9092/clicks\" or \"kafkas://user:password@host:9093/clicks\"",
    read: |value| {
        let text = value.text().map_or_else(wrong, Ok)?;
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "local:" => Ok(ClickQueue::Local),
                _ => wrong_queue(),
            };
        };
        let redis = [
            "redis",
            "rediss",
            "redis+sentinel",
            "redis+cluster",
            "rediss+cluster",
        ];
        // What connects reads the rest.
        match rest.rsplit_once('/') {
            Some((brokers, topic))
                if matches!(scheme, "kafka" | "kafkas")
                    && !brokers.is_empty()
                    && !topic.is_empty() =>
            {
                Ok(ClickQueue::Kafka(Secret::new(text)))
            }
            Some((server, stream))
                if redis.contains(&scheme)
                    && !server.is_empty()
                    && !stream.is_empty()
                    && !stream.contains(['#', '{', '}']) =>
            {
                Ok(ClickQueue::Redis(Secret::new(text)))
            }
            _ => wrong_queue(),
        }
    },
};

fn wrong_queue<T>() -> Result<T, String> {
    Err(
        "give \"local:\", the URL of a Redis with the name of a stream at its end, such as \
         \"redis://127.0.0.1:6379/clicks\", or brokers of a Kafka with that of a topic, such as \
         \"kafka://host1:9092,host2:9092/clicks\""
            .to_owned(),
    )
}

/// The URL of a Redis may hold a password: no message shows it.
pub(crate) const LIMIT_STORE: Form<LimitStore> = Form {
    kind: Kind::Text,
    expects: "\"memory:\", or the URL of a Redis such as \"redis://127.0.0.1:6379/0\", \"rediss://user:password@host\", \"redis+sentinel://host1,host2/master\" or \"redis+cluster://host1,host2\"",
    read: |value| {
        let text = value.text().map_or_else(wrong, Ok)?;
        match text.split_once(':') {
            Some(("memory", "")) => Ok(LimitStore::Memory),
            _ => redis_url(text).map(LimitStore::Redis).map_err(|why| {
                why.unwrap_or_else(|| {
                    "give \"memory:\" or the URL of a Redis, such as \"redis://127.0.0.1:6379/0\""
                        .to_owned()
                })
            }),
        }
    },
};

/// The URL of a Redis may hold a password: no message shows it.
pub(crate) const LINK_CACHE: Form<Option<Secret>> = Form {
    kind: Kind::Text,
    expects: "\"\", or the URL of a Redis such as \"redis://127.0.0.1:6379/0\", \"rediss://user:password@host\", \"redis+sentinel://host1,host2/master\" or \"redis+cluster://host1,host2\"",
    read: |value| match value.text() {
        Some("") => Ok(None),
        Some(text) => redis_url(text).map(Some).map_err(|why| {
            why.unwrap_or_else(|| {
                "give the URL of a Redis, such as \"redis://127.0.0.1:6379/0\", or leave it empty: \
                 then links are cached in memory only"
                    .to_owned()
            })
        }),
        None => wrong(),
    },
};

/// The URL of a Redis may hold a password: no message shows it.
pub(crate) const GLOBAL_STORE: Form<Option<Secret>> = Form {
    kind: Kind::Text,
    expects: LINK_CACHE.expects,
    read: |value| match value.text() {
        Some("") => Ok(None),
        Some(text) => redis_url(text).map(Some).map_err(|why| {
            why.unwrap_or_else(|| {
                "give the URL of a Redis, such as \"redis://127.0.0.1:6379/0\", or leave it empty: \
                 then budgets are not enforced"
                    .to_owned()
            })
        }),
        None => wrong(),
    },
};

/// A URL that names a Redis. What is wrong with it, or nothing if it names something else.
fn redis_url(text: &str) -> Result<Secret, Option<String>> {
    match text.split_once(':') {
        Some(("redis" | "rediss", _)) => match Url::parse(text) {
            Ok(url) if url.has_host() && url.fragment().is_none() => Ok(Secret::new(text)),
            _ => Err(Some(
                "this is no URL of a Redis: give redis://host:port/database".to_owned(),
            )),
        },
        // Several hosts are no URL: what connects reads the rest.
        Some(("redis+sentinel" | "redis+cluster" | "rediss+cluster", rest))
            if rest.starts_with("//") && !rest.contains('#') =>
        {
            Ok(Secret::new(text))
        }
        _ => Err(None),
    }
}

pub(crate) const ON_STORE_FAILURE: Form<OnStoreFailure> = Form {
    kind: Kind::Text,
    expects: "\"open\", \"closed\" or \"local\"",
    read: |value| {
        parsed(value, |text| match text {
            "open" => Some(OnStoreFailure::Open),
            "closed" => Some(OnStoreFailure::Closed),
            "local" => Some(OnStoreFailure::Local),
            _ => None,
        })
    },
};

pub(crate) const REPLICAS: Form<Replicas> = Form {
    kind: Kind::Text,
    expects: "\"off\" or \"prefer\"",
    read: |value| {
        parsed(value, |text| match text {
            "off" => Some(Replicas::Off),
            "prefer" => Some(Replicas::Prefer),
            _ => None,
        })
    },
};

pub(crate) const PREFIX: Form<String> = Form {
    kind: Kind::Text,
    expects: "a text of at most 64 characters, without braces and control characters",
    read: |value| {
        parsed(value, |text| {
            let fits = text.chars().count() <= 64;
            let refused = |sign: char| sign.is_control() || matches!(sign, '{' | '}');
            (fits && !text.contains(refused)).then(|| text.to_owned())
        })
    },
};

pub(crate) const NAME: Form<String> = Form {
    kind: Kind::Text,
    expects: "a name of 1 to 128 characters, none of them a control character",
    read: |value| parsed(value, name),
};

/// A name that may be left out by an empty text.
pub(crate) const OPTIONAL_NAME: Form<Option<String>> = Form {
    kind: Kind::Text,
    expects: "a name of 1 to 128 characters, none of them a control character, or \"\"",
    read: |value| {
        parsed(value, |text| match text {
            "" => Some(None),
            text => name(text).map(Some),
        })
    },
};

fn name(text: &str) -> Option<String> {
    let fits = (1..=128).contains(&text.chars().count());
    (fits && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// Kept as it is written: providers compare it as a text.
pub(crate) const ISSUER: Form<Option<String>> = Form {
    kind: Kind::Text,
    expects: "a URL such as \"https://login.example.com/realm\", or \"\"",
    read: |value| {
        parsed(value, |text| match text {
            "" => Some(None),
            text => {
                let url = Url::parse(text).ok()?;
                let fits = matches!(url.scheme(), "http" | "https") && url.has_host();
                fits.then(|| Some(text.to_owned()))
            }
        })
    },
};

pub(crate) const GRANTS: Form<Vec<String>> = Form {
    kind: Kind::List,
    expects: "an array of \"claim=value -> scopes\", such as [\"groups=ops -> admin\"]",
    read: |value| {
        texts(value, |text| {
            let parts = text
                .rsplit_once("->")
                .map(|(who, scopes)| (who.split_once('='), scopes));
            match parts {
                Some((Some((claim, value)), scopes))
                    if [claim, value, scopes]
                        .iter()
                        .all(|part| !part.trim().is_empty()) =>
                {
                    Ok(text.to_owned())
                }
                _ => wrong(),
            }
        })
    },
};

pub(crate) const DESCRIPTORS: Form<Vec<Vec<Attribute>>> = Form {
    kind: Kind::List,
    expects: "an array of attributes, some joined by +, such as [\"remote_address\", \"host+path\"]",
    read: |value| texts(value, |text| text.split('+').map(attribute).collect()),
};

fn attribute(text: &str) -> Result<Attribute, String> {
    let is_header_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*.^_`|~-".contains(&byte))
    };
    match text.split_once(':') {
        None => match text {
            "remote_address" => Some(Attribute::RemoteAddress),
            "method" => Some(Attribute::Method),
            "host" => Some(Attribute::Host),
            "path" => Some(Attribute::Path),
            "api_key" => Some(Attribute::ApiKey),
            _ => None,
        },
        Some(("header", name)) if is_header_name(name) => {
            Some(Attribute::Header(name.to_ascii_lowercase()))
        }
        Some(_) => None,
    }
    .ok_or_else(|| {
        format!(
            "{text:?} is no attribute: use remote_address, method, host, path, api_key or \
             header:NAME"
        )
    })
}

/// Filter directives of the log, checked by who sets the log up.
pub(crate) const LOG_LEVEL: Form<String> = Form {
    kind: Kind::Text,
    expects: "a level (error, warn, info, debug, trace), or levels by module such as \
              \"info,tollgate_links=debug\"",
    read: |value| {
        parsed(value, |text| {
            let known = |level: &str| {
                ["off", "error", "warn", "info", "debug", "trace"]
                    .contains(&level.to_ascii_lowercase().as_str())
            };
            let valid = !text.is_empty()
                && text.split(',').all(|part| {
                    let part = part.trim();
                    match part.split_once('=') {
                        Some((module, level)) => !module.is_empty() && known(level),
                        None => known(part),
                    }
                });
            valid.then(|| text.to_owned())
        })
    },
};
