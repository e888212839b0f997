//! Values before they have a meaning: what a TOML file, an environment variable or a flag can say.

use toml::de::DeValue;

/// What kind of TOML value a key takes; decides how a plain text (environment, flag) is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Switch,
    /// An array of strings; in a plain text separated by commas.
    List,
}

/// A value of one of these kinds, or of a kind no key takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Number(f64),
    Switch(bool),
    List(Vec<Value>),
    /// The TOML name of another kind, such as `datetime`.
    Other(&'static str),
}

impl Value {
    /// From a TOML file.
    pub(crate) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            // Base prefixes and underscores are already gone; what does not fit is no value we take.
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
                .map_or(Self::Other("number of more than 64 bits"), Self::Integer),
            DeValue::Float(n) => n
                .as_str()
                .parse()
                .map_or(Self::Other("number"), Self::Number),
            DeValue::Boolean(on) => Self::Switch(*on),
            DeValue::Array(items) => Self::List(
                items
                    .iter()
                    .map(|item| Self::from_toml(item.get_ref()))
                    .collect(),
            ),
            DeValue::Table(_) | DeValue::Datetime(_) => Self::Other(value.type_str()),
        }
    }

    /// From an environment variable or a flag. A text that is not of the kind stays a text, so that
    /// the key's own check refuses it with what it expects.
    pub(crate) fn from_text(text: &str, kind: Kind) -> Self {
        let parsed = match kind {
            Kind::Text => None,
            Kind::Integer => text.parse().ok().map(Self::Integer),
            Kind::Number => text.parse().ok().map(Self::Number),
            Kind::Switch => text.parse().ok().map(Self::Switch),
            Kind::List => Some(Self::List(
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Self::Text(item.to_owned()))
                    .collect(),
            )),
        };
        parsed.unwrap_or_else(|| Self::Text(text.to_owned()))
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// For messages: the value, shortened.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) if text.chars().count() > 80 => {
                format!("{:?}…", text.chars().take(80).collect::<String>())
            }
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(n) => n.to_string(),
            Self::Number(n) => n.to_string(),
            Self::Switch(on) => on.to_string(),
            Self::List(_) => "an array".to_owned(),
            Self::Other(kind) => format!("a {kind}"),
        }
    }
}
