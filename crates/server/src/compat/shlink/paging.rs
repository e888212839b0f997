//! Pages by their number.

use serde_json::{Value, json};

use super::asked::Asked;
use super::failure::Failure;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// From 1 on.
    number: usize,
    items: usize,
}

impl Page {
    /// The page that the parameters name. `usual` items stand on a page if none say otherwise, and
    /// `most` on any.
    pub(super) fn of(asked: &Asked, usual: usize, most: usize) -> Result<Self, Failure> {
        let number = asked.number("page")?.unwrap_or(1).max(1);
        let items = match asked.number("itemsPerPage")? {
            None => usual,
            // Everything.
            Some(-1) => most,
            Some(items) => usize::try_from(items)
                .ok()
                .filter(|items| *items > 0)
                .ok_or_else(|| Failure::invalid("itemsPerPage", "give a number from 1 on"))?
                .min(most),
        };
        Ok(Self {
            number: usize::try_from(number).unwrap_or(usize::MAX),
            items,
        })
    }

    /// How many items come before it.
    pub(super) const fn start(self) -> usize {
        (self.number - 1).saturating_mul(self.items)
    }

    /// How many items come before its end.
    pub(super) const fn end(self) -> usize {
        self.number.saturating_mul(self.items)
    }

    /// The items of a whole list that stand on it.
    pub(super) fn cut<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter()
            .skip(self.start())
            .take(self.items)
            .collect()
    }

    /// What is said of it beside `here` items of `total`.
    pub(super) fn told(self, here: usize, total: u64) -> Value {
        let pages = total.div_ceil(self.items.max(1) as u64);
        json!({
            "currentPage": self.number,
            "pagesCount": pages.max(1),
            "itemsPerPage": self.items,
            "itemsInCurrentPage": here,
            "totalItems": total,
        })
    }
}
