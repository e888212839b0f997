//! What can be asked for.

use http::StatusCode;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_links::Link;

use super::answer::Answer;
use super::parameters::Parameters;
use super::{YourlsOptions, authenticate, shorten, stats};
use crate::admin::AdminState;
use crate::api::caller::Caller;
use crate::compat::named;
use crate::compat::time::{PLAIN, written};
use crate::problem::{Kind, Problem};

/// The version of YOURLS whose answers these are.
const VERSION: &str = "1.10.1";
/// The version of its tables, which some clients ask for.
const TABLES: &str = "507";

/// Does what is asked for.
pub(super) async fn run(
    state: &AdminState,
    options: &YourlsOptions,
    parameters: &Parameters,
) -> Result<Answer, Answer> {
    let caller = authenticate::caller(state, options, parameters).await?;
    match parameters.get("action") {
        Some("shorturl") => shorten::shorten(state, &caller, parameters).await,
        Some("expand") => expand(state, &caller, parameters).await,
        Some("url-stats") => stats::of_link(state, &caller, parameters).await,
        Some("stats") => stats::of_links(state, &caller, parameters).await,
        Some("db-stats") => stats::of_everything(state, &caller).await,
        Some("version") => Ok(version(parameters)),
        _ => Err(Answer::failed(
            StatusCode::BAD_REQUEST,
            "Unknown or missing \"action\" parameter",
        )),
    }
}

fn version(parameters: &Parameters) -> Answer {
    let answer = Answer::done(json!({ "version": VERSION }), VERSION);
    match parameters.get("db") {
        Some("1") => answer.with("db_version", TABLES),
        _ => answer,
    }
}

async fn expand(
    state: &AdminState,
    caller: &Caller,
    parameters: &Parameters,
) -> Result<Answer, Answer> {
    caller.require(Scope::LinksRead)?;
    let link = asked(state, caller, parameters).await?;
    let target = link.spec.target.as_str();
    let fields = json!({
        "keyword": link.key.code.as_str(),
        "shorturl": state.service.parts().domains.short_url(&link.key),
        "longurl": target,
        "title": title(&link),
        "message": "success",
    });
    Ok(Answer::done(fields, target))
}

/// The link that the parameter `shorturl` names.
pub(super) async fn asked(
    state: &AdminState,
    caller: &Caller,
    parameters: &Parameters,
) -> Result<Link, Answer> {
    let text = parameters.get("shorturl").unwrap_or_default();
    let found = async {
        let key = named::link(caller, &state.service, text, None)?;
        Ok::<_, Problem>(state.service.get(&key).await?)
    };
    found.await.map_err(|problem| match problem.kind() {
        Kind::LinkNotFound => {
            let keyword: String = text.chars().take(128).collect();
            Answer::from(problem).with("keyword", keyword)
        }
        _ => problem.into(),
    })
}

/// What stands for a title where there is none.
pub(super) fn title(link: &Link) -> &str {
    let title = link.spec.title.as_deref();
    title.unwrap_or_else(|| link.spec.target.as_str())
}

/// A link as lists show it. Who made it is not known by an address.
pub(super) fn listed(state: &AdminState, link: &Link, clicks: u64) -> Value {
    json!({
        "shorturl": state.service.parts().domains.short_url(&link.key),
        "url": link.spec.target.as_str(),
        "title": title(link),
        "timestamp": written(link.created_at, PLAIN),
        "ip": "",
        "clicks": clicks.to_string(),
    })
}
