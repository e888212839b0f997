//! Reports: a summary and some tables, as text or as Markdown.

use std::fmt::Write as _;

use crate::show;

/// What a report says, for people.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Lines at the top.
    pub(super) summary: Vec<String>,
    /// Tables, with their titles.
    pub(super) tables: Vec<Sheet>,
}

/// A table with a title. Nothing is shown of one without rows.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) title: String,
    pub(super) header: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Pages {
    /// Prints it for people.
    pub(super) fn text(self) -> anyhow::Result<()> {
        for line in self.summary {
            show::line(line)?;
        }
        for sheet in self.tables {
            if !sheet.rows.is_empty() {
                show::line(format_args!("\n{}", sheet.title))?;
                show::table(&sheet.header, sheet.rows)?;
            }
        }
        Ok(())
    }

    /// The same as Markdown.
    pub(super) fn to_markdown(&self) -> String {
        let mut text = String::new();
        for line in &self.summary {
            // Writing to a string never fails.
            let _ = writeln!(text, "- {}", cell(line));
        }
        let row = |text: &mut String, cells: &mut dyn Iterator<Item = String>| {
            let cells: Vec<String> = cells.collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        };
        for sheet in self.tables.iter().filter(|sheet| !sheet.rows.is_empty()) {
            let _ = writeln!(text, "\n## {}\n", sheet.title);
            row(
                &mut text,
                &mut sheet.header.iter().map(|cell| cell.to_lowercase()),
            );
            row(
                &mut text,
                &mut sheet.header.iter().map(|_| "---".to_owned()),
            );
            for cells in &sheet.rows {
                row(&mut text, &mut cells.iter().map(|text| cell(text)));
            }
        }
        text
    }
}

/// A text that means nothing to Markdown.
fn cell(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '~' => {
                plain.extend(['\\', sign])
            }
            '\n' | '\r' | '\t' => plain.push(' '),
            _ => plain.push(sign),
        }
    }
    plain
}

/// A share in per cent, to as many digits as tell it from all and from nothing.
pub(super) fn percent(share: f64) -> String {
    let mut digits = 1;
    while digits < 6 {
        let text = format!("{:.digits$}", share * 100.0);
        let value: f64 = text.parse().unwrap_or(0.0);
        if (value < 100.0 || share >= 1.0) && (value > 0.0 || share <= 0.0) {
            break;
        }
        digits += 1;
    }
    format!("{:.digits$} %", share * 100.0)
}

/// The share that a part is of a whole.
pub(super) fn part(part: u64, whole: u64) -> String {
    percent(part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_from_all_and_nothing() {
        let told = [0.0, 0.5, 1.0, 0.9999, 0.999_99, 0.0001].map(percent);
        assert_eq!(
            told,
            [
                "0.0 %", "50.0 %", "100.0 %", "99.99 %", "99.999 %", "0.01 %"
            ]
        );
    }

    #[test]
    fn markdown_is_not_broken_by_what_is_in_it() {
        let pages = Pages {
            summary: vec!["a_b".to_owned()],
            tables: vec![
                Sheet {
                    title: "T".to_owned(),
                    header: vec!["KEY", "N"],
                    rows: vec![vec!["a|b\n<i>".to_owned(), "1".to_owned()]],
                },
                Sheet {
                    title: "Empty".to_owned(),
                    header: vec!["KEY"],
                    rows: Vec::new(),
                },
            ],
        };
        let wanted = "- a\\_b\n\n## T\n\n| key | n |\n| --- | --- |\n| a\\|b \\<i\\> | 1 |\n";
        assert_eq!(pages.to_markdown(), wanted);
    }
}
