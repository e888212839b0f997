//! Clicks that another shortener has counted.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tollgate_clock::UnixMillis;
use ureq::http::Method;

use super::{Client, ClientError, Problem};

/// A click, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct PastClick {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<UnixMillis>,
    /// The page the visitor came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) referrer: Option<String>,
    /// `User-Agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_agent: Option<String>,
    /// The visitor's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<std::net::IpAddr>,
    /// The URL that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Two letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<String>,
    /// The city; only with a country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) city: Option<String>,
    /// Whether a program followed the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bot: Option<bool>,
}

impl PastClick {
    /// How long its texts are, in bytes.
    pub(crate) fn texts(&self) -> usize {
        [&self.referrer, &self.user_agent, &self.url, &self.city]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum()
    }
}

/// Clicks of a link that follow each other at their source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PastClicks {
    /// The code.
    pub(crate) code: String,
    /// The host, if it is not the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<String>,
    /// How many come before these.
    pub(crate) after: u64,
    /// The clicks.
    pub(crate) clicks: Vec<PastClick>,
    /// So many more follow, of which nothing is known.
    pub(crate) untimed: u64,
}

/// What became of clicks.
#[derive(Debug, Deserialize)]
pub(crate) struct Counted {
    /// Those that had not been counted before.
    pub(crate) counted: u64,
    /// Why none is counted.
    pub(crate) problem: Option<Problem>,
}

impl Client {
    /// Has clicks counted, each once however often it is sent; answers what became of those of each
    /// link.
    pub(crate) fn import_clicks(
        &self,
        source: &str,
        links: &[PastClicks],
    ) -> Result<Vec<Counted>, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            links: Vec<Counted>,
        }
        let body = json!({"source": source, "links": links});
        let path = "/api/v1/clicks/import";
        let answer: Answer = self.call(Method::POST, path, &[], &[], Some(&body))?;
        if answer.links.len() == links.len() {
            return Ok(answer.links);
        }
        let reason = format!("{} answers for {} links", answer.links.len(), links.len());
        Err(self.strange(reason))
    }
}
