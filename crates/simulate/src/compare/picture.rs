//! A comparison as a picture: what came and what passed over time, an algorithm a panel.

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, DrawingArea, IntoDrawingArea as _, LineSeries, PathElement, Polygon, RGBColor,
    Rectangle, SVGBackend, WHITE,
};
use plotters::style::Color as _;

use super::{Comparison, Outcome};

/// A picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the picture cannot be drawn: {0}")]
pub struct PictureError(String);

/// Size of a panel, in pixels.
const PANEL: (u32, u32) = (860, 170);
const FONT: &str = "sans-serif";
const CAPTION: u32 = 15;
const LABEL: u32 = 11;
const OFFERED: RGBColor = RGBColor(205, 210, 217);
const PASSED: RGBColor = RGBColor(11, 87, 208);
const LIMIT: RGBColor = RGBColor(200, 60, 40);
const OUTAGE: RGBColor = RGBColor(253, 236, 200);
/// Room above the highest point.
const HEADROOM: f64 = 1.1;

/// Draws it as SVG: grey is what came, blue what passed, red the limit, each a window.
///
/// # Errors
/// Those of the library that draws.
pub fn draw(comparison: &Comparison) -> Result<String, PictureError> {
    let panels = comparison.outcomes.len().max(1);
    let height = u32::try_from(panels).unwrap_or(1).saturating_mul(PANEL.1);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (PANEL.0, height)).into_drawing_area();
        root.fill(&WHITE).map_err(wrong)?;
        let areas = root.split_evenly((panels, 1));
        for (outcome, area) in comparison.outcomes.iter().zip(&areas) {
            panel(area, comparison, outcome)?;
        }
        root.present().map_err(wrong)?;
    }
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    comparison: &Comparison,
    outcome: &Outcome,
) -> Result<(), PictureError> {
    let windows = comparison.windows as f64;
    let points = comparison.offered.len().max(1) as f64;
    // From counts of a part of the run to requests a window.
    let scale = points / windows;
    let step = windows / points;
    let rate = |counts: &[u64]| {
        counts
            .iter()
            .map(|count| *count as f64 * scale)
            .collect::<Vec<_>>()
    };
    let (offered, passed) = (rate(&comparison.offered), rate(&outcome.passed));
    let limit = (comparison.limit * comparison.keys) as f64;
    let highest = offered.iter().chain(&passed).copied().fold(limit, f64::max);
    let mode = outcome.on_store_failure.map(|mode| format!(", {mode}"));
    let caption = format!(
        "{}{}: at most {} in a window, {} % of the limit",
        outcome.algorithm,
        mode.unwrap_or_default(),
        outcome.worst_window,
        outcome.worst_window * 100 / comparison.limit.max(1),
    );
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, CAPTION))
        .margin(8)
        .x_label_area_size(22)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..windows, 0.0..highest * HEADROOM)
        .map_err(wrong)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(10)
        .y_labels(5)
        .x_label_formatter(&|windows| format!("{windows:.0}"))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .label_style((FONT, LABEL))
        .draw()
        .map_err(wrong)?;
    if let Some([from, to]) = comparison.outage {
        let away = Rectangle::new(
            [(from, 0.0), (to.min(windows), highest * HEADROOM)],
            OUTAGE.filled(),
        );
        chart.draw_series([away]).map_err(wrong)?;
    }
    let steps = |heights: &[f64]| {
        let steps = heights.iter().enumerate().flat_map(|(at, height)| {
            let from = at as f64 * step;
            [(from, *height), (from + step, *height)]
        });
        steps.collect::<Vec<_>>()
    };
    // One area: a bar for each point takes ten times the room.
    let mut area = steps(&offered);
    area.extend([(windows, 0.0), (0.0, 0.0)]);
    let area = Polygon::new(area, OFFERED.filled());
    chart.draw_series([area]).map_err(wrong)?;
    chart
        .draw_series(LineSeries::new(steps(&passed), PASSED.stroke_width(2)))
        .map_err(wrong)?;
    let line = PathElement::new([(0.0, limit), (windows, limit)], LIMIT.stroke_width(1));
    chart.draw_series([line]).map_err(wrong)?;
    Ok(())
}

fn wrong(error: impl std::fmt::Display) -> PictureError {
    PictureError(error.to_string())
}
