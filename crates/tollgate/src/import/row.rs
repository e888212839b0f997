//! A link as a source has it, on its way to the server.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use tollgate_links::LinkDraft;

/// Where a row stands in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The line of a file that it begins on, from 1.
    Line(u64),
    /// A link of another server, by its short URL.
    Link(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Link(short_url) => f.write_str(short_url),
        }
    }
}

/// Why a row cannot become a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    /// The field that is wrong, if it is one.
    pub(super) field: Option<Cow<'static, str>>,
    /// What is wrong with it.
    pub(super) reason: String,
}

impl Fault {
    /// Of the row as a whole.
    pub(super) fn whole(reason: impl Into<String>) -> Self {
        Self {
            field: None,
            reason: reason.into(),
        }
    }

    /// Of a field.
    pub(super) fn of(field: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// Something of a row that its link cannot take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// What the source calls it.
    pub(super) field: String,
    /// What it was, where that matters for this one link and not only how often it happens.
    pub(super) told: Option<String>,
}

/// The clicks that a source has counted of a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Clicks {
    /// It tells none, or they come later.
    #[default]
    None,
    /// So many, and nothing else is known.
    Total(u64),
    /// The server that is imported from lists them, so many, under the link's name there.
    Listed {
        /// The code.
        code: String,
        /// The domain, if it is not the default one.
        domain: Option<String>,
        /// So many.
        total: u64,
    },
}

/// A row of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Where it stands.
    pub(super) place: Place,
    /// The link it asks for, or what is wrong with it.
    pub(super) draft: Result<LinkDraft, Fault>,
    /// What its link cannot take over.
    pub(super) left_out: Vec<LeftOut>,
    /// The clicks of its link.
    pub(super) clicks: Clicks,
    /// The name of the link at the source, where its clicks follow under that.
    pub(super) name: Option<String>,
}

impl Row {
    /// A row that cannot be read.
    pub(super) fn bad(place: Place, fault: Fault) -> Self {
        Self::of(place, Err(fault))
    }

    /// A row that is its draft alone.
    pub(super) fn of(place: Place, draft: Result<LinkDraft, Fault>) -> Self {
        Self {
            place,
            draft,
            left_out: Vec::new(),
            clicks: Clicks::None,
            name: None,
        }
    }
}
