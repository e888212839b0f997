//! Plans for people.

mod markdown;
mod text;

pub use markdown::{plan_as_markdown, sweep_as_markdown};
pub use text::{plan_as_text, sweep_as_text};

use crate::assumption::MACHINE;
use crate::plan::{HotSet, Plan, basis};
use crate::sweep::SweepTable;
use crate::unit::Unit;

const HOT_SET_HEADER: [&str; 4] = ["days", "links", "hot links", "size"];
const ASSUMPTION_HEADER: [&str; 4] = ["assumption", "value", "", "where it is from"];

/// The table of hot sets.
fn hot_set_row(set: &HotSet) -> Vec<String> {
    vec![
        set.days.to_string(),
        Unit::Count.show(set.links),
        Unit::Count.show(set.hot_links),
        Unit::Bytes.show(set.bytes),
    ]
}

/// The table of assumptions: name, value, who says so, and why.
fn assumption_rows(plan: &Plan) -> Vec<Vec<String>> {
    let all = plan.assumptions();
    let mut rows: Vec<Vec<String>> = plan
        .used()
        .map(|one| {
            let value = all.value(one).unwrap_or(f64::NAN);
            vec![
                one.name().to_owned(),
                one.unit().show_short(value),
                all.origin(one).as_str().to_owned(),
                basis(all, one),
            ]
        })
        .collect();
    rows.push(vec![
        "strategy".to_owned(),
        all.strategy.as_str().to_owned(),
        String::new(),
        "how codes are made".to_owned(),
    ]);
    rows
}

/// Which machine the benchmarks ran on, if any of them counts.
fn machine_note(plan: &Plan) -> Option<String> {
    plan.is_of_our_machine()
        .then(|| format!("Benchmarks ran on {MACHINE}; run them on yours."))
}

/// The header of a sweep, and its rows.
fn sweep_cells(table: &SweepTable) -> (Vec<String>, Vec<Vec<String>>) {
    let mut header = vec![table.assumption.name().to_owned()];
    header.extend(table.columns.iter().map(|column| column.name().to_owned()));
    let rows = table.rows.iter().map(|row| {
        let mut cells = vec![table.assumption.unit().show_short(row.value)];
        let results = table.columns.iter().zip(&row.results);
        cells.extend(results.map(|(column, value)| column.unit().show_short(*value)));
        cells
    });
    (header, rows.collect())
}
