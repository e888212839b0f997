//! The password form: reading it, and checking what it holds without stopping the redirects.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tollgate_links::{PasswordHash, PasswordHasher};

use super::aside::Aside;

/// The largest form.
const MAX_FORM_BYTES: usize = 4096;
/// Checks passwords on threads that may block, a bounded number at once.
pub(super) struct PasswordGate {
    hasher: PasswordHasher,
    /// Each check holds megabytes of memory and a core.
    aside: Aside,
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Too many others are waiting.
    Busy,
}

/// A form that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    #[error("Send the form as application/x-www-form-urlencoded.")]
    MediaType,
    #[error("The form is larger than {MAX_FORM_BYTES} bytes.")]
    TooLarge,
    #[error("The form took too long to arrive.")]
    TooSlow,
    #[error("The form did not arrive whole.")]
    Broken,
    #[error("The form has no field named password.")]
    NoPassword,
}

impl FormError {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken | Self::NoPassword => StatusCode::BAD_REQUEST,
        }
    }
}

impl PasswordGate {
    /// Lets `running` checks run at once.
    pub(super) fn new(hasher: PasswordHasher, running: usize) -> Self {
        Self {
            hasher,
            aside: Aside::new(running),
        }
    }

    pub(super) async fn verify(&self, given: String, hash: PasswordHash) -> Verdict {
        let hasher = self.hasher.clone();
        let check = move || hasher.verify(&given, &hash);
        match self.aside.run(check).await {
            Some(true) => Verdict::Right,
            Some(false) => Verdict::Wrong,
            None => Verdict::Busy,
        }
    }
}

/// The field `password` of a form.
pub(super) async fn read_form<B>(
    head: &Parts,
    body: B,
    timeout: Duration,
) -> Result<String, FormError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let is_form = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok()?.parse::<mime::Mime>().ok())
        .is_some_and(|media| media.essence_str() == mime::APPLICATION_WWW_FORM_URLENCODED);
    if !is_form {
        return Err(FormError::MediaType);
    }
    let body = Limited::new(body, MAX_FORM_BYTES).collect();
    let bytes = match tokio::time::timeout(timeout, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(FormError::TooLarge),
        Ok(Err(_)) => return Err(FormError::Broken),
        Err(_) => return Err(FormError::TooSlow),
    };
    form_urlencoded::parse(&bytes)
        .find(|(name, _)| name == "password")
        .map(|(_, value)| value.into_owned())
        .ok_or(FormError::NoPassword)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::Full;

    use super::super::aside::WAITING_PER_RUNNING;
    use super::*;

    async fn read(media: &str, body: impl Into<Bytes>) -> Result<String, FormError> {
        let request = Request::post("/x").header(CONTENT_TYPE, media);
        let (head, body) = request.body(Full::new(body.into())).unwrap().into_parts();
        read_form(&head, body, Duration::from_secs(60)).await
    }

    #[tokio::test]
    async fn the_field_is_found_and_decoded() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let text = read(form, "a=b&password=gr%C3%BCn+%26+blau&c").await;
        assert_eq!(text.as_deref(), Ok("grün & blau"));
        assert_eq!(read(form, "a=b").await, Err(FormError::NoPassword));
        assert_eq!(read(form, "").await, Err(FormError::NoPassword));
    }

    #[tokio::test]
    async fn other_media_and_large_bodies_are_refused() {
        let json = read("application/json", "{}").await;
        assert_eq!(json, Err(FormError::MediaType));
        assert_eq!(read("", "password=x").await, Err(FormError::MediaType));
        let form = "application/x-www-form-urlencoded";
        let fits = format!("password={}", "x".repeat(MAX_FORM_BYTES - 9));
        assert!(read(form, fits.clone()).await.is_ok());
        assert_eq!(read(form, fits + "x").await, Err(FormError::TooLarge));
    }

    #[tokio::test]
    async fn a_form_that_never_ends_is_given_up() {
        let body = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, std::io::Error>,
        >());
        let request = Request::post("/x").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let (head, body) = request.body(body).unwrap().into_parts();
        let read = read_form(&head, body, Duration::from_millis(1)).await;
        assert_eq!(read, Err(FormError::TooSlow));
    }

    #[tokio::test]
    async fn a_full_gate_says_so() {
        let gate = PasswordGate::new(PasswordHasher::default(), 1);
        let all = u32::try_from(1 + WAITING_PER_RUNNING).unwrap();
        let _held = gate.aside.admitted.try_acquire_many(all).unwrap();
        let verdict = gate
            .verify("x".to_owned(), PasswordHash::from_phc("x"))
            .await;
        assert_eq!(verdict, Verdict::Busy);
    }
}
