//! QR codes of links.

use tollgate_server::qr::{self, QrStyle};

use crate::BadUsage;
use crate::args::QrArgs;
use crate::client::Client;
use crate::show;

/// Draws the QR code of a link: into a file, or on the terminal.
pub(super) fn run(args: &QrArgs) -> anyhow::Result<()> {
    // What is wrong is told before anything is asked.
    let file = match &args.output {
        Some(file) => Some((file, style(args)?)),
        None => None,
    };
    let link = Client::new(&args.link.server)?.get(&args.link.code, args.link.domain.as_deref())?;
    let Some((file, style)) = file else {
        return show::line(qr::draw_for_terminal(&link.short_url)?.trim_end());
    };
    let image = style.draw(&link.short_url)?;
    show::file(file, image)
}

fn style(args: &QrArgs) -> anyhow::Result<QrStyle> {
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
    ] {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    let style = QrStyle::from_query(&query.finish());
    style.map_err(|error| BadUsage(error.to_string()).into())
}
