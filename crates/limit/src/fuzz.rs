//! What has to hold for any text of policies.

pub use crate::policy::fuzz::policy_yaml;
