//! An access log through policies that are not in force yet, and what came of it as a forecast beside what
//! they do once they are.

mod forecast;
mod page;
mod shown;

pub(super) use forecast::{Forecast, Forecasts};
pub(super) use page::{form, post};
