//! What clicks are counted by.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

/// The most bytes of a value; a longer one is cut.
pub const MAX_VALUE_BYTES: usize = 128;

macro_rules! dimensions {
    ($($(#[doc = $doc:literal])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// Something that clicks differ by.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Dimension {
            $($(#[doc = $doc])* $variant = $number,)*
        }

        impl Dimension {
            /// All of them.
            pub const ALL: [Self; dimensions!(@count $($variant)*)] = [$(Self::$variant),*];

            /// Its name, in queries and answers.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The dimension that is stored by this number.
            pub(crate) const fn of_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
    (@count $($variant:ident)*) => { [$(dimensions!(@one $variant)),*].len() };
    (@one $variant:ident) => { () };
}

// The numbers are stored: never use one again.
dimensions! {
    /// The host of the page that the visitor came from, without `www.`.
    Referrer = 0, "referrer";
    /// The kind of that page: `direct`, `search`, `social`, `mail`, `campaign` or `referral`.
    Channel = 1, "channel";
    /// Two letters of ISO 3166, such as `DE`.
    Country = 2, "country";
    /// The city by its English name, with its country: `Paris, FR`.
    City = 3, "city";
    /// The family of the browser, such as `Firefox`.
    Browser = 4, "browser";
    /// The family of the operating system, such as `Android`.
    Os = 5, "os";
    /// `desktop`, `mobile`, `tablet`, `tv`, `console`, `watch` or `bot`.
    Device = 6, "device";
    /// The language that the visitor likes best, such as `de`.
    Language = 7, "language";
    /// `utm_source`.
    UtmSource = 8, "utm_source";
    /// `utm_medium`.
    UtmMedium = 9, "utm_medium";
    /// `utm_campaign`.
    UtmCampaign = 10, "utm_campaign";
    /// `utm_term`.
    UtmTerm = 11, "utm_term";
    /// `utm_content`.
    UtmContent = 12, "utm_content";
    /// Whether it was a program: `true` or `false`.
    Bot = 13, "bot";
    /// The link: domain, slash, code; on the default domain, the code alone.
    Link = 14, "link";
    /// The domain of the link; none is the default one.
    Domain = 15, "domain";
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no dimension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no dimension {0:?}; there are {list}", list = names())]
pub struct UnknownDimension(String);

fn names() -> String {
    Dimension::ALL.map(Dimension::name).join(", ")
}

impl FromStr for Dimension {
    type Err = UnknownDimension;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|dimension| dimension.name() == text)
            .ok_or_else(|| UnknownDimension(text.chars().take(64).collect()))
    }
}

/// What a click has in a dimension.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// This.
    Is(SmolStr),
    /// Nothing, or nothing that is known.
    None,
    /// One of those that came when there were too many to count each.
    Other,
}

const NONE: &str = "(none)";
const OTHER: &str = "(other)";

impl Value {
    /// Reads what [`Value`] writes.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text {
            NONE => Self::None,
            OTHER => Self::Other,
            text => Self::Is(text.into()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Is(text) => text,
            Self::None => NONE,
            Self::Other => OTHER,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for dimension in Dimension::ALL {
            assert_eq!(dimension.name().parse(), Ok(dimension));
            assert_eq!(Dimension::of_number(dimension as u8), Some(dimension));
        }
        let error = "colour".parse::<Dimension>().unwrap_err().to_string();
        assert!(
            error.contains("\"colour\"") && error.contains("utm_source"),
            "{error}"
        );
        assert_eq!(Dimension::of_number(200), None);
    }

    #[test]
    fn values_lead_back() {
        for value in [Value::None, Value::Other, Value::Is("x".into())] {
            assert_eq!(Value::of(&value.to_string()), value);
        }
    }
}
