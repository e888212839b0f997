//! Clicks: captured without a wait, spooled so that a crash loses next to none, enriched, rolled up,
//! and asked for.
//!
//! Nothing here knows HTTP, the command line, or links: a link is the text of its domain and code.

pub mod capture;
mod click;
pub mod consume;
mod dimension;
mod enrich;
mod enriched;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
pub mod import;
pub mod query;
pub mod queue;
mod rollup;
mod sketch;
mod snippet;
mod source;
pub mod spool;
pub mod store;

pub use click::{Click, ClickId, ClickKind, Network};
pub use dimension::{Dimension, MAX_VALUE_BYTES, UnknownDimension, Value};
pub use enrich::{Enricher, GeoError, GeoFile};
pub use enriched::{EnrichedClick, Values};
pub use sketch::{DamagedSketch, Sketch};
pub use snippet::Snippet;
pub use source::{Batch, ClickSource, Position, SourceError, SourceId};
