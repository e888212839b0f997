//! QR codes of short URLs: what they are to look like, and drawing them.

use std::fmt::Write as _;

use png::{BitDepth, ColorType, Compression, Encoder as PngEncoder};
use qrcode_generator::EncodeError;
use qrcode_generator::qr::{Encoder, ErrorCorrection};

/// The longest side in pixels: a PNG of it is drawn within a millisecond, on a thread of the edge.
const MAX_SIZE: u32 = 1024;
const MAX_MARGIN: u32 = 32;

/// The kind of image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QrFormat {
    /// Drawn at any size.
    Svg,
    /// Pixels, of two colours.
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
pub struct QrStyle {
    format: QrFormat,
    /// Pixels of a side, margin included.
    size: u32,
    /// Modules on each side.
    margin: u32,
    level: ErrorCorrection,
    color: Color,
    background: Color,
}

impl Default for QrStyle {
    /// An SVG, black on white, of 300 pixels, with the margin that the standard wants.
    fn default() -> Self {
        Self {
            format: QrFormat::Svg,
            size: 300,
            margin: 4,
            level: ErrorCorrection::Medium,
            color: Color([0, 0, 0]),
            background: Color([255, 255, 255]),
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
    /// Both colours are about equally light.
    #[error("nobody could read it: color has to be much darker than background")]
    Contrast,
    /// The modules would be smaller than pixels.
    #[error("size is wrong: give at least {0} pixels for this link")]
    TooSmall(u32),
    /// No QR code is large enough for the URL.
    #[error("the short URL is too long for a QR code of this level: try level=l")]
    TooLong,
}

impl QrStyle {
    /// From the query of a request: `format` (`svg` or `png`), `size` in pixels, `margin` in modules,
    /// `level` of error correction (`l`, `m`, `q` or `h`), `color` and `background` in hexadecimal.
    ///
    /// # Errors
    /// [`QrError::Parameter`], [`QrError::Value`] and [`QrError::Contrast`].
    pub fn from_query(query: &str) -> Result<Self, QrError> {
        let mut style = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&name) {
                return Err(QrError::Parameter(short(&name)));
            }
            style.set(&name, &value)?;
            seen.push(name);
        }
        // Half of the range: scanners tell less apart, but not on a wall in the rain.
        if style.color.luma() + 128 > style.background.luma() {
            return Err(QrError::Contrast);
        }
        Ok(style)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), QrError> {
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
            other => return Err(QrError::Parameter(short(other))),
        }
        Ok(())
    }

    /// The kind of image that [`draw`](Self::draw) makes.
    #[must_use]
    pub const fn format(&self) -> QrFormat {
        self.format
    }

    /// Draws `text`.
    ///
    /// # Errors
    /// [`QrError::TooLong`], and [`QrError::TooSmall`] for a PNG.
    pub fn draw(&self, text: &str) -> Result<Vec<u8>, QrError> {
        let grid = Grid::of(text, self.level)?;
        match self.format {
            QrFormat::Svg => Ok(self.svg(&grid).into_bytes()),
            QrFormat::Png => self.png(&grid),
        }
    }

    fn svg(&self, grid: &Grid) -> String {
        let (side, size) = (grid.side + 2 * self.margin, self.size);
        let hex = |Color([r, g, b])| format!("#{r:02x}{g:02x}{b:02x}");
        let (color, background) = (hex(self.color), hex(self.background));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{size}\" height=\"{size}\" \
             viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
             <path fill=\"{background}\" d=\"M0 0h{side}v{side}H0z\"/><path fill=\"{color}\" d=\""
        );
        for (y, row) in grid.rows().enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|one, next| one == next) {
                if run.first() == Some(&true) {
                    let (left, top) = (x + self.margin as usize, y + self.margin as usize);
                    // Writing to a String does not fail.
                    let _ = write!(svg, "M{left} {top}h{0}v1h-{0}z", run.len());
                }
                x += run.len();
            }
        }
        svg.push_str("\"/></svg>\n");
        svg
    }

    fn png(&self, grid: &Grid) -> Result<Vec<u8>, QrError> {
        let side = grid.side + 2 * self.margin;
        let pixels = self.size / side;
        if pixels == 0 {
            return Err(QrError::TooSmall(side));
        }
        // What is left over is added to the margin.
        let before = (self.size - pixels * grid.side) / 2;
        let module = |pixel: u32| {
            let at = pixel.checked_sub(before)? / pixels;
            (at < grid.side).then_some(at as usize)
        };
        let blank = vec![0; self.size.div_ceil(8) as usize];
        let rows = grid.rows().map(|row| {
            let mut bits = blank.clone();
            for x in 0..self.size {
                if module(x).is_some_and(|at| row[at]) {
                    bits[x as usize / 8] |= 128 >> (x % 8);
                }
            }
            bits
        });
        let rows: Vec<Vec<u8>> = rows.collect();
        let data = (0..self.size).flat_map(|y| module(y).map_or(&blank, |at| &rows[at]));
        let data: Vec<u8> = data.copied().collect();

        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png, self.size, self.size);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(BitDepth::One);
        encoder.set_palette([self.background.0, self.color.0].concat());
        encoder.set_compression(Compression::Fast);
        let written = encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&data));
        // Memory takes everything, and the data are as long as the header says.
        debug_assert!(written.is_ok(), "{written:?}");
        Ok(png)
    }
}

