//! Chunks of rows become bulk requests, and their answers become counts and messages.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
use tollgate_links::LinkDraft;
use url::Url;

use super::Row;
use super::resume::State;
use crate::client::{Client, ClientError, Problem};

/// How often a request is sent again while the server is away or overloaded, waiting a little
/// longer each time: about a quarter of a minute in all.
const RETRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const GO_ON: &str = "the import stopped; start it again to go on from there";

/// Sends chunks.
pub(super) struct Sender<'a> {
    client: &'a Client,
    bar: &'a ProgressBar,
}

impl<'a> Sender<'a> {
    pub(super) fn new(client: &'a Client, bar: &'a ProgressBar) -> Self {
        Self { client, bar }
    }

    /// Sends the rows that can be sent, counts what became of them, and answers how many failed.
    /// Each of those is told with its line.
    pub(super) fn send(&mut self, chunk: &[Row], state: &mut State) -> anyhow::Result<u64> {
        let mut failures: Vec<(u64, String)> = Vec::new();
        let mut sent: Vec<(u64, &LinkDraft)> = Vec::new();
        let mut body = Vec::new();
        for row in chunk {
            match &row.draft {
                Ok(draft) => {
                    serde_json::to_writer(&mut body, draft)?;
                    body.push(b'\n');
                    sent.push((row.line, draft));
                }
                Err(reason) => failures.push((row.line, reason.clone())),
            }
        }
        if !sent.is_empty() {
            let key = idempotency_key(state, &body);
            let answers = self.retrying(|client| client.bulk(&body, &key, sent.len()))?;
            for ((line, draft), answer) in sent.into_iter().zip(answers) {
                match answer {
                    Ok(201) => state.counts.created += 1,
                    Ok(_) => state.counts.present += 1,
                    Err(problem) if self.is_present(&problem, draft)? => {
                        state.counts.present += 1;
                    }
                    Err(problem) => failures.push((line, problem.to_string())),
                }
            }
        }
        failures.sort_by_key(|(line, _)| *line);
        self.bar.suspend(|| {
            for (line, reason) in &failures {
                eprintln!("line {line}: {reason}");
            }
        });
        self.bar.set_message(state.to_string());
        Ok(failures.len() as u64)
    }

    /// Whether the code is taken by a link with the same target: then the row is done already.
    fn is_present(&self, error: &Problem, draft: &LinkDraft) -> anyhow::Result<bool> {
        let (409, Some(code)) = (error.status, &draft.code) else {
            return Ok(false);
        };
        let there = self.retrying(|client| client.get(code, draft.domain.as_deref()));
        match there {
            Ok(link) => Ok(Url::parse(&draft.url).is_ok_and(|url| url.as_str() == link.url)),
            // Deleted in between: the row failed, and a new start makes it.
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends again what may succeed a moment later. Safe, because reads change nothing and writes
    /// carry an idempotency key.
    fn retrying<T>(
        &self,
        request: impl Fn(&Client) -> Result<T, ClientError>,
    ) -> anyhow::Result<T> {
        let mut wait = FIRST_WAIT;
        for _ in 0..RETRIES {
            match request(self.client) {
                Err(error) if error.is_temporary() => {
                    std::thread::sleep(wait);
                    wait *= 2;
                }
                Err(error) if !error.is_of_server() => return Err(error.into()),
                answer => return answer.context(GO_ON),
            }
        }
        request(self.client).context(GO_ON)
    }
}

fn is_refusal(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<ClientError>()
        .is_some_and(|error| !error.is_of_server())
}

fn idempotency_key(state: &State, body: &[u8]) -> String {
    let content: String = Sha256::digest(body)
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("import-{}-{}-{content}", state.run, state.rows)
}
