//! What a key allows.

use std::fmt;
use std::str::FromStr;

/// One thing a key may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Scope {
    /// See links and their history.
    LinksRead = 0,
    /// Make, edit and delete links.
    LinksWrite = 1,
    /// See clicks and what is counted of them.
    StatsRead = 2,
    /// Ask for decisions of the limiter.
    LimitsCheck = 3,
    /// Everything, keys included.
    Admin = 4,
    /// Read the audit log.
    AuditRead = 5,
}

/// A text that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no scope: use links:read, links:write, stats:read, limits:check, audit:read or admin"
)]
pub struct ScopeError(String);

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] = [
        Self::LinksRead,
        Self::LinksWrite,
        Self::StatsRead,
        Self::LimitsCheck,
        Self::AuditRead,
        Self::Admin,
    ];

    /// The name used in the API, on the command line and in stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinksRead => "links:read",
            Self::LinksWrite => "links:write",
            Self::StatsRead => "stats:read",
            Self::LimitsCheck => "limits:check",
            Self::AuditRead => "audit:read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| ScopeError(text.chars().take(64).collect()))
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything.
    #[must_use]
    pub fn admin() -> Self {
        [Scope::Admin].into_iter().collect()
    }

    /// Whether `scope` is allowed: by its own name, or because [`Scope::Admin`] allows everything.
    #[must_use]
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (bit(scope) | bit(Scope::Admin)) != 0
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes by name, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.0 & bit(*scope) != 0)
    }
}

const fn bit(scope: Scope) -> u8 {
    1 << scope as u8
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | bit(scope)))
    }
}

/// Scopes with one space between, as in OAuth.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

/// Reads scopes with spaces or commas between.
impl FromStr for Scopes {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split([' ', ','])
            .filter(|name| !name.is_empty())
            .map(Scope::from_str)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_reads_back_as_it_was_written() {
        for set in 0..1_u8 << Scope::ALL.len() {
            let scopes: Scopes = Scope::ALL
                .into_iter()
                .filter(|scope| set & bit(*scope) != 0)
                .collect();
            assert_eq!(scopes.to_string().parse::<Scopes>().unwrap(), scopes);
            assert_eq!(scopes.iter().count() as u32, set.count_ones());
        }
        assert!("links:read,links:wipe".parse::<Scopes>().is_err());
    }

    #[test]
    fn admin_allows_everything_and_others_only_themselves() {
        for scope in Scope::ALL {
            assert!(Scopes::admin().allow(scope));
            let alone: Scopes = [scope].into_iter().collect();
            for other in Scope::ALL {
                assert_eq!(alone.allow(other), scope == other || scope == Scope::Admin);
            }
            assert!(!Scopes::default().allow(scope));
        }
    }
}
