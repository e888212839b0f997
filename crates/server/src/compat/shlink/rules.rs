//! Redirect rules, from Shlink's form to ours and back.
//!
//! What Shlink has no word for is written in the same form, so that nothing is lost by reading rules
//! and writing them again: the devices `tablet` and `bot`, and the type `percent`.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollgate_access::Scope;
use tollgate_clicks::query::moment;
use tollgate_links::{Condition, Device, Link, LinkPatch, Os, Rule};

use super::Holder;
use super::asked::Asked;
use super::failure::Failure;
use super::short_urls::find;
use crate::admin::AdminState;
use crate::api::body;
use crate::compat::time::{ATOM, written};

/// A condition of a redirect rule in Shlink's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    match_key: Option<String>,
    #[serde(default)]
    match_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WantedRule {
    long_url: String,
    conditions: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    redirect_rules: Vec<WantedRule>,
}

pub(super) async fn get(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    code: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Result<Json<Value>, Failure> {
    caller.require(Scope::LinksRead)?;
    let link = find(&state, &caller, code, &asked).await?;
    Ok(Json(shown(&link)))
}

pub(super) async fn set(
    State(state): State<AdminState>,
    Holder(caller): Holder,
    code: Result<Path<String>, PathRejection>,
    asked: Asked,
    request: Request,
) -> Result<Json<Value>, Failure> {
    caller.require(Scope::LinksWrite)?;
    let key = find(&state, &caller, code, &asked).await?.key;
    let wanted: Wanted = body::object(request, &state).await?;
    let rules = wanted.redirect_rules.into_iter().map(|rule| {
        let conditions = rule.conditions.iter().map(read);
        Ok(Rule {
            conditions: conditions.collect::<Result<_, String>>()?,
            target: rule.long_url,
        })
    });
    let rules: Result<Vec<Rule>, String> = rules.collect();
    let rules = rules.map_err(|reason| Failure::invalid("redirectRules", reason))?;
    let patch = LinkPatch {
        rules: Some(rules),
        ..LinkPatch::default()
    };
    let link = caller.edit(&state, &key, patch, None, None).await?;
    Ok(Json(shown(&link)))
}

fn shown(link: &Link) -> Value {
    let rules = link.spec.rules.iter().enumerate();
    let rules: Vec<Value> = rules
        .map(|(place, rule)| {
            let conditions: Vec<Written> = rule.conditions.iter().flat_map(write).collect();
            json!({
                "longUrl": rule.target,
                "priority": place + 1,
                "conditions": conditions,
            })
        })
        .collect();
    json!({
        "defaultLongUrl": link.spec.target.as_str(),
        "redirectRules": rules,
    })
}

/// Devices and systems, which are one list to Shlink.
const DEVICES: [(&str, Condition); 10] = [
    ("android", Condition::Os { is: Os::Android }),
    ("ios", Condition::Os { is: Os::Ios }),
    ("windows", Condition::Os { is: Os::Windows }),
    ("macos", Condition::Os { is: Os::Macos }),
    ("linux", Condition::Os { is: Os::Linux }),
    ("chromeos", Condition::Os { is: Os::Chromeos }),
    ("mobile", Condition::Device { is: Device::Mobile }),
    (
        "desktop",
        Condition::Device {
            is: Device::Desktop,
        },
    ),
    ("tablet", Condition::Device { is: Device::Tablet }),
    ("bot", Condition::Device { is: Device::Bot }),
];

/// The condition that is meant.
///
/// # Errors
/// What about it cannot be done here, for people.
pub fn read(written: &Written) -> Result<Condition, String> {
    let key = written.match_key.clone();
    let value = written.match_value.clone();
    let needed = |text: Option<String>, name: &str| {
        let text = text.filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("{} needs a {name}", written.kind))
    };
    let at = |value: Option<String>| {
        let text = needed(value, "matchValue")?;
        moment("matchValue", &text, &TimeZone::UTC).map_err(|error| error.to_string())
    };
    Ok(match written.kind.as_str() {
        "device" => {
            let name = needed(value, "matchValue")?;
            let found = DEVICES.iter().find(|(known, _)| *known == name);
            let (_, condition) = found.ok_or_else(|| {
                format!(
                    "there is no device {:?}",
                    name.chars().take(32).collect::<String>()
                )
            })?;
            condition.clone()
        }
        "language" => Condition::Language {
            is: needed(value, "matchValue")?,
        },
        "query-param" => Condition::Query {
            name: needed(key, "matchKey")?,
            value: Some(value.unwrap_or_default()),
        },
        "any-value-query-param" => Condition::Query {
            name: needed(key, "matchKey")?,
            value: None,
        },
        "valueless-query-param" => Condition::Query {
            name: needed(key, "matchKey")?,
            value: Some(String::new()),
        },
        "before-date" => Condition::Date {
            from: None,
            until: Some(at(value)?),
        },
        "after-date" => Condition::Date {
            from: Some(at(value)?),
            until: None,
        },
        "percent" => {
            let share = needed(value, "matchValue")?;
            let share = share
                .parse()
                .map_err(|_| "percent is a number from 1 to 100")?;
            Condition::Percent { share }
        }
        "ip-address" | "geolocation-country-code" | "geolocation-city-name" | "browser" => {
            return Err(format!("rules here cannot ask for {}", written.kind));
        }
        other => {
            let shown: String = other.chars().take(32).collect();
            return Err(format!("there is no condition {shown:?}"));
        }
    })
}

