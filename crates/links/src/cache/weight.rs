//! What a link takes in memory where it is kept as it is.

use std::mem::size_of;

use crate::{Code, Condition, Link, Rule, Tag};

/// The counts that come before what an `Arc` holds.
const ARC: usize = 16;

/// Bytes of a link, all its texts included.
pub(super) fn of(link: &Link) -> usize {
    let spec = &link.spec;
    let tags: usize = spec.tags.iter().map(|tag| text(tag.as_str())).sum();
    let rules: usize = spec.rules.iter().map(rule_bytes).sum();
    block(ARC + size_of::<Link>())
        // Every link that is read gets a name of its own.
        + text(link.key.domain.as_str())
        + code(&link.key.code)
        + text(spec.target.as_str())
        + text(&link.created_by)
        + spec.title.as_deref().map_or(0, text)
        + spec.password.as_ref().map_or(0, |hash| text(hash.as_phc()))
        + block(spec.tags.capacity() * size_of::<Tag>())
        + tags
        + block(spec.rules.capacity() * size_of::<Rule>())
        + rules
}

fn rule_bytes(rule: &Rule) -> usize {
    let texts: usize = rule.conditions.iter().map(condition_bytes).sum();
    text(&rule.target) + block(rule.conditions.capacity() * size_of::<Condition>()) + texts
}

fn condition_bytes(condition: &Condition) -> usize {
    match condition {
        Condition::Language { is } => text(is),
        Condition::Query { name, value } => text(name) + value.as_deref().map_or(0, text),
        Condition::Device { .. }
        | Condition::Os { .. }
        | Condition::Date { .. }
        | Condition::Percent { .. } => 0,
    }
}

/// Short codes are held inline; the others are shared by those who know them.
fn code(code: &Code) -> usize {
    match code.as_str().len() {
        0..=23 => 0,
        bytes => block(ARC + bytes),
    }
}

fn text(text: &str) -> usize {
    block(text.len())
}

/// What an allocator takes for so many bytes: steps of 16, and a header or its like.
fn block(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    (bytes + 8).next_multiple_of(16)
}
