//! What a request asks for: parameters of its query and its form, those of the form first.

use std::collections::HashMap;

use axum::extract::Request;
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use multer::Multipart;

use crate::admin::AdminState;
use crate::api::body;
use crate::problem::{Kind, Problem};

const FORM: &str = "application/x-www-form-urlencoded";

/// The parameters of a request by their names. Of several with one name the last counts, as in PHP.
#[derive(Debug, Default)]
pub(super) struct Parameters(HashMap<String, String>);

impl Parameters {
    /// Reads the query, and the form of a POST.
    pub(super) async fn read(request: Request, state: &AdminState) -> Result<Self, Problem> {
        let mut parameters = Self::default();
        parameters.add(request.uri().query().unwrap_or_default().as_bytes());
        if request.method() != Method::POST {
            return Ok(parameters);
        }
        let headers = request.headers().clone();
        let bytes = body::read(request, state).await?;
        if body::is_media(&headers, &[FORM]) {
            parameters.add(&bytes);
        } else if let Some(boundary) = boundary(&headers) {
            parameters.add_parts(bytes, boundary).await?;
        } else if !bytes.is_empty() {
            return Err(Problem::new(
                Kind::UnsupportedMediaType,
                format!("Send parameters as {FORM} or multipart/form-data."),
            ));
        }
        Ok(parameters)
    }

    fn add(&mut self, encoded: &[u8]) {
        let pairs = form_urlencoded::parse(encoded);
        self.0
            .extend(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())));
    }

    /// Parts of a form as clients send them that call curl from PHP. `read` has bounded them.
    async fn add_parts(&mut self, bytes: Bytes, boundary: String) -> Result<(), Problem> {
        let broken = |error: multer::Error| {
            Problem::new(
                Kind::BadRequest,
                format!("The form cannot be read: {error}."),
            )
        };
        let body = stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
        let mut parts = Multipart::new(body, boundary);
        while let Some(part) = parts.next_field().await.map_err(broken)? {
            let Some(name) = part.name().map(str::to_owned) else {
                continue;
            };
            let value = part.text().await.map_err(broken)?;
            self.0.insert(name, value);
        }
        Ok(())
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    let media = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    multer::parse_boundary(media).ok()
}
