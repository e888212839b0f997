//! What a provider says of somebody.

use openidconnect::AdditionalClaims;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tollgate_access::{MAX_NAME_CHARS, Scopes};

use crate::Grant;

/// The claim with the address; it counts only if `email_verified` is true.
pub(crate) const EMAIL: &str = "email";

/// Somebody whom a provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who it is, for ever: the issuer and its name for them, which it gives to nobody else.
    pub subject: String,
    /// For people: an address, or what comes closest.
    pub name: String,
    /// What they may do; nothing if no grant is for them.
    pub scopes: Scopes,
}

/// All claims, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Claims(Map<String, Value>);

/// Those that the library has no field for.
impl AdditionalClaims for Claims {}

impl Claims {
    /// Of an object; none if it is something else.
    pub(crate) fn from_json(value: Value) -> Self {
        match value {
            Value::Object(claims) => Self(claims),
            _ => Self::default(),
        }
    }

    /// Takes over what is not here yet.
    pub(crate) fn complete(&mut self, others: Self) {
        for (name, value) in others.0 {
            self.0.entry(name).or_insert(value);
        }
    }

    /// A claim by its name, or by the path to it.
    pub(crate) fn of(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let mut steps = path.split('.');
        let first = self.0.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    }

    pub(crate) fn email_is_verified(&self) -> bool {
        match self.of("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            // As some providers have it.
            Some(Value::String(verified)) => verified == "true",
            _ => false,
        }
    }

    /// The person, and what `grants` allow them.
    pub(crate) fn person(&self, issuer: &str, subject: &str, grants: &[Grant]) -> Person {
        let scopes = grants.iter().flat_map(|grant| {
            let scopes = grant.scopes(self);
            scopes.iter().collect::<Vec<_>>()
        });
        let email = self.email_is_verified().then_some(EMAIL);
        let names = email.into_iter().chain(["preferred_username", "name"]);
        let mut names = names.filter_map(|name| self.of(name)?.as_str());
        let name = names.find_map(for_people);
        Person {
            subject: format!("{issuer} {subject}"),
            name: name.or_else(|| for_people(subject)).unwrap_or_default(),
            scopes: scopes.collect(),
        }
    }
}

/// A text as names of keys are; none if nothing is left of it.
fn for_people(text: &str) -> Option<String> {
    let visible = text.trim().chars().filter(|letter| !letter.is_control());
    let name: String = visible.take(MAX_NAME_CHARS).collect();
    (!name.trim().is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_is_named_as_well_as_it_goes_and_granted_all_that_fits() {
        let grants = [
            "groups=ops -> links:write",
            "email=*@example.com -> links:read",
            "groups=dev -> admin",
        ]
        .map(|grant| grant.parse().unwrap());
        let of =
            |claims: Value| Claims::from_json(claims).person("https://id.example", "7", &grants);
        let anna = of(json!({
            "email": "anna@example.com", "email_verified": true, "name": "Anna", "groups": ["ops"],
        }));
        assert_eq!(anna.subject, "https://id.example 7");
        assert_eq!(anna.name, "anna@example.com");
        assert_eq!(anna.scopes.to_string(), "links:read links:write");
        let bert = of(json!({"email": "x@example.com", "name": " Be\nrt "}));
        assert_eq!((&*bert.name, bert.scopes.is_empty()), ("Bert", true));
        assert_eq!(of(json!({"name": "\t"})).name, "7");
        assert_eq!(
            of(json!({"name": "a".repeat(200)})).name.len(),
            MAX_NAME_CHARS
        );
    }

    #[test]
    fn what_one_answer_lacks_the_other_completes() {
        let mut claims = Claims::from_json(json!({"email": "a@b.c"}));
        claims.complete(Claims::from_json(json!({"email": "x@y.z", "name": "A"})));
        assert_eq!(
            claims,
            Claims::from_json(json!({"email": "a@b.c", "name": "A"}))
        );
    }
}
