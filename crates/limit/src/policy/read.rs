use super::{PolicyError, PolicySet};

pub(super) fn policies(_name: &str, _yaml: &str) -> Result<PolicySet, PolicyError> {
    Ok(PolicySet::default())
}
