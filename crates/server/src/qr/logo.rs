//! The logo in the middle of a QR code: a PNG that somebody has made, read within bounds and kept as plain pixels.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use png::{ColorType, Decoder, DecodingError, Limits, Transformations};

use super::draw::png_of;

const MAX_BYTES: u64 = 256 * 1024;
/// The most pixels of each side, told by the head of the file before anything is unpacked.
const MAX_SIDE: u32 = 1024;
/// What reading one may take at once: all its pixels, with room for its rows.
const MAX_MEMORY: usize = 16 * 1024 * 1024;
/// The longest side that is kept: a logo takes a fifth of a QR code, which has up to 1024 pixels, and an
/// SVG, which has all of it, stays small.
const KEPT_SIDE: u32 = 256;

/// A picture for the middle of QR codes.
#[derive(Clone, PartialEq, Eq)]
pub struct Logo {
    pixels: Pixels,
    /// The pixels as a PNG, as SVGs have it.
    data_uri: String,
}

/// Why a file is no logo.
#[derive(Debug, thiserror::Error)]
pub enum LogoError {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// The file is larger than anything that belongs into a QR code.
    #[error("it has more than {} KiB: give a smaller PNG", MAX_BYTES / 1024)]
    Bytes,
    /// The picture is.
    #[error("it has {width}x{height} pixels: give a PNG of at most {MAX_SIDE}x{MAX_SIDE}")]
    Pixels {
        /// Pixels of a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Something else, or damaged.
    #[error("it is no PNG that can be read")]
    NotPng(#[from] DecodingError),
}

impl Logo {
    /// Reads a PNG of up to 256 KiB and 1024x1024 pixels. Only its pixels are kept, of an animation the
    /// first picture; a larger one is scaled to 256 pixels.
    ///
    /// # Errors
    /// [`LogoError`].
    pub fn read(file: &Path) -> Result<Self, LogoError> {
        let mut bytes = Vec::new();
        // The length of what is no regular file is not known ahead.
        File::open(file)?
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)?;
        Self::parse(&bytes)
    }

    /// As [`read`](Self::read), from memory.
    ///
    /// # Errors
    /// [`LogoError`], but not [`LogoError::Read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, LogoError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(LogoError::Bytes);
        }
        let pixels = Pixels::parse(bytes)?;
        let longest = pixels.width.max(pixels.height);
        let pixels = match longest > KEPT_SIDE {
            true => pixels.scaled(fitting((pixels.width, pixels.height), KEPT_SIDE)),
            false => pixels,
        };
        let size = (pixels.width, pixels.height);
        let png = png_of(size, &pixels.rgba, |png| png.set_color(ColorType::Rgba));
        let data_uri = format!("data:image/png;base64,{}", STANDARD.encode(png));
        Ok(Self { pixels, data_uri })
    }

    /// A `data:` URI of it.
    pub(super) fn data_uri(&self) -> &str {
        &self.data_uri
    }

    /// As large as fits into a square of `side` pixels.
    pub(super) fn fitted(&self, side: u32) -> Pixels {
        let size = (self.pixels.width, self.pixels.height);
        self.pixels.scaled(fitting(size, side))
    }
}

impl fmt::Debug for Logo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pixels { width, height, .. } = self.pixels;
        write!(formatter, "Logo({width}x{height})")
    }
}

/// The largest size of these proportions in a square; no side is nothing.
fn fitting((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longest = width.max(height);
    let part = |length: u32| ((length * side + longest / 2) / longest).max(1);
    (part(width), part(height))
}

/// A picture in memory; no side is nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Red, green, blue and opacity of each, by row.
    rgba: Vec<u8>,
}

