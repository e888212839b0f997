//! Answers as XML: an element for each field.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use serde_json::Value;

/// The document of an answer.
pub(super) fn document(fields: &Value) -> String {
    let mut writer = Writer::new(Vec::new());
    let written = writer
        .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
        .and_then(|()| element(&mut writer, "root", fields));
    match written {
        Ok(()) => String::from_utf8(writer.into_inner()).unwrap_or_default(),
        // Memory takes everything.
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as XML");
            String::new()
        }
    }
}

/// The names are those of our own fields, which are names in XML too.
fn element(writer: &mut Writer<Vec<u8>>, name: &str, value: &Value) -> io::Result<()> {
    let start = writer.create_element(name);
    match value {
        Value::Object(fields) => {
            start.write_inner_content(|writer| {
                fields
                    .iter()
                    .try_for_each(|(name, value)| element(writer, name, value))
            })?;
        }
        Value::String(text) => {
            let text: String = text.chars().filter(|c| is_allowed(*c)).collect();
            start.write_text_content(BytesText::new(&text))?;
        }
        Value::Null => {
            start.write_empty()?;
        }
        other => {
            start.write_text_content(BytesText::new(&other.to_string()))?;
        }
    }
    Ok(())
}

/// The characters that XML 1.0 knows.
const fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_escaped_and_what_xml_has_not_is_left_out() {
        let fields = json!({
            "links": {"link_1": {"title": "<b>&\"\u{1}\u{ffff}é"}},
            "total": 3,
            "none": null,
        });
        assert_eq!(
            document(&fields),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <root><links><link_1><title>&lt;b&gt;&amp;&quot;é</title></link_1></links>\
             <none/><total>3</total></root>"
        );
    }
}
