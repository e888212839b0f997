//! Reading a mapping field by field; every error knows its line and its path.

use std::sync::Arc;
use std::time::Duration;

use super::PolicyError;
use super::yaml::{At, Form, Pair, Value};

/// How similar a name has to be, to be proposed instead.
const SIMILAR: f64 = 0.8;

/// Something read, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Spot<T> {
    pub(super) is: T,
    pub(super) place: Place,
}

/// A place in a file, by position and by the path of its field.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: Arc<str>,
    at: At,
    field: String,
}

impl Place {
    pub(super) fn new(file: &Arc<str>, at: At, field: String) -> Self {
        Self {
            file: Arc::clone(file),
            at,
            field,
        }
    }

    pub(super) const fn line(&self) -> usize {
        self.at.line
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> PolicyError {
        PolicyError {
            file: self.file.to_string(),
            line: self.at.line,
            column: self.at.column,
            field: self.field.clone(),
            reason: reason.into(),
        }
    }

    /// Why a field is needed that is not in the mapping here.
    pub(super) fn missing(&self, name: &str, advice: &str) -> PolicyError {
        let field = self.below(self.at, name);
        field.error(format!("missing; {advice}"))
    }

    /// A field of the mapping here.
    fn below(&self, at: At, name: &str) -> Self {
        let field = match &*self.field {
            "" => name.to_owned(),
            outer => format!("{outer}.{name}"),
        };
        Self::new(&self.file, at, field)
    }

    fn item(&self, at: At, index: usize) -> Self {
        Self::new(&self.file, at, format!("{}[{index}]", self.field))
    }
}

/// A mapping whose keys are all known.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) place: Place,
    pairs: Arc<[Pair]>,
}

impl Fields {
    /// The mapping here.
    ///
    /// `known` are the keys it may have; `elsewhere` says of some other keys where they belong.
    pub(super) fn of(
        value: &Value,
        place: Place,
        known: &[&str],
        elsewhere: &[(&[&str], &str)],
    ) -> Result<Self, PolicyError> {
        let Form::Map(pairs) = &value.form else {
            let found = describe(value);
            return Err(place.error(format!(
                "{found} where a mapping belongs, with {}",
                list(known)
            )));
        };
        if let Some(pair) = pairs.iter().find(|pair| !known.contains(&&*pair.key)) {
            let name = &*pair.key;
            let other = elsewhere.iter().find(|(names, _)| names.contains(&name));
            let advice = match other {
                Some((_, belongs)) => format!("it belongs {belongs}"),
                None => match nearest(name, known) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("known here are {}", list(known)),
                },
            };
            let place = place.below(pair.at, name);
            return Err(place.error(format!("unknown key; {advice}")));
        }
        Ok(Self {
            place,
            pairs: Arc::clone(pairs),
        })
    }

    /// The value of a field; none if it is absent or null.
    pub(super) fn value(&self, name: &str) -> Option<(&Value, Place)> {
        let pair = self.pairs.iter().find(|pair| &*pair.key == name)?;
        let place = self.place.below(pair.value.at, name);
        (!matches!(pair.value.form, Form::Null)).then_some((&pair.value, place))
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<Spot<Arc<str>>>, PolicyError> {
        let Some((value, place)) = self.value(name) else {
            return Ok(None);
        };
        match &value.form {
            Form::Scalar(text) if text.is_empty() => Ok(None),
            Form::Scalar(text) => Ok(Some(Spot {
                is: Arc::clone(text),
                place,
            })),
            _ => Err(place.error(format!("{} where a text belongs", describe(value)))),
        }
    }

    /// What a text says.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<Spot<T>>, PolicyError> {
        let Some(Spot { is: text, place }) = self.text(name)? else {
            return Ok(None);
        };
        match parse(&text) {
            Ok(is) => Ok(Some(Spot { is, place })),
            Err(reason) => Err(place.error(reason)),
        }
    }

    /// A truth value.
    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, PolicyError> {
        let read = self.parsed(name, |text| match &*text.to_ascii_lowercase() {
            "true" | "yes" | "on" | "y" => Ok(true),
            "false" | "no" | "off" | "n" => Ok(false),
            _ => Err(format!("{text:?} where true or false belongs")),
        })?;
        Ok(read.map(|read| read.is))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<Spot<u64>>, PolicyError> {
        self.parsed(name, |text| {
            let digits = text.replace('_', "");
            let read = match digits.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            read.map_err(|_| format!("{text:?} where a whole number from 0 belongs"))
        })
    }

    /// A length of time, such as `250ms`.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Spot<Duration>>, PolicyError> {
        self.parsed(name, |text| {
            humantime::parse_duration(text).map_err(|_| {
                format!("{text:?} is no length of time; write one such as 250ms or 2s")
            })
        })
    }

    /// One of some names.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<Spot<T>>, PolicyError> {
        self.parsed(name, |text| {
            let found = choices.iter().find(|(name, _)| *name == text);
            found.map(|(_, choice)| *choice).ok_or_else(|| {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                match nearest(text, &names) {
                    Some(near) => format!("unknown value {text:?}; did you mean {near}?"),
                    None => format!("unknown value {text:?}; give one of {}", list(&names)),
                }
            })
        })
    }

    /// The items of a list, with their places; empty if it is absent.
    pub(super) fn items(&self, name: &str) -> Result<Vec<(&Value, Place)>, PolicyError> {
        let Some((value, place)) = self.value(name) else {
            return Ok(Vec::new());
        };
        let Form::List(values) = &value.form else {
            return Err(place.error(format!("{} where a list belongs", describe(value))));
        };
        let items = values.iter().enumerate();
        Ok(items
            .map(|(index, value)| (value, place.item(value.at, index)))
            .collect())
    }
}

fn describe(value: &Value) -> String {
    match &value.form {
        Form::Null => "nothing".to_owned(),
        Form::Scalar(text) => format!("{text:?}"),
        Form::List(_) => "a list".to_owned(),
        Form::Map(_) => "a mapping".to_owned(),
    }
}

fn list(names: &[&str]) -> String {
    names.join(", ")
}

/// What was perhaps meant.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let known = known.iter();
    let near = known.map(|known| (strsim::jaro_winkler(name, known), *known));
    near.filter(|(similarity, _)| *similarity > SIMILAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}
