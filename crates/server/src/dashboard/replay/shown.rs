use maud::{Markup, html};
use tollgate_simulate::replay::{Report, RuleReport};

use crate::dashboard::show::{number, percent, rate, share, when};

/// What came of a replay.
pub(super) fn shown(report: &Report) -> Markup {
    let percent_of = |part: u64, whole: u64| percent(share(part, whole));
    html! {
        dl.figures {
            div { dt { "Requests" } dd { (number(report.requests)) @if let (Some(from), Some(to)) = (report.from, report.to) { small { (when(from)) " to " (when(to)) } } } }
            div { dt { "Would be refused" } dd { (number(report.refused)) small { (percent_of(report.refused, report.requests)) } } }
            @if let Some(good) = report.good {
                div { dt { "Good clients refused" } dd { (number(good.refused)) small { "of " (number(good.requests)) " requests, " (percent_of(good.refused, good.requests)) } } }
            }
            @if report.uncounted > 0 { div { dt { "Counted by no policy" } dd { (number(report.uncounted)) } } }
            @if report.lines.bad > 0 { div { dt { "Lines that are no requests" } dd { (number(report.lines.bad)) } } }
        }
        section.card {
            h2 { "Policies" }
            div.scroll tabindex="0" role="region" aria-label="What each policy would have done" {
                table.stack {
                    thead { tr {
                        th scope="col" { "Policy" } th scope="col" { "Limit" } th.number scope="col" { "Requests" }
                        th.number scope="col" { "Refused" } th.number scope="col" { "Keys" }
                        th.number scope="col" { "Never refused" } th scope="col" { "Proposed" }
                    } }
                    tbody { @for rule in &report.rules { (row(rule)) } }
                }
            }
        }
        @if !report.worst.is_empty() {
            section.card {
                h2 { "Refused most" }
                table {
                    thead { tr { th scope="col" { "Key" } th scope="col" { "Policy" } th.number scope="col" { "Refused" } } }
                    tbody {
                        @for worst in &report.worst {
                            tr {
                                th.long scope="row" { code { (worst.key) } }
                                td { (worst.policy) }
                                td.number { @if worst.error > 0 { "at most " } (number(worst.refused)) }
                            }
                        }
                    }
                }
            }
        }
        @if !report.lines.bad_lines.is_empty() {
            section.card {
                h2 { "Lines that are no requests" }
                table {
                    thead { tr { th.number scope="col" { "Line" } th scope="col" { "Why" } th scope="col" { "Text" } } }
                    tbody {
                        @for bad in &report.lines.bad_lines {
                            tr { td.number { (number(bad.line)) } td { (bad.reason) } td.long { code { (bad.text) } } }
                        }
                    }
                }
            }
        }
    }
}

fn row(rule: &RuleReport) -> Markup {
    html! {
        tr {
            th scope="row" { span { (rule.policy) @if rule.shadow { " " span.badge.warn { "shadow" } } } }
            td data-label="Limit" {
                span {
                    @match (rule.limit, rule.window_ms) {
                        (Some(most), Some(window)) => (rate(most, window)),
                        _ => "unlimited",
                    }
                }
            }
            td.number data-label="Requests" { (number(rule.requests)) }
            td.number data-label="Refused" {
                span { (number(rule.refused)) @if rule.would_refuse > 0 { br; span.soft { (number(rule.would_refuse)) " would be" } } }
            }
            td.number data-label="Keys" { @if !rule.keys.exact { "about " } (number(rule.keys.count)) }
            td.number data-label="Never refused" { (percent(Some(rule.keys.never_refused))) }
            td data-label="Proposed" {
                span {
                    @for suggestion in &rule.suggestions {
                        @if Some(suggestion.window_ms) == rule.window_ms { (rate(suggestion.limit, suggestion.window_ms)) }
                    }
                }
            }
        }
    }
}
