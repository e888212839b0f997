//! QR codes of short URLs: what they are to look like, and drawing them.

mod draw;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod logo;

use qrcode_generator::qr::ErrorCorrection;

pub use draw::draw_for_terminal;
pub use logo::{Logo, LogoError};

/// The longest side in pixels: a PNG of it is drawn within two milliseconds, on a thread of the edge.
const MAX_SIZE: u32 = 1024;
const MAX_MARGIN: u32 = 32;

/// The kind of image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QrFormat {
    /// Drawn at any size.
    Svg,
    /// Pixels.
    Png,
}

impl QrFormat {
    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
        }
    }

    /// What names of its files end with.
    pub(crate) const fn ending(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }
}

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Color([u8; 3]);

impl Color {
    /// Three or six hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let digits = text
            .chars()
            .map(|digit| Some(digit.to_digit(16)? as u8))
            .collect::<Option<Vec<u8>>>()?;
        match digits[..] {
            [r, g, b] => Some(Self([r * 17, g * 17, b * 17])),
            [r, rr, g, gg, b, bb] => Some(Self([r * 16 + rr, g * 16 + gg, b * 16 + bb])),
            _ => None,
        }
    }

    /// How light it looks, from 0 to 255: ITU-R BT.601.
    fn luma(self) -> u32 {
        let Self([r, g, b]) = self;
        (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)) / 1_000
    }
}

/// What a QR code looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QrStyle<'a> {
    format: QrFormat,
    /// Pixels of a side, margin included.
    size: u32,
    /// Modules on each side.
    margin: u32,
    level: ErrorCorrection,
    color: Color,
    background: Color,
    /// What is in the middle. The level is the highest then.
    logo: Option<&'a Logo>,
}

impl Default for QrStyle<'_> {
    /// An SVG, black on white, of 300 pixels, with the margin that the standard wants.
    fn default() -> Self {
        Self {
            format: QrFormat::Svg,
            size: 300,
            margin: 4,
            level: ErrorCorrection::Medium,
            color: Color([0, 0, 0]),
            background: Color([255, 255, 255]),
            logo: None,
        }
    }
}

/// Why a QR code cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QrError {
    /// There is no such parameter, or it was given twice.
    #[error("{0:?} is no parameter of a QR code, or was given twice")]
    Parameter(String),
    /// A parameter has a value that it cannot have.
    #[error("{parameter} is wrong: {allowed}")]
    Value {
        /// Its name.
        parameter: &'static str,
        /// What it can be.
        allowed: &'static str,
    },
    /// A logo is wanted, and there is none.
    #[error("this server has no logo: leave logo out, or have edge.qr_logo set")]
    NoLogo,
    /// Both colours are about equally light.
    #[error("nobody could read it: color has to be much darker than background")]
    Contrast,
    /// The modules would be smaller than pixels.
    #[error("size is wrong: give at least {0} pixels for this link")]
    TooSmall(u32),
    /// No QR code is large enough for the URL.
    #[error("the short URL is too long for a QR code of this level: try level=l without a logo")]
    TooLong,
}

