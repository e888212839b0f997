//! Where policies come from: those built in, a file, and what was set through the API. Later ones
//! take the place of earlier ones, domain by domain.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tollgate_limit::policy::{PolicyError, PolicySet};
use tollgate_limit::service::LimitService;

/// Letters that stand for themselves in the names of kept files.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// The ending of kept files.
const ENDING: &str = ".yaml";
/// The largest file of policies: more is a mistake.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Where policies are read from; fixed at start.
#[derive(Debug, Clone)]
pub struct PolicySources {
    /// What is there without any file, in the same format.
    pub built_in: &'static str,
    /// The operator's file.
    pub file: Option<PathBuf>,
    /// Where what is set through the API is kept, one file a domain.
    pub directory: PathBuf,
}

/// The policies in force, and their sources.
pub struct PolicyBook {
    sources: PolicySources,
    service: Arc<LimitService>,
    /// The sources as they were read last. Held while they are written and put in force.
    known: Mutex<Texts>,
}

/// Why policies cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Why a domain's policies are not set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("the document is of the domain {0:?}: send it to its own path")]
    OtherDomain(String),
    #[error("send one document, of one domain")]
    Domains,
    #[error(transparent)]
    Sources(BookError),
    #[error("they cannot be kept: {0}")]
    Keep(io::Error),
}

/// Where the policies of a domain come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built in.
    BuiltIn,
    /// The operator's file.
    File,
    /// The API.
    Api,
}

/// The text of every source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Texts {
    file: Option<String>,
    /// By domain.
    kept: BTreeMap<String, String>,
}

/// A text of policies that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedText {
    /// The path of the operator's file, or the domain of what the API keeps.
    pub name: String,
    /// What it said, if it was there.
    pub before: Option<String>,
    /// What it says, if it is there.
    pub after: Option<String>,
}

/// Sources as they were read, for the [`PolicyBook`] of whoever decides by them.
#[derive(Debug)]
pub struct ReadSources {
    sources: PolicySources,
    texts: Texts,
}

impl PolicySources {
    /// Reads the policies of all sources.
    ///
    /// # Errors
    /// The first file that cannot be read or used.
    pub fn load(self) -> Result<(PolicySet, ReadSources), BookError> {
        let texts = self.read()?;
        let policies = self.parse(&texts)?;
        let sources = self;
        Ok((policies, ReadSources { sources, texts }))
    }

    fn read(&self) -> Result<Texts, BookError> {
        let file = match &self.file {
            Some(path) => Some(read(path)?),
            None => None,
        };
        Ok(Texts {
            file,
            kept: self.kept()?,
        })
    }

    fn kept(&self) -> Result<BTreeMap<String, String>, BookError> {
        let failed = |error| BookError::Read {
            path: self.directory.clone(),
            error,
        };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut kept = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(ENDING)) else {
                continue;
            };
            if let Ok(domain) = percent_decode_str(stem).decode_utf8() {
                kept.insert(domain.into_owned(), read(&entry.path())?);
            }
        }
        Ok(kept)
    }

    fn parse(&self, texts: &Texts) -> Result<PolicySet, BookError> {
        let file = self.file.as_deref().map(Path::display);
        let file = file.map(|path| path.to_string()).unwrap_or_default();
        let mut layers = vec![("the built-in policies", self.built_in)];
        layers.extend(texts.file.as_deref().map(|text| (file.as_str(), text)));
        let kept: Vec<String> = texts
            .kept
            .keys()
            .map(|domain| self.path(domain).display().to_string())
            .collect();
        let names = kept.iter().map(String::as_str);
        layers.extend(names.zip(texts.kept.values().map(String::as_str)));
        Ok(PolicySet::layered(&layers)?)
    }

    /// The texts that differ.
    fn changed(&self, before: &Texts, after: &Texts) -> Vec<ChangedText> {
        let named = |texts: &Texts| -> BTreeMap<String, String> {
            let file = self.file.as_ref().zip(texts.file.clone());
            let file = file.map(|(path, text)| (path.display().to_string(), text));
            let kept = texts.kept.iter();
            let kept = kept.map(|(domain, text)| (domain.clone(), text.clone()));
            file.into_iter().chain(kept).collect()
        };
        let (before, after) = (named(before), named(after));
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed = names.into_iter().map(|name| ChangedText {
            name: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        });
        changed.filter(|text| text.before != text.after).collect()
    }

    fn path(&self, domain: &str) -> PathBuf {
        let name = utf8_percent_encode(domain, &PLAIN);
        self.directory.join(format!("{name}{ENDING}"))
    }
}