impl Pixels {
    fn parse(bytes: &[u8]) -> Result<Self, LogoError> {
        let limits = Limits { bytes: MAX_MEMORY };
        let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_transformations(
            Transformations::EXPAND | Transformations::STRIP_16 | Transformations::ALPHA,
        );
        let info = decoder.read_header_info()?;
        let (width, height) = (info.width, info.height);
        if width.max(height) > MAX_SIDE {
            return Err(LogoError::Pixels { width, height });
        }
        let mut reader = decoder.read_info()?;
        let size = reader.output_buffer_size();
        let mut data = vec![0; size.ok_or(DecodingError::LimitsExceeded)?];
        let frame = reader.next_frame(&mut data)?;
        data.truncate(frame.buffer_size());
        let rgba = match frame.color_type {
            ColorType::GrayscaleAlpha => data
                .chunks_exact(2)
                .flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]])
                .collect(),
            // The transformations make everything else this.
            _ => data,
        };
        Ok(Self {
            // The first picture of an animation can be smaller than the whole.
            width: frame.width,
            height: frame.height,
            rgba,
        })
    }

    /// At another size: each pixel is the mean of the area that it covers.
    fn scaled(&self, (width, height): (u32, u32)) -> Self {
        let columns: Vec<Vec<Share>> = shares(self.width, width).collect();
        let mut rgba = Vec::with_capacity(4 * width as usize * height as usize);
        for rows in shares(self.height, height) {
            for columns in &columns {
                let (mut color, mut opacity, mut area) = ([0; 3], 0, 0);
                for row in &rows {
                    for column in columns {
                        let [r, g, b, a] = self.at(column.of, row.of);
                        let part = row.part * column.part;
                        // What is not seen has no part in the colour.
                        for (sum, one) in color.iter_mut().zip([r, g, b]) {
                            *sum += part * u64::from(a) * u64::from(one);
                        }
                        opacity += part * u64::from(a);
                        area += part;
                    }
                }
                // Means of bytes are bytes.
                rgba.extend(
                    color.map(|sum| (sum + opacity / 2).checked_div(opacity).unwrap_or(0) as u8),
                );
                rgba.push(((opacity + area / 2) / area) as u8);
            }
        }
        Self {
            width,
            height,
            rgba,
        }
    }

    fn at(&self, x: u32, y: u32) -> [u8; 4] {
        let at = 4 * (y as usize * self.width as usize + x as usize);
        [0, 1, 2, 3].map(|channel| self.rgba[at + channel])
    }

    /// The colour of a pixel in front of a background.
    pub(super) fn over(&self, background: [u8; 3], x: u32, y: u32) -> [u8; 3] {
        let [r, g, b, a] = self.at(x, y).map(u32::from);
        let mix = |front: u32, behind: u8| {
            // A mean of two bytes is a byte.
            ((front * a + u32::from(behind) * (255 - a) + 127) / 255) as u8
        };
        let [behind_r, behind_g, behind_b] = background;
        [mix(r, behind_r), mix(g, behind_g), mix(b, behind_b)]
    }
}

/// How much of an old pixel is in a new one.
struct Share {
    of: u32,
    part: u64,
}

