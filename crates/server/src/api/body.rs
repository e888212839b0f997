//! JSON bodies: bounded in size and time, and read so that mistakes are named.

use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::admin::AdminState;
use crate::problem::{Kind, Problem};

const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// How much of a body that is too large is read and thrown away, in bytes: many clients only look
/// for an answer when they have sent everything, and never see one that comes with a reset.
const MAX_DISCARDED_BYTES: usize = 16 * 1024 * 1024;

/// A body of type `application/json`.
pub(super) struct JsonBody<T>(pub(super) T);

/// A merge patch (RFC 7396), of its own type or `application/json`.
pub(super) struct MergePatch<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AdminState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Problem> {
        if !is_media(request.headers(), &[JSON]) {
            return Err(unsupported(&[JSON], ACCEPT_POST));
        }
        object(request, state).await.map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<AdminState> for MergePatch<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Problem> {
        if !is_media(request.headers(), &[MERGE_PATCH, JSON]) {
            return Err(unsupported(&[MERGE_PATCH, JSON], ACCEPT_PATCH));
        }
        object(request, state).await.map(Self)
    }
}

/// Whether the body's type, parameters aside, is one of `allowed`.
pub(crate) fn is_media(headers: &HeaderMap, allowed: &[&str]) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<mime::Mime>().ok())
        .is_some_and(|media| allowed.contains(&media.essence_str()))
}

/// The body's type is none of those `allowed`.
pub(crate) fn unsupported(allowed: &[&str], advertised_by: HeaderName) -> Problem {
    let list = allowed.join(", ");
    let problem = Problem::new(
        Kind::UnsupportedMediaType,
        format!("Send the header Content-Type with one of: {list}"),
    );
    match HeaderValue::from_str(&list) {
        Ok(value) => problem.header(advertised_by, value),
        Err(_) => problem,
    }
}

/// The whole body, which is a JSON object.
pub(crate) async fn object<T: DeserializeOwned>(
    request: Request,
    state: &AdminState,
) -> Result<T, Problem> {
    parse(&read(request, state).await?)
}

/// The whole body.
pub(crate) async fn read(request: Request, state: &AdminState) -> Result<Bytes, Problem> {
    let most = state.options.max_body_bytes;
    let readable = most.saturating_add(MAX_DISCARDED_BYTES);
    let too_large = || Problem::new(Kind::TooLarge, format!("It has at most {most} bytes."));
    let declared = request.headers().get(CONTENT_LENGTH);
    let declared: Option<usize> = declared.and_then(|text| text.to_str().ok()?.parse().ok());
    // Who asks first has sent nothing yet.
    let asks = request.headers().contains_key(EXPECT);
    if declared.is_some_and(|length| length > readable || (asks && length > most)) {
        return Err(too_large());
    }
    let mut body = request.into_body();
    let arrival = async {
        let mut bytes = BytesMut::new();
        let mut length = 0_usize;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            length = length.saturating_add(data.len());
            if length > readable {
                break;
            }
            if length <= most {
                bytes.extend_from_slice(&data);
            }
        }
        Ok::<_, axum::Error>((length <= most).then(|| bytes.freeze()))
    };
    match tokio::time::timeout(state.options.request_timeout, arrival).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Kind::BadRequest, "The body broke off.")),
        Err(_) => Err(Problem::new(
            Kind::RequestTimeout,
            "Send the body faster, or in smaller requests.",
        )),
    }
}

/// Reads a JSON object; a mistake is named by field, line and column.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would take an array for the values of the fields in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(no_object());
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, error.inner())
    })?;
    json.end().map_err(|error| explain(".", &error))?;
    Ok(value)
}

fn explain(path: &str, error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&text);
    let problem = if !error.is_data() {
        Problem::new(Kind::MalformedJson, reason)
    } else if let Some(name) = field_in(reason, "missing field `", path) {
        Problem::wrong(Kind::InvalidFields, &name, "this field is needed")
    } else if let Some(name) = field_in(reason, "duplicate field `", path) {
        Problem::wrong(Kind::InvalidFields, &name, "give it once")
    } else if path == "." {
        no_object()
    } else {
        Problem::wrong(Kind::InvalidFields, path, reason)
    };
    problem.at(line, column)
}

fn no_object() -> Problem {
    Problem::new(
        Kind::InvalidFields,
        "Send a JSON object: fields with their values between { and }.",
    )
}

/// serde names the object whose field is missing or given twice; people look for the field.
fn field_in(reason: &str, mistake: &str, path: &str) -> Option<String> {
    let name = reason.strip_prefix(mistake)?.strip_suffix('`')?;
    Some(match path {
        "." => name.to_owned(),
        path => format!("{path}.{name}"),
    })
}

#[cfg(test)]
mod tests {
    use tollgate_links::LinkDraft;

    use super::*;

    fn problem(text: &str) -> serde_json::Value {
        serde_json::to_value(parse::<LinkDraft>(text.as_bytes()).unwrap_err()).unwrap()
    }

    #[test]
    fn broken_json_is_placed() {
        let problem = problem("{\"url\":\n  oops}");
        assert_eq!(problem["type"], "urn:tollgate:problem:malformed-json");
        assert_eq!(
            (&problem["line"], &problem["column"]),
            (&2.into(), &3.into())
        );
        assert_eq!(problem["detail"], "expected value");
    }

    #[test]
    fn wrong_fields_are_named() {
        for (text, field) in [
            ("{}", "url"),
            ("{\"url\":1}", "url"),
            ("{\"url\":\"x\",\"url\":\"y\"}", "url"),
            ("{\"url\":\"x\",\"utl\":\"x\"}", "utl"),
            ("{\"url\":\"x\",\"rules\":[{\"if\":[]}]}", "rules[0].url"),
            ("{\"url\":\"x\",\"expires_at\":\"soon\"}", "expires_at"),
        ] {
            let problem = problem(text);
            assert_eq!(problem["status"], 422, "{text}");
            assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        }
    }

    #[test]
    fn only_an_object_is_a_draft() {
        let by_position = r#" ["https://a.example",null,null,null,null,null,null,null,[],null,false,[],false,null,null,null]"#;
        for text in [by_position, "[]", "1", "null", "\"x\""] {
            let problem = problem(text);
            assert_eq!(problem["status"], 422, "{text}");
            assert!(problem["detail"].as_str().unwrap().contains("JSON object"));
        }
    }

    #[test]
    fn what_follows_the_value_is_refused() {
        assert_eq!(problem("{\"url\":\"x\"} {}")["status"], 400);
    }
}
