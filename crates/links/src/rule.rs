use serde::{Deserialize, Serialize};
use tollgate_clock::UnixMillis;

/// The most rules one link may have: they are tried in order on every redirect.
pub const MAX_RULES: usize = 64;
/// The most conditions one rule may have.
pub const MAX_CONDITIONS: usize = 16;
/// The longest name, value or language tag in a condition, in characters.
pub const MAX_CONDITION_CHARS: usize = 256;

/// Another target for the visitors that meet every condition. The first rule that fits wins; no
/// conditions fit everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// All must hold.
    #[serde(rename = "if")]
    pub conditions: Vec<Condition>,
    /// Where these visitors go, in the normal form of a target URL.
    #[serde(rename = "url")]
    pub target: String,
}

/// One condition of a [`Rule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// The visitor's kind of device.
    Device {
        /// Wanted device.
        is: Device,
    },
    /// The visitor's operating system.
    Os {
        /// Wanted system.
        is: Os,
    },
    /// The language the visitor prefers above all others is this one (RFC 4647 basic filtering:
    /// `pt` fits `pt-BR`). Visitors without a preference fit no language.
    Language {
        /// A BCP 47 range such as `pt` or `pt-BR`.
        is: String,
    },
    /// A parameter of the request's query.
    Query {
        /// The parameter's name.
        name: String,
        /// Its value; any value if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// Between two moments; either side may be open.
    Date {
        /// Not before this moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
        from: Option<UnixMillis>,
        /// Before this moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
        until: Option<UnixMillis>,
    },
    /// A share of the visitors, sticky: a visitor's hash decides, so the same visitor always gets
    /// the same answer. Shares of consecutive rules are taken from what the earlier ones left:
    /// 33 % and then 50 % send a third to the first rule, a third to the second, and leave a third
    /// to the link's own target.
    Percent {
        /// 1 to 100.
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
        share: u8,
    },
}

/// Kinds of device a rule can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// Phones.
    Mobile,
    /// Tablets.
    Tablet,
    /// Everything with a large screen and no better name.
    Desktop,
    /// Crawlers and scripts that say so.
    Bot,
}

/// Operating systems a rule can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Os {
    /// Android.
    Android,
    /// iOS and iPadOS.
    Ios,
    /// Windows.
    Windows,
    /// macOS.
    Macos,
    /// Desktop Linux.
    Linux,
    /// ChromeOS.
    Chromeos,
}
