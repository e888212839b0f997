//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header): a write that is sent
//! twice takes effect once.

use http::{HeaderMap, HeaderName, Method};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tollgate_clock::UnixMillis;
use tollgate_links::store::IdempotencyToken;

use crate::problem::{Kind, Problem};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest key, in characters.
const MAX_CHARS: usize = 255;

/// What a caller may want to repeat: their key for it, and where it goes.
#[derive(Debug, Clone)]
pub(super) struct Repeatable {
    /// Of caller, method, path and key, so that nobody meets another's keys.
    scope: Sha256,
    at: UnixMillis,
}

/// Reads the header, if there is one.
pub(super) fn repeatable(
    headers: &HeaderMap,
    caller: &str,
    method: &Method,
    path: &str,
    at: UnixMillis,
) -> Result<Option<Repeatable>, Problem> {
    let wrong = |reason: String| Problem::wrong(Kind::InvalidHeader, "Idempotency-Key", reason);
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(wrong("give it once".to_owned()));
    }
    let key = value
        .to_str()
        .ok()
        .and_then(unquote)
        .filter(|key| (1..=MAX_CHARS).contains(&key.len()))
        .ok_or_else(|| wrong(format!("give 1 to {MAX_CHARS} visible ASCII characters")))?;
    let mut scope = Sha256::new();
    for part in [caller, method.as_str(), path, &key] {
        update(&mut scope, part.as_bytes());
    }
    Ok(Some(Repeatable { scope, at }))
}

/// With its length before it, so that the parts cannot run into each other.
fn update(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

/// The draft makes it a string of structured fields (RFC 8941 section 3.3.3); most clients send it
/// without quotes, which is the same key.
fn unquote(text: &str) -> Option<String> {
    let text = text.trim();
    let Some(inner) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let inner = inner.strip_suffix('"')?;
    let mut key = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => key.push(escaped),
                _ => return None,
            },
            '"' => return None,
            plain => key.push(plain),
        }
    }
    Some(key)
}

impl Repeatable {
    /// The token of the whole request, whose meaning is `body`.
    pub(super) fn token(&self, body: &impl Serialize) -> IdempotencyToken {
        self.part(None, body)
    }

    /// The token of one row of a bulk request.
    pub(super) fn row(&self, number: u64, body: &impl Serialize) -> IdempotencyToken {
        self.part(Some(number), body)
    }

    fn part(&self, row: Option<u64>, body: &impl Serialize) -> IdempotencyToken {
        let mut id = self.scope.clone();
        if let Some(row) = row {
            id.update(row.to_be_bytes());
        }
        // The request is hashed together with the caller's key, which is not stored: what is
        // stored cannot be used to guess a password in the body.
        let mut request = id.clone();
        let canonical = serde_json::to_vec(body).unwrap_or_default();
        update(&mut request, &canonical);
        IdempotencyToken {
            id: first_half(id),
            request: first_half(request),
            at: self.at,
        }
    }
}

fn first_half(hash: Sha256) -> [u8; 16] {
    let digest: [u8; 32] = hash.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn token(caller: &str, path: &str, key: &str, body: &str) -> IdempotencyToken {
        let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_str(key).unwrap())]);
        let at = UnixMillis::from_millis(0);
        let repeatable = repeatable(&headers, caller, &Method::POST, path, at);
        repeatable.unwrap().unwrap().token(&body)
    }

    #[test]
    fn caller_path_and_key_name_a_request_and_its_body_tells_it_apart() {
        let first = token("a", "/x", "k", "1");
        assert_eq!(first, token("a", "/x", "\"k\"", "1"));
        assert_eq!(first.id, token("a", "/x", "k", "2").id);
        assert_ne!(first.request, token("a", "/x", "k", "2").request);
        for other in [
            token("b", "/x", "k", "1"),
            token("a", "/y", "k", "1"),
            token("a", "/x", "l", "1"),
            token("a", "/", "xk", "1"),
        ] {
            assert_ne!(first.id, other.id);
        }
    }

    #[test]
    fn keys_that_cannot_be_told_apart_are_refused() {
        let long = "k".repeat(256);
        for bad in ["", "\"\"", "\"a", "a\"", "\"a\\b\"", "\"a\"b\"", &long] {
            let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_str(bad).unwrap())]);
            let at = UnixMillis::from_millis(0);
            assert!(
                repeatable(&headers, "a", &Method::POST, "/", at).is_err(),
                "{bad}"
            );
        }
        assert_eq!(unquote(r#""a\"\\b""#).unwrap(), r#"a"\b"#);
    }
}
