use std::collections::HashMap;
use std::sync::Arc;

use super::key::KeyText;
use super::read;
use super::tree::Level;
use super::{Allowance, Ceiling, Descriptor, PolicyError, Rule};
use crate::store::LimitKey;
use crate::{FixedWindow, Limiter};

/// Everything that a policy file says. Without any domain by default.
#[derive(Debug, Default)]
pub struct PolicySet {
    pub(super) domains: HashMap<Box<str>, Domain>,
    pub(super) rules: Vec<Arc<Rule>>,
}

/// The rules of one domain.
#[derive(Debug)]
pub(super) struct Domain {
    pub(super) level: Level,
    /// What limits that requests bring are counted and shown as.
    pub(super) brought: Arc<Rule>,
}

/// What a descriptor has to pass.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// No domain of this name.
    UnknownDomain,
    /// No rule for this descriptor.
    Unmatched,
    /// A rule without a limit.
    Unlimited {
        /// The rule.
        rule: Arc<Rule>,
    },
    /// A rule that lets nothing through: `requests_per_unit: 0`.
    Blocked {
        /// The rule.
        rule: Arc<Rule>,
    },
    /// A rule with a limit.
    Limited {
        /// The rule.
        rule: Arc<Rule>,
        /// Whose counter.
        key: LimitKey,
        /// What decides.
        limiter: Limiter,
    },
}

impl PolicySet {
    /// Reads a policy file: one domain a YAML document. `name` is what errors call the file.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn parse(name: &str, yaml: &str) -> Result<Self, PolicyError> {
        Self::layered(&[(name, yaml)])
    }

    /// Reads several policy files, each a name and its text. A domain of a later one takes the place
    /// of the domain of the same name in earlier ones.
    ///
    /// # Errors
    /// The first thing that is wrong, and where; the last file is read first.
    pub fn layered(files: &[(&str, &str)]) -> Result<Self, PolicyError> {
        read::policies(files)
    }

    /// The names of the domains, in alphabetical order.
    #[must_use]
    pub fn domains(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.domains.keys().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names
    }

    /// Every rule, in the order of the file. Each domain ends with one, of the path `^request`, for
    /// the limits that requests bring.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rule for a descriptor, and the counter.
    ///
    /// On each level, a descriptor of this key and value is taken, or else the first wildcard of
    /// this key that fits, or else the key without a value. There is no going back: if nothing fits
    /// below, there is no rule. The rule has to stand on the level of the last entry.
    #[must_use]
    pub fn resolve(&self, domain: &str, descriptor: &Descriptor) -> Resolved {
        let Some(known) = self.domains.get(domain) else {
            return Resolved::UnknownDomain;
        };
        let key = KeyText::new(domain);
        match descriptor.limit {
            Some(limit) => known.brought(key, descriptor, limit),
            None => known.configured(key, descriptor),
        }
    }

    /// Whether a descriptor of these keys and values, without a limit of its own, has a rule: as
    /// [`resolve`](Self::resolve) says, without an allocation.
    #[must_use]
    pub fn has_rule<'a>(
        &self,
        domain: &str,
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> bool {
        let Some(known) = self.domains.get(domain) else {
            return false;
        };
        let mut level = &known.level;
        let mut found = false;
        for (key, value) in entries {
            let Some(node) = level.find(key, value) else {
                return false;
            };
            level = &node.below;
            found = node.rule.is_some();
        }
        found
    }
}

impl Domain {
    fn configured(&self, mut key: KeyText, descriptor: &Descriptor) -> Resolved {
        let mut level = &self.level;
        let mut found = None;
        for entry in &descriptor.entries {
            let Some(node) = level.find(&entry.key, &entry.value) else {
                return Resolved::Unmatched;
            };
            match &node.shared {
                Some(pattern) => key.push_shared(&entry.key, pattern),
                None => key.push(&entry.key, &entry.value),
            }
            level = &node.below;
            found = node.rule.as_ref();
        }
        match found {
            Some(rule) => resolved(Arc::clone(rule), key.finish()),
            None => Resolved::Unmatched,
        }
    }

    fn brought(&self, mut key: KeyText, descriptor: &Descriptor, limit: Allowance) -> Resolved {
        for entry in &descriptor.entries {
            key.push(&entry.key, &entry.value);
        }
        let ceiling = match limit {
            Allowance::Nothing(window) => Ceiling::Blocked { window },
            Allowance::Quota(quota) => Ceiling::Limited {
                quota,
                limiter: Limiter::FixedWindow(FixedWindow::new(quota)),
            },
        };
        let rule = Rule {
            ceiling,
            ..(*self.brought).clone()
        };
        resolved(Arc::new(rule), key.finish_brought(limit.window()))
    }
}

fn resolved(rule: Arc<Rule>, key: LimitKey) -> Resolved {
    match rule.ceiling {
        Ceiling::Unlimited => Resolved::Unlimited { rule },
        Ceiling::Blocked { .. } => Resolved::Blocked { rule },
        Ceiling::Limited { limiter, .. } => Resolved::Limited { rule, key, limiter },
    }
}
