use std::io::Cursor;

use axum::extract::Query;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use tollgate_access::Scope;
use tollgate_limit::attribute::Attribute;
use tollgate_limit::policy::PolicySet;
use tollgate_simulate::log::{Fields as LogFields, Log};
use tollgate_simulate::replay::demand::Share;
use tollgate_simulate::replay::{Good, Options, Report, Times, replay};

use super::shown::shown;
use crate::dashboard::client::{ApiPath, Refusal};
use crate::dashboard::form::{Fields, Input, area, summary};
use crate::dashboard::layout::Place;
use crate::dashboard::limits;
use crate::dashboard::slider::{Slider, nearest};
use crate::dashboard::visitor::{Posted, Shown, Visitor};

/// How many keys and bad lines are told.
const TOLD: usize = 10;
/// As much of a file is put into the form, so that it stays below the usual `admin.max_body`.
const MOST_OF_A_FILE: usize = 600_000;
/// The share of keys that limits are proposed for, if nothing else is chosen.
const USUAL_SHARE: &str = "0.999";
/// The shares that a slider goes through.
const SHARES: &str = "0.9 0.95 0.98 0.99 0.995 0.998 0.999 1";

/// Which policies the form begins with.
#[derive(Deserialize)]
pub(in crate::dashboard) struct Asked {
    #[serde(default)]
    domain: String,
}

/// What is replayed, as it was filled in.
struct Filled {
    yaml: String,
    by: String,
    good: String,
    share: String,
    log: String,
}

pub(in crate::dashboard) async fn form(visitor: Visitor, Query(asked): Query<Asked>) -> Shown {
    visitor.require(Scope::LimitsCheck)?;
    let policies = limits::read(&visitor).await?;
    let own = policies.own();
    let domain = match &*asked.domain {
        "" => own,
        domain => Some(domain),
    };
    let yaml = match domain {
        Some(domain) => {
            let text = ApiPath::new(["limits", "policies", domain]);
            let text = visitor.client.text(text).await;
            text.map_err(|refusal| visitor.refused(&refusal))?
        }
        None => String::new(),
    };
    let by = &visitor.dashboard.admin.limits.forwarding.by;
    let filled = Filled {
        yaml,
        by: by
            .iter()
            .map(|by| Attribute::join(by))
            .collect::<Vec<_>>()
            .join(" "),
        good: String::new(),
        share: USUAL_SHARE.to_owned(),
        log: String::new(),
    };
    Ok(page(&visitor, &filled, None, &html! {}))
}

pub(in crate::dashboard) async fn post(posted: Posted) -> Shown {
    let Posted { visitor, fields } = posted;
    visitor.require(Scope::LimitsCheck)?;
    let filled = Filled::of(&fields);
    let kept = fields.text("do") == "keep";
    let report = match filled.prepared() {
        // A log of the size of a form takes some milliseconds, but those of no other request.
        Ok((policies, options, log)) => tokio::task::spawn_blocking(move || {
            let log = Log::open("log", Cursor::new(log)).map_err(|error| error.to_string())?;
            replay(policies, &options, vec![log]).map_err(|error| error.to_string())
        })
        .await
        .unwrap_or_else(|error| Err(error.to_string()))
        .map_err(|reason| Refusal::of_field("log", reason)),
        Err(refusal) => Err(refusal),
    };
    let report: Report = match report {
        Ok(report) => report,
        Err(refusal) => return Ok(page(&visitor, &filled, Some(&refusal), &html! {})),
    };
    if kept {
        visitor.dashboard.forecasts.keep(&report);
        let notice = format!(
            "What the policies of {} do is shown beside this forecast.",
            report.domain
        );
        return Ok(visitor.done("/limits", notice));
    }
    Ok(page(&visitor, &filled, None, &shown(&report)))
}

impl Filled {
    fn of(fields: &Fields) -> Self {
        // Browsers send lines with their ends as of old.
        let lines = |name| fields.raw(name).replace("\r\n", "\n");
        let text = |name| fields.text(name).to_owned();
        Self {
            yaml: lines("yaml"),
            by: text("by"),
            good: text("good"),
            share: text("share"),
            log: lines("log"),
        }
    }

