//! How this instance is: what its metrics say, in groups.

use maud::{Markup, html};
use tollgate_clock::UnixMillis;

use super::layout::Place;
use super::show::{number, when};
use super::visitor::{Shown, Visitor};

/// What is shown together: a name, and what names of metrics begin with.
const GROUPS: [(&str, &str); 11] = [
    ("Link cache", "tollgate_cache_"),
    ("Link cache in Redis", "tollgate_shared_cache_"),
    ("Clicks: queues, spool, statistics", "tollgate_clicks_"),
    ("Limits", "tollgate_limits_"),
    ("Links", "tollgate_links_"),
    ("Files", "tollgate_store_"),
    ("Webhooks", "tollgate_webhooks_"),
    ("Edge", "tollgate_edge_"),
    ("Redis protocol", "tollgate_resp_"),
    ("gRPC", "tollgate_grpc_"),
    ("Reverse proxy", "tollgate_proxy_"),
];

/// What is shown elsewhere, by policy.
const ELSEWHERE: &str = "tollgate_limits_decisions";

/// A value of a metric.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: String,
    help: String,
    value: f64,
}

pub(super) async fn page(visitor: Visitor) -> Shown {
    let admin = &visitor.dashboard.admin;
    let ready = admin.health.ready().await;
    let samples = samples(&admin.metrics.encode());
    let value = |name: &str| {
        let found = samples.iter().find(|sample| sample.name == name);
        found.map(|sample| sample.value)
    };
    let started =
        value("process_start_time_seconds").map(|at| UnixMillis::from_millis((at * 1000.0) as i64));
    let body = html! {
        div.head { h1 { "System" } }
        div #numbers hx-get="/system" hx-trigger="every 5s" hx-select="#numbers" hx-swap="outerMorph" {
            dl.figures {
                div {
                    dt { "This instance" }
                    dd {
                        @match ready {
                            Ok(()) => span.badge.good { "ready" },
                            Err(error) => { span.badge.bad { "not ready" } small { (error) } }
                        }
                        @for file in admin.health.unwritable() {
                            " " span.badge.bad { "cannot write " (file) }
                        }
                    }
                }
                @if let Some(lag) = value("tollgate_clicks_lag_seconds") {
                    div { dt { "Clicks are counted after" } dd { (plain("_seconds", lag)) } }
                }
                @if let Some(queued) = value("tollgate_clicks_queued") {
                    div { dt { "Clicks in queues" } dd { (plain("", queued)) } }
                }
                @if let (Some(hits), Some(misses)) = (value("tollgate_cache_hits_total"), value("tollgate_cache_misses_total")) {
                    div { dt { "Cache hits" } dd { @if hits + misses > 0.0 { (format!("{:.1} %", 100.0 * hits / (hits + misses))) } @else { "–" } } }
                }
                @if let Some(memory) = value("process_resident_memory_bytes") {
                    div { dt { "Memory" } dd { (plain("_bytes", memory)) } }
                }
                @if let Some(at) = started { div { dt { "Runs since" } dd { small { (when(at)) } } } }
            }
            div.columns {
                @for (name, prefix) in GROUPS {
                    @let these: Vec<&Sample> = samples.iter().filter(|sample| sample.name.starts_with(prefix)).collect();
                    @if !these.is_empty() { (group(name, &these)) }
                }
            }
        }
        p.soft { "All of them, with histograms, are for Prometheus at " a href="/metrics" { "/metrics" } "." }
    };
    Ok(visitor.page(Place::System, "System", &body))
}

fn group(name: &str, samples: &[&Sample]) -> Markup {
    html! {
        section.card {
            h2 { (name) }
            table {
                thead { tr { th scope="col" { "What" } th.number scope="col" { "Value" } } }
                tbody {
                    @for sample in samples {
                        tr {
                            th.long scope="row" {
                                span title=(sample.name) { (sample.help) }
                                @if !sample.labels.is_empty() { br; code.soft { (sample.labels) } }
                            }
                            td.number { (plain(&sample.name, sample.value)) }
                        }
                    }
                }
            }
        }
    }
}

/// A value in a unit that people read.
fn plain(name: &str, value: f64) -> String {
    let name = name.strip_suffix("_total").unwrap_or(name);
    if name.ends_with("_bytes") {
        const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
        let power = ((value.max(1.0).log2() / 10.0) as usize).min(UNITS.len() - 1);
        let scaled = value / 1024_f64.powi(i32::try_from(power).unwrap_or_default());
        return match power {
            0 => format!("{scaled:.0} B"),
            power => format!("{scaled:.1} {}", UNITS[power]),
        };
    }
    if name.ends_with("_seconds") {
        return format!("{value:.2} s");
    }
    // Counts are whole and not negative.
    number(value as u64)
}

/// Counters and gauges of the text format of OpenMetrics. Histograms are for Prometheus.
fn samples(text: &str) -> Vec<Sample> {
    let mut help = "";
    let mut shown = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
            // prometheus-client ends each with a full stop.
            help = help.trim_end_matches('.');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            shown = rest.ends_with(" counter") || rest.ends_with(" gauge");
        } else if shown && let Some(sample) = sample(line, help) {
            found.push(sample);
        }
    }
    found
}

fn sample(line: &str, help: &str) -> Option<Sample> {
    let (name, value) = line.rsplit_once(' ')?;
    let (name, labels) = match name.split_once('{') {
        Some((name, labels)) => (name, labels.trim_end_matches('}')),
        None => (name, ""),
    };
    if name.starts_with('#') || name.starts_with(ELSEWHERE) {
        return None;
    }
    Some(Sample {
        name: name.to_owned(),
        labels: labels.replace('"', "").replace(',', ", "),
        help: help.to_owned(),
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_are_read_and_nothing_else() {
        let text = "\
# HELP tollgate_x Things.
# TYPE tollgate_x counter
tollgate_x_total{reason=\"a\",by=\"b\"} 3
# HELP tollgate_y_seconds Time.
# TYPE tollgate_y_seconds histogram
tollgate_y_seconds_count 7
# HELP tollgate_limits_decisions Decisions.
# TYPE tollgate_limits_decisions counter
tollgate_limits_decisions_total{domain=\"d\"} 1
# EOF
";
        let found = samples(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].name, "tollgate_x_total");
        assert_eq!(found[0].labels, "reason=a, by=b");
        assert_eq!(found[0].help, "Things");
        assert_eq!(found[0].value, 3.0);
    }

    #[test]
    fn values_have_units() {
        assert_eq!(plain("x_bytes", 0.0), "0 B");
        assert_eq!(plain("x_bytes", 1536.0), "1.5 KiB");
        assert_eq!(plain("x_bytes_total", 5.0 * 1024.0 * 1024.0), "5.0 MiB");
        assert_eq!(plain("x_seconds", 0.5), "0.50 s");
        assert_eq!(plain("x_total", 12_345.0), "12,345");
    }
}
