//! `utm_` parameters.

use form_urlencoded::parse;

use crate::enriched::cut;
use crate::{Dimension, Values};

/// Reads the parameters of a query; answers whether there is one that names a campaign. Of a
/// parameter that comes twice, the first counts. Names are read in any case, as analytics do.
pub(super) fn read(query: &str, values: &mut Values) -> bool {
    let mut any = false;
    for (name, value) in parse(query.as_bytes()) {
        let dimension = match name.to_ascii_lowercase().as_str() {
            "utm_source" => Dimension::UtmSource,
            "utm_medium" => Dimension::UtmMedium,
            "utm_campaign" => Dimension::UtmCampaign,
            "utm_term" => Dimension::UtmTerm,
            "utm_content" => Dimension::UtmContent,
            _ => continue,
        };
        let value = value.trim();
        if !value.is_empty() && values.get(dimension).is_none() {
            values.set(dimension, Some(cut(value)));
            any |= dimension <= Dimension::UtmCampaign;
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_counts_and_empty_ones_do_not() {
        let mut values = Values::default();
        assert!(read(
            "utm_source=&utm_source=a&utm_source=b&utm_x=y&utm_term=%FF",
            &mut values
        ));
        assert_eq!(values.get(Dimension::UtmSource).unwrap(), "a");
        assert_eq!(values.get(Dimension::UtmTerm).unwrap(), "\u{fffd}");
        assert_eq!(values.iter().count(), 2);
    }

    #[test]
    fn a_term_alone_is_no_campaign() {
        assert!(!read("utm_term=shoes", &mut Values::default()));
    }
}