    /// What it means. The first thing that is wrong is told.
    fn prepared(&self) -> Result<(PolicySet, Options, String), Refusal> {
        let policies = PolicySet::parse("", &self.yaml).map_err(|error| Refusal {
            line: Some(error.line),
            column: Some(error.column),
            ..Refusal::of_field("yaml", format!("{}: {}", error.field, error.reason))
        })?;
        let [domain] = policies.domains()[..] else {
            let reason = "give the policies of one domain".to_owned();
            return Err(Refusal::of_field("yaml", reason));
        };
        let by = self.by.split_whitespace().map(Attribute::parse_joined);
        let by = by.collect::<Result<Vec<_>, _>>();
        let by = by.map_err(|error| Refusal::of_field("by", error.to_string()))?;
        if by.is_empty() {
            let reason = "give at least one descriptor, such as remote_address".to_owned();
            return Err(Refusal::of_field("by", reason));
        }
        let good = match &*self.good {
            "" => Vec::new(),
            rule if Good::is_rule(rule) => {
                let rule = Good::rule(rule);
                vec![rule.map_err(|error| Refusal::of_field("good", error.to_string()))?]
            }
            list => vec![Good::list(&list.replace([',', ' '], "\n"))],
        };
        let share = self.share.parse::<f64>().ok();
        let Some(share) = share.and_then(Share::new) else {
            let reason = "give a share above 0 and up to 1, such as 0.999".to_owned();
            return Err(Refusal::of_field("share", reason));
        };
        if self.log.trim().is_empty() {
            return Err(Refusal::of_field("log", "give some lines".to_owned()));
        }
        let options = Options {
            domain: domain.to_owned(),
            by,
            fields: LogFields::default(),
            good,
            worst: TOLD,
            bad_lines: TOLD,
            suggest: Some(share),
            times: Times::Spread,
        };
        Ok((policies, options, self.log.clone()))
    }
}

fn page(
    visitor: &Visitor,
    filled: &Filled,
    refusal: Option<&Refusal>,
    report: &Markup,
) -> Response {
    let by = "What each line counts by, such as remote_address or host+path; several with spaces between. The default is that of forward auth.";
    let good = "Addresses or networks with commas between, or a rule such as user_agent~Googlebot. They should never be refused.";
    let log = "Lines of nginx, Apache, Caddy or Traefik, or JSON. A form holds about a megabyte; for whole logs there is tollgate limit replay.";
    let share = Slider {
        name: "share",
        label: "Propose limits that leave this share of keys alone",
        value: &filled.share,
        stops: SHARES,
        at: nearest(SHARES, filled.share.parse().unwrap_or(1.0), |stop| {
            stop.parse().ok()
        }),
        ..Slider::default()
    };
    let wrong_share = refusal.and_then(|refusal| refusal.reason(share.name));
    let body = html! {
        h1 { "Replay" }
        p.soft { "What would these policies have done to the requests of an access log? They are decided by the code that decides in production, with the times of the log. Nothing is put in force." }
        form method="post" action="/replay" hx-post="/replay" hx-trigger="input delay:400ms" hx-target="#report" hx-select="#report" hx-swap="outerHTML" {
            (visitor.csrf())
            div.split.even {
                section.card {
                    h2 { "Policies" }
                    (area("yaml", "YAML of one domain", &filled.yaml, "Change it as you like: it is replayed again, and not saved.", 16, refusal))
                }
                section.card {
                    h2 { "Requests" }
                    (area("log", "Access log", &filled.log, log, 8, refusal))
                    // A script copies it into the field above.
                    div.field hidden {
                        label for="file" { "Or a file" }
                        input id="file" type="file" data-fills="log" data-note="file-note" data-most=(MOST_OF_A_FILE);
                        output.hint id="file-note" for="file" {}
                    }
                    (Input { name: "by", label: "Counted by", value: &filled.by, hint: by, ..Input::default() }.show(refusal))
                    (Input { name: "good", label: "Good clients", value: &filled.good, hint: good, ..Input::default() }.show(refusal))
                    (share.show(wrong_share.as_deref()))
                }
            }
            div #report {
                (summary(refusal))
                (report)
            }
            p.actions {
                button.primary name="do" value="replay" { "Replay" }
                button name="do" value="keep" { "Keep as forecast" }
            }
        }
    };
    let status = refusal.map_or(StatusCode::OK, Refusal::status);
    visitor.page_of(status, Some(Place::Replay), "Replay", &body)
}
