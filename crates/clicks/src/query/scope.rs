use smol_str::SmolStr;

use super::QueryError;

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

    /// Refuses more links than one query may have.
    ///
    /// # Errors
    /// [`QueryError::TooManyLinks`].
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        match self {
            Self::Links(links) if links.len() > Self::MAX_LINKS => Err(QueryError::TooManyLinks {
                most: Self::MAX_LINKS,
            }),
            _ => Ok(()),
        }
    }
}
