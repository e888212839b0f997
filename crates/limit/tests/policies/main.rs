//! Policy files and the decisions by them, as a front end sees both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step fails the test"
)]

mod all_or_nothing;
mod bench;
mod budgets;
mod checks;
mod documented;
mod failures;
mod keys;
mod malformed;
mod reference;
mod reload;
mod times;
mod totals;
