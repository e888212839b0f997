//! What follows from the numbers.

use maud::{Markup, html};
use tollgate_plan::{
    Assumption, MACHINE, Output, Plan, Section, SweepTable, Unit, basis, draw, sweep_as_text,
};

use super::inputs::Inputs;
use crate::dashboard::slider::{commands, picture, told};

/// What most people came for.
const FIGURES: [Output; 8] = [
    Output::PeakWritesPerSecond,
    Output::PeakReadsPerSecond,
    Output::BytesReplicated,
    Output::PeakOutBits,
    Output::MemoryBytes,
    Output::Instances,
    Output::RedisNodes,
    Output::Replicas,
];

/// A chart has no more panels; the table below it has everything.
const MOST_PANELS: usize = 4;

pub(super) fn results(inputs: &Inputs) -> Markup {
    let plan = Plan::new(inputs.assumptions.clone());
    html! {
        div #plan {
            (told(&inputs.wrong, "Not taken", plan.is_ok().then_some("Below, what usually holds stands in for it.")))
            @if let Ok(plan) = &plan {
                (warnings(plan))
                dl.figures {
                    @for output in FIGURES {
                        div { dt { (output.label()) } dd { (output.unit().show_short(plan.value(output))) } }
                    }
                }
                (chart(inputs))
                @for section in Section::ALL { (part(plan, section)) }
                (assumptions(plan))
                (commands([&*inputs.command, &*inputs.sweep_command].join("\n").trim_end()))
            }
        }
    }
}

fn warnings(plan: &Plan) -> Markup {
    html! {
        @if !plan.warnings().is_empty() {
            section.caution aria-label="Warnings" {
                ul { @for warning in plan.warnings() { li { (warning.message) } } }
            }
        }
    }
}

fn part(plan: &Plan, section: Section) -> Markup {
    html! {
        @if plan.section(section).next().is_some() {
            section.card {
                h2 { (section.title()) }
                div.scroll tabindex="0" role="region" aria-label=(section.title()) {
                    table.stack {
                        thead { tr { th scope="col" { "Result" } th.number scope="col" { "Value" } th scope="col" { "Formula, and the same with numbers" } } }
                        tbody {
                            @for one in plan.section(section) {
                                tr #(one.output.name()) {
                                    th scope="row" { (one.output.label()) }
                                    td.number data-label="Value" { strong { (one.output.unit().show(one.value)) } }
                                    td.formula { code { "= " (one.formula) br; span.soft { "= " (one.calculation) } } }
                                }
                            }
                        }
                    }
                }
                @if section == Section::Memory { (hot_sets(plan)) }
            }
        }
    }
}

fn hot_sets(plan: &Plan) -> Markup {
    html! {
        h3 { "Hot sets by age" }
        table.stack {
            thead { tr { th scope="col" { "Up to" } th.number scope="col" { "Links" } th.number scope="col" { "Hot links" } th.number scope="col" { "Size" } } }
            tbody {
                @for set in plan.hot_sets() {
                    tr {
                        th scope="row" { (set.days) @if set.days == 1 { " day" } @else { " days" } }
                        td.number data-label="Links" { (Unit::Count.show(set.links)) }
                        td.number data-label="Hot links" { (Unit::Count.show(set.hot_links)) }
                        td.number data-label="Size" { (Unit::Bytes.show_short(set.bytes)) }
                    }
                }
            }
        }
    }
}

/// A panel for each result that changes, so that they find room beside or below each other.
fn chart(inputs: &Inputs) -> Markup {
    let Some((assumption, table)) = &inputs.sweep else {
        return html! {};
    };
    let panels = (0..table.columns.len().min(MOST_PANELS)).map(|at| {
        let rows = table.rows.iter().cloned().map(|mut row| {
            row.results = row.results.get(at..=at).unwrap_or_default().to_vec();
            row
        });
        let only = SweepTable {
            assumption: *assumption,
            columns: table.columns.get(at..=at).unwrap_or_default().to_vec(),
            rows: rows.collect(),
        };
        let label = only.columns.first().map_or("", |column| column.label());
        (format!("{label}, by {assumption}"), draw(&only))
    });
    let panels: Vec<_> = panels.collect();
    html! {
        section.card {
            h2 { "What changes with " code { (assumption) } }
            @if panels.is_empty() { p.soft { "No result depends on it." } }
            div.panels {
                @for (label, panel) in &panels {
                    @match panel {
                        Ok(svg) => (picture(svg, label)),
                        Err(error) => p.soft { (error) },
                    }
                }
            }
            details {
                summary { "The same as a table" }
                pre tabindex="0" { (sweep_as_text(table)) }
            }
        }
    }
}

/// All that the plan is made by, with where it is from.
fn assumptions(plan: &Plan) -> Markup {
    let all = plan.assumptions();
    let show = |one: Assumption| all.value(one).map(|value| one.unit().show_short(value));
    html! {
        section.card {
            h2 { "Assumptions" }
            table.stack {
                thead { tr { th scope="col" { "Assumption" } th.number scope="col" { "Value" } th scope="col" { "From" } } }
                tbody {
                    @for one in plan.used() {
                        tr { th scope="row" { (one) } td.number data-label="Value" { (show(one).unwrap_or_default()) } td data-label="From" { span { (basis(all, one)) } } }
                    }
                }
            }
            @if plan.is_of_our_machine() { p.soft { "Benchmarks ran on " (MACHINE) "; run them on yours." } }
        }
    }
}
