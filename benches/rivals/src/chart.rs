//! Charts: what a switch costs, and how much memory each takes, against how many there are.

use crate::Failure;
use crate::rivals::Rival::{self, Boost, Corosensei, Cove, Generator, Go, May, Tokio};
use crate::rivals::Work;
use crate::run::Runner;
use plotters::prelude::{
    ChartBuilder, Circle, IntoDrawingArea as _, IntoLogRange as _, LineSeries, PathElement,
    RGBColor, SVGBackend, WHITE,
};
use std::path::Path;

const SIZES: [u64; 8] = [1, 10, 100, 1000, 10_000, 30_000, 100_000, 1_000_000];

/// More of those that need two mappings each do not fit into `vm.max_map_count`.
const MAPPED_MAX: u64 = 30_000;

/// Told apart by those who do not see all colours (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

const PICTURE: (u32, u32) = (900, 560);

struct Chart {
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    figure: &'static str,
    /// The fewest that can be told from what a runtime keeps in store.
    least: u64,
    /// How far below the lowest value the axis begins, so that the legend covers no line.
    below: f64,
    lines: &'static [(&'static str, Rival, Work, u64)],
}

const CHARTS: [Chart; 2] = [
    Chart {
        file: "switch.svg",
        title: "One switch, against the number of live coroutines",
        unit: "ns",
        figure: "ns",
        least: 1,
        below: 1.5,
        lines: &[
            ("cove", Cove, Work::Round, u64::MAX),
            ("corosensei", Corosensei, Work::Round, MAPPED_MAX),
            ("may", May, Work::Round, MAPPED_MAX),
            ("generator", Generator, Work::Round, MAPPED_MAX),
            ("Boost.Context", Boost, Work::Round, MAPPED_MAX),
            ("tokio", Tokio, Work::Round, u64::MAX),
            ("Go", Go, Work::Round, u64::MAX),
        ],
    },
    Chart {
        file: "bytes.svg",
        title: "Memory of one that is parked, against their number",
        unit: "bytes",
        figure: "bytes",
        least: 10_000,
        below: 10.0,
        lines: &[
            ("cove, private stacks", Cove, Work::ParkPrivate, u64::MAX),
            ("corosensei", Corosensei, Work::ParkPrivate, MAPPED_MAX),
            ("may", May, Work::ParkPrivate, MAPPED_MAX),
            ("cove, shared stacks", Cove, Work::ParkShared, u64::MAX),
            ("tokio", Tokio, Work::ParkShared, u64::MAX),
            ("Go", Go, Work::ParkPrivate, u64::MAX),
        ],
    },
];

type Curve = (&'static str, Vec<(f64, f64)>);

/// Measures and draws all charts into the folder; returns their names.
pub(crate) fn draw_all(runner: &Runner, folder: &Path) -> Result<Vec<String>, Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    for chart in &CHARTS {
        let curves: Vec<_> = chart.lines.iter().map(|line| curve(runner, chart, line)).collect();
        draw(chart, &curves, &folder.join(chart.file))?;
    }
    Ok(CHARTS.iter().map(|chart| chart.file.to_owned()).collect())
}

/// One line. It ends at the first size that cannot be had.
fn curve(
    runner: &Runner,
    chart: &Chart,
    (name, rival, work, most): &(&'static str, Rival, Work, u64),
) -> Curve {
    let mut points = Vec::new();
    for count in SIZES.into_iter().filter(|count| (chart.least..=*most).contains(count)) {
        let iterations = 2_000_000.max(count * 20);
        let Ok(found) = runner.figures(*rival, *work, count, iterations) else { break };
        // What is too little to be measured has no place on a logarithmic axis.
        let value = found.get(chart.figure).copied().filter(|value| *value > 0.0);
        points.extend(value.map(|value| (count as f64, value)));
    }
    (name, points)
}

fn draw(chart: &Chart, curves: &[Curve], path: &Path) -> Result<(), Failure> {
    let values = || curves.iter().flat_map(|(_, points)| points);
    if values().next().is_none() {
        return Err(format!("there is nothing to draw in {}", chart.file).into());
    }
    let low = values().map(|point| point.1).fold(f64::INFINITY, f64::min) / chart.below;
    let high = values().map(|point| point.1).fold(0.0, f64::max) * 1.5;
    let area = SVGBackend::new(path, PICTURE).into_drawing_area();
    area.fill(&WHITE)?;
    let (first, last) = (chart.least as f64, SIZES[SIZES.len() - 1] as f64);
    let mut canvas = ChartBuilder::on(&area)
        .caption(chart.title, ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((first..last * 1.2).log_scale(), (low..high).log_scale())?;
    canvas
        .configure_mesh()
        .x_desc("coroutines")
        .y_desc(chart.unit)
        .x_label_formatter(&|count| format!("{count:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for ((name, points), colour) in curves.iter().zip(COLOURS) {
        canvas
            .draw_series(LineSeries::new(points.iter().copied(), &colour))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
        canvas.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour)))?;
    }
    canvas
        .configure_series_labels()
        .position(plotters::prelude::SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(COLOURS[6])
        .draw()?;
    Ok(area.present()?)
}
