//! Many links in one request, answered row by row while the rows still arrive.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{OriginalUri, Request, State};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::CONTENT_TYPE;
use http::{HeaderName, Method, StatusCode};
use serde::Serialize;
use tollgate_access::Scope;
use tollgate_links::{CreatedLink, LinkDraft, LinkError, LinkView, NewLink};
use tracing::Instrument;
use utoipa::ToSchema;

use super::Answer;
use super::body::{is_media, parse, unsupported};
use super::caller::Caller;
use super::describe::Writing;
use super::idempotency::Repeatable;
use super::links::{placed, repeatable_request, view};
use super::query::Params;
use super::rows::{Format, MAX_ROW_BYTES, Row, Rows};
use super::spool::{Abandoned, SpoolWriter, spool};
use crate::admin::AdminState;
use crate::audit::go_on;
use crate::problem::{Kind, Problem};

const NDJSON: [&str; 3] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
];
const JSON: &str = "application/json";

/// The most rows created in one call of the service, and so in few commits of the store.
const BATCH_ROWS: usize = 500;
/// The most bytes of rows held at once.
const BATCH_BYTES: usize = 1024 * 1024;
/// How long a batch that is not full waits for more rows.
const LINGER: Duration = Duration::from_millis(5);
/// The most rows in one request.
const MAX_ROWS: u64 = 10_000_000;

