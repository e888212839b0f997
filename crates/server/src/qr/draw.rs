//! Drawing a QR code, as an SVG, a PNG or on a terminal.

use std::fmt::Write as _;

use png::{BitDepth, ColorType, Compression, Encoder as PngEncoder, Filter};
use qrcode_generator::EncodeError;
use qrcode_generator::qr::{Encoder, ErrorCorrection};

use super::{Color, Logo, QrError, QrFormat, QrStyle};

impl QrStyle<'_> {
    /// Draws `text`.
    ///
    /// # Errors
    /// [`QrError::TooLong`], and [`QrError::TooSmall`] for a PNG.
    pub fn draw(&self, text: &str) -> Result<Vec<u8>, QrError> {
        let mut grid = Grid::of(text, self.level)?;
        let logo = self.logo.map(|logo| (logo, grid.clear_middle()));
        match self.format {
            QrFormat::Svg => Ok(self.svg(&grid, logo).into_bytes()),
            QrFormat::Png => self.png(&grid, logo),
        }
    }

    fn svg(&self, grid: &Grid, logo: Option<(&Logo, Clearing)>) -> String {
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
        svg.push_str("\"/>");
        if let Some((logo, clearing)) = logo {
            // Half a module is left free on each side; the logo is centred and keeps its proportions.
            let (at, side) = (self.margin + clearing.begin, clearing.side - 1);
            let uri = logo.data_uri();
            let _ = write!(
                svg,
                "<image x=\"{at}.5\" y=\"{at}.5\" width=\"{side}\" height=\"{side}\" href=\"{uri}\"/>"
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn png(&self, grid: &Grid, logo: Option<(&Logo, Clearing)>) -> Result<Vec<u8>, QrError> {
        let side = grid.side + 2 * self.margin;
        let scale = self.size / side;
        if scale == 0 {
            return Err(QrError::TooSmall(side));
        }
        // What is left over is added to the margin.
        let before = (self.size - scale * grid.side) / 2;
        let place = Place { scale, before };
        Ok(match logo {
            None => self.png_of_modules(grid, place),
            Some((logo, clearing)) => self.png_with(grid, place, logo, clearing),
        })
    }

    /// Two colours need a bit for each pixel.
    fn png_of_modules(&self, grid: &Grid, place: Place) -> Vec<u8> {
        let blank = vec![0; self.size.div_ceil(8) as usize];
        let rows = grid.rows().map(|row| {
            let mut bits = blank.clone();
            for x in 0..self.size {
                if place.module(grid, x).is_some_and(|at| row[at]) {
                    bits[x as usize / 8] |= 128 >> (x % 8);
                }
            }
            bits
        });
        let data = self.repeat(&blank, &rows.collect::<Vec<_>>(), grid, place);
        png_of((self.size, self.size), &data, |png| {
            png.set_color(ColorType::Indexed);
            png.set_depth(BitDepth::One);
            png.set_palette([self.background.0, self.color.0].concat());
        })
    }

    fn png_with(&self, grid: &Grid, place: Place, logo: &Logo, clearing: Clearing) -> Vec<u8> {
        let Color(background) = self.background;
        let color = |dark| if dark { self.color.0 } else { background };
        let blank = background.repeat(self.size as usize);
        let rows = grid.rows().map(|row| {
            let dark = |x| place.module(grid, x).is_some_and(|at| row[at]);
            (0..self.size).flat_map(|x| color(dark(x))).collect()
        });
        let mut data = self.repeat(&blank, &rows.collect::<Vec<Vec<u8>>>(), grid, place);

        // As in an SVG, to the pixel.
        let free = place.scale.div_ceil(2);
        let side = clearing.side * place.scale - 2 * free;
        let begin = place.before + clearing.begin * place.scale + free;
        let picture = logo.fitted(side);
        let left = begin + (side - picture.width) / 2;
        let top = begin + (side - picture.height) / 2;
        for y in 0..picture.height {
            for x in 0..picture.width {
                let at = 3 * ((top + y) as usize * self.size as usize + (left + x) as usize);
                data[at..][..3].copy_from_slice(&picture.over(background, x, y));
            }
        }
        png_of((self.size, self.size), &data, |png| {
            png.set_color(ColorType::Rgb)
        })
    }

    /// All rows of pixels, from one for each row of modules.
    fn repeat(&self, blank: &[u8], rows: &[Vec<u8>], grid: &Grid, place: Place) -> Vec<u8> {
        let rows = (0..self.size).map(|y| place.module(grid, y).map_or(blank, |at| &rows[at]));
        rows.collect::<Vec<_>>().concat()
    }
}

/// Where the modules are in a PNG.
#[derive(Clone, Copy)]
struct Place {
    /// Pixels of a module's side.
    scale: u32,
    /// Pixels before the first one.
    before: u32,
}

impl Place {
    /// The column or row of modules that a pixel is in.
    fn module(self, grid: &Grid, pixel: u32) -> Option<usize> {
        let at = pixel.checked_sub(self.before)? / self.scale;
        (at < grid.side).then_some(at as usize)
    }
}

/// Packs pixels; `colors` says what they are.
pub(super) fn png_of(
    (width, height): (u32, u32),
    data: &[u8],
    colors: impl FnOnce(&mut PngEncoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png, width, height);
    encoder.set_compression(Compression::Fast);
    // Most rows are as the one above.
    encoder.set_filter(Filter::Up);
    colors(&mut encoder);
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(data));
    // Memory takes everything, and the data are as long as the header says.
    debug_assert!(written.is_ok(), "{written:?}");
    png
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

    /// Makes room for a logo, which takes up to a fifth of the width: a twentieth of the modules is lost,
    /// where level `h` can mend more than a quarter.
    fn clear_middle(&mut self) -> Clearing {
        // A module more, for what is left free beside the logo. Sides are odd, and so has this to be in
        // order to be in the middle.
        let side = (self.side / 5) | 1;
        let begin = (self.side - side) / 2;
        let cleared = begin as usize..(begin + side) as usize;
        let rows = self.modules.chunks_mut(self.side as usize);
        for row in rows.skip(begin as usize).take(side as usize) {
            row[cleared.clone()].fill(false);
        }
        Clearing { begin, side }
    }
}

/// The square of light modules in which a logo is.
#[derive(Clone, Copy)]
struct Clearing {
    /// The first module, across and down.
    begin: u32,
    /// Modules of a side.
    side: u32,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::MAX_SIZE;
    use super::super::logo::tests::{checkered, of_data_uri, plain};
    use super::*;

    /// What a reader sees in pixels of which it is told how light they are.
    fn read(side: usize, light: impl FnMut(usize, usize) -> u8) -> String {
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, light);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    const fn black_if(dark: bool) -> u8 {
        if dark { 0 } else { 255 }
    }

    fn luma(color: [u8; 3]) -> u8 {
        u8::try_from(Color(color).luma()).unwrap()
    }

    /// The side of a PNG, and how light each pixel is.
    fn pixels_of(png: &[u8]) -> (usize, Vec<u8>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.height, info.color_type), (info.width, ColorType::Rgb));
        let colors = pixels.chunks_exact(3);
        let lumas = colors.map(|color| luma([color[0], color[1], color[2]]));
        (info.width as usize, lumas.collect())
    }

    fn read_png(png: &[u8]) -> String {
        let (side, lumas) = pixels_of(png);
        read(side, |x, y| lumas[y * side + x])
    }

    fn between(text: &str, from: &str, to: &str) -> String {
        let rest = text.split_once(from).unwrap().1;
        rest.split_once(to).unwrap().0.to_owned()
    }

    /// Fills the rectangles of the path as a browser would, four pixels a module, and then shows the logo.
    fn read_svg(svg: &str) -> String {
        const SCALE: usize = 4;
        let modules: usize = between(svg, "viewBox=\"0 0 ", " ").parse().unwrap();
        let path = svg.rsplit_once(" d=\"").unwrap().1;
        let side = SCALE * modules;
        let mut lumas = vec![255; side * side];
        for run in path.split_once('"').unwrap().0.split_terminator('z') {
            let x: usize = between(run, "M", " ").parse().unwrap();
            let y: usize = between(run, " ", "h").parse().unwrap();
            let length: usize = between(run, "h", "v").parse().unwrap();
            assert!(run.ends_with(&format!("v1h-{length}")), "{run}");
            for y in SCALE * y..SCALE * (y + 1) {
                lumas[y * side + SCALE * x..][..SCALE * length].fill(0);
            }
        }
        if svg.contains("<image") {
            let number = |name: &str| {
                let number: f64 = between(svg, &format!("{name}=\""), "\"").parse().unwrap();
                number * SCALE as f64
            };
            let image = svg.split_once("<image").unwrap().1;
            let begin = number("<image x") as usize;
            assert_eq!(between(image, "x=\"", "\""), between(image, "y=\"", "\""));
            let square: usize = between(image, "width=\"", "\"").parse().unwrap();
            let square = SCALE * square;
            assert_eq!(2 * begin + square, side, "in the middle");
            let ((width, height), colors) = of_data_uri(&between(image, "href=\"", "\""));
            let (width, height) = (width as usize, height as usize);
            let longest = width.max(height);
            let (wide, high) = (width * square / longest, height * square / longest);
            let (left, top) = (begin + (square - wide) / 2, begin + (square - high) / 2);
            for y in 0..high {
                for x in 0..wide {
                    let color = colors[y * height / high * width + x * width / wide];
                    lumas[(top + y) * side + left + x] = luma(color);
                }
            }
        }
        read(side, |x, y| lumas[y * side + x])
    }

    /// What hides the most: all dark, all light, noise, and nothing at all; and other proportions.
    fn logos() -> Vec<Logo> {
        vec![
            plain(64, 64, [0, 0, 0, 255]),
            plain(200, 200, [255; 4]),
            checkered(7, 7),
            plain(2, 2, [0; 4]),
            plain(90, 30, [200, 30, 30, 255]),
            plain(1, 1_000, [0, 0, 0, 255]),
        ]
    }

    /// One symbol of each size, as long as a URL can be made.
    #[test]
    fn a_logo_leaves_every_size_readable() {
        let mut sides = Vec::new();
        for length in (0..450).step_by(7) {
            let text = format!("https://a.b/{}", "x".repeat(length));
            let side = Grid::of(&text, ErrorCorrection::High).unwrap().side;
            if sides.contains(&side) {
                continue;
            }
            sides.push(side);
            // All of them on the sizes of most URLs; one after the other on larger ones, which take time.
            let logos = logos();
            let (begin, count) = match sides.len() {
                0..=4 => (0, logos.len()),
                later => (later, 1),
            };
            for logo in logos.iter().cycle().skip(begin).take(count) {
                let draw = |query: &str| {
                    let style = QrStyle::from_query(query, Some(logo)).unwrap();
                    style.draw(&text).unwrap()
                };
                let svg = draw("logo=true");
                assert_eq!(
                    read_svg(std::str::from_utf8(&svg).unwrap()),
                    text,
                    "{logo:?}"
                );
                let png = draw(&format!("logo=true&format=png&size={}", 4 * (side + 8)));
                assert_eq!(read_png(&png), text, "{logo:?}");
            }
        }
        assert_eq!(sides[..3], [25, 29, 33]);
        assert!(sides.len() > 18, "{sides:?}");
    }

    /// More than the logo hides can be dirty.
    #[test]
    fn a_logo_leaves_room_for_dirt() {
        let logo = plain(64, 64, [0, 0, 0, 255]);
        let query = "logo=true&format=png&size=1000";
        let style = QrStyle::from_query(query, Some(&logo)).unwrap();
        for path in ["a", "spring", "a-rather-long-alias-of-some-campaign-2026"] {
            let text = format!("https://go.example.com/{path}");
            let (side, mut lumas) = pixels_of(&style.draw(&text).unwrap());
            let fifth = side / 5;
            for y in 3 * fifth..4 * fifth - fifth / 3 {
                lumas[y * side + 2 * fifth..][..fifth].fill(0);
            }
            assert_eq!(read(side, |x, y| lumas[y * side + x]), text);
        }
    }

    #[test]
    fn a_logo_covers_a_fifth_at_most() {
        for version in 1..=40 {
            let side = 17 + 4 * version;
            let mut grid = Grid {
                side,
                modules: vec![true; (side * side) as usize],
            };
            let clearing = grid.clear_middle();
            assert_eq!(2 * clearing.begin + clearing.side, side);
            assert!(5 * (clearing.side - 1) <= side, "{side}");
            assert!(8 * (clearing.side - 1) > side, "{side}");
            let light = grid.modules.iter().filter(|dark| !**dark).count();
            assert_eq!(light, clearing.side.pow(2) as usize);
        }
    }

    #[test]
    fn a_logo_that_is_seen_through_shows_the_background() {
        let logo = plain(9, 9, [0, 0, 0, 0]);
        let query = "format=png&size=400&logo=true&background=ffe";
        let style = QrStyle::from_query(query, Some(&logo)).unwrap();
        let (side, lumas) = pixels_of(&style.draw("https://go.example.com/a").unwrap());
        let middle = lumas[side / 2 * side + side / 2];
        assert_eq!(middle, luma([255, 255, 238]));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let png = |query: &str, text: &str| QrStyle::from_query(query, None).unwrap().draw(text);
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
        let seen = read(8 * side, |x, y| black_if(is_dark(x / 8, y / 8)));
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
            logo in prop::option::of(prop::sample::select(logos())),
        ) {
            let text = format!("https://go.example/{path}");
            let look = match logo {
                Some(_) => "logo=true".to_owned(),
                None => format!("level={level}"),
            };
            let query = format!("{look}&margin={margin}&size={size}{colors}");
            let draw = |format: &str| {
                let style = QrStyle::from_query(&format!("{query}&format={format}"), logo.as_ref()).unwrap();
                style.draw(&text).unwrap()
            };
            prop_assert_eq!(read_svg(std::str::from_utf8(&draw("svg")).unwrap()), text.as_str());
            prop_assert_eq!(read_png(&draw("png")), text);
        }
    }
}
