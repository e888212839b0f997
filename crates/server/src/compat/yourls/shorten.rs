//! Making links.

use http::StatusCode;
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_links::{Link, LinkDraft, LinkError, NewLink, TargetError};

use super::actions::title;
use super::answer::Answer;
use super::parameters::Parameters;
use crate::admin::AdminState;
use crate::api::caller::Caller;
use crate::api::links::placed;
use crate::compat::time::{PLAIN, written};
use crate::problem::Problem;

/// Makes a link, or tells that there is an equal one.
pub(super) async fn shorten(
    state: &AdminState,
    caller: &Caller,
    parameters: &Parameters,
) -> Result<Answer, Answer> {
    caller.require(Scope::LinksWrite)?;
    caller.may_create(state).await?;
    let url = with_scheme(parameters.get("url").unwrap_or_default());
    match state.service.parts().specs.targets.parse(&url) {
        Ok(_) => {}
        Err(TargetError::Loop) => return Err(bad("error:noloop", "URL is a short URL")),
        Err(_) if url.is_empty() => return Err(bad("error:nourl", "Missing or malformed URL")),
        Err(error) => {
            let message = format!("Missing or malformed URL: {error}");
            return Err(bad("error:nourl", &message));
        }
    }
    let keyword = parameters.get("keyword");
    let draft = LinkDraft {
        url,
        code: keyword.map(str::to_owned),
        title: parameters.get("title").map(str::to_owned),
        reuse: true,
        ..LinkDraft::default()
    };
    let draft = placed(caller, &state.service, draft)?;
    let new = NewLink {
        draft,
        idempotency: None,
    };
    let created = match caller.create(state, new).await {
        Ok(created) => created,
        Err(error) => return Err(refused(error, keyword)),
    };
    let shown = shown(state, &created.link);
    let short = state.service.parts().domains.short_url(&created.link.key);
    let target = created.link.spec.target.as_str();
    let answer = if created.reused {
        let message = format!("{target} already exists in database");
        clash("error:url", &message)
    } else {
        let fields = json!({
            "status": "success",
            "code": "",
            "errorCode": "",
            "message": format!("{target} added to database"),
        });
        Answer::done(fields, "")
    };
    Ok(answer
        .with("url", shown)
        .with("title", title(&created.link))
        .with("shorturl", short.clone())
        .simply(short))
}

/// A URL as people type it, for the web if it does not say otherwise.
fn with_scheme(url: &str) -> String {
    let has_scheme = url.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-'))
            && !rest.starts_with(|c: char| c.is_ascii_digit())
    });
    if url.is_empty() || has_scheme {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

fn shown(state: &AdminState, link: &Link) -> Value {
    json!({
        "keyword": link.key.code.as_str(),
        "shorturl": state.service.parts().domains.short_url(&link.key),
        "url": link.spec.target.as_str(),
        "title": title(link),
        "date": written(link.created_at, PLAIN),
        "ip": "",
    })
}

fn refused(error: LinkError, keyword: Option<&str>) -> Answer {
    let keyword = keyword.unwrap_or_default();
    match error {
        LinkError::CodeTaken(key) => {
            let code = key.code;
            let message = format!("Short URL {code} already exists in database or is reserved");
            clash("error:keyword", &message)
        }
        LinkError::Invalid(errors) if errors.iter().all(|error| error.field == "code") => {
            let reasons: Vec<&str> = errors.iter().map(|error| &*error.reason).collect();
            let shown: String = keyword.chars().take(128).collect();
            let message = format!("Short URL {shown} cannot be had: {}", reasons.join("; "));
            clash("error:keyword", &message)
        }
        other => Problem::from(other).into(),
    }
}

/// What stands in the way is no fault of the request: YOURLS up to 1.8 answers it as one that was
/// understood, and clients look at `status` and `code`.
fn clash(code: &str, message: &str) -> Answer {
    let fields = json!({
        "status": "fail",
        "code": code,
        "errorCode": "",
        "message": message,
    });
    Answer::done(fields, message)
}

fn bad(code: &str, message: &str) -> Answer {
    Answer::failed(StatusCode::BAD_REQUEST, message)
        .with("status", "fail")
        .with("code", code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_the_web_need_no_scheme() {
        for (given, meant) in [
            ("example.com", "http://example.com"),
            ("example.com:8080/a", "http://example.com:8080/a"),
            ("example.com/a:b", "http://example.com/a:b"),
            ("localhost:8080", "http://localhost:8080"),
            ("https://example.com", "https://example.com"),
            ("mailto:a@b.example", "mailto:a@b.example"),
            ("javascript:alert(1)", "javascript:alert(1)"),
            ("", ""),
        ] {
            assert_eq!(with_scheme(given), meant);
        }
    }
}
