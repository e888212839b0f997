//! The API, asked from inside of this process. The dashboard does nothing else with links, limits
//! and keys: what is allowed, what is valid and what counts is decided in one place.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::header::{CONTENT_TYPE, IF_MATCH};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tollgate_access::ApiKey;
use tollgate_links::UNRESERVED;
use tower::ServiceExt as _;

use crate::api::SignedIn;

/// What a person whose key this is may ask.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) router: Router,
    pub(super) key: Arc<ApiKey>,
}

/// A problem that the API answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) title: String,
    pub(super) detail: String,
    pub(super) errors: Vec<FieldProblem>,
    pub(super) line: Option<usize>,
    pub(super) column: Option<usize>,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct FieldProblem {
    /// Its name, as in `rules[2].url`.
    pub(super) field: String,
    pub(super) reason: String,
}

impl Refusal {
    /// Of one field, found out before the API was asked.
    pub(super) fn of_field(field: &str, reason: String) -> Self {
        Self {
            status: 422,
            title: "Fields are wrong".to_owned(),
            detail: format!("{field}: {reason}"),
            errors: vec![FieldProblem {
                field: field.to_owned(),
                reason,
            }],
            ..Self::default()
        }
    }

    fn broken() -> Self {
        Self {
            status: 500,
            title: "Something went wrong here".to_owned(),
            detail: "The log has more.".to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What is wrong with a field of a form, which may hold a list of things.
    pub(super) fn reason(&self, name: &str) -> Option<String> {
        let of_it = self.errors.iter().filter(|error| {
            let base = error.field.split(['[', '.']).next();
            base == Some(name)
        });
        let reasons: Vec<String> = of_it
            .map(|error| match error.field == name {
                true => error.reason.clone(),
                false => format!("{}: {}", error.field, error.reason),
            })
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// A path of the API, of segments that are encoded, with a query.
pub(super) struct ApiPath(String);

impl ApiPath {
    /// `/api/v1/` and these segments.
    pub(super) fn new<const N: usize>(segments: [&str; N]) -> Self {
        Self(format!("/api/v1{}", joined(&segments)))
    }

    /// Adds a parameter, unless its value is empty.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        push_parameter(&mut self.0, name, value);
        self
    }
}

/// Segments, each after a slash.
pub(super) fn joined(segments: &[&str]) -> String {
    let encoded = segments
        .iter()
        .map(|segment| format!("/{}", utf8_percent_encode(segment, UNRESERVED)));
    encoded.collect()
}

/// Adds a parameter to an address, unless its value is empty.
pub(super) fn push_parameter(address: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    let separator = if address.contains('?') { '&' } else { '?' };
    let value = utf8_percent_encode(value, UNRESERVED);
    address.push_str(&format!("{separator}{name}={value}"));
}

impl Client {
    /// What is there.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: ApiPath) -> Result<T, Refusal> {
        let bytes = self
            .send(self.request(Method::GET, path), Body::empty())
            .await?;
        read(&bytes)
    }

    /// The text that is there.
    pub(super) async fn text(&self, path: ApiPath) -> Result<String, Refusal> {
        let bytes = self
            .send(self.request(Method::GET, path), Body::empty())
            .await?;
        String::from_utf8(bytes).map_err(|_| Refusal::broken())
    }

    /// Makes or does something.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: ApiPath,
        body: &Value,
    ) -> Result<T, Refusal> {
        let request = self.request(Method::POST, path);
        let request = request.header(CONTENT_TYPE, "application/json");
        let bytes = self.send(request, Body::from(body.to_string())).await?;
        read(&bytes)
    }

    /// Changes something, if it still has this version.
    pub(super) async fn patch(
        &self,
        path: ApiPath,
        version: Option<u64>,
        body: &Value,
    ) -> Result<(), Refusal> {
        let mut request = self.request(Method::PATCH, path);
        if let Some(version) = version {
            request = request.header(IF_MATCH, format!("\"{version}\""));
        }
        let request = request.header(CONTENT_TYPE, "application/merge-patch+json");
        let done = self.send(request, Body::from(body.to_string())).await;
        done.map(drop)
    }

    /// Puts a text in the place of the one that is there.
    pub(super) async fn put_yaml(&self, path: ApiPath, yaml: String) -> Result<(), Refusal> {
        let request = self.request(Method::PUT, path);
        let request = request.header(CONTENT_TYPE, "application/yaml");
        self.send(request, Body::from(yaml)).await.map(drop)
    }

    pub(super) async fn delete(&self, path: ApiPath) -> Result<(), Refusal> {
        let request = self.request(Method::DELETE, path);
        self.send(request, Body::empty()).await.map(drop)
    }

    /// The answer as it is, which may never end.
    pub(super) async fn stream(&self, path: ApiPath) -> axum::response::Response {
        self.answer(self.request(Method::GET, path), Body::empty())
            .await
    }

    fn request(&self, method: Method, path: ApiPath) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path.0)
            .extension(SignedIn(Arc::clone(&self.key)))
    }

    async fn answer(
        &self,
        request: http::request::Builder,
        body: Body,
    ) -> axum::response::Response {
        use axum::response::IntoResponse as _;
        match request.body(body) {
            Ok(request) => match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Err(error) => {
                tracing::error!(%error, "the dashboard makes no request of this");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    async fn send(&self, request: http::request::Builder, body: Body) -> Result<Vec<u8>, Refusal> {
        let response = self.answer(request, body).await;
        let status = response.status();
        let body = response.into_body().collect().await;
        let bytes = body.map_err(|error| {
            tracing::error!(%error, "an answer to the dashboard broke off");
            Refusal::broken()
        })?;
        let bytes = bytes.to_bytes();
        if status.is_success() {
            return Ok(bytes.to_vec());
        }
        let refusal = serde_json::from_slice(&bytes);
        Err(refusal.unwrap_or_else(|_| Refusal {
            status: status.as_u16(),
            title: "The request was refused".to_owned(),
            ..Refusal::default()
        }))
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // An answer without a body is nothing.
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        tracing::error!(%error, "the dashboard does not understand an answer of the API");
        Refusal::broken()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_stays_in_its_place_of_an_address() {
        let path = ApiPath::new(["links", "a/../b?c#d"])
            .with("domain", "")
            .with("q", "x&y=z +é");
        assert_eq!(
            path.0,
            "/api/v1/links/a%2F..%2Fb%3Fc%23d?q=x%26y%3Dz%20%2B%C3%A9"
        );
    }

    #[test]
    fn reasons_are_found_by_the_field_of_the_form() {
        let text = r#"{"status":422,"errors":[{"field":"rules[2].url","reason":"no"},{"field":"url","reason":"bad"}]}"#;
        let refusal: Refusal = serde_json::from_str(text).unwrap();
        assert_eq!(refusal.reason("url").as_deref(), Some("bad"));
        assert_eq!(refusal.reason("rules").as_deref(), Some("rules[2].url: no"));
        assert_eq!(refusal.reason("code"), None);
    }
}
