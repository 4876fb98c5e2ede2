//! How Transom's cost grows with what it is given: nothing may grow faster than its input.

use std::time::Duration;

use serde::Serialize;

use crate::Bench;
use crate::load::Until;
use crate::measure::{self, Sample, Workload};
use crate::peers::{CHANGES, Peer};
use crate::plot::{self, Line};
use crate::sink::Sink;
use crate::table::{self, Sheet};

/// From one point to the next, cost may grow so much more than the input: caches that no longer suffice and a noisy machine, at steps of five and ten.
const TOLERANCE: f64 = 2.0;

/// `limits.memory_per_message`: from here on content lies in a file, which costs more a byte, once.
const INTO_A_FILE: usize = 1 << 20;

/// Each point is measured so often; the one in the middle counts.
const RUNS: usize = 3;

/// How to run it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Aimed length of one run
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Only these: size, sessions, rules, recipients, next-hops
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Up to this much of the input, for a quick look
    #[arg(long)]
    most: Option<usize>,
}

/// What grows.
struct Axis {
    name: &'static str,
    about: &'static str,
    points: &'static [usize],
    /// The load and Transom's rules at this point.
    at: fn(usize) -> (Workload, String),
    next_hops: fn(usize) -> usize,
}

const AXES: &[Axis] = &[
    Axis {
        name: "size",
        about: "bytes a message",
        points: &[1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20, 50 << 20],
        at: |size| (Workload { size, sessions: 4, ..Workload::default() }, CHANGES.to_owned()),
        next_hops: |_| 1,
    },
    Axis {
        name: "sessions",
        about: "sessions",
        points: &[1, 10, 100, 1000, 5000],
        at: |sessions| (Workload { sessions, ..Workload::default() }, CHANGES.to_owned()),
        next_hops: |_| 1,
    },
    Axis {
        name: "rules",
        about: "rules that do not apply",
        points: &[0, 1, 10, 100, 1000],
        at: |rules| (Workload::default(), (0..rules).map(rule).collect::<String>() + CHANGES),
        next_hops: |_| 1,
    },
    Axis {
        name: "recipients",
        about: "recipients of a message",
        points: &[1, 10, 100, 1000],
        at: |recipients| (Workload { recipients, pipelined: true, ..Workload::default() }, CHANGES.to_owned()),
        next_hops: |_| 1,
    },
    Axis {
        name: "next-hops",
        about: "next hops in turn",
        points: &[1, 3, 10, 30, 100],
        at: |_| (Workload { sessions: 50, ..Workload::default() }, CHANGES.to_owned()),
        next_hops: |count| count,
    },
];

/// One that has to look into the header or the body, in vain.
fn rule(number: usize) -> String {
    let condition = if number.is_multiple_of(2) { "subject" } else { "body" };
    format!("  - name: rule {number}\n    when: {{{condition}: {{contains: offer number {number}}}}}\n    then: [tag: seen]\n")
}

#[derive(Debug, Serialize)]
struct Point {
    input: usize,
    sample: Sample,
}

#[derive(Debug, Serialize)]
struct Growth {
    axis: &'static str,
    about: &'static str,
    points: Vec<Point>,
}

