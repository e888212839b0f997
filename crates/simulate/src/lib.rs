//! Limits before they are deployed: what they would do to the traffic of an access log, or to traffic that is
//! made up. What decides is the code that decides in production, on a clock that the traffic sets.

mod at_once;
pub mod compare;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
pub mod log;
pub mod replay;
pub mod traffic;