impl PolicyBook {
    /// The book of what `service` has in force, which are the policies that were read with `read`.
    #[must_use]
    pub fn new(read: ReadSources, service: Arc<LimitService>) -> Self {
        let book = Self {
            sources: read.sources,
            service,
            known: Mutex::new(read.texts),
        };
        book.warn_of_budgets();
        book
    }

    fn put_in_force(&self, policies: PolicySet) {
        self.service.replace_policies(policies);
        self.warn_of_budgets();
    }

    fn warn_of_budgets(&self) {
        let policies = self.service.unenforced_budgets();
        if policies > 0 {
            tracing::warn!(
                policies,
                "policies have a global_budget, which is not enforced: limits.global.store is empty"
            );
        }
    }

    /// Reads all sources again, and puts them in force if any has changed. Answers the texts that have: their names, and
    /// what they said before and say now. It reads files: not for tasks that must not wait.
    ///
    /// # Errors
    /// The first file that cannot be read or used; what was in force stays so.
    pub fn reload(&self) -> Result<Vec<ChangedText>, BookError> {
        let mut known = self.known.lock();
        let texts = self.sources.read()?;
        if *known == texts {
            return Ok(Vec::new());
        }
        self.put_in_force(self.sources.parse(&texts)?);
        let before = std::mem::replace(&mut *known, texts);
        Ok(self.sources.changed(&before, &known))
    }

    /// Sets the policies of a domain from now on, also after a restart. Answers what was set before.
    pub(crate) fn put(&self, domain: &str, yaml: &str) -> Result<Option<String>, PutError> {
        let alone = PolicySet::parse("the body", yaml)?;
        match alone.domains()[..] {
            [own] if own == domain => {}
            [own] => return Err(PutError::OtherDomain(own.to_owned())),
            _ => return Err(PutError::Domains),
        }
        let mut known = self.known.lock();
        let mut texts = known.clone();
        let before = texts.kept.insert(domain.to_owned(), yaml.to_owned());
        let policies = self.sources.parse(&texts).map_err(PutError::Sources)?;
        self.keep(domain, yaml).map_err(PutError::Keep)?;
        self.put_in_force(policies);
        *known = texts;
        Ok(before)
    }

    /// Takes back what was set through the API, and answers it.
    pub(crate) fn remove(&self, domain: &str) -> Result<Option<String>, PutError> {
        let mut known = self.known.lock();
        let mut texts = known.clone();
        let Some(before) = texts.kept.remove(domain) else {
            return Ok(None);
        };
        let policies = self.sources.parse(&texts).map_err(PutError::Sources)?;
        match fs::remove_file(self.sources.path(domain)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(PutError::Keep(error));
            }
            _ => {}
        }
        self.put_in_force(policies);
        *known = texts;
        Ok(Some(before))
    }

    /// Where the policies of each domain come from.
    pub(crate) fn origins(&self) -> HashMap<String, Origin> {
        self.origins_in(&self.known.lock())
    }

    /// The whole text in which a domain's policies are given.
    pub(crate) fn text(&self, domain: &str) -> Option<String> {
        let known = self.known.lock();
        match self.origins_in(&known).get(domain)? {
            Origin::BuiltIn => Some(self.sources.built_in.to_owned()),
            Origin::File => known.file.clone(),
            Origin::Api => known.kept.get(domain).cloned(),
        }
    }

    fn origins_in(&self, known: &Texts) -> HashMap<String, Origin> {
        let mut origins = HashMap::new();
        let texts = [
            (Origin::BuiltIn, Some(self.sources.built_in)),
            (Origin::File, known.file.as_deref()),
        ];
        for (origin, text) in texts {
            // What is known was read before: it has no mistakes.
            let policies = text.and_then(|text| PolicySet::parse("", text).ok());
            let policies = policies.unwrap_or_default();
            let domains = policies.domains().into_iter();
            origins.extend(domains.map(|domain| (domain.to_owned(), origin)));
        }
        let kept = known.kept.keys().cloned();
        origins.extend(kept.map(|domain| (domain, Origin::Api)));
        origins
    }

    /// Whole or not at all, also if the machine stops in between.
    fn keep(&self, domain: &str, yaml: &str) -> io::Result<()> {
        let directory = &self.sources.directory;
        fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(yaml.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(self.sources.path(domain))?;
        fs::File::open(directory)?.sync_all()
    }
}

fn read(path: &Path) -> Result<String, BookError> {
    let failed = |error| BookError::Read {
        path: path.to_owned(),
        error,
    };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_FILE_BYTES {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    fs::read_to_string(path).map_err(failed)
}