/// Runs it.
pub fn run(options: &Options, bench: &Bench) -> Result<(), String> {
    let axes: Vec<_> = AXES.iter().filter(|axis| options.only.is_empty() || options.only.iter().any(|name| name == axis.name)).collect();
    let most = options.most.unwrap_or(usize::MAX);
    let progress = crate::progress(axes.iter().map(|axis| axis.points.iter().filter(|point| **point <= most).count()).sum());
    let sink = Sink::start(100).map_err(|error| format!("the sink: {error}"))?;
    let mut grown = Vec::new();
    for axis in axes {
        let mut points = Vec::new();
        for &input in axis.points.iter().filter(|point| **point <= most) {
            progress.set_message(format!("{input} {}", axis.about));
            let (workload, rules) = (axis.at)(input);
            let peer = Peer::transom("transom", rules, true);
            let running = peer.start(&sink.ports()[..(axis.next_hops)(input)], &bench.programs)?;
            let count = measure::calibrate(&sink, &running, &workload, Duration::from_secs_f64(options.seconds))?;
            let run = |_| measure::measure(&sink, &running, &measure::load(&running, &workload, count), Until::Answered);
            let mut samples = (0..RUNS).map(run).collect::<Result<Vec<_>, _>>()?;
            samples.sort_by(|one, other| one.cpu.total_cmp(&other.cpu));
            points.push(Point { input, sample: samples[RUNS / 2] });
            progress.inc(1);
        }
        grown.push(Growth { axis: axis.name, about: axis.about, points });
    }
    progress.finish_and_clear();
    for growth in &grown {
        growth.sheet().print();
    }
    bench.json(&grown)?;
    if bench.write {
        let sheets: Vec<_> = grown.iter().map(Growth::markdown).collect();
        table::into_page("growth", &sheets.join("\n"))?;
        for growth in &grown {
            growth.plots()?;
        }
    }
    let faster: Vec<_> = grown.iter().filter_map(Growth::too_fast).collect();
    if faster.is_empty() { Ok(()) } else { Err(faster.join("\n")) }
}

impl Growth {
    /// How much more the cost grew from the point before than the input did.
    #[allow(clippy::cast_precision_loss, reason = "inputs are far below 2^52")]
    fn step(&self, at: usize, cost: fn(&Sample) -> f64) -> Option<f64> {
        let (before, here) = (self.points.get(at.checked_sub(1)?)?, &self.points[at]);
        let input = here.input as f64 / before.input as f64;
        Some(cost(&here.sample) / cost(&before.sample) / input)
    }

    fn too_fast(&self) -> Option<String> {
        let alike = |at: &usize| self.axis != "size" || self.points[*at].input != INTO_A_FILE;
        let steps = |name, cost| (0..self.points.len()).filter(alike).filter_map(move |at| Some((at, name, self.step(at, cost)?)));
        let (at, name, step) =
            steps("processor time", |run| run.cpu).chain(steps("memory", |run| run.peak)).find(|(.., step)| *step > TOLERANCE)?;
        Some(format!("{}: at {} {} {name} has grown {step:.2} times as much as the input", self.axis, self.points[at].input, self.about))
    }

    #[allow(clippy::cast_precision_loss, reason = "inputs are far below 2^52")]
    fn sheet(&self) -> Sheet {
        let cells = |(at, point): (usize, &Point)| {
            let input = if self.axis == "size" { table::bytes(point.input) } else { table::number(point.input as f64, 0) };
            let step = self.step(at, |run| run.cpu).filter(|step| step.is_finite()).map_or(String::new(), |step| table::number(step, 2));
            let Sample { cpu, rate, p50, peak, .. } = point.sample;
            vec![input, table::number(cpu, 0), step, table::number(rate, 1), table::number(p50, 2), table::number(peak, 0)]
        };
        let caption = format!("**{}**: {}. {}.", self.axis, self.about, table::machine());
        let head = vec!["", "CPU µs/message", "growth ÷ input's", "messages/s", "p50 ms", "peak MiB"];
        Sheet { caption, head, rows: self.points.iter().enumerate().map(cells).collect() }
    }

    fn markdown(&self) -> String {
        format!(
            "{}\n![]({}) ![]({})\n",
            self.sheet().markdown(),
            format_args!("plots/{}-cpu.svg", self.axis),
            format_args!("plots/{}-memory.svg", self.axis)
        )
    }

    #[allow(clippy::cast_precision_loss, reason = "inputs are far below 2^52")]
    fn plots(&self) -> Result<(), String> {
        let line = |cost: fn(&Sample) -> f64| Line {
            input: self.about,
            // A logarithm has no zero.
            points: self.points.iter().map(|point| (point.input.max(1) as f64, cost(&point.sample))).collect(),
        };
        plot::growth(&format!("{}-cpu", self.axis), "Processor time per message in µs", &line(|run| run.cpu))?;
        plot::growth(&format!("{}-memory", self.axis), "Peak memory in MiB", &line(|run| run.peak))
    }
}
