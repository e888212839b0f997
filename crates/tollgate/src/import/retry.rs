//! Requests that are sent again while a server is away or overloaded.

use std::time::Duration;

use anyhow::Context as _;

use crate::client::ClientError;

/// How often a request is sent again, waiting a little longer each time: about a quarter of a minute
/// in all.
const RETRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const GO_ON: &str = "the import stopped; start it again to go on from there";

/// Sends again what may succeed a moment later. Only for what is safe to be sent twice.
pub(super) fn retrying<T>(request: impl Fn() -> Result<T, ClientError>) -> anyhow::Result<T> {
    let mut wait = FIRST_WAIT;
    for _ in 0..RETRIES {
        match request() {
            Err(error) if error.is_temporary() => {
                std::thread::sleep(wait);
                wait *= 2;
            }
            Err(error) if !error.is_of_server() => return Err(error.into()),
            answer => return answer.context(GO_ON),
        }
    }
    request().context(GO_ON)
}

/// Whether a request was refused for what was asked.
pub(super) fn is_refusal(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<ClientError>()
        .is_some_and(|error| !error.is_of_server())
}
