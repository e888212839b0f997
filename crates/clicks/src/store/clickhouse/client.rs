//! The HTTP interface of ClickHouse: statements in, rows as JSON out.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_rustls::rustls::crypto::ring;

use super::address::ClickHouseAddress;
use crate::store::StoreError;

/// The most of an answer that is read.
const MAX_ANSWER: usize = 1 << 30;
/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(5);

/// What every statement is given: numbers of 64 bits as they are, an answer only when it is known whether all went
/// well, and long lists in conditions.
const SETTINGS: &str = "wait_end_of_query=1&output_format_json_quote_64bit_integers=0\
     &max_query_size=268435456&max_ast_elements=10000000&max_expanded_ast_elements=10000000";

/// What every insert is given: it is written as one block, whole or not at all, before it is answered.
const INSERT_SETTINGS: &str = "async_insert=0&insert_deduplicate=1&input_format_parallel_parsing=0\
     &max_insert_block_size=100000000&min_insert_block_size_rows=100000000\
     &min_insert_block_size_bytes=4000000000&max_insert_threads=1";

/// A row of an answer.
pub(super) type Row = Vec<Value>;

/// A client of one database.
pub(super) struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    address: ClickHouseAddress,
    deadline: Duration,
    /// Where connections live: whoever asks may run only where nobody else wants to.
    runtime: Handle,
    requests: AtomicU64,
    failed: AtomicU64,
}

impl Client {
    pub(super) fn new(address: ClickHouseAddress, deadline: Duration) -> Result<Self, StoreError> {
        let roots = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring::default_provider())
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT.min(deadline)));
        let connector = roots.https_or_http().enable_http1().wrap_connector(tcp);
        Ok(Self {
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
            address,
            deadline,
            runtime: Handle::current(),
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// Requests so far, and those of them that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.requests.load(Relaxed), self.failed.load(Relaxed))
    }

    pub(super) fn place(&self) -> String {
        self.address.place()
    }

    /// The rows of a question.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Row>, StoreError> {
        let asked = format!("{sql} FORMAT JSONCompactEachRow");
        let answer = self.send("", asked).await?;
        let lines = answer.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).map_err(damaged))
            .collect()
    }

    /// The first value of a question that has one row.
    pub(super) async fn number(&self, sql: &str) -> Result<u64, StoreError> {
        let rows = self.rows(sql).await?;
        let value = rows.first().and_then(|row| row.first());
        value
            .and_then(Value::as_u64)
            .ok_or_else(|| damaged("no number"))
    }

    /// Does something.
    pub(super) async fn command(&self, sql: String) -> Result<(), StoreError> {
        self.send("", sql).await.map(|_| ())
    }

    /// Inserts rows as one block, unless one was inserted under this token before: then nothing is done, and nobody
    /// is told.
    pub(super) async fn insert(
        &self,
        table: &str,
        token: &str,
        rows: &str,
    ) -> Result<(), StoreError> {
        let settings = format!("{INSERT_SETTINGS}&insert_deduplication_token={token}");
        let sql = format!("INSERT INTO {table} FORMAT JSONEachRow\n{rows}");
        self.send(&settings, sql).await.map(|_| ())
    }

    async fn send(&self, settings: &str, sql: String) -> Result<Bytes, StoreError> {
        self.requests.fetch_add(1, Relaxed);
        let ClickHouseAddress { base, database, .. } = &self.address;
        let mut url = format!("{base}/?database={database}&{SETTINGS}");
        if !settings.is_empty() {
            let _ = write!(url, "&{settings}");
        }
        let mut request = Request::post(url);
        if let Some(user) = &self.address.user {
            request = request.header("x-clickhouse-user", user);
            let password = self.address.password.expose_secret();
            request = request.header("x-clickhouse-key", password);
        }
        let request = request
            .body(Full::new(Bytes::from(sql)))
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        let (http, deadline) = (self.http.clone(), self.deadline);
        // It ends with whoever waits for it.
        let mut asking = JoinSet::new();
        asking.spawn_on(
            async move {
                let ask = async {
                    let answer = http.request(request).await.map_err(away)?;
                    let status = answer.status();
                    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect();
                    let body = body.await.map_err(away)?.to_bytes();
                    Ok((status, body))
                };
                let late = |_| away(format!("no answer within {deadline:?}"));
                tokio::time::timeout(deadline, ask)
                    .await
                    .unwrap_or_else(|elapsed| Err(late(elapsed)))
            },
            &self.runtime,
        );
        let answered = match asking.join_next().await {
            Some(Ok(answered)) => answered,
            _ => Err(away("the store is being closed")),
        };
        let answered = answered.and_then(|(status, body)| match status {
            StatusCode::OK => Ok(body),
            status => Err(refused(status, &body)),
        });
        if answered.is_err() {
            self.failed.fetch_add(1, Relaxed);
        }
        answered
    }
}

fn away(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

pub(super) fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// What an error of the server means, by the number that its text begins with.
fn refused(status: StatusCode, body: &[u8]) -> StoreError {
    let text: String = String::from_utf8_lossy(body).chars().take(500).collect();
    let text = text.trim().to_owned();
    let code = text
        .strip_prefix("Code: ")
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|code| code.parse::<u32>().ok());
    match code {
        // No space, and a quota that is used up.
        Some(243 | 201) => StoreError::Full(text),
        Some(164 | 242) => StoreError::ReadOnly(text),
        // Too slow, too many at once, too little memory, too many parts, keeper or network away, no rights yet.
        Some(159 | 160 | 202 | 203 | 209 | 210 | 241 | 252 | 319 | 439 | 473 | 516 | 999) => {
            StoreError::Unavailable(text)
        }
        Some(_) => StoreError::Unexpected(text),
        None if status.is_server_error() => StoreError::Unavailable(text),
        None => StoreError::Unexpected(format!("{status}: {text}")),
    }
}

/// A text as a literal.
pub(super) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal.push('\'');
    literal
}

/// Texts as a list for `IN`, which matches nothing if there are none.
pub(super) fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let literals: Vec<String> = texts.map(literal).collect();
    if literals.is_empty() {
        return "(NULL)".to_owned();
    }
    format!("({})", literals.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_cannot_be_left() {
        assert_eq!(literal(r"a'b\c"), r"'a\'b\\c'");
        assert_eq!(list(["a", "'"].into_iter()), r"('a', '\'')");
        assert_eq!(list(std::iter::empty()), "(NULL)");
    }

    #[test]
    fn errors_are_told_apart() {
        let refused = |body: &str| refused(StatusCode::INTERNAL_SERVER_ERROR, body.as_bytes());
        assert!(matches!(
            refused("Code: 243. DB::Exception: x"),
            StoreError::Full(_)
        ));
        assert!(matches!(
            refused("Code: 252. DB::Exception: too many parts"),
            StoreError::Unavailable(_)
        ));
        assert!(matches!(
            refused("Code: 62. DB::Exception: syntax"),
            StoreError::Unexpected(_)
        ));
        assert!(matches!(refused("what?"), StoreError::Unavailable(_)));
    }
}