impl<'a> QrStyle<'a> {
    /// From the query of a request: `format` (`svg` or `png`), `size` in pixels, `margin` in modules,
    /// `level` of error correction (`l`, `m`, `q` or `h`), `color` and `background` in hexadecimal,
    /// and `logo` (`true` or `false`): whether `logo` is to be in the middle. With it the level is `h`.
    ///
    /// # Errors
    /// [`QrError::Parameter`], [`QrError::Value`], [`QrError::NoLogo`] and [`QrError::Contrast`].
    pub fn from_query(query: &str, logo: Option<&'a Logo>) -> Result<Self, QrError> {
        let mut style = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&name) {
                return Err(QrError::Parameter(short(&name)));
            }
            style.set(&name, &value, logo)?;
            seen.push(name);
        }
        if style.logo.is_some() {
            let chosen = seen.iter().any(|name| name == "level");
            if chosen && style.level != ErrorCorrection::High {
                return Err(QrError::Value {
                    parameter: "level",
                    allowed: "with a logo, which hides modules, use h or leave it out",
                });
            }
            style.level = ErrorCorrection::High;
        }
        // Half of the range: scanners tell less apart, but not on a wall in the rain.
        if style.color.luma() + 128 > style.background.luma() {
            return Err(QrError::Contrast);
        }
        Ok(style)
    }

    fn set(&mut self, name: &str, value: &str, logo: Option<&'a Logo>) -> Result<(), QrError> {
        let wrong = |parameter, allowed| QrError::Value { parameter, allowed };
        let up_to = |most: u32| value.parse().ok().filter(|number| *number <= most);
        let color = |name| {
            let color = Color::parse(value);
            color.ok_or(wrong(
                name,
                "use 3 or 6 hexadecimal digits, such as 0b57d0, without #",
            ))
        };
        match name {
            "format" => {
                self.format = match value {
                    "svg" => QrFormat::Svg,
                    "png" => QrFormat::Png,
                    _ => return Err(wrong("format", "use svg or png")),
                };
            }
            "size" => {
                let size = up_to(MAX_SIZE).filter(|size| *size > 0);
                self.size = size.ok_or(wrong("size", "give pixels from 1 to 1024"))?;
            }
            "margin" => {
                let margin = up_to(MAX_MARGIN);
                self.margin = margin.ok_or(wrong("margin", "give modules from 0 to 32"))?;
            }
            "level" => {
                self.level = match value {
                    "l" => ErrorCorrection::Low,
                    "m" => ErrorCorrection::Medium,
                    "q" => ErrorCorrection::Quartile,
                    "h" => ErrorCorrection::High,
                    _ => return Err(wrong("level", "use l, m, q or h")),
                };
            }
            "color" => self.color = color("color")?,
            "background" => self.background = color("background")?,
            "logo" => {
                self.logo = match value {
                    "true" => Some(logo.ok_or(QrError::NoLogo)?),
                    "false" => None,
                    _ => return Err(wrong("logo", "use true or false")),
                };
            }
            other => return Err(QrError::Parameter(short(other))),
        }
        Ok(())
    }

    /// The kind of image that [`draw`](Self::draw) makes.
    #[must_use]
    pub const fn format(&self) -> QrFormat {
        self.format
    }

    /// The `Content-Security-Policy` of the image, should it be opened by itself: an SVG is a document, and
    /// has its logo within.
    pub(crate) const fn policy(&self) -> &'static str {
        match (self.format, self.logo) {
            (QrFormat::Svg, Some(_)) => {
                "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
            }
            _ => "default-src 'none'; base-uri 'none'; form-action 'none'",
        }
    }
}

fn short(name: &str) -> String {
    name.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_wrong_is_told() {
        for (query, told) in [
            ("format=gif", "format is wrong: use svg or png"),
            ("size=0", "size is wrong"),
            ("size=1025", "size is wrong"),
            ("margin=33", "margin is wrong"),
            ("margin=-1", "margin is wrong"),
            ("level=x", "level is wrong"),
            ("color=%2300f", "color is wrong"),
            ("background=12345", "background is wrong"),
            ("color=ffffff&background=000000", "darker"),
            ("color=888", "darker"),
            ("size=300&size=300", "given twice"),
            ("logo=yes", "use true or false"),
            ("logo=true", "this server has no logo"),
            ("nonsense=1", "\"nonsense\""),
        ] {
            let error = QrStyle::from_query(query, None).unwrap_err().to_string();
            assert!(error.contains(told), "{query}: {error}");
        }
        assert_eq!(QrStyle::from_query("", None).unwrap(), QrStyle::default());
    }

    #[test]
    fn a_logo_wants_the_highest_level() {
        let logo = logo::tests::checkered(3, 3);
        let style = |query| QrStyle::from_query(query, Some(&logo));
        assert_eq!(style("").unwrap(), QrStyle::default());
        assert_eq!(style("logo=false&level=l").unwrap().logo, None);
        assert_eq!(style("logo=true"), style("level=h&logo=true"));
        assert_eq!(style("logo=true").unwrap().logo, Some(&logo));
        for query in ["logo=true&level=q", "level=m&logo=true"] {
            let told = style(query).unwrap_err().to_string();
            assert!(told.contains("with a logo"), "{query}: {told}");
        }
    }

    #[test]
    fn an_image_within_an_image_is_let_through_where_there_is_one() {
        let logo = logo::tests::checkered(3, 3);
        for (query, shown) in [
            ("logo=true", true),
            ("", false),
            ("logo=true&format=png", false),
        ] {
            let style = QrStyle::from_query(query, Some(&logo)).unwrap();
            assert_eq!(style.policy().contains("img-src data:"), shown, "{query}");
            assert!(style.policy().starts_with("default-src 'none';"));
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in ".{0,60}") {
            let _ = QrStyle::from_query(&query, None);
        }
    }
}
