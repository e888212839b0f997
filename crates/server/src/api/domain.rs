//! Domains as fields of requests.

use tollgate_links::Domain;

use crate::admin::AdminState;
use crate::problem::{Kind, Problem};

/// The domain that the field `domain` of a body names, if it is there.
pub(super) fn domain_of(name: Option<&str>, state: &AdminState) -> Result<Option<Domain>, Problem> {
    let domain = name.map(|name| state.service.parts().domains.named(Some(name)));
    domain
        .transpose()
        .map_err(|error| Problem::wrong(Kind::InvalidFields, "domain", error.to_string()))
}
