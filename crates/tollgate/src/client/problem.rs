//! Refusals of the API (RFC 9457) as text for people.

use std::fmt;

use serde::Deserialize;
use ureq::http::Response;

/// A problem document.
#[derive(Debug, Clone, Deserialize, thiserror::Error)]
pub(crate) struct Problem {
    /// The kind in a word or two.
    #[serde(default)]
    pub(crate) title: String,
    /// The HTTP status.
    #[serde(default)]
    pub(crate) status: u16,
    /// What is wrong this time.
    #[serde(default)]
    pub(crate) detail: Option<String>,
    /// The wrong fields.
    #[serde(default)]
    pub(crate) errors: Vec<WrongField>,
}

/// A wrong field.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct WrongField {
    /// Its name.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl Problem {
    /// From an answer with an error status.
    pub(crate) fn read(head: &Response<()>, body: &[u8]) -> Result<Self, String> {
        let status = head.status();
        let mut problem: Self = serde_json::from_slice(body)
            .map_err(|_| format!("status {status} without a reason"))?;
        problem.status = status.as_u16();
        if problem.title.is_empty() {
            problem.title = status.canonical_reason().unwrap_or("refused").to_owned();
        }
        Ok(problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        if self.errors.is_empty()
            && let Some(detail) = &self.detail
        {
            write!(f, ": {detail}")?;
        }
        for (at, WrongField { field, reason }) in self.errors.iter().enumerate() {
            let separator = if at == 0 { ": " } else { "; " };
            write!(f, "{separator}{field}: {reason}")?;
        }
        if self.status == 401 {
            f.write_str(" (give a key with --key or TOLLGATE_KEY)")?;
        }
        Ok(())
    }
}
