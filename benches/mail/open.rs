//! The open loop: messages come at a given rate, whether or not earlier ones were answered, as mail does. A message's time counts from the moment it should
//! have been sent, so a server that stalls is charged with all that it delayed.

use std::time::Duration;

use serde::Serialize;

use crate::Bench;
use crate::load::Until;
use crate::measure::{self, Sample, Workload};
use crate::sink::Sink;
use crate::table::{self, Sheet, Spread};

/// How to run it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Messages a second; without it half of what the first peer does
    #[arg(long)]
    rate: Option<f64>,
    /// Connections
    #[arg(long, default_value_t = 50)]
    sessions: usize,
    /// Rounds
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Length of one run
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    peer: String,
    rate: f64,
    samples: Vec<Sample>,
}

/// Runs it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of messages")]
pub fn run(options: &Options, bench: &Bench) -> Result<(), String> {
    let sink = Sink::start(1).map_err(|error| format!("the sink: {error}"))?;
    let peers =
        bench.start(&bench.peers(&["tcp", "floor", "transom-plain", "transom", "transom-plain-chunking", "transom-chunking"])?, &sink)?;
    let workload = Workload { sessions: options.sessions, ..Workload::default() };
    let progress = crate::progress(peers.len() * (options.runs + 1));
    let mut peak: f64 = 0.0;
    for (at, running) in peers.iter().enumerate() {
        progress.set_message(format!("{}, warming up", running.peer.name));
        let count = measure::calibrate(&sink, running, &workload, Duration::from_secs_f64(options.seconds))?;
        let sample = measure::measure(&sink, running, &measure::load(running, &workload, count), Until::Answered)?;
        if at == 0 {
            peak = sample.rate;
        }
        progress.inc(1);
    }
    let rate = options.rate.unwrap_or(peak / 2.0);
    let row = |name: &String| Row { peer: name.clone(), rate, samples: Vec::new() };
    let mut rows: Vec<_> = peers.iter().map(|running| row(&running.peer.name)).collect();
    for round in 1..=options.runs {
        for (running, row) in peers.iter().zip(&mut rows) {
            progress.set_message(format!("{}, {rate:.0} messages/s, round {round} of {}", row.peer, options.runs));
            let mut load = measure::load(running, &workload, (rate * options.seconds) as u64);
            load.rate = Some(rate);
            row.samples.push(measure::measure(&sink, running, &load, Until::Answered)?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let sheet = sheet(&rows, options);
    sheet.print();
    bench.json(&rows)?;
    if bench.write { table::into_page("open", &sheet.markdown()) } else { Ok(()) }
}

fn sheet(rows: &[Row], options: &Options) -> Sheet {
    let cells = |row: &Row| {
        let of = |value: fn(&Sample) -> f64| Spread::of(row.samples.iter().map(value)).map_or(String::new(), |spread| spread.text(2));
        let pairs = row.samples.iter().zip(&rows[0].samples);
        let ratio = Spread::of(pairs.map(|(ours, first)| ours.p99 / first.p99)).map_or(String::new(), |spread| spread.text(2));
        vec![row.peer.clone(), of(|run| run.p50), of(|run| run.p99), ratio, of(|run| run.slowest), of(|run| run.cpu)]
    };
    let caption = format!(
        "**{} messages/s**{}, {} connections, 10 KiB a message; median (least–most) of {} rounds of {} s. {}.",
        table::number(rows[0].rate, 0),
        if options.rate.is_none() { format!(", half of what {} does at most", rows[0].peer) } else { String::new() },
        options.sessions,
        options.runs,
        options.seconds,
        table::machine(),
    );
    let head = vec!["", "p50 ms", "p99 ms", "p99 × first", "slowest ms", "CPU µs/message"];
    Sheet { caption, head, rows: rows.iter().map(cells).collect() }
}
