//! Chunks of rows become bulk requests, and their answers become counts and messages.

use std::collections::HashMap;

use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
use tollgate_links::{LinkDraft, LinkView};

use super::compare::{differences, same_target};
use super::report::{Kind, Told};
use super::resume::State;
use super::retry::{is_refusal, retrying};
use super::row::{Fault, Row};
use crate::client::{Client, Problem};

/// A link as the server calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) code: String,
    pub(super) domain: Option<String>,
}

/// Sends chunks.
pub(super) struct Sender<'a> {
    client: &'a Client,
    bar: &'a ProgressBar,
    dry_run: bool,
    /// In a dry run, the links that rows before would have made, which the server cannot know: where
    /// each leads, both as hashes.
    made: HashMap<[u8; 16], [u8; 16]>,
    pub(super) told: Told,
}

/// What became of a row.
enum Became {
    Created(Option<Link>),
    Present(Link, Vec<&'static str>),
    Conflict(Fault),
    Bad(Fault),
}

impl<'a> Sender<'a> {
    pub(super) fn new(client: &'a Client, bar: &'a ProgressBar, dry_run: bool) -> Self {
        Self {
            client,
            bar,
            dry_run,
            made: HashMap::new(),
            told: Told::default(),
        }
    }

    /// Sends the rows that can be sent, and counts what became of them. Answers the link of each row,
    /// if there is one now; what is to be told is told with its place.
    pub(super) fn send(
        &mut self,
        chunk: &[Row],
        state: &mut State,
    ) -> anyhow::Result<Vec<Option<Link>>> {
        let mut body = Vec::new();
        for draft in chunk.iter().filter_map(|row| row.draft.as_ref().ok()) {
            serde_json::to_writer(&mut body, draft)?;
            body.push(b'\n');
        }
        let sent = chunk.iter().filter(|row| row.draft.is_ok()).count();
        let mut answers = Vec::new();
        if sent > 0 {
            let key = (!self.dry_run).then(|| idempotency_key(state, &body));
            let bulk = || self.client.bulk(&body, key.as_deref(), sent);
            answers = retrying(bulk)?;
        }
        let mut answers = answers.into_iter();
        let mut links = Vec::with_capacity(chunk.len());
        let mut lines = Vec::new();
        for row in chunk {
            let became = match &row.draft {
                Err(fault) => Became::Bad(fault.clone()),
                Ok(draft) => match answers.next() {
                    Some(Ok(made)) => self.made(draft, made.link),
                    Some(Err(problem)) => self.refused(draft, &problem)?,
                    // As many as were sent: see `Client::bulk`.
                    None => Became::Bad(Fault::whole("it was not answered")),
                },
            };
            links.push(self.count(row, became, state, &mut lines));
        }
        self.bar.suspend(|| {
            for line in &lines {
                eprintln!("{line}");
            }
        });
        self.bar.set_message(state.counts.to_string());
        Ok(links)
    }

    /// Counts a row; answers its link.
    fn count(
        &mut self,
        row: &Row,
        became: Became,
        state: &mut State,
        lines: &mut Vec<String>,
    ) -> Option<Link> {
        let counts = &mut state.counts;
        let (told, link) = match became {
            Became::Created(link) => {
                counts.created += 1;
                (None, link)
            }
            Became::Present(link, differing) => {
                counts.present += 1;
                counts.differing += u64::from(!differing.is_empty());
                let told = (!differing.is_empty())
                    .then(|| (Kind::Differs, Fault::whole(differing.join(", "))));
                (told, Some(link))
            }
            Became::Conflict(fault) => {
                counts.conflicts += 1;
                counts.failed += 1;
                (Some((Kind::Conflict, fault)), None)
            }
            Became::Bad(fault) => {
                counts.bad += 1;
                counts.failed += 1;
                (Some((Kind::Bad, fault)), None)
            }
        };
        if let Some((kind, fault)) = &told {
            lines.push(self.told.note(&row.place, *kind, fault));
        }
        for what in &row.left_out {
            *counts.left_out.entry(what.field.clone()).or_default() += 1;
            if let Some(reason) = &what.told {
                lines.push(self.told.left_out(&row.place, what, reason));
            }
        }
        if link.is_none()
            && let Some(name) = &row.name
            && told.is_some()
        {
            state.refused.insert(name.clone());
        }
        link
    }

    /// A row that became a link, or would.
    fn made(&mut self, draft: &LinkDraft, link: Option<LinkView>) -> Became {
        if let Some(link) = link {
            return Became::Created(Some(Link {
                code: link.code,
                domain: link.domain,
            }));
        }
        let Some(code) = &draft.code else {
            return Became::Created(None);
        };
        let link = Link {
            code: code.clone(),
            domain: draft.domain.clone(),
        };
        let key = hash(&[link.domain.as_deref().unwrap_or_default(), code]);
        let target = hash(&[&draft.url]);
        match self.made.insert(key, target) {
            None => Became::Created(Some(link)),
            Some(first) if first == target => Became::Present(link, Vec::new()),
            Some(first) => {
                self.made.insert(key, first);
                let reason = "a row before has the same code and another target";
                Became::Conflict(Fault::of("code", reason))
            }
        }
    }

    /// A row that the server refused: its code may be taken by the very link it asks for.
    fn refused(&self, draft: &LinkDraft, problem: &Problem) -> anyhow::Result<Became> {
        let (409, Some(code)) = (problem.status, &draft.code) else {
            let fault = match &problem.errors[..] {
                [wrong] => Fault::of(wrong.field.clone(), &wrong.reason),
                _ => Fault::whole(problem.to_string()),
            };
            return Ok(Became::Bad(fault));
        };
        let get = || self.client.get(code, draft.domain.as_deref());
        match retrying(get) {
            Ok(there) if same_target(draft, &there) => {
                let differing = differences(draft, &there);
                let link = Link {
                    code: there.code,
                    domain: there.domain,
                };
                Ok(Became::Present(link, differing))
            }
            Ok(_) => Ok(Became::Conflict(Fault::of("code", problem.to_string()))),
            // Deleted in between: the row failed, and a new start makes it.
            Err(error) if is_refusal(&error) => {
                Ok(Became::Conflict(Fault::of("code", problem.to_string())))
            }
            Err(error) => Err(error),
        }
    }
}

fn idempotency_key(state: &State, body: &[u8]) -> String {
    let content = base16ct::lower::encode_string(&hash(&[body]));
    format!("import-{}-{}-{content}", state.run, state.rows)
}

/// The first half of a SHA-256.
fn hash(parts: &[impl AsRef<[u8]>]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for (nth, part) in parts.iter().enumerate() {
        if nth > 0 {
            hasher.update([0]);
        }
        hasher.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize()[..16]);
    half
}
