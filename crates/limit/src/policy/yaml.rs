//! YAML as a tree in which everything knows its place, so that errors of meaning name a line too.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

/// How deep collections may stand in each other. Descriptors take two levels each.
const MAX_DEPTH: usize = 128;
/// How many values a file may have, once its aliases stand for what they mean.
const MAX_VALUES: usize = 4_000_000;

/// A place in a file, both counted from 1; the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl From<Marker> for At {
    fn from(marker: Marker) -> Self {
        Self {
            line: marker.line().max(1),
            column: marker.col() + 1,
        }
    }
}

/// What is wrong with the text itself.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) at: At,
    pub(super) reason: String,
}

impl From<ScanError> for Malformed {
    fn from(error: ScanError) -> Self {
        Self {
            at: (*error.marker()).into(),
            reason: error.info().to_owned(),
        }
    }
}

/// A value, and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) at: At,
    pub(super) form: Form,
}

/// What a value is. Collections are shared with the aliases that repeat them.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// Nothing: `null`, `~`, or no value at all.
    Null,
    /// A text, number or truth value, as it is written.
    Scalar(Arc<str>),
    List(Arc<[Value]>),
    /// In the order of the file. No key is there twice.
    Map(Arc<[Pair]>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) key: Arc<str>,
    pub(super) at: At,
    pub(super) value: Value,
}

/// The documents of a text that hold anything.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, Malformed> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event?;
        tree.event(event, span.start.into())?;
    }
    Ok(tree.documents)
}

/// A collection that is not closed yet.
#[derive(Debug)]
struct Open {
    anchor: usize,
    at: At,
    kind: Kind,
    /// The values inside, to bound what aliases unfold to.
    size: usize,
}

#[derive(Debug)]
enum Kind {
    List(Vec<Value>),
    Map {
        pairs: Vec<Pair>,
        merged: Vec<Value>,
        key: Option<(Arc<str>, At)>,
        lines: HashMap<Arc<str>, usize>,
    },
}

#[derive(Debug, Default)]
struct Tree {
    open: Vec<Open>,
    anchors: HashMap<usize, (Value, usize)>,
    documents: Vec<Value>,
}

impl Tree {
    fn event(&mut self, event: Event<'_>, at: At) -> Result<(), Malformed> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let form = match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Form::Null,
                    text => Form::Scalar(text.into()),
                };
                self.add(Value { at, form }, anchor, 1)?;
            }
            Event::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(&anchor) else {
                    return wrong(
                        at,
                        "an alias cannot stand inside of what it repeats".to_owned(),
                    );
                };
                let (form, size) = (value.form.clone(), *size);
                self.add(Value { at, form }, 0, size)?;
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, at, Kind::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                let kind = Kind::Map {
                    pairs: Vec::new(),
                    merged: Vec::new(),
                    key: None,
                    lines: HashMap::new(),
                };
                self.open(anchor, at, kind)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let form = match open.kind {
                        Kind::List(values) => Form::List(values.into()),
                        Kind::Map { pairs, merged, .. } => Form::Map(merge(pairs, &merged)?.into()),
                    };
                    let value = Value { at: open.at, form };
                    self.add(value, open.anchor, open.size + 1)?;
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, at: At, kind: Kind) -> Result<(), Malformed> {
        if self.open.len() == MAX_DEPTH {
            let reason = format!("more than {MAX_DEPTH} collections stand inside of each other");
            return wrong(at, reason);
        }
        self.open.push(Open {
            anchor,
            at,
            kind,
            size: 0,
        });
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, value: Value, anchor: usize, size: usize) -> Result<(), Malformed> {
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            if !matches!(value.form, Form::Null) {
                self.documents.push(value);
            }
            return Ok(());
        };
        open.size = open.size.saturating_add(size);
        if open.size > MAX_VALUES {
            let reason = format!("more than {MAX_VALUES} values, aliases unfolded");
            return wrong(value.at, reason);
        }
        match &mut open.kind {
            Kind::List(values) => values.push(value),
            Kind::Map {
                pairs,
                merged,
                key,
                lines,
            } => match key.take() {
                None => *key = Some(as_key(value)?),
                Some((name, _)) if &*name == "<<" => merged.push(value),
                Some((name, at)) => {
                    if let Some(line) = lines.insert(Arc::clone(&name), at.line) {
                        return wrong(at, format!("{name} is there twice, first on line {line}"));
                    }
                    pairs.push(Pair {
                        key: name,
                        at,
                        value,
                    });
                }
            },
        }
        Ok(())
    }
}

