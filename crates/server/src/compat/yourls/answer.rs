//! Answers, and the formats they are written in.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::parameters::Parameters;
use super::xml;
use crate::problem::{Kind, OwnForm, Problem};

/// The longest name of a function that JSONP calls, in bytes.
const MAX_CALLBACK: usize = 128;

/// An answer in no format yet.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    /// A box, because few have any.
    headers: Box<HeaderMap>,
    fields: Map<String, Value>,
    /// All that the format `simple` says.
    simple: String,
}

impl Answer {
    /// Something that was done.
    pub(super) fn done(fields: Value, simple: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, fields, simple)
    }

    /// Something that was not.
    pub(super) fn failed(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut failed = Self::new(status, json!({ "message": message }), message);
        let code = status.as_str().to_owned();
        failed.fields.insert("errorCode".to_owned(), code.into());
        failed
    }

    /// With this status, which the fields name too.
    pub(super) fn new(status: StatusCode, fields: Value, simple: impl Into<String>) -> Self {
        let mut map = match fields {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        map.insert("statusCode".to_owned(), status.as_str().into());
        Self {
            status,
            headers: Box::default(),
            fields: map,
            simple: simple.into(),
        }
    }

    /// With another text for the format `simple`.
    pub(super) fn simply(mut self, simple: impl Into<String>) -> Self {
        self.simple = simple.into();
        self
    }

    /// With more fields.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let (status, message) = match problem.kind() {
            // The words that clients know.
            Kind::Unauthorized => (StatusCode::FORBIDDEN, "Please log in"),
            Kind::LinkNotFound => (StatusCode::NOT_FOUND, "Error: short URL not found"),
            Kind::InvalidFields | Kind::InvalidQuery => (StatusCode::BAD_REQUEST, problem.detail()),
            _ => (problem.status(), problem.detail()),
        };
        let mut answer = Self::failed(status, message);
        *answer.headers = problem.headers().clone();
        answer
    }
}

/// How an answer is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Format {
    #[default]
    Xml,
    Json,
    /// A script that calls this function.
    Jsonp(String),
    Simple,
}

impl Format {
    /// The format asked for.
    pub(super) fn of(parameters: &Parameters) -> Result<Self, Answer> {
        let bad = |message: &str| Err(Answer::failed(StatusCode::BAD_REQUEST, message));
        match parameters.get("format") {
            None | Some("xml") => Ok(Self::Xml),
            Some("json") => Ok(Self::Json),
            Some("simple") => Ok(Self::Simple),
            Some("jsonp") => match parameters.get("callback") {
                Some(name) if is_function(name) => Ok(Self::Jsonp(name.to_owned())),
                _ => bad("The format jsonp needs a \"callback\": the name of a function"),
            },
            Some(_) => bad("Unknown \"format\" parameter: use xml, json, jsonp or simple"),
        }
    }

    /// Writes an answer.
    pub(super) fn write(&self, answer: Answer) -> Response {
        let fields = Value::Object(answer.fields);
        let (media, body) = match self {
            Self::Xml => ("application/xml; charset=utf-8", xml::document(&fields)),
            Self::Json => ("application/json", fields.to_string()),
            Self::Jsonp(name) => (
                "application/javascript; charset=utf-8",
                format!("{name}({fields})"),
            ),
            Self::Simple => ("text/plain; charset=utf-8", answer.simple),
        };
        let mut response = (answer.status, *answer.headers, body).into_response();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(media));
        response.extensions_mut().insert(OwnForm);
        response
    }
}

/// Whether a text is the name of a function in JavaScript, or of one in an object: nothing else may
/// come to stand at the beginning of a script.
fn is_function(text: &str) -> bool {
    let is_name = |name: &str| {
        let begins = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$');
        name.starts_with(begins) && name.chars().all(|c| begins(c) || c.is_ascii_digit())
    };
    text.len() <= MAX_CALLBACK && text.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_functions_are_called() {
        for name in ["f", "$", "_a1", "jQuery1124_17", "app.links.shown"] {
            assert!(is_function(name), "{name}");
        }
        let long = "a".repeat(MAX_CALLBACK + 1);
        for name in [
            "",
            "1a",
            "a.",
            ".a",
            "a b",
            "alert(1);f",
            "a/**/",
            "ä",
            &long,
        ] {
            assert!(!is_function(name), "{name}");
        }
    }
}
