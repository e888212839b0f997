//! The store in DynamoDB, on servers of the tests' own. They come from npm: `scripts/test` runs these tests in a stage
//! of their own.
#![cfg(feature = "dynamodb")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "../../../redis/tests/private/free_port.rs"]
mod free_port;
mod private_dynalite;
mod refusals;

mod dynamodb {
    mod conformance;
    mod recovery;
}