/// Draws `text` with characters, two rows of modules in a line, dark on a light terminal and light on
/// a dark one: scanners read both.
///
/// # Errors
/// [`QrError::TooLong`].
pub fn draw_for_terminal(text: &str) -> Result<String, QrError> {
    let grid = Grid::of(text, ErrorCorrection::Low)?;
    let margin = 2;
    let side = grid.side as usize + 2 * margin;
    let is_dark = |x: usize, y: usize| {
        let (x, y) = (x.checked_sub(margin)?, y.checked_sub(margin)?);
        grid.rows().nth(y)?.get(x).copied()
    };
    let mut lines = String::new();
    for y in (0..side).step_by(2) {
        for x in 0..side {
            let dark = [y, y + 1].map(|y| is_dark(x, y).unwrap_or(false));
            lines.push(match dark {
                [false, false] => '█',
                [false, true] => '▀',
                [true, false] => '▄',
                [true, true] => ' ',
            });
        }
        lines.push('\n');
    }
    Ok(lines)
}

/// The modules; true ones are dark.
struct Grid {
    side: u32,
    modules: Vec<bool>,
}

impl Grid {
    fn of(text: &str, level: ErrorCorrection) -> Result<Self, QrError> {
        let symbol = Encoder::new(level).encode_text(text);
        // All text can be encoded: only its length can be wrong.
        let symbol = symbol.map_err(|_: EncodeError| QrError::TooLong)?;
        Ok(Self {
            // At most 177.
            side: symbol.size() as u32,
            modules: symbol.modules().to_vec(),
        })
    }

    fn rows(&self) -> std::slice::Chunks<'_, bool> {
        self.modules.chunks(self.side as usize)
    }
}

fn short(name: &str) -> String {
    name.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a reader sees in pixels that are true where they are dark.
    fn read(side: usize, is_dark: impl Fn(usize, usize) -> bool) -> String {
        let light = |x, y| if is_dark(x, y) { 0 } else { 255 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, light);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    fn read_png(png: &[u8]) -> String {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let side = info.width as usize;
        assert_eq!((info.height, info.color_type), (info.width, ColorType::Rgb));
        let luma = |x, y| {
            let at = 3 * (y * side + x);
            Color([pixels[at], pixels[at + 1], pixels[at + 2]]).luma()
        };
        let (least, most) = (0..side * side).fold((255, 0), |(least, most), at| {
            let luma = luma(at % side, at / side);
            (luma.min(least), luma.max(most))
        });
        read(side, |x, y| luma(x, y) < u32::midpoint(least, most))
    }

    /// Fills the rectangles of the path as a browser would.
    fn read_svg(svg: &str) -> String {
        let between = |text: &str, from: &str, to: &str| {
            let rest = text.split_once(from).unwrap().1;
            rest.split_once(to).unwrap().0.to_owned()
        };
        let side: usize = between(svg, "viewBox=\"0 0 ", " ").parse().unwrap();
        let path = svg.rsplit_once("d=\"").unwrap().1;
        let mut dark = vec![false; side * side];
        for run in path.split_once('"').unwrap().0.split_terminator('z') {
            let x: usize = between(run, "M", " ").parse().unwrap();
            let y: usize = between(run, " ", "h").parse().unwrap();
            let length: usize = between(run, "h", "v").parse().unwrap();
            assert!(run.ends_with(&format!("v1h-{length}")), "{run}");
            dark[y * side + x..][..length].fill(true);
        }
        read(4 * side, |x, y| dark[y / 4 * side + x / 4])
    }

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
            ("nonsense=1", "\"nonsense\""),
        ] {
            let error = QrStyle::from_query(query).unwrap_err().to_string();
            assert!(error.contains(told), "{query}: {error}");
        }
        assert_eq!(QrStyle::from_query("").unwrap(), QrStyle::default());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let png = |query: &str, text: &str| QrStyle::from_query(query).unwrap().draw(text);
        assert_eq!(
            png("format=png&size=28", "https://go.example/a"),
            Err(QrError::TooSmall(33))
        );
        let long = "a".repeat(2_500);
        assert_eq!(png("", &long), Err(QrError::TooLong));
        assert!(png("level=l", &long).is_ok());
    }

    #[test]
    fn a_terminal_shows_it_in_half_as_many_lines() {
        let text = draw_for_terminal("https://go.example/a").unwrap();
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        let side = lines[0].len();
        assert_eq!(lines.len(), side.div_ceil(2));
        let is_dark = |x: usize, y: usize| match (lines[y / 2][x], y % 2) {
            (' ', _) | ('▀', 1) | ('▄', 0) => true,
            (other, _) => {
                assert!(['█', '▀', '▄'].contains(&other));
                false
            }
        };
        let seen = read(8 * side, |x, y| is_dark(x / 8, y / 8));
        assert_eq!(seen, "https://go.example/a");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn another_reader_reads_it(
            path in "[a-zA-Z0-9/_.-]{0,80}",
            level in prop::sample::select(vec!["l", "m", "q", "h"]),
            margin in 2_u32..10,
            size in 200_u32..=MAX_SIZE,
            colors in prop::sample::select(vec!["", "&color=0b57d0&background=ffe"]),
        ) {
            let text = format!("https://go.example/{path}");
            let query = format!("level={level}&margin={margin}&size={size}{colors}");
            let draw = |format: &str| {
                let style = QrStyle::from_query(&format!("{query}&format={format}")).unwrap();
                style.draw(&text).unwrap()
            };
            prop_assert_eq!(read_svg(std::str::from_utf8(&draw("svg")).unwrap()), text.as_str());
            prop_assert_eq!(read_png(&draw("png")), text);
        }

        #[test]
        fn any_query_is_read_or_refused(query in ".{0,60}") {
            let _ = QrStyle::from_query(&query);
        }
    }
}
