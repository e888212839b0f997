//! Query parameters as clients of Shlink write them. Those that are not known are left alone.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use jiff::tz::TimeZone;
use tollgate_clicks::query::moment;
use tollgate_clock::UnixMillis;
use tollgate_links::{Domain, Tag};

use super::failure::Failure;
use crate::admin::AdminState;
use crate::api::caller::Caller;

/// What stands for the default domain.
const DEFAULT: &str = "DEFAULT";

/// The parameters of a request.
pub(super) struct Asked(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self::of(query))
    }
}

impl Asked {
    fn of(query: &str) -> Self {
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Whether a switch is on: there, and not `false` or `0`.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.is_some_and(|(_, value)| !matches!(value.as_str(), "false" | "0"))
    }

    /// A list, which PHP's clients write as `name[]` or `name[0]`.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let is_item = |known: &str| {
            known.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || (rest.starts_with('[') && rest.ends_with(']'))
            })
        };
        let found = self.0.iter().filter(|(known, _)| is_item(known));
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_| Failure::invalid(name, "give a whole number"))
    }

    /// A moment; days are those of UTC.
    pub(super) fn moment(&self, name: &'static str) -> Result<Option<UnixMillis>, Failure> {
        self.get(name)
            .map(|text| read_moment(name, text))
            .transpose()
    }

    /// Tags, of which each has to be one.
    pub(super) fn tags(&self, name: &str) -> Result<Vec<Tag>, Failure> {
        let tags = self.list(name).into_iter().map(Tag::parse);
        tags.collect::<Result<_, _>>()
            .map_err(|error| Failure::invalid(name, error.to_string()))
    }

    /// The domain that the parameter `domain` names; that of the caller, or none, if it is absent.
    pub(super) fn domain(
        &self,
        state: &AdminState,
        caller: &Caller,
    ) -> Result<Option<Domain>, Failure> {
        match self.get("domain") {
            None => Ok(caller.own_domain().cloned()),
            Some(name) => domain(state, caller, name).map(Some),
        }
    }

    /// The name of the domain that `domain` names, for those who look a link up by it.
    pub(super) fn domain_name(&self, state: &AdminState) -> Option<String> {
        let name = self.get("domain")?;
        Some(match name {
            DEFAULT => state
                .service
                .parts()
                .domains
                .host_of(&Domain::default_domain()),
            name => name.to_owned(),
        })
    }
}

/// A domain by its name, if the caller may touch it.
pub(super) fn domain(state: &AdminState, caller: &Caller, name: &str) -> Result<Domain, Failure> {
    let domains = &state.service.parts().domains;
    let named = (name != DEFAULT).then_some(name);
    let domain = domains
        .named(named)
        .map_err(|_| Failure::no_such_domain(name))?;
    caller.enter(&domain)?;
    Ok(domain)
}

/// Reads a moment of a parameter or field.
pub(super) fn read_moment(name: &'static str, text: &str) -> Result<UnixMillis, Failure> {
    moment(name, text, &TimeZone::UTC).map_err(|error| Failure::invalid(name, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_php_reads_them() {
        let asked =
            Asked::of("tags[]=a&tags%5B1%5D=b&tags=c&tagsMode=all&a=1&a=2&on=true&off=false");
        assert_eq!(asked.list("tags"), ["a", "b", "c"]);
        assert_eq!(asked.get("a"), Some("2"));
        assert!(asked.is_on("on") && !asked.is_on("off") && !asked.is_on("none"));
    }
}
