//! The API of YOURLS: one address, the action as a parameter, the answer in one of four formats.

mod actions;
mod answer;
mod authenticate;
mod parameters;
mod shorten;
mod stats;
mod xml;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use secrecy::SecretString;

use self::answer::{Answer, Format};
use self::parameters::Parameters;
use crate::admin::AdminState;
use crate::problem::Problem;

/// Who may use it beside those who have an API key.
#[derive(Debug, Clone, Default)]
pub struct YourlsOptions {
    /// What clients send as their signature, or sign the time with.
    pub signature: Option<SecretString>,
    /// The secret of the API key that it stands for; it is that secret itself if absent.
    pub key: Option<SecretString>,
}

pub(super) fn router(options: YourlsOptions) -> Router<AdminState> {
    let options = Arc::new(options);
    let api = move |State(state): State<AdminState>, request: Request| {
        let options = Arc::clone(&options);
        async move { api(&state, &options, request).await }
    };
    Router::new().route("/yourls-api.php", get(api.clone()).post(api))
}

async fn api(state: &AdminState, options: &YourlsOptions, request: Request) -> Response {
    let longest = state.options.request_timeout.saturating_mul(2);
    let parameters = match Parameters::read(request, state).await {
        Ok(parameters) => parameters,
        // What format is wanted is not known.
        Err(problem) => return Format::default().write(Answer::from(problem)),
    };
    let format = match Format::of(&parameters) {
        Ok(format) => format,
        Err(answer) => return Format::default().write(answer),
    };
    let run = actions::run(state, options, &parameters);
    let answer = match tokio::time::timeout(longest, run).await {
        Ok(Ok(answer) | Err(answer)) => answer,
        Err(_) => Problem::slow().into(),
    };
    format.write(answer)
}
