//! From the text of a file to a set of policies.

use std::collections::HashMap;
use std::sync::Arc;

use super::fields::{Fields, Place};
use super::key::path;
use super::rate::{self, Rate};
use super::rule::BROUGHT;
use super::set::Domain;
use super::tree::{Level, Node, Pattern};
use super::yaml::{self, Value};
use super::{Ceiling, OnExceed, PolicyError, PolicySet, Precision, Rule};

const DOMAIN_KEYS: [&str; 3] = ["domain", "descriptors", "metadata"];
/// What can be said of one value apart from the others.
const OVERRIDE_KEYS: [&str; 7] = [
    "value",
    "rate_limit",
    "shadow_mode",
    "quota_mode",
    "detailed_metric",
    "value_to_metric",
    "metadata",
];
const DESCRIPTOR_KEYS: [&str; 11] = [
    "key",
    "value",
    "rate_limit",
    "shadow_mode",
    "quota_mode",
    "detailed_metric",
    "value_to_metric",
    "share_threshold",
    "metadata",
    "descriptors",
    "overrides",
];

/// Where keys belong that stand where they mean nothing.
const INSIDE: (&[&str], &str) = (&rate::KEYS, "inside of rate_limit");
const BESIDE: (&[&str], &str) = (&DESCRIPTOR_KEYS, "beside rate_limit, not inside");
const LEVEL: (&[&str], &str) = (&DESCRIPTOR_KEYS, "to the items of descriptors");

pub(super) fn policies(layers: &[(&str, &str)]) -> Result<PolicySet, PolicyError> {
    let mut reader = Reader::default();
    // The last one first: what is there already is not replaced.
    for (name, text) in layers.iter().rev() {
        reader.lines.clear();
        reader.file(name, text)?;
    }
    Ok(reader.set)
}

impl Reader {
    fn file(&mut self, name: &str, text: &str) -> Result<(), PolicyError> {
        let file: Arc<str> = name.into();
        let place = |at| Place::new(&file, at, String::new());
        let documents =
            yaml::documents(text).map_err(|error| place(error.at).error(error.reason))?;
        if documents.is_empty() {
            // Perhaps it is about to be written; that is no reason to drop every limit.
            let start = yaml::At { line: 1, column: 1 };
            return Err(place(start).error("the file is empty: give a domain and its descriptors"));
        }
        for document in documents {
            self.domain(&document, &place(document.at))?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Reader {
    set: PolicySet,
    lines: HashMap<Arc<str>, usize>,
}

/// Flags beside `rate_limit`.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    shadow: Option<bool>,
    quota_mode: Option<bool>,
    detailed_metric: Option<bool>,
}

impl Flags {
    fn read(fields: &Fields) -> Result<Self, PolicyError> {
        // Metrics are by rule; which values to name in them is not kept, but has to be right.
        fields.truth("value_to_metric")?;
        Ok(Self {
            shadow: fields.truth("shadow_mode")?,
            quota_mode: fields.truth("quota_mode")?,
            detailed_metric: fields.truth("detailed_metric")?,
        })
    }

    fn or(self, base: Self) -> Self {
        Self {
            shadow: self.shadow.or(base.shadow),
            quota_mode: self.quota_mode.or(base.quota_mode),
            detailed_metric: self.detailed_metric.or(base.detailed_metric),
        }
    }
}

/// A descriptor while it is read.
struct Draft<'a> {
    key: &'a str,
    rate: Option<Rate>,
    flags: Flags,
    share: bool,
    below: Arc<Level>,
}

/// One level while it is read.
struct Floor<'a> {
    domain: &'a Arc<str>,
    /// The path of the descriptor that it belongs to.
    path: &'a str,
    level: Level,
    lines: HashMap<(Arc<str>, Option<Arc<str>>), usize>,
}

impl Reader {
    fn domain(&mut self, document: &Value, place: &Place) -> Result<(), PolicyError> {
        let fields = Fields::of(document, place.clone(), &DOMAIN_KEYS, &[LEVEL])?;
        let Some(name) = fields.text("domain")? else {
            return Err(fields
                .place
                .missing("domain", "give the name of the domain"));
        };
        if let Some(line) = self.lines.insert(Arc::clone(&name.is), name.place.line()) {
            let reason = format!("the domain {:?} is there already, on line {line}", name.is);
            return Err(name.place.error(reason));
        }
        if self.set.domains.contains_key(&*name.is) {
            // A later layer is in its place. It has to be right all the same.
            return Self::default().domain(document, place);
        }
        let level = self.level(&name.is, "", &fields)?;
        let brought = self.keep(Rule {
            name: "request".into(),
            domain: Arc::clone(&name.is),
            path: BROUGHT.into(),
            ceiling: Ceiling::Unlimited,
            shadow: false,
            quota_mode: false,
            on_exceed: OnExceed::Reject,
            max_delay: None,
            on_store_failure: None,
            precision: Precision::Exact,
            global_budget: None,
            cost: 1,
            replaces: Vec::new(),
            detailed_metric: false,
            named: false,
            index: 0,
        });
        let domain = Domain { level, brought };
        self.set.domains.insert((*name.is).into(), domain);
        Ok(())
    }

    /// The descriptors that stand below a domain or a descriptor.
    fn level(
        &mut self,
        domain: &Arc<str>,
        path: &str,
        fields: &Fields,
    ) -> Result<Level, PolicyError> {
        let mut floor = Floor {
            domain,
            path,
            level: Level::default(),
            lines: HashMap::new(),
        };
        for (item, place) in fields.items("descriptors")? {
            let fields = Fields::of(item, place, &DESCRIPTOR_KEYS, &[INSIDE])?;
            self.descriptor(&mut floor, &fields)?;
        }
        Ok(floor.level)
    }

