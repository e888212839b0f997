//! What has to hold for the query of any request for a QR code.

use super::{QrFormat, QrStyle};

/// An image that is drawn is one, of the size that was asked for, and with nothing of the query in it.
pub fn qr_query(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else {
        return;
    };
    let style = match QrStyle::from_query(query, None) {
        Ok(style) => style,
        Err(error) => {
            assert!(error.to_string().len() < 500, "{error}");
            return;
        }
    };
    let Ok(image) = style.draw("https://tollgate.example/a-code") else {
        // It would have modules smaller than pixels.
        assert_eq!(style.format(), QrFormat::Png);
        return;
    };
    match style.format() {
        QrFormat::Svg => {
            let svg = std::str::from_utf8(&image).unwrap_or_default();
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
            assert_eq!(svg.matches('<').count(), 4, "{svg}");
        }
        QrFormat::Png => {
            let mut decoder = png::Decoder::new(std::io::Cursor::new(&image));
            let read = decoder.read_header_info();
            let Ok(info) = read else {
                panic!("no PNG");
            };
            assert_eq!((info.width, info.height), (style.size, style.size));
        }
    }
}
