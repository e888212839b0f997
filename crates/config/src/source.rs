//! Values by key with the place each came from: the file, the environment and the flags laid over
//! each other.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Place, Problem};
use crate::form::Form;
use crate::key::{ENV_PREFIX, Key, keys};
use crate::load::Config;
use crate::value::Value;

/// What was given, and what is wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Given {
    values: BTreeMap<String, (Value, Place)>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads sections from what was given.
pub(crate) struct Reader<'a> {
    given: &'a mut Given,
}

impl Given {
    pub(crate) fn reader(&mut self) -> Reader<'_> {
        Reader { given: self }
    }

    /// Where a key's value comes from.
    pub(crate) fn place(&self, path: &str) -> Place {
        self.values
            .get(path)
            .map_or(Place::Default, |(_, place)| place.clone())
    }

    pub(crate) fn problem(&mut self, place: Place, key: impl Into<String>, message: String) {
        self.problems.push(Problem {
            place,
            key: key.into(),
            message,
        });
    }

    /// Lays a file's values over what is there.
    pub(crate) fn add_file(&mut self, file: &Path, text: &str) {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let place = match error.span() {
                Some(span) => position(file, text, span.start),
                None => Place::File(file.to_owned()),
            };
            self.problem(place, "", format!("not TOML: {}", error.message()));
        }
        // After a syntax error, what follows may have landed in the wrong table.
        if errors.is_empty() {
            self.add_table(file, text, "", document.get_ref());
        }
    }

    fn add_table(&mut self, file: &Path, text: &str, above: &str, table: &DeTable<'_>) {
        let mut entries: Vec<(&Spanned<_>, &Spanned<DeValue<'_>>)> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let place = position(file, text, name.span().start);
            let path = if above.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{above}.{}", name.get_ref())
            };
            let is_section = Config::SECTIONS.iter().any(|section| section.name == path);
            match (find(&path), value.get_ref()) {
                (None, DeValue::Table(inner)) if is_section => {
                    self.add_table(file, text, &path, inner);
                }
                (None, _) if is_section => {
                    let message = format!("this is a table: write [{path}] and its keys below");
                    self.problem(place, path, message);
                }
                (Some(_), value) => {
                    self.values.insert(path, (Value::from_toml(value), place));
                }
                (None, _) => {
                    let message = unknown(&path);
                    self.problem(place, path, message);
                }
            }
        }
    }

    /// Lays environment variables over what is there. Those with a double underscore are keys;
    /// others with our prefix belong to the commands.
    pub(crate) fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) {
        let ours = |name: &String| {
            name.strip_prefix(ENV_PREFIX)
                .is_some_and(|rest| rest.contains("__"))
        };
        let mut variables: Vec<_> = variables
            .into_iter()
            .filter(|(name, _)| ours(name))
            .collect();
        variables.sort();
        for (name, text) in variables {
            if let Some(key) = keys().find(|key| key.env() == name) {
                let value = Value::from_text(&text, key.kind);
                self.values
                    .insert(key.path(), (value, Place::Environment(name)));
            } else {
                let names: Vec<String> = keys().map(Key::env).collect();
                let message = format!(
                    "no key has this name{}",
                    nearest(&name, names.iter().map(String::as_str))
                );
                self.problem(Place::Environment(name), "", message);
            }
        }
    }

    /// Lays a flag's value over what is there.
    pub(crate) fn add_flag(&mut self, path: &str, flag: &'static str, text: &str) {
        let place = Place::Flag(flag);
        match find(path) {
            Some(key) => {
                let value = Value::from_text(text, key.kind);
                self.values.insert(path.to_owned(), (value, place));
            }
            None => self.problem(place, path, unknown(path)),
        }
    }
}

impl Reader<'_> {
    /// A key's value; `None` if it is wrong, which is then noted.
    pub(crate) fn value<T>(&mut self, section: &str, name: &str, form: &Form<T>) -> Option<T> {
        let path = format!("{section}.{name}");
        let default;
        let (value, place) = match self.given.values.get(&path) {
            Some((value, place)) => (value, place.clone()),
            None => {
                default = default_value(&path)?;
                (&default, Place::Default)
            }
        };
        match (form.read)(value) {
            Ok(value) => Some(value),
            Err(more) => {
                let mut message = format!("expected {}, found {}", form.expects, value.shown());
                if !more.is_empty() {
                    message = more;
                }
                self.given.problem(place, path, message);
                None
            }
        }
    }
}

fn find(path: &str) -> Option<&'static Key> {
    keys().find(|key| key.path() == path)
}

/// The default of a key, which is TOML (a test reads them all).
fn default_value(path: &str) -> Option<Value> {
    let text = find(path)?.default;
    DeValue::parse(text)
        .ok()
        .map(|value| Value::from_toml(value.get_ref()))
}

fn unknown(path: &str) -> String {
    let paths: Vec<String> = keys().map(Key::path).collect();
    let sections = Config::SECTIONS.iter().map(|section| section.name);
    let candidates = paths.iter().map(String::as_str).chain(sections);
    format!("unknown key{}", nearest(path, candidates))
}

/// "; did you mean …?" if something is close enough.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| format!("; did you mean {candidate}?"))
        .unwrap_or_default()
}

/// Line and column of a byte of `text`.
fn position(file: &Path, text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place::Position {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}
