//! As aligned text.

use std::fmt::Write as _;

use crate::output::Section;
use crate::plan::{Plan, Quantity};
use crate::sweep::SweepTable;

use super::{
    ASSUMPTION_HEADER, HOT_SET_HEADER, assumption_rows, hot_set_row, machine_note, sweep_cells,
};

/// Lines of prose are not longer.
const WIDTH: usize = 100;

/// A plan as text: each result with its formula, below it the numbers and the assumptions it depends on.
#[must_use]
pub fn plan_as_text(plan: &Plan) -> String {
    let width = |of: &dyn Fn(&Quantity) -> usize| plan.quantities().map(of).max().unwrap_or(0);
    let labels = width(&|quantity| chars(quantity.output.label()));
    let values = width(&|quantity| chars(&shown(quantity)));
    let mut out = String::new();
    for section in Section::ALL {
        if plan.section(section).next().is_none() {
            continue;
        }
        heading(&mut out, section.title());
        for quantity in plan.section(section) {
            let label = pad(quantity.output.label(), labels);
            let value = pad_left(&shown(quantity), values);
            line(
                &mut out,
                &format!("  {label}  {value}  = {}", quantity.formula),
            );
            let used: Vec<&str> = quantity.assumptions.iter().map(|one| one.name()).collect();
            let indent = " ".repeat(labels + values + 6);
            let calculation = &quantity.calculation;
            line(&mut out, &format!("{indent}= {calculation}"));
            line(&mut out, &format!("{indent}  by {}", used.join(", ")));
        }
        if section == Section::Memory {
            let rows: Vec<_> = plan.hot_sets().iter().map(hot_set_row).collect();
            out.push('\n');
            table(&mut out, &HOT_SET_HEADER, &rows, true);
        }
    }
    if !plan.warnings().is_empty() {
        heading(&mut out, "Warnings");
        for warning in plan.warnings() {
            wrap(&mut out, "  - ", &warning.message);
        }
    }
    heading(&mut out, "Assumptions");
    table(&mut out, &ASSUMPTION_HEADER, &assumption_rows(plan), false);
    if let Some(note) = machine_note(plan) {
        out.push('\n');
        wrap(&mut out, "  ", &note);
    }
    out
}

/// A sweep as an aligned table.
#[must_use]
pub fn sweep_as_text(sweep: &SweepTable) -> String {
    let (header, rows) = sweep_cells(sweep);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut out = String::new();
    table(&mut out, &header, &rows, true);
    out
}

fn shown(quantity: &Quantity) -> String {
    quantity.output.unit().show(quantity.value)
}

fn heading(out: &mut String, title: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    line(out, title);
}

fn table(out: &mut String, header: &[&str], rows: &[Vec<String>], right: bool) {
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let all = || std::iter::once(&header).chain(rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|at| {
            all()
                .filter_map(|row| row.get(at))
                .map(|cell| chars(cell))
                .max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    for row in all() {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| match right {
            true => pad_left(cell, width),
            false => pad(cell, width),
        });
        line(out, &format!("  {}", cells.collect::<Vec<_>>().join("  ")));
    }
}

/// Prose in lines that are not too long, the later ones indented like the first. A number and its unit
/// stay together.
fn wrap(out: &mut String, first: &str, text: &str) {
    let indent = " ".repeat(chars(first));
    let mut current = first.to_owned();
    let mut is_new = true;
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match words.last_mut() {
            Some(number) if number.ends_with(|c: char| c.is_ascii_digit()) => {
                number.push(' ');
                number.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    for word in &words {
        if !is_new && chars(&current) + 1 + chars(word) > WIDTH {
            line(out, &current);
            current.clone_from(&indent);
            is_new = true;
        }
        if !is_new {
            current.push(' ');
        }
        current.push_str(word);
        is_new = false;
    }
    line(out, &current);
}

fn line(out: &mut String, text: &str) {
    // A string takes everything.
    let _ = writeln!(out, "{}", text.trim_end());
}

fn pad(text: &str, width: usize) -> String {
    text.to_owned() + &" ".repeat(width.saturating_sub(chars(text)))
}

fn pad_left(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(chars(text))) + text
}

/// All that is written here is one column wide.
fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_cut_between_words_but_not_before_a_unit() {
        let mut out = String::new();
        wrap(&mut out, "- ", &format!("{} is 98 % of it", "x".repeat(92)));
        assert_eq!(out, format!("- {} is\n  98 % of it\n", "x".repeat(92)));
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [vec!["1".to_owned(), "× 10".to_owned()]];
        let mut out = String::new();
        table(&mut out, &["days", "n"], &rows, true);
        assert_eq!(out, "  days     n\n     1  × 10\n");
    }
}