/// The answer to one row.
#[derive(Serialize, ToSchema)]
pub(super) struct BulkLine {
    /// Which row: the number of the line, or of the element of the array, from 1.
    line: u64,
    /// What a request with this row alone would have been answered: 201, 200 (`reuse`), or an
    /// error.
    status: u16,
    /// The link.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkView>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// Make many links
///
/// One link a line (`application/x-ndjson`), or one JSON array of links. Each row is answered by a
/// line of its own, in order, while the rest still arrives; a row that fails does not stop the
/// others. A row has at most 64 KiB. With `dry_run`, rows are only checked. With an Idempotency-Key, each row is made once under the key
/// and its number. If the body stops being readable as rows, the last line says so with the number
/// of the row that was expected.
#[utoipa::path(
    post,
    path = "/api/v1/links/bulk",
    tag = "links",
    operation_id = "createLinks",
    params(
        ("dry_run" = Option<bool>, Query, description = "`true` makes nothing: a row that would become a link now is answered 201 without one, and the others as ever. Rows are not compared with each other"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; a repeated request makes no row twice", min_length = 1, pattern = r#"^([!#-~]([ !#-~]{0,253}[!#-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#),
    ),
    request_body(content(
        (LinkDraft = "application/x-ndjson"),
        (Vec<LinkDraft> = "application/json"),
    )),
    responses(
        (status = 200, description = "One line of JSON for each row", body = BulkLine, content_type = "application/x-ndjson"),
        Writing,
    ),
)]
pub(super) async fn create_many(
    State(state): State<AdminState>,
    OriginalUri(uri): OriginalUri,
    caller: Caller,
    mut params: Params,
    request: Request,
) -> Answer {
    caller.require(Scope::LinksWrite)?;
    let dry_run = params.take_switch("dry_run")?;
    params.finish()?;
    caller.may_create(&state).await?;
    let headers = request.headers();
    let format = if is_media(headers, &NDJSON) {
        Format::Ndjson
    } else if is_media(headers, &[JSON]) {
        Format::Array
    } else {
        let advertised_by = HeaderName::from_static("accept-post");
        return Err(unsupported(&[NDJSON[0], JSON], advertised_by));
    };
    let repeatable = repeatable_request(&state, &caller, headers, &Method::POST, &uri)?;
    let patience = state.options.request_timeout;
    let mut body = request.into_body().into_data_stream();
    // Asked for before the answer begins, because clients that wait for `100 Continue` get it only
    // when somebody wants their body.
    let first = match tokio::time::timeout(patience, body.next()).await {
        Ok(Some(Ok(piece))) => piece,
        Ok(None) => Bytes::new(),
        Ok(Some(Err(_))) => return Err(Problem::new(Kind::BadRequest, "The body broke off.")),
        Err(_) => return Err(too_slow()),
    };
    let (writer, answers) = spool();
    let job = Job {
        state,
        caller,
        repeatable,
        dry_run,
        rows: Rows::new(format),
        batch: Vec::new(),
        batch_bytes: 0,
        next_row: 1,
        writer,
    };
    tokio::spawn(go_on(job.run(first, body, patience)).in_current_span());
    let body = Body::from_stream(answers);
    Ok((StatusCode::OK, [(CONTENT_TYPE, NDJSON[0])], body).into_response())
}

fn too_slow() -> Problem {
    Problem::new(Kind::RequestTimeout, "Send the rows faster.")
}

/// One bulk request under way.
struct Job {
    state: AdminState,
    caller: Caller,
    repeatable: Option<Repeatable>,
    /// Whether rows are only checked.
    dry_run: bool,
    rows: Rows,
    batch: Vec<Row>,
    batch_bytes: usize,
    /// The number of the row that comes next.
    next_row: u64,
    writer: SpoolWriter,
}

/// Why a request ends before its last row.
enum Stop {
    /// Nobody is there to read the answers.
    Abandoned,
    /// The rest cannot be understood.
    Refused(Problem),
}

impl From<Abandoned> for Stop {
    fn from(_: Abandoned) -> Self {
        Self::Abandoned
    }
}

impl Job {
    async fn run(mut self, first: Bytes, mut body: BodyDataStream, patience: Duration) {
        let problem = match self.work(first, &mut body, patience).await {
            Ok(()) => return self.writer.finish(),
            Err(Stop::Abandoned) => return,
            Err(Stop::Refused(problem)) => problem,
        };
        let last = BulkLine {
            line: self.next_row,
            status: problem.status().as_u16(),
            link: None,
            problem: Some(problem),
        };
        if self.flush().await.is_ok() && self.writer.push(lines([last])).await.is_ok() {
            self.writer.finish();
        }
        // A connection closed while the client still sends would be reset, and the answer lost.
        while let Ok(Some(Ok(_))) = tokio::time::timeout(patience, body.next()).await {}
    }

    async fn work(
        &mut self,
        first: Bytes,
        body: &mut BodyDataStream,
        patience: Duration,
    ) -> Result<(), Stop> {
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            self.take(&bytes).await?;
            piece = self.more(body, patience).await?;
        }
        let last = self.rows.finish().map_err(refused)?;
        self.add(last).await?;
        Ok(self.flush().await?)
    }

    /// The next piece of the body; rows that arrived are not kept waiting for it.
    async fn more(
        &mut self,
        body: &mut BodyDataStream,
        patience: Duration,
    ) -> Result<Option<Bytes>, Stop> {
        let mut next = None;
        if !self.batch.is_empty() {
            next = tokio::time::timeout(LINGER, body.next()).await.ok();
            if next.is_none() {
                self.flush().await?;
            }
        }
        let next = match next {
            Some(next) => next,
            None => tokio::time::timeout(patience, body.next())
                .await
                .map_err(|_| Stop::Refused(too_slow()))?,
        };
        match next.transpose() {
            Ok(piece) => Ok(piece),
            Err(error) => {
                tracing::info!(%error, "the body of a bulk request broke off");
                self.flush().await?;
                Err(Stop::Abandoned)
            }
        }
    }

    async fn take(&mut self, mut piece: &[u8]) -> Result<(), Stop> {
        while !piece.is_empty() {
            let (used, row) = self.rows.next(piece).map_err(refused)?;
            piece = &piece[used..];
            self.add(row).await?;
        }
        Ok(())
    }

    async fn add(&mut self, row: Option<Row>) -> Result<(), Stop> {
        let Some(row) = row else {
            return Ok(());
        };
        if row.number > MAX_ROWS {
            let detail = format!("A request has at most {MAX_ROWS} rows.");
            return Err(Stop::Refused(Problem::new(Kind::TooLarge, detail)));
        }
        self.next_row = row.number + 1;
        self.batch_bytes += row.json.as_ref().map_or(0, Vec::len);
        self.batch.push(row);
        if self.batch.len() >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Creates what has arrived and answers it.
    async fn flush(&mut self) -> Result<(), Abandoned> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        let rows = std::mem::take(&mut self.batch);
        let mut wanted = Vec::with_capacity(rows.len());
        let mut refused = Vec::with_capacity(rows.len());
        for row in rows {
            let number = row.number;
            match self.read(row) {
                Ok(new) => {
                    wanted.push(new);
                    refused.push((number, None));
                }
                Err(problem) => refused.push((number, Some(problem))),
            }
        }
        let mut made = self.decide(wanted).await.into_iter();
        let answers = refused.into_iter().map(|(line, problem)| {
            let made = match problem {
                Some(problem) => Err(problem),
                // One answer for each link that was wanted, in order.
                None => match made.next() {
                    Some(made) => made.map_err(Problem::from),
                    None => Err(Problem::internal()),
                },
            };
            match made {
                Ok(made) => BulkLine {
                    line,
                    status: if made.as_ref().is_some_and(|made| made.reused) {
                        200
                    } else {
                        201
                    },
                    link: made.map(|made| view(&self.state, &made.link)),
                    problem: None,
                },
                Err(problem) => BulkLine {
                    line,
                    status: problem.status().as_u16(),
                    link: None,
                    problem: Some(problem),
                },
            }
        });
        self.writer.push(lines(answers)).await
    }

    /// What becomes of links that are wanted; none, where they are only checked.
    async fn decide(&self, wanted: Vec<NewLink>) -> Vec<Result<Option<CreatedLink>, LinkError>> {
        let service = &self.state.service;
        if self.dry_run {
            let drafts = wanted.into_iter().map(|new| new.draft).collect();
            let checked = service.check_many(drafts).await.into_iter();
            return checked.map(|checked| checked.map(|()| None)).collect();
        }
        let made = self.caller.create_many(&self.state, wanted).await;
        made.into_iter().map(|made| made.map(Some)).collect()
    }

    fn read(&self, row: Row) -> Result<NewLink, Problem> {
        let json = row.json.ok_or_else(|| {
            Problem::new(
                Kind::TooLarge,
                format!("A row has at most {MAX_ROW_BYTES} bytes."),
            )
        })?;
        let draft = placed(&self.caller, &self.state.service, parse(&json)?)?;
        let token = self.repeatable.as_ref();
        Ok(NewLink {
            idempotency: token.map(|request| request.row(row.number, &draft)),
            draft,
        })
    }
}

fn refused(error: super::rows::RowsError) -> Stop {
    Stop::Refused(Problem::new(Kind::MalformedJson, error.to_string()))
}

fn lines(answers: impl IntoIterator<Item = BulkLine>) -> Bytes {
    let mut text = Vec::new();
    for answer in answers {
        // Strings and numbers only, written to memory: this cannot fail.
        if serde_json::to_writer(&mut text, &answer).is_ok() {
            text.push(b'\n');
        }
    }
    text.into()
}
