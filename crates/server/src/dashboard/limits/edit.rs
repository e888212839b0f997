//! The text of a domain's policies.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use maud::html;
use tollgate_access::Scope;
use tollgate_limit::policy::{PolicySet, with_shadow};

use super::list;
use crate::dashboard::client::{ApiPath, Refusal, joined};
use crate::dashboard::form::{area, summary};
use crate::dashboard::layout::{Place, Question};
use crate::dashboard::visitor::{Posted, Shown, Visitor};

/// What a new file begins with.
const EXAMPLE: &str = "\
domain: shop
descriptors:
  # Each user, by the value that the service sends.
  - key: user
    rate_limit:
      name: per_user
      unit: minute
      requests_per_unit: 60
";

fn api(domain: &str) -> ApiPath {
    ApiPath::new(["limits", "policies", domain])
}

fn address(domain: &str) -> String {
    joined(&["limits", "of", domain])
}

pub(in crate::dashboard) async fn form(visitor: Visitor, Path(domain): Path<String>) -> Shown {
    let text = visitor.granted(visitor.client.text(api(&domain)).await)?;
    let policies = list::read(&visitor).await?;
    let found = policies.domains.iter().find(|one| one.domain == domain);
    let set_here = found.is_some_and(|one| one.origin == "api");
    Ok(page(&visitor, Some(&domain), set_here, &text, None, None))
}

pub(in crate::dashboard) async fn create(visitor: Visitor) -> Shown {
    visitor.require(Scope::Admin)?;
    Ok(page(&visitor, None, false, EXAMPLE, None, None))
}

fn page(
    visitor: &Visitor,
    domain: Option<&str>,
    set_here: bool,
    text: &str,
    refusal: Option<&Refusal>,
    good: Option<&str>,
) -> Response {
    let title = match domain {
        Some(domain) => format!("Policies of {domain}"),
        None => "New policies".to_owned(),
    };
    let admin = visitor.may(Scope::Admin);
    let rows = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    let hint = "YAML, one domain. Saving puts it in force at once, and keeps it: it takes the place of what the policies file says of this domain.";
    let body = html! {
        h1 { (title) }
        (summary(refusal))
        @if let Some(good) = good { p.notice role="status" { (good) } }
        form.card method="post" action=(address(domain.unwrap_or("new"))) {
            (visitor.csrf())
            @if domain.is_none() { input type="hidden" name="new" value="yes"; }
            (area("yaml", "Policies", text, hint, rows.clamp(12, 40), refusal))
            p.actions {
                @if admin {
                    button.primary name="do" value="save" { "Save" }
                    button name="do" value="check" { "Check only" }
                }
                a.button href="/limits" { "Back" }
                @if let (true, true, Some(domain)) = (admin, set_here, domain) {
                    a.button href={ (address(domain)) "/delete" } { "Take back…" }
                }
            }
        }
    };
    let status = refusal.map_or(StatusCode::OK, Refusal::status);
    visitor.page_of(status, Some(Place::Limits), &title, &body)
}

pub(in crate::dashboard) async fn post(Path(named): Path<String>, posted: Posted) -> Shown {
    let Posted { visitor, fields } = posted;
    visitor.require(Scope::Admin)?;
    // Browsers send lines with their ends as of old.
    let yaml = fields.raw("yaml").replace("\r\n", "\n");
    let domain = (!fields.is_set("new")).then_some(&*named);
    // A new domain says itself what it is called; what is wrong with the text the API says.
    let parsed = PolicySet::parse("", &yaml);
    let said = match &parsed {
        Ok(set) => set.domains().first().map(|&name| name.to_owned()),
        Err(_) => None,
    };
    let target = domain.map(str::to_owned).or(said).unwrap_or(named.clone());
    let done = match (fields.text("do"), &parsed) {
        ("check", Ok(set)) => {
            let rules = set.rules().iter().filter(|rule| !rule.is_brought()).count();
            let good = format!("This is right: {rules} limits. Nothing was saved.");
            return Ok(page(&visitor, domain, false, &yaml, None, Some(&good)));
        }
        ("check", Err(error)) => Err(Refusal {
            line: Some(error.line),
            column: Some(error.column),
            ..Refusal::of_field("yaml", format!("{}: {}", error.field, error.reason))
        }),
        _ => visitor.client.put_yaml(api(&target), yaml.clone()).await,
    };
    match done {
        Ok(()) => {
            tracing::info!(domain = target, "policies were set on the dashboard");
            let notice = format!("The policies of {target} are in force.");
            Ok(visitor.done("/limits", notice))
        }
        Err(refusal) => Ok(page(&visitor, domain, false, &yaml, Some(&refusal), None)),
    }
}

/// Turns shadow mode of one policy on or off.
pub(in crate::dashboard) async fn shadow(Path(domain): Path<String>, posted: Posted) -> Shown {
    let Posted { visitor, fields } = posted;
    visitor.require(Scope::Admin)?;
    let text = visitor.granted(visitor.client.text(api(&domain)).await)?;
    let (path, shadow) = (fields.raw("path"), fields.text("shadow") == "true");
    let Some(text) = with_shadow(&text, path, shadow) else {
        return Err(visitor.refused(&Refusal {
            status: 409,
            title: "This policy cannot be switched here".to_owned(),
            detail: "It is gone, or it shares its text with others: edit the text instead."
                .to_owned(),
            ..Refusal::default()
        }));
    };
    visitor.granted(visitor.client.put_yaml(api(&domain), text).await)?;
    let notice = if shadow {
        format!("{path} counts, and refuses nothing.")
    } else {
        format!("{path} is enforced.")
    };
    Ok(visitor.done("/limits", notice))
}

pub(in crate::dashboard) async fn ask(visitor: Visitor, Path(domain): Path<String>) -> Shown {
    visitor.require(Scope::Admin)?;
    Ok(visitor.ask(&Question {
        here: Place::Limits,
        question: &format!("Take back the policies of {domain}?"),
        consequence: "What was set here or through the API is gone. What the policies file says of this domain, or what is built in, is in force again.",
        action: &format!("{}/delete", address(&domain)),
        yes: "Take them back",
        back: &address(&domain),
        sent_along: html! {},
    }))
}

pub(in crate::dashboard) async fn remove(Path(domain): Path<String>, posted: Posted) -> Shown {
    let visitor = posted.visitor;
    visitor.granted(visitor.client.delete(api(&domain)).await)?;
    let notice = format!("The policies of {domain} were taken back.");
    Ok(visitor.done("/limits", notice))
}
