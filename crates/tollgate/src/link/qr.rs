//! QR codes of links.

use std::path::Path;

use anyhow::Context as _;
use tollgate_server::qr::{self, Logo, QrStyle};

use crate::BadUsage;
use crate::args::QrArgs;
use crate::client::Client;
use crate::show;

/// Draws the QR code of a link: into a file, or on the terminal.
pub(super) fn run(args: &QrArgs) -> anyhow::Result<()> {
    // What is wrong is told before anything is asked.
    let logo = match &args.logo {
        Some(file) => Some(logo(file)?),
        None => None,
    };
    let file = match &args.output {
        Some(file) => Some((file, style(args, logo.as_ref())?)),
        None => None,
    };
    let link = Client::new(&args.link.server)?.get(&args.link.code, args.link.domain.as_deref())?;
    let Some((file, style)) = file else {
        return show::line(qr::draw_for_terminal(&link.short_url)?.trim_end());
    };
    let image = style.draw(&link.short_url)?;
    show::file(file, image)
}

fn logo(file: &Path) -> anyhow::Result<Logo> {
    let logo = Logo::read(file);
    logo.with_context(|| format!("--logo: {} is no logo", file.display()))
}

fn style<'a>(args: &QrArgs, logo: Option<&'a Logo>) -> anyhow::Result<QrStyle<'a>> {
    let end = args.output.as_ref().and_then(|file| file.extension());
    let format = end.unwrap_or_default().to_ascii_lowercase();
    let format = format.to_string_lossy();
    if !["svg", "png"].contains(&&*format) {
        let message = "--output: give a file whose name ends in .svg or .png";
        return Err(BadUsage(message.to_owned()).into());
    }
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let hex = |color: &Option<String>| color.as_ref().map(|color| color.replacen('#', "", 1));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("format", &format);
    for (name, value) in [
        ("size", number(args.size)),
        ("margin", number(args.margin)),
        ("level", args.level.clone()),
        ("color", hex(&args.color)),
        ("background", hex(&args.background)),
        ("logo", logo.map(|_| "true".to_owned())),
    ] {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    let style = QrStyle::from_query(&query.finish(), logo);
    style.map_err(|error| BadUsage(error.to_string()).into())
}