/// One condition of ours may be two of Shlink's.
fn write(condition: &Condition) -> Vec<Written> {
    let written = |kind: &str, key: Option<&str>, value: Option<String>| Written {
        kind: kind.to_owned(),
        match_key: key.map(str::to_owned),
        match_value: value,
    };
    match condition {
        Condition::Device { .. } | Condition::Os { .. } => {
            let found = DEVICES.iter().find(|(_, known)| known == condition);
            found
                .map(|(name, _)| written("device", None, Some((*name).to_owned())))
                .into_iter()
                .collect()
        }
        Condition::Language { is } => vec![written("language", None, Some(is.clone()))],
        Condition::Query { name, value } => vec![match value.as_deref() {
            None => written("any-value-query-param", Some(name), None),
            Some("") => written("valueless-query-param", Some(name), None),
            Some(value) => written("query-param", Some(name), Some(value.to_owned())),
        }],
        Condition::Date { from, until } => {
            let at = |kind, at| written(kind, None, Some(self::written(at, ATOM)));
            let from = from.map(|from| at("after-date", from));
            let until = until.map(|until| at("before-date", until));
            from.into_iter().chain(until).collect()
        }
        Condition::Percent { share } => vec![written("percent", None, Some(share.to_string()))],
    }
}

#[cfg(test)]
mod tests {
    use tollgate_clock::UnixMillis;

    use super::*;

    #[test]
    fn every_condition_comes_back_as_it_was() {
        let at = UnixMillis::from_millis(1_800_000_000_000);
        let conditions = [
            Condition::Language { is: "pt-BR".into() },
            Condition::Query {
                name: "a".into(),
                value: None,
            },
            Condition::Query {
                name: "a".into(),
                value: Some(String::new()),
            },
            Condition::Query {
                name: "a".into(),
                value: Some("b".into()),
            },
            Condition::Date {
                from: Some(at),
                until: None,
            },
            Condition::Date {
                from: None,
                until: Some(at),
            },
            Condition::Percent { share: 33 },
        ];
        let devices = DEVICES.map(|(_, condition)| condition);
        for condition in conditions.iter().chain(&devices) {
            let written = write(condition);
            let [one] = &written[..] else {
                panic!("{written:?}");
            };
            assert_eq!(read(one).as_ref(), Ok(condition));
        }
        let both = Condition::Date {
            from: Some(at),
            until: Some(at),
        };
        assert_eq!(write(&both).len(), 2);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (kind, key, value) in [
            ("ip-address", None, Some("192.0.2.*")),
            ("browser", None, Some("firefox")),
            ("device", None, Some("toaster")),
            ("device", None, None),
            ("query-param", None, Some("x")),
            ("before-date", None, Some("soon")),
            ("percent", None, Some("many")),
            ("weather", None, None),
        ] {
            let written = Written {
                kind: kind.to_owned(),
                match_key: key.map(str::to_owned),
                match_value: value.map(str::to_owned),
            };
            assert!(read(&written).is_err(), "{kind}");
        }
    }
}
