//! What is known of every key.

use crate::load::Config;
use crate::value::Kind;

/// Begins the name of every environment variable of ours.
pub const ENV_PREFIX: &str = "TOLLGATE_";

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its table, such as `links` or `links.memory_cache`.
    pub section: &'static str,
    /// Its name inside the table.
    pub name: &'static str,
    /// Its default, in TOML.
    pub default: &'static str,
    /// What values it takes.
    pub expects: &'static str,
    /// What it does, one line a paragraph line.
    pub doc: &'static [&'static str],
    pub(crate) kind: Kind,
}

impl Key {
    /// The whole key, such as `links.store`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable, such as `TOLLGATE_LINKS__STORE`.
    #[must_use]
    pub fn env(&self) -> String {
        format!(
            "{ENV_PREFIX}{}",
            self.path().replace('.', "__").to_uppercase()
        )
    }
}

/// Every key, section by section.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    Config::SECTIONS.iter().flat_map(|section| section.keys)
}

/// One table of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static [&'static str],
    pub(crate) keys: &'static [Key],
}
