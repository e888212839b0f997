//! As Markdown.

use std::fmt::Write as _;

use crate::output::Section;
use crate::plan::Plan;
use crate::sweep::SweepTable;

use super::{
    ASSUMPTION_HEADER, HOT_SET_HEADER, assumption_rows, hot_set_row, machine_note, sweep_cells,
};

const RESULT_HEADER: [&str; 5] = ["result", "value", "formula", "with numbers", "assumptions"];

/// A plan as Markdown, a table for each section.
#[must_use]
pub fn plan_as_markdown(plan: &Plan) -> String {
    let mut out = String::from("# Plan\n");
    for section in Section::ALL {
        let rows = plan.section(section).map(|quantity| {
            let used: Vec<&str> = quantity.assumptions.iter().map(|one| one.name()).collect();
            vec![
                quantity.output.label().to_owned(),
                quantity.output.unit().show(quantity.value),
                format!("`{}`", quantity.formula),
                format!("`{}`", quantity.calculation),
                used.join(", "),
            ]
        });
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() {
            continue;
        }
        heading(&mut out, section.title());
        table(&mut out, &RESULT_HEADER, rows);
        if section == Section::Memory {
            out.push('\n');
            table(
                &mut out,
                &HOT_SET_HEADER,
                plan.hot_sets().iter().map(hot_set_row),
            );
        }
    }
    if !plan.warnings().is_empty() {
        heading(&mut out, "Warnings");
        for warning in plan.warnings() {
            let _ = writeln!(out, "- {}", warning.message);
        }
    }
    heading(&mut out, "Assumptions");
    table(&mut out, &ASSUMPTION_HEADER, assumption_rows(plan));
    if let Some(note) = machine_note(plan) {
        let _ = writeln!(out, "\n{note}");
    }
    out
}

/// A sweep as a table in Markdown.
#[must_use]
pub fn sweep_as_markdown(sweep: &SweepTable) -> String {
    let (header, rows) = sweep_cells(sweep);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut out = String::new();
    table(&mut out, &header, rows);
    out
}

// A string takes everything that is written to it.

fn heading(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n## {title}\n");
}

fn table(out: &mut String, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let _ = writeln!(out, "| {} |", header.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(header.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}
