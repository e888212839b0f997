//! What came of a run.

use maud::{Markup, html};
use tollgate_simulate::compare::{Comparison, Outcome, draw};

use super::MOST_DECISIONS;
use super::inputs::Inputs;
use crate::dashboard::show::{number, rate};
use crate::dashboard::slider::{commands, picture, told};

pub(super) fn results(inputs: &Inputs, comparison: Option<&Comparison>) -> Markup {
    html! {
        div #run {
            (told(&inputs.wrong, "Nothing was run", None))
            @if let Some(comparison) = comparison {
                section.card {
                    h2 { "What passes" }
                    p {
                        (number(comparison.requests)) " requests of " @if comparison.keys == 1 { "one key" } @else { (number(comparison.keys)) " keys" } " in " (number(comparison.windows))
                        " windows; at most " (rate(comparison.limit, comparison.window_ms)) "."
                        @if let Some([from, to]) = comparison.outage { " The Redis is away from window " (format!("{from:.1}")) " to " (format!("{to:.1}")) "." }
                    }
                    p.key {
                        span.swatch.offered {} " comes " span.swatch.passed {} " passes " span.swatch.limited {} " limit"
                        @if comparison.outage.is_some() { " " span.swatch.away {} " Redis is away" }
                        ", all a window, over time in windows."
                    }
                    div.scroll tabindex="0" role="region" aria-label="Pictures" {
                        @for outcome in &comparison.outcomes { (panel(comparison, outcome)) }
                    }
                }
                section.card {
                    h2 { "In numbers" }
                    div.scroll tabindex="0" role="region" aria-label="In numbers" { (table(comparison)) }
                    p.soft {
                        "Worst: the most of one key that passed in any interval of a window, or of a tenth of one. False: what an exact log of the last window of what passed would have decided otherwise."
                    }
                }
                (commands(&inputs.command))
            }
            p.soft { "A page makes at most " (number(MOST_DECISIONS as u64)) " decisions, one run after the other; the command line has no such bound." }
        }
    }
}

fn name(outcome: &Outcome) -> String {
    let mode = outcome.on_store_failure.map(|mode| format!(" {mode}"));
    format!("{}{}", outcome.algorithm, mode.unwrap_or_default())
}

fn panel(comparison: &Comparison, outcome: &Outcome) -> Markup {
    let only = Comparison {
        outcomes: vec![outcome.clone()],
        ..comparison.clone()
    };
    let label = format!(
        "{}: what came and what passed over time; the numbers follow",
        name(outcome)
    );
    match draw(&only) {
        Ok(svg) => picture(&svg, &label),
        Err(error) => html! { p.soft { (error) } },
    }
}

fn table(comparison: &Comparison) -> Markup {
    let requests = comparison.requests;
    let of_all = |count: u64| {
        let share = count as f64 / requests.max(1) as f64;
        html! { span { (number(count)) br; span.soft { (format!("{:.1}", share * 100.0)) " %" } } }
    };
    html! {
        table.stack {
            thead {
                tr {
                    th scope="col" { "Algorithm" }
                    th.number scope="col" { "Admitted" }
                    th.number scope="col" { "Delayed" }
                    th.number scope="col" { "Worst window" }
                    th.number scope="col" { "Worst tenth" }
                    th.number scope="col" { "False allow" }
                    th.number scope="col" { "False deny" }
                    th.number scope="col" { "Bytes a key" }
                    th.number scope="col" { "Redis commands" }
                }
            }
            tbody {
                @for outcome in &comparison.outcomes {
                    tr {
                        th scope="row" { (name(outcome)) }
                        td.number data-label="Admitted" { (of_all(outcome.admitted)) }
                        td.number data-label="Delayed" {
                            span {
                                (number(outcome.delayed))
                                @if outcome.delayed > 0 { br; span.soft { "up to " (number(outcome.longest_delay_ms)) " ms" } }
                            }
                        }
                        td.number data-label="Worst window" { (number(outcome.worst_window)) }
                        td.number data-label="Worst tenth" { (number(outcome.worst_tenth)) }
                        td.number data-label="False allow" { (of_all(outcome.false_allow)) }
                        td.number data-label="False deny" { (of_all(outcome.false_deny)) }
                        td.number data-label="Bytes a key" { (number(outcome.bytes_per_key)) }
                        td.number data-label="Redis commands" { (number(outcome.redis_commands)) }
                    }
                }
            }
        }
    }
}