    fn descriptor(&mut self, floor: &mut Floor<'_>, fields: &Fields) -> Result<(), PolicyError> {
        let Some(key) = fields.text("key")? else {
            return Err(fields
                .place
                .missing("key", "give the key of the descriptor"));
        };
        let value = fields.text("value")?;
        let share = fields.truth("share_threshold")?.unwrap_or_default();
        let several = match &value {
            Some(value) => Pattern::is_one(&value.is),
            None => true,
        };
        if share && !several {
            let reason = "share_threshold is for many values: give a wildcard, or no value";
            return Err(fields.place.error(reason));
        }
        let value = value.map(|value| value.is);
        floor.claim(&key.is, value.as_ref(), &fields.place)?;
        let own = path(floor.path, &key.is, value.as_deref());
        let rate = rate(fields)?;
        let flags = Flags::read(fields)?;
        // The rule takes its number before those below it, as in the file.
        let rule = match &rate {
            Some(rate) => Some(self.rule(floor.domain, &own, rate, flags)?),
            None => None,
        };
        let draft = Draft {
            key: &key.is,
            rate,
            flags,
            share,
            below: Arc::new(self.level(floor.domain, &own, fields)?),
        };
        for (item, place) in fields.items("overrides")? {
            if !several {
                let reason = "overrides are for many values: give a wildcard, or no value";
                return Err(place.error(reason));
            }
            let fields = Fields::of(item, place, &OVERRIDE_KEYS, &[INSIDE])?;
            self.overridden(floor, &draft, value.as_ref(), &fields)?;
        }
        let node = Node {
            rule,
            shared: share.then(|| value.clone().unwrap_or_default()),
            below: draft.below,
        };
        floor.level.insert(&key.is, value.as_deref(), node);
        Ok(())
    }

    /// One value of a descriptor that has other terms.
    fn overridden(
        &mut self,
        floor: &mut Floor<'_>,
        draft: &Draft<'_>,
        pattern: Option<&Arc<str>>,
        fields: &Fields,
    ) -> Result<(), PolicyError> {
        let Some(value) = fields.text("value")? else {
            let advice = "give the value that has other terms";
            return Err(fields.place.missing("value", advice));
        };
        if let Some(pattern) = pattern
            && !Pattern::new(pattern).fits(&value.is)
        {
            let reason = format!(
                "{:?} does not fit {pattern:?}, so it never counts",
                value.is
            );
            return Err(value.place.error(reason));
        }
        floor.claim(&draft.key.into(), Some(&value.is), &value.place)?;
        let rate = match (rate(fields)?, &draft.rate) {
            (Some(own), Some(base)) => own.or(base),
            (Some(own), None) => own,
            (None, Some(base)) => base.clone(),
            (None, None) => {
                let advice = "give the limit of this value";
                return Err(fields.place.missing("rate_limit", advice));
            }
        };
        let flags = Flags::read(fields)?.or(draft.flags);
        let own = path(floor.path, draft.key, Some(&value.is));
        let node = Node {
            rule: Some(self.rule(floor.domain, &own, &rate, flags)?),
            shared: (draft.share && Pattern::is_one(&value.is)).then(|| Arc::clone(&value.is)),
            below: Arc::clone(&draft.below),
        };
        floor.level.insert(draft.key, Some(&value.is), node);
        Ok(())
    }

    fn rule(
        &mut self,
        domain: &Arc<str>,
        path: &str,
        rate: &Rate,
        flags: Flags,
    ) -> Result<Arc<Rule>, PolicyError> {
        let terms = rate.terms()?;
        let path: Arc<str> = path.into();
        let given = rate.name.as_ref().map(|name| Arc::clone(&name.is));
        Ok(self.keep(Rule {
            named: given.is_some(),
            name: given.unwrap_or_else(|| Arc::clone(&path)),
            domain: Arc::clone(domain),
            path,
            ceiling: terms.ceiling,
            shadow: flags.shadow.unwrap_or_default(),
            quota_mode: flags.quota_mode.unwrap_or_default(),
            on_exceed: terms.on_exceed,
            max_delay: terms.max_delay,
            on_store_failure: rate.on_store_failure,
            precision: rate.precision.unwrap_or_default(),
            global_budget: terms.global_budget,
            cost: terms.cost,
            replaces: rate.replaces.clone().unwrap_or_default(),
            detailed_metric: flags.detailed_metric.unwrap_or_default(),
            index: 0,
        }))
    }

    /// Gives a rule its number.
    fn keep(&mut self, mut rule: Rule) -> Arc<Rule> {
        rule.index = self.set.rules.len();
        let rule = Arc::new(rule);
        self.set.rules.push(Arc::clone(&rule));
        rule
    }
}

impl Floor<'_> {
    /// A key and value stand on a level once.
    fn claim(
        &mut self,
        key: &Arc<str>,
        value: Option<&Arc<str>>,
        place: &Place,
    ) -> Result<(), PolicyError> {
        let both = (Arc::clone(key), value.map(Arc::clone));
        match self.lines.insert(both, place.line()) {
            None => Ok(()),
            Some(line) => Err(place.error(match value {
                Some(value) => format!("{key:?} with {value:?} is there already, on line {line}"),
                None => format!("{key:?} without a value is there already, on line {line}"),
            })),
        }
    }
}

fn rate(fields: &Fields) -> Result<Option<Rate>, PolicyError> {
    match fields.value("rate_limit") {
        Some((value, place)) => Rate::read(value, place, &[BESIDE]).map(Some),
        None => Ok(None),
    }
}
