//! What people with a certain claim may do.

use std::str::FromStr;

use serde_json::Value;
use tollgate_access::Scopes;

use crate::claims::{Claims, EMAIL};

/// Scopes for everybody of whom the provider claims something: `groups=ops -> admin`,
/// `email=*@example.com -> links:read links:write`.
///
/// The claim may be a path such as `realm_access.roles`. If it is a list, one of its values is enough. A value that
/// begins with `*` stands for all that end with the rest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    claim: String,
    wanted: Wanted,
    scopes: Scopes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Exactly(String),
    EndsWith(String),
}

/// A text that is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no grant, {reason}: write claim=value -> scopes, such as groups=ops -> admin")]
pub struct GrantError {
    text: String,
    reason: String,
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason: &str| GrantError {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (who, scopes) = text
            .rsplit_once("->")
            .ok_or_else(|| error("it has no ->"))?;
        let (claim, value) = who.split_once('=').ok_or_else(|| error("it has no ="))?;
        let (claim, value) = (claim.trim(), value.trim());
        if claim.is_empty() || value.is_empty() {
            return Err(error("it names no claim or no value"));
        }
        let scopes: Scopes = scopes
            .trim()
            .parse()
            .map_err(|found: tollgate_access::ScopeError| error(&found.to_string()))?;
        if scopes.is_empty() {
            return Err(error("it grants nothing"));
        }
        let value = lower_if(claim == EMAIL, value);
        Ok(Self {
            claim: claim.to_owned(),
            wanted: match value.strip_prefix('*') {
                Some(end) => Wanted::EndsWith(end.to_owned()),
                None => Wanted::Exactly(value),
            },
            scopes,
        })
    }
}

impl Grant {
    /// What it grants to somebody; nothing if it is not for them.
    pub(crate) fn scopes(&self, claims: &Claims) -> Scopes {
        // An address that nobody has checked could be anybody's.
        let believed = self.claim != EMAIL || claims.email_is_verified();
        if believed && claims.of(&self.claim).is_some_and(|value| self.fits(value)) {
            self.scopes
        } else {
            Scopes::default()
        }
    }

    fn fits(&self, value: &Value) -> bool {
        match value {
            Value::Array(values) => values.iter().any(|value| self.fits(value)),
            Value::String(text) => self.fits_text(text),
            Value::Bool(_) | Value::Number(_) => self.fits_text(&value.to_string()),
            Value::Null | Value::Object(_) => false,
        }
    }

    fn fits_text(&self, text: &str) -> bool {
        let text = lower_if(self.claim == EMAIL, text);
        match &self.wanted {
            Wanted::Exactly(wanted) => *wanted == text,
            Wanted::EndsWith(end) => text.ends_with(end),
        }
    }
}

/// With all providers in use an address is the same in capital letters.
fn lower_if(email: bool, text: &str) -> String {
    if email {
        text.to_lowercase()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn granted(grant: &str, claims: Value) -> String {
        let grant: Grant = grant.parse().unwrap();
        grant.scopes(&Claims::from_json(claims)).to_string()
    }

    #[test]
    fn claims_are_compared_as_texts_lists_and_paths() {
        let ops = "groups=ops -> admin";
        assert_eq!(granted(ops, json!({"groups": ["dev", "ops"]})), "admin");
        assert_eq!(granted(ops, json!({"groups": "ops"})), "admin");
        assert_eq!(granted(ops, json!({"groups": ["dev-ops", "OPS"]})), "");
        assert_eq!(granted(ops, json!({"groups": {"ops": true}})), "");
        assert_eq!(granted(ops, json!({})), "");
        let role = "realm_access.roles = writer -> links:write";
        let claims = json!({"realm_access": {"roles": ["writer"]}});
        assert_eq!(granted(role, claims), "links:write");
        let claims = json!({"realm_access.roles": ["writer"]});
        assert_eq!(granted(role, claims), "links:write", "a name with a dot");
        assert_eq!(
            granted("staff=true -> stats:read", json!({"staff": true})),
            "stats:read"
        );
        assert_eq!(
            granted("sub=* -> stats:read", json!({"sub": "x"})),
            "stats:read"
        );
    }

    #[test]
    fn only_addresses_that_were_checked_count() {
        let all = "email=*@Example.com -> links:read, links:write";
        let of = |email: &str, verified: Value| {
            granted(all, json!({"email": email, "email_verified": verified}))
        };
        assert_eq!(
            of("Anna@EXAMPLE.com", json!(true)),
            "links:read links:write"
        );
        assert_eq!(
            of("anna@example.com", json!("true")),
            "links:read links:write"
        );
        assert_eq!(of("anna@example.com", json!(false)), "");
        assert_eq!(of("anna@example.com", Value::Null), "");
        assert_eq!(of("anna@example.com.evil.example", json!(true)), "");
        assert_eq!(of("anna@notexample.com", json!(true)), "");
    }

    #[test]
    fn what_is_no_grant_is_told() {
        for (text, reason) in [
            ("groups=ops", "it has no ->"),
            ("ops -> admin", "it has no ="),
            ("=ops -> admin", "names no claim"),
            ("groups= -> admin", "no value"),
            ("groups=ops -> ", "grants nothing"),
            ("groups=ops -> wipe", "wipe"),
        ] {
            let error = text.parse::<Grant>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
