//! What replays forecast, to be shown beside what policies do.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

/// Of all domains.
pub(super) struct Forecasts(HashMap<(String, String), f64>);

/// As much of a report as is shown.
#[derive(Deserialize)]
struct Report {
    domain: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    path: String,
    requests: u64,
    refused: u64,
    would_refuse: u64,
}

impl Forecasts {
    /// Reads reports of replays; none if there are no files.
    pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Option<Self>> {
        let mut shares = HashMap::new();
        for file in files {
            let name = file.display();
            let text = std::fs::read(file).with_context(|| format!("{name} cannot be read"))?;
            let report: Report = serde_json::from_slice(&text).with_context(|| {
                format!("{name} is no report of a replay: make one by limit replay --json")
            })?;
            for rule in report.rules {
                if let Some(share) = share(rule.refused + rule.would_refuse, rule.requests) {
                    shares.insert((report.domain.clone(), rule.path), share);
                }
            }
        }
        Ok((!files.is_empty()).then_some(Self(shares)))
    }

    /// The share of its requests that a policy was to refuse.
    pub(super) fn share(&self, domain: &str, path: &str) -> Option<f64> {
        self.0.get(&(domain.to_owned(), path.to_owned())).copied()
    }
}

/// The share of requests that are refused; none if there are none.
pub(super) fn share(refused: u64, requests: u64) -> Option<f64> {
    (requests > 0).then(|| refused as f64 / requests as f64)
}
