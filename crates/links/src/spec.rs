//! Drafts become specs here, and nowhere else: every field is checked and all that is wrong is
//! told at once.

use tollgate_clock::UnixMillis;

use crate::{FieldError, LinkDraft, LinkPatch, LinkSpec, PasswordHasher, TargetRules};

/// The bounds a link's fields have to keep.
#[derive(Debug, Clone)]
pub struct SpecRules {
    /// What targets are allowed.
    pub targets: TargetRules,
    /// How passwords are hashed.
    pub passwords: PasswordHasher,
}

impl SpecRules {
    /// Checks a draft's fields but `code`, `domain` and `strategy`. Hashing a password takes tens
    /// of milliseconds of CPU: call it where that may block.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn spec(&self, draft: &LinkDraft, now: UnixMillis) -> Result<LinkSpec, Vec<FieldError>> {
        todo!()
    }

    /// Applies a patch to a spec.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn patched(
        &self,
        spec: &LinkSpec,
        patch: &LinkPatch,
        now: UnixMillis,
    ) -> Result<LinkSpec, Vec<FieldError>> {
        todo!()
    }
}
