//! The plots of the page: SVG, under docs/plots.
#![allow(clippy::disallowed_methods, reason = "it makes the directory")]

use std::error::Error;
use std::fs;

use plotters::prelude::*;

use crate::table::{self, Spread};

const SIZE: (u32, u32) = (640, 320);
const INK: RGBColor = RGBColor(38, 70, 83);
const FILL: RGBColor = RGBColor(42, 157, 143);
const GREY: RGBColor = RGBColor(150, 150, 150);

/// One bar, with the least and the most as a line across.
#[derive(Debug)]
pub struct Bar {
    pub name: String,
    pub value: Spread,
}

/// Cost over input.
#[derive(Debug)]
pub struct Line {
    /// What the input is.
    pub input: &'static str,
    pub points: Vec<(f64, f64)>,
}

/// Horizontal bars.
pub fn bars(file: &str, title: &str, bars: &[Bar]) -> Result<(), String> {
    draw_bars(file, title, bars).map_err(|error| format!("plot {file}: {error}"))
}

/// A line over logarithmic axes, and beside it one that grows as the input does.
pub fn growth(file: &str, title: &str, line: &Line) -> Result<(), String> {
    draw_growth(file, title, line).map_err(|error| format!("plot {file}: {error}"))
}

fn path(file: &str) -> Result<std::path::PathBuf, std::io::Error> {
    let directory = table::docs().join("plots");
    fs::create_dir_all(&directory)?;
    Ok(directory.join(format!("{file}.svg")))
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful of bars")]
fn draw_bars(file: &str, title: &str, bars: &[Bar]) -> Result<(), Box<dyn Error>> {
    let path = path(file)?;
    let area = SVGBackend::new(&path, (SIZE.0, 60 + 36 * bars.len() as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let longest = bars.iter().map(|bar| bar.value.most).fold(0.0, f64::max).max(1.0);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .set_label_area_size(LabelAreaPosition::Left, 110)
        .set_label_area_size(LabelAreaPosition::Right, 0)
        .build_cartesian_2d(0.0..longest * 1.15, 0.0..bars.len() as f64)?;
    for (at, bar) in bars.iter().enumerate() {
        let (bottom, top) = ((bars.len() - at) as f64 - 0.8, (bars.len() - at) as f64 - 0.2);
        let middle = f64::midpoint(bottom, top);
        let Spread { median, least, most } = bar.value;
        let tint = if bar.name.starts_with("transom") { FILL } else { GREY };
        chart.draw_series([Rectangle::new([(0.0, bottom), (median, top)], tint.filled())])?;
        chart.draw_series([PathElement::new([(least, middle), (most, middle)], INK.stroke_width(2))])?;
        let style = ("sans-serif", 13).into_font().color(&INK);
        chart.draw_series([EmptyElement::at((most, middle)) + Text::new(table::number(median, 0), (6, -6), style.clone())])?;
        chart.draw_series([EmptyElement::at((0.0, middle)) + Text::new(bar.name.clone(), (-100, -6), style)])?;
    }
    area.present()?;
    Ok(())
}

fn draw_growth(file: &str, title: &str, line: &Line) -> Result<(), Box<dyn Error>> {
    let (Some(&(first, _)), Some(&(last, top))) = (line.points.first(), line.points.last()) else { return Ok(()) };
    let path = path(file)?;
    let area = SVGBackend::new(&path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let lowest = line.points.iter().map(|(_, cost)| *cost).fold(f64::MAX, f64::min);
    let highest = line.points.iter().map(|(_, cost)| *cost).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((first..last * 1.05).log_scale(), (lowest / 2.0..highest * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(line.input)
        .x_label_formatter(&short)
        .y_label_formatter(&short)
        .y_labels(6)
        .draw()?;
    // What would grow as the input does and ends at the same point.
    let proportional = [(first.max(last * lowest / 2.0 / top), (top * first / last).max(lowest / 2.0)), (last, top)];
    chart.draw_series(LineSeries::new(proportional, GREY.stroke_width(1)))?.label("as the input").legend(|at| key(at, GREY));
    chart.draw_series(LineSeries::new(line.points.iter().copied(), FILL.stroke_width(2)))?.label("measured").legend(|at| key(at, FILL));
    chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, INK.filled())))?;
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).background_style(WHITE).border_style(GREY).draw()?;
    area.present()?;
    Ok(())
}

fn key((x, y): (i32, i32), color: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
}

/// `10 k`, `50 M`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "what a formatter is")]
fn short(value: &f64) -> String {
    for (unit, name) in [(1e6, " M"), (1e3, " k")] {
        if *value >= unit {
            return format!("{}{name}", table::number(value / unit, 0));
        }
    }
    table::number(*value, usize::from(*value < 10.0))
}
