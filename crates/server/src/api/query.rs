//! Query parameters: each known by name, each at most once.

use axum::extract::FromRequestParts;
use axum::extract::Query;
use http::request::Parts;

use crate::problem::{Kind, Problem};

/// The parameters of a request that nobody has asked for yet.
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|error| Problem::new(Kind::InvalidQuery, error.body_text()))
    }
}

impl Params {
    /// Takes a parameter by its name.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut found = self.take_all(name);
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(Self::wrong(name, "give it once")),
        }
    }

    /// Takes a parameter that may be repeated.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<String> {
        let (found, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(known, _)| known == name);
        self.0 = rest;
        let found: Vec<(String, String)> = found;
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes a parameter that is on or off; off if it is absent.
    pub(super) fn take_switch(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Self::wrong(name, "use true or false")),
        }
    }

    /// Takes the number of entries wanted on a page.
    pub(super) fn take_limit(&mut self, most: usize) -> Result<Option<usize>, Problem> {
        let Some(text) = self.take("limit")? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(Some(limit)),
            _ => Err(Self::wrong(
                "limit",
                format!("give a number from 1 to {most}"),
            )),
        }
    }

    /// Refuses what is left.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(64).collect();
                Err(Self::wrong(&name, "there is no such parameter here"))
            }
        }
    }

    /// The `domain` parameter of a request that has no other.
    pub(super) fn only_domain(mut self) -> Result<Option<String>, Problem> {
        let domain = self.take("domain")?;
        self.finish()?;
        Ok(domain)
    }

    /// What is wrong with a parameter.
    pub(super) fn wrong(name: &str, reason: impl Into<String>) -> Problem {
        Problem::wrong(Kind::InvalidQuery, name, reason)
    }
}
