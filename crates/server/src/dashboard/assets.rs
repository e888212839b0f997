//! Scripts, styles and pictures, which are inside of this binary.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::problem::{Kind, Problem};

/// A file of the dashboard.
pub(super) struct Asset {
    name: &'static str,
    media: &'static str,
    bytes: &'static [u8],
    /// The same, compressed. Files only: pages have secrets in them beside text of others, and its
    /// length would tell of both.
    packed: Vec<u8>,
    /// Where it is: with a part that changes with its bytes, so that it can be kept for ever.
    pub(super) path: String,
}

macro_rules! asset {
    ($name:literal, $media:literal) => {
        Asset::new($name, $media, include_bytes!(concat!("assets/", $name)))
    };
}

pub(super) static HTMX: LazyLock<Asset> =
    LazyLock::new(|| asset!("htmx.min.js", "text/javascript; charset=utf-8"));
pub(super) static UPLOT: LazyLock<Asset> =
    LazyLock::new(|| asset!("uplot.min.js", "text/javascript; charset=utf-8"));
pub(super) static UPLOT_STYLE: LazyLock<Asset> =
    LazyLock::new(|| asset!("uplot.min.css", "text/css; charset=utf-8"));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| asset!("dashboard.js", "text/javascript; charset=utf-8"));
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| asset!("dashboard.css", "text/css; charset=utf-8"));
pub(super) static ICON: LazyLock<Asset> = LazyLock::new(|| asset!("icon.svg", "image/svg+xml"));

fn all() -> [&'static Asset; 6] {
    [&HTMX, &UPLOT, &UPLOT_STYLE, &SCRIPT, &STYLE, &ICON]
}

impl Asset {
    fn new(name: &'static str, media: &'static str, bytes: &'static [u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Memory takes everything.
        let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
        let hash = Sha256::digest(bytes);
        let version = base16ct::lower::encode_string(&hash[..8]);
        Self {
            name,
            media,
            bytes,
            packed: packed.unwrap_or_default(),
            path: format!("/assets/{version}/{name}"),
        }
    }
}

pub(super) async fn serve(
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let path = format!("/assets/{version}/{name}");
    let Some(asset) = all().into_iter().find(|asset| asset.path == path) else {
        let known = all().into_iter().find(|asset| asset.name == name);
        let detail = match known {
            Some(asset) => format!("This version has {}.", asset.path),
            None => "The dashboard has no such file.".to_owned(),
        };
        return Problem::new(Kind::NoRoute, detail).into_response();
    };
    let takes = headers.get_all(ACCEPT_ENCODING).iter().any(|value| {
        let value = value.to_str().unwrap_or_default();
        value.split(',').any(|one| {
            let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
            coding.trim().eq_ignore_ascii_case("gzip") && weight.trim() != "q=0"
        })
    });
    let forever = "public, max-age=31536000, immutable";
    let head = [
        (CONTENT_TYPE, asset.media),
        (CACHE_CONTROL, forever),
        (VARY, "accept-encoding"),
    ];
    if takes && !asset.packed.is_empty() {
        let mut response = (head, asset.packed.as_slice()).into_response();
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
        return response;
    }
    (head, asset.bytes).into_response()
}
