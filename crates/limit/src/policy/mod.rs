//! Policies: which limit a request has to pass, as a file says it.
//!
//! The format is that of the reference rate limit service of Envoy, which loads unchanged, with keys
//! of our own beside it; `docs/policies.md` describes it. A [`PolicySet`] is parsed once and never
//! changes; to reload is to parse another one.

mod descriptor;
mod error;
mod fields;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod key;
mod rate;
mod read;
mod rule;
mod set;
mod shadow;
mod tree;
mod yaml;

pub use descriptor::{Allowance, Descriptor, Entry};
pub use error::PolicyError;
pub use rule::{Ceiling, OnExceed, OnStoreFailure, Precision, Rule};
pub use set::{PolicySet, Resolved};
pub use shadow::with_shadow;
