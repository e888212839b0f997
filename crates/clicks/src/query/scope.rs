use smol_str::SmolStr;

/// The name of a link, as clicks know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkName {
    /// As in [`Click::domain`](crate::Click).
    pub domain: SmolStr,
    /// As in [`Click::code`](crate::Click).
    pub code: SmolStr,
}

/// Which clicks are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Visits of one link.
    Link(LinkName),
    /// Visits of these links together, for example of all with a tag. At most [`Scope::MAX_LINKS`].
    Links(Vec<LinkName>),
    /// Visits of all links of a domain, those that are gone included. Empty is the default domain.
    Domain(SmolStr),
    /// All visits, those of links that are gone included.
    Everything,
    /// Visits of codes that do not exist; by [`Dimension::Link`](crate::Dimension) they tell which.
    Orphans,
}

impl Scope {
    /// The most links in one query.
    pub const MAX_LINKS: usize = 10_000;
}