fn as_key(value: Value) -> Result<(Arc<str>, At), Malformed> {
    match value.form {
        Form::Scalar(name) => Ok((name, value.at)),
        Form::Null => Ok(("null".into(), value.at)),
        Form::List(_) | Form::Map(_) => wrong(value.at, "a key has to be a name".to_owned()),
    }
}

/// `<<`: what the mapping does not say itself, it takes from others.
fn merge(mut pairs: Vec<Pair>, merged: &[Value]) -> Result<Vec<Pair>, Malformed> {
    for value in merged {
        match &value.form {
            Form::Map(others) => {
                for other in others.iter() {
                    if pairs.iter().all(|pair| pair.key != other.key) {
                        pairs.push(other.clone());
                    }
                }
            }
            Form::List(values)
                if values
                    .iter()
                    .all(|value| matches!(value.form, Form::Map(_))) =>
            {
                pairs = merge(pairs, values)?;
            }
            _ => return wrong(value.at, "<< takes a mapping, or a list of them".to_owned()),
        }
    }
    Ok(pairs)
}

fn wrong<T>(at: At, reason: String) -> Result<T, Malformed> {
    Err(Malformed { at, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Value {
        let mut all = documents(text).unwrap();
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0)
    }

    fn pairs(value: &Value) -> Vec<(String, String)> {
        let Form::Map(pairs) = &value.form else {
            panic!("{value:?}");
        };
        let text = |value: &Value| match &value.form {
            Form::Scalar(text) => text.to_string(),
            other => format!("{other:?}"),
        };
        pairs
            .iter()
            .map(|pair| (pair.key.to_string(), text(&pair.value)))
            .collect()
    }

    fn refusal(text: &str) -> (usize, usize, String) {
        let error = documents(text).unwrap_err();
        (error.at.line, error.at.column, error.reason)
    }

    #[test]
    fn every_value_knows_its_place() {
        let value = one("# begins\na: 1\nlist:\n  - ä: x\n    b: 2\n");
        let Form::Map(top) = &value.form else {
            panic!()
        };
        let Form::List(list) = &top[1].value.form else {
            panic!()
        };
        let Form::Map(item) = &list[0].form else {
            panic!()
        };
        let place = |at: At| (at.line, at.column);
        assert_eq!(place(top[0].at), (2, 1));
        assert_eq!(place(top[0].value.at), (2, 4));
        assert_eq!(place(item[0].at), (4, 5));
        assert_eq!(place(item[0].value.at), (4, 8));
        assert_eq!(place(item[1].value.at), (5, 8));
    }

    #[test]
    fn aliases_and_merges_stand_for_what_they_repeat() {
        let value = one("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n");
        let Form::Map(top) = &value.form else {
            panic!()
        };
        let of = |x: &str, y: &str| (x.to_owned(), y.to_owned());
        assert_eq!(pairs(&top[1].value), [of("y", "3"), of("x", "1")]);
        let list = one("- &a {x: 1}\n- &b {x: 2, y: 3}\n- {<<: [*a, *b]}\n");
        let Form::List(list) = &list.form else {
            panic!()
        };
        assert_eq!(pairs(&list[2]), [of("x", "1"), of("y", "3")]);
    }

    #[test]
    fn a_text_that_unfolds_without_end_is_refused() {
        let mut text = "- &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 10].join(", ");
            text += &format!("- &a{level} [{before}]\n");
        }
        assert!(refusal(&text).2.starts_with("more than 4000000 values"));
        assert!(documents(&"[".repeat(100_000)).is_err());
        assert!(documents(&"- ".repeat(100_000)).is_err());
        assert!(documents(&"{a: ".repeat(100_000)).is_err());
        let (line, _, reason) = refusal("a: &a [*a]\n");
        assert_eq!((line, reason.contains("alias")), (1, true), "{reason}");
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused() {
        let reason = "a is there twice, first on line 1".to_owned();
        assert_eq!(refusal("a: 1\nb: 2\na: 3\n"), (3, 1, reason));
    }

    #[test]
    fn documents_without_anything_do_not_count() {
        assert_eq!(documents("").unwrap().len(), 0);
        assert_eq!(
            documents("---\n---\na: 1\n---\nb: 1\n...\n").unwrap().len(),
            2
        );
    }
}