/// The old pixels that each of `to` new ones covers, when `from` old ones take the same length.
fn shares(from: u32, to: u32) -> impl Iterator<Item = Vec<Share>> {
    let (from, to) = (u64::from(from), u64::from(to));
    // In units of which an old pixel has `to`, and a new one `from`.
    (0..to).map(move |new| {
        let (begin, end) = (new * from, (new + 1) * from);
        (begin / to..end.div_ceil(to))
            .map(|old| Share {
                // Below `from`.
                of: old as u32,
                part: end.min((old + 1) * to) - begin.max(old * to),
            })
            .collect()
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    type Rgba = [u8; 4];

    fn png(size: (u32, u32), color: impl Fn(u32, u32) -> Rgba) -> Vec<u8> {
        let (width, height) = size;
        let at = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let data: Vec<u8> = at.flat_map(|(x, y)| color(x, y)).collect();
        png_of(size, &data, |png| png.set_color(ColorType::Rgba))
    }

    /// A logo of one colour.
    pub(in crate::qr) fn plain(width: u32, height: u32, color: Rgba) -> Logo {
        Logo::parse(&png((width, height), |_, _| color)).unwrap()
    }

    /// A logo that looks like modules.
    pub(in crate::qr) fn checkered(width: u32, height: u32) -> Logo {
        let color = |x, y| {
            if (x + y) % 2 == 0 {
                [0, 0, 0, 255]
            } else {
                [255; 4]
            }
        };
        Logo::parse(&png((width, height), color)).unwrap()
    }

    /// What an SVG has: its size, and the colour of each pixel on white.
    pub(in crate::qr) fn of_data_uri(uri: &str) -> ((u32, u32), Vec<[u8; 3]>) {
        let encoded = uri.strip_prefix("data:image/png;base64,").unwrap();
        let pixels = Pixels::parse(&STANDARD.decode(encoded).unwrap()).unwrap();
        let at = (0..pixels.height).flat_map(|y| (0..pixels.width).map(move |x| (x, y)));
        let colors = at.map(|(x, y)| pixels.over([255; 3], x, y)).collect();
        ((pixels.width, pixels.height), colors)
    }

    #[test]
    fn every_kind_of_png_is_read() {
        for (color, depth, palette, data, seen) in [
            (ColorType::Grayscale, 8, None, vec![7_u8], [7, 7, 7, 255]),
            (ColorType::Grayscale, 1, None, vec![0x80], [255; 4]),
            (ColorType::GrayscaleAlpha, 8, None, vec![7, 9], [7, 7, 7, 9]),
            (ColorType::Rgb, 8, None, vec![1, 2, 3], [1, 2, 3, 255]),
            (
                ColorType::Rgb,
                16,
                None,
                vec![1, 0, 2, 0, 3, 0],
                [1, 2, 3, 255],
            ),
            (ColorType::Rgba, 8, None, vec![1, 2, 3, 4], [1, 2, 3, 4]),
            (
                ColorType::Indexed,
                8,
                Some(vec![0, 0, 0, 5, 6, 7]),
                vec![1],
                [5, 6, 7, 255],
            ),
        ] {
            let bytes = png_of((1, 1), &data, |png| {
                png.set_color(color);
                png.set_depth(png::BitDepth::from_u8(depth).unwrap());
                if let Some(palette) = palette {
                    png.set_palette(palette);
                }
            });
            let logo = Logo::parse(&bytes).unwrap();
            assert_eq!(logo.pixels.rgba, seen, "{color:?} {depth}");
        }
    }

    #[test]
    fn what_is_no_logo_is_told() {
        let told = |bytes: &[u8]| Logo::parse(bytes).unwrap_err().to_string();
        assert!(told(b"<svg/>").contains("no PNG"));
        assert!(told(b"").contains("no PNG"));
        let whole = png((40, 40), |x, y| [x as u8, y as u8, 0, 255]);
        assert!(Logo::parse(&whole).is_ok());
        assert!(told(&whole[..whole.len() / 2]).contains("no PNG"));
        assert!(told(&vec![0; 256 * 1024 + 1]).contains("more than 256 KiB"));
        let wide = png((1_025, 1), |_, _| [0; 4]);
        assert!(told(&wide).contains("1025x1 pixels"));
        let error = Logo::read(Path::new("/absent/logo.png")).unwrap_err();
        assert!(matches!(error, LogoError::Read(_)));
        let endless = Path::new("/dev/zero");
        if endless.exists() {
            assert!(matches!(Logo::read(endless), Err(LogoError::Bytes)));
        }
    }

    /// A head that promises more than anybody has memory for.
    #[test]
    fn a_picture_is_refused_before_it_is_unpacked() {
        let mut bomb = png((1, 1), |_, _| [0; 4]);
        // Width and height, after signature, length and type; the checksum is of type and data.
        for side in [16, 20] {
            bomb[side..side + 4].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        }
        let mut check = flate2::Crc::new();
        check.update(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&check.sum().to_be_bytes());
        let error = Logo::parse(&bomb).unwrap_err();
        assert!(
            matches!(
                error,
                LogoError::Pixels {
                    width: 0x7fff_ffff,
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[test]
    fn a_large_one_is_kept_smaller_and_nothing_beside_its_pixels() {
        let data = [9; 3].repeat(1_024 * 512);
        let bytes = png_of((1_024, 512), &data, |png| {
            png.set_color(ColorType::Rgb);
            png.add_text_chunk("Author".to_owned(), "somebody".to_owned())
                .unwrap();
        });
        let logo = Logo::parse(&bytes).unwrap();
        assert_eq!(format!("{logo:?}"), "Logo(256x128)");
        let (size, colors) = of_data_uri(logo.data_uri());
        assert_eq!(size, (256, 128));
        assert!(colors.iter().all(|color| *color == [9; 3]));
        let png = STANDARD
            .decode(logo.data_uri().split_once(',').unwrap().1)
            .unwrap();
        assert!(!png.windows(8).any(|bytes| bytes == b"somebody"));
    }

    #[test]
    fn pixels_are_means_in_which_what_is_not_seen_has_no_part() {
        let logo = Logo::parse(&png((4, 1), |x, _| {
            [
                [100, 0, 0, 255],
                [200, 0, 0, 255],
                [50, 0, 0, 255],
                [255, 255, 255, 0],
            ][x as usize]
        }));
        let halved = logo.unwrap().pixels.scaled((2, 1));
        assert_eq!(halved.rgba, [150, 0, 0, 255, 50, 0, 0, 128]);
        assert_eq!(halved.over([255; 3], 1, 0), [152, 127, 127]);
        let wide = checkered(2, 1).pixels.scaled((3, 1));
        assert_eq!(
            wide.rgba,
            [[0, 0, 0, 255], [128, 128, 128, 255], [255; 4]].concat()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_keeps_its_proportions(size in (1_u32..300, 1_u32..300), side in 1_u32..220) {
            let fitted = plain(size.0, size.1, [1, 2, 3, 200]).fitted(side);
            prop_assert_eq!(fitted.width.max(fitted.height), side);
            let exact = f64::from(side) / f64::from(size.0.max(size.1));
            for (now, was) in [(fitted.width, size.0), (fitted.height, size.1)] {
                prop_assert!((f64::from(now) - f64::from(was) * exact).abs() <= 1.0);
            }
            prop_assert_eq!(&fitted.rgba[..], &[1, 2, 3, 200].repeat(fitted.rgba.len() / 4)[..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            at in 0_usize..200,
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut file = png((9, 9), |x, y| [x as u8, y as u8, 0, 255]);
            let at = at.min(file.len());
            let end = (at + bytes.len()).min(file.len());
            file.splice(at..end, bytes);
            let _ = Logo::parse(&file);
        }
    }
}
