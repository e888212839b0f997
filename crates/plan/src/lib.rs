//! Capacity planning: from users or writes a second to throughput, storage, bandwidth, memory, machines,
//! codes and cost.
//!
//! [`Assumptions`] go in, a [`Plan`] comes out, in which every result has its formula, the same with
//! numbers, and the assumptions it depends on. Nothing here reads or writes anything.
//!
//! ```
//! use tollgate_plan::{Assumption, Assumptions, Origin, Output, Plan};
//!
//! let mut assumptions = Assumptions::new();
//! assumptions.set(Assumption::WritesPerSecond.parse("200")?, Origin::Given);
//! let plan = Plan::new(assumptions)?;
//! let records = plan.get(Output::Records).unwrap();
//! assert_eq!(records.formula, "writes × retention");
//! assert_eq!(records.calculation, "200/s × 157,680,000 s");
//! assert_eq!(records.value, 31_536_000_000.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assumption;
mod assumptions;
mod chart;
mod expression;
mod measure;
mod model;
mod output;
mod plan;
mod render;
mod sweep;
mod unit;
mod warning;

pub use assumption::{Assumption, Basis, Group, MACHINE, Setting, SettingError};
pub use assumptions::{Assumptions, Conflict, Origin, Strategy};
pub use chart::{ChartError, draw};
pub use measure::{MeasureError, Measurement, Scrape};
pub use model::birthday_odds;
pub use output::{Output, Section};
pub use plan::{HotSet, Plan, Quantity, basis};
pub use render::{plan_as_markdown, plan_as_text, sweep_as_markdown, sweep_as_text};
pub use sweep::{DEFAULT_POINTS, MOST_POINTS, Sweep, SweepError, SweepRow, SweepTable};
pub use unit::{NotOfUnit, Unit};
pub use warning::{Warning, WarningKind};
