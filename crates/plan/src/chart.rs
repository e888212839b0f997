//! A sweep as a picture.

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Circle, DrawingArea, IntoDrawingArea as _, LineSeries, RGBColor, SVGBackend,
    WHITE,
};
use plotters::style::Color as _;

use crate::output::Output;
use crate::sweep::SweepTable;

/// A picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the chart cannot be drawn: {0}")]
pub struct ChartError(String);

/// Size of a panel, in pixels.
const PANEL: (u32, u32) = (480, 280);
/// Panels beside each other.
const ACROSS: usize = 2;
const FONT: &str = "sans-serif";
const CAPTION_SIZE: u32 = 18;
const LABEL_SIZE: u32 = 12;
const LINE: RGBColor = RGBColor(11, 87, 208);
/// Room above the highest point.
const HEADROOM: f64 = 1.08;

/// Draws each result that changes in a panel of its own, as SVG.
///
/// # Errors
/// A sweep in which nothing changes; there is nothing to draw.
pub fn draw(sweep: &SweepTable) -> Result<String, ChartError> {
    if sweep.columns.is_empty() {
        let reason = format!("no result depends on {}", sweep.assumption);
        return Err(ChartError(reason));
    }
    let across = sweep.columns.len().min(ACROSS);
    let down = sweep.columns.len().div_ceil(ACROSS);
    // There are not so many results that this could be too large.
    let times = |count: usize, pixels: u32| u32::try_from(count).unwrap_or(1) * pixels;
    let size = (times(across, PANEL.0), times(down, PANEL.1));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(wrong)?;
        let panels = root.split_evenly((down, across));
        for (at, (&output, area)) in sweep.columns.iter().zip(&panels).enumerate() {
            let points = sweep.rows.iter().filter_map(|row| {
                let value = row.results.get(at).copied()?;
                value.is_finite().then_some((row.value, value))
            });
            panel(area, sweep, output, &points.collect::<Vec<_>>())?;
        }
        root.present().map_err(wrong)?;
    }
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    sweep: &SweepTable,
    output: Output,
    points: &[(f64, f64)],
) -> Result<(), ChartError> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(());
    };
    let highest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let top = if highest > 0.0 {
        highest * HEADROOM
    } else {
        1.0
    };
    let mut chart = ChartBuilder::on(area)
        .caption(output.label(), (FONT, CAPTION_SIZE))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(84)
        .build_cartesian_2d(first.0..last.0.max(first.0 + f64::EPSILON), 0.0..top)
        .map_err(wrong)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .x_labels(6)
        .y_labels(6)
        .x_desc(sweep.assumption.name())
        .x_label_formatter(&|value| sweep.assumption.unit().show_short(*value))
        .y_label_formatter(&|value| output.unit().show_short(*value))
        .label_style((FONT, LABEL_SIZE))
        .draw()
        .map_err(wrong)?;
    let line = LineSeries::new(points.iter().copied(), LINE.stroke_width(2));
    chart.draw_series(line).map_err(wrong)?;
    let dots = points.iter().map(|&at| Circle::new(at, 3, LINE.filled()));
    chart.draw_series(dots).map_err(wrong)?;
    Ok(())
}

fn wrong(error: impl std::fmt::Display) -> ChartError {
    ChartError(error.to_string())
}

#[cfg(test)]
mod tests {
    use crate::{Assumption, Assumptions, Origin, Sweep};

    use super::*;

    #[test]
    fn every_result_that_changes_has_a_panel() {
        let mut base = Assumptions::new();
        base.set(Assumption::Dau.parse("1G").unwrap(), Origin::Given);
        let sweep = Sweep::parse("hit_rate=0.5..0.99", 5).unwrap();
        let table = sweep.run(&base).unwrap();
        let svg = draw(&table).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
        for column in &table.columns {
            assert!(svg.contains(column.label()), "{column:?}: {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 5 * table.columns.len());
        assert!(svg.contains("hit_rate"), "{svg}");
    }

    #[test]
    fn nothing_is_drawn_of_what_does_not_change() {
        let sweep = Sweep::parse("code_alphabet=200..201", 2).unwrap();
        let mut table = sweep.run(&Assumptions::new()).unwrap();
        table.columns.clear();
        assert!(
            draw(&table)
                .unwrap_err()
                .to_string()
                .contains("code_alphabet")
        );
    }
}
