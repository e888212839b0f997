//! How far an import is, kept in a file so that it can go on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::report::Counts;
use super::row::Row;
use crate::args::ImportArgs;
use crate::open;

/// What an import has done so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Names this run; part of every idempotency key.
    pub(super) run: String,
    /// Rows that are done, whether they became links or not.
    pub(super) rows: u64,
    /// A chain of SHA-256 over those rows, in hex, to notice that the file begins otherwise now.
    /// What comes after them may be mended meanwhile.
    pub(super) digest: String,
    /// What became of them.
    pub(super) counts: Counts,
    /// The names at the source of links that rows did not become, where clicks follow under these.
    #[serde(default)]
    pub(super) refused: BTreeSet<String>,
}

impl State {
    /// A new run, with nothing done.
    pub(super) fn fresh() -> Self {
        Self {
            run: uuid::Uuid::now_v7().to_string(),
            rows: 0,
            digest: String::new(),
            counts: Counts::default(),
            refused: BTreeSet::new(),
        }
    }

    /// Takes a row as done.
    pub(super) fn done(&mut self, row: &Row) -> anyhow::Result<()> {
        self.digest = chained(&self.digest, row)?;
        self.rows += 1;
        Ok(())
    }

    /// Reads the rows that are done; whether they are the same as then.
    pub(super) fn skip_done(
        &self,
        rows: &mut impl Iterator<Item = anyhow::Result<Row>>,
    ) -> anyhow::Result<bool> {
        let mut digest = String::new();
        for _ in 0..self.rows {
            match rows.next() {
                Some(row) => digest = chained(&digest, &row?)?,
                None => return Ok(false),
            }
        }
        Ok(digest == self.digest)
    }
}

fn chained(before: &str, row: &Row) -> anyhow::Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(serde_json::to_vec(&row.draft)?);
    Ok(base16ct::lower::encode_string(&hasher.finalize()))
}

/// The state and the file it is kept in.
pub(super) struct Progress {
    pub(super) state: State,
    file: Option<PathBuf>,
}

impl Progress {
    /// Goes on with an import that was interrupted, or begins a new one.
    pub(super) fn open(args: &ImportArgs) -> anyhow::Result<Self> {
        let input = args.file.as_deref().filter(|file| *file != Path::new("-"));
        let file = match &args.resume {
            // What was not done need not be gone on with.
            _ if args.dry_run => None,
            Some(file) => Some(file.clone()),
            None => input.map(beside),
        };
        let state = match &file {
            Some(file) => load(file)?,
            None => None,
        };
        let progress = Self {
            state: state.unwrap_or_else(State::fresh),
            file,
        };
        // Tried before the first link is made: without it, a killed import could not go on.
        progress.save()?;
        Ok(progress)
    }

    /// Keeps the state. The rename makes it all or nothing.
    pub(super) fn save(&self) -> anyhow::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let new = open::with_ending(file, ".new");
        std::fs::write(&new, serde_json::to_vec(&self.state)?)
            .and_then(|()| std::fs::rename(&new, file))
            .with_context(|| {
                format!(
                    "the progress cannot be kept in {}: name another place with --resume",
                    file.display()
                )
            })
    }

    /// All is done: the file is of no use any more.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        match &self.file {
            Some(file) => std::fs::remove_file(file)
                .with_context(|| format!("{} cannot be removed", file.display())),
            None => Ok(()),
        }
    }
}

fn load(file: &Path) -> anyhow::Result<Option<State>> {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
            format!(
                "{} is no progress of an import: delete it to begin anew, or name another place \
                 with --resume",
                file.display()
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

/// Beside the input: its name and `.import`.
fn beside(input: &Path) -> PathBuf {
    open::with_ending(input, ".import")
}

#[cfg(test)]
mod tests {
    use tollgate_links::LinkDraft;

    use super::super::row::Place;
    use super::*;

    fn rows(urls: &[&str]) -> Vec<anyhow::Result<Row>> {
        let row = |(at, url): (usize, &&str)| {
            let draft = LinkDraft {
                url: (*url).to_owned(),
                ..LinkDraft::default()
            };
            Ok(Row::of(Place::Line(at as u64 + 1), Ok(draft)))
        };
        urls.iter().enumerate().map(row).collect()
    }

    #[test]
    fn a_file_may_change_only_after_what_is_done() {
        let mut state = State::fresh();
        for row in rows(&["a", "b"]) {
            state.done(&row.unwrap()).unwrap();
        }
        let goes_on = |urls: &[&str]| {
            let mut rows = rows(urls).into_iter();
            let same = state.skip_done(&mut rows).unwrap();
            (same, rows.count())
        };
        assert_eq!(goes_on(&["a", "b", "mended"]), (true, 1));
        assert_eq!(goes_on(&["a", "b"]), (true, 0));
        assert!(!goes_on(&["b", "a", "c"]).0);
        assert!(!goes_on(&["a"]).0);
    }

    #[test]
    fn the_state_survives_in_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut progress = Progress {
            state: State::fresh(),
            file: Some(beside(&directory.path().join("links.csv"))),
        };
        for row in rows(&["a"]) {
            progress.state.done(&row.unwrap()).unwrap();
        }
        progress.save().unwrap();
        let file = directory.path().join("links.csv.import");
        assert_eq!(load(&file).unwrap(), Some(progress.state.clone()));
        progress.finish().unwrap();
        assert_eq!(load(&file).unwrap(), None);
        std::fs::write(&file, "{").unwrap();
        assert!(load(&file).is_err());
    }
}
