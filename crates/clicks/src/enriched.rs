//! A click, and what is known of it.

use smol_str::SmolStr;

use crate::{Click, Dimension, Value};

/// The text of each dimension that a click has by itself; `Bot`, `Link` and `Domain` follow from
/// the rest of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values([Option<SmolStr>; Values::COUNT]);

impl Values {
    const COUNT: usize = Dimension::UtmContent as usize + 1;

    /// Sets a dimension. What is empty counts as nothing; those that follow are left alone.
    pub fn set(&mut self, dimension: Dimension, text: Option<SmolStr>) {
        if let Some(place) = self.0.get_mut(dimension as usize) {
            *place = text.filter(|text| !text.is_empty());
        }
    }

    /// What was set.
    #[must_use]
    pub fn get(&self, dimension: Dimension) -> Option<&SmolStr> {
        self.0.get(dimension as usize).and_then(Option::as_ref)
    }

    /// All that was set, in the order of [`Dimension`].
    pub fn iter(&self) -> impl Iterator<Item = (Dimension, &SmolStr)> {
        Dimension::ALL
            .into_iter()
            .zip(&self.0)
            .filter_map(|(dimension, text)| Some((dimension, text.as_ref()?)))
    }
}

/// A click that is ready to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrichedClick {
    /// As it was captured, with a time that can be believed.
    pub click: Click,
    /// Whether `click.at` is the time of counting, because the clock of the capture was wrong.
    pub adjusted: bool,
    /// Whether a program followed the link, and no person.
    pub bot: bool,
    /// What was found out.
    pub values: Values,
}

impl EnrichedClick {
    /// What it has in any dimension.
    #[must_use]
    pub fn value(&self, dimension: Dimension) -> Value {
        match dimension {
            Dimension::Bot => Value::Is(bot(self.bot)),
            Dimension::Link => Value::Is(link(&self.click.domain, &self.click.code)),
            Dimension::Domain => domain(&self.click.domain).map_or(Value::None, Value::Is),
            dimension => self
                .values
                .get(dimension)
                .map_or(Value::None, |text| Value::Is(text.clone())),
        }
    }
}

/// The value of [`Dimension::Bot`].
pub(crate) fn bot(is: bool) -> SmolStr {
    SmolStr::new_static(if is { "true" } else { "false" })
}

/// The value of [`Dimension::Link`].
pub(crate) fn link(domain: &str, code: &str) -> SmolStr {
    if domain.is_empty() {
        return cut(code);
    }
    cut(&format!("{domain}/{code}"))
}

/// The value of [`Dimension::Domain`].
pub(crate) fn domain(domain: &str) -> Option<SmolStr> {
    (!domain.is_empty()).then(|| cut(domain))
}

/// Text that is short enough for a value.
pub(crate) fn cut(text: &str) -> SmolStr {
    crate::Snippet::of(text.as_bytes(), crate::MAX_VALUE_BYTES)
        .map_or_else(SmolStr::default, |snippet| snippet.as_str().into())
}
