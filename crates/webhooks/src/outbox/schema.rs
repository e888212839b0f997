//! The tables.

/// The name of these tables among the components that may share the file.
pub(super) const COMPONENT: &str = "webhooks";

/// Each step leads to the next version; a step that was released never changes.
pub(super) const STEPS: &[&str] = &[include_str!("steps/1.sql")];
