//! What TLS on both sides costs, on connections that are kept: three Transoms in a row, of which the middle one is measured.
//!
//! ```text
//!   source ──► Transom ══TLS══► Transom (measured) ══TLS══► Transom ──► sink
//! ```

use std::time::Duration;

use serde::Serialize;

use crate::Bench;
use crate::load::Until;
use crate::measure::{self, Sample, Workload};
use crate::peers::{Peer, Running, Tls};
use crate::sink::Sink;
use crate::table::{self, Sheet, Spread};

/// How to run it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Connections
    #[arg(long, default_value_t = 10)]
    sessions: usize,
    /// Rounds
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Length of one run
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// Three servers; the load goes into the first, and the middle one is looked at.
pub struct Row {
    pub middle: Running,
    _others: [Running; 2],
}

#[derive(Debug, Serialize)]
struct Measured {
    plain: Vec<Sample>,
    tls: Vec<Sample>,
}

/// Runs it.
pub fn run(options: &Options, bench: &Bench) -> Result<(), String> {
    let sink = Sink::start(1).map_err(|error| format!("the sink: {error}"))?;
    let rows = [row("plain", false, &sink, bench)?, row("TLS", true, &sink, bench)?];
    let workload = Workload { sessions: options.sessions, ..Workload::default() };
    let messages = measure::calibrate(&sink, &rows[1].middle, &workload, Duration::from_secs_f64(options.seconds))?;
    let progress = crate::progress(2 * options.runs);
    let mut measured = Measured { plain: Vec::new(), tls: Vec::new() };
    for _ in 0..options.runs {
        for (row, samples) in rows.iter().zip([&mut measured.plain, &mut measured.tls]) {
            let load = measure::load(&row.middle, &workload, messages);
            samples.push(measure::measure(&sink, &row.middle, &load, Until::Answered)?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let sheet = sheet(&measured, options);
    sheet.print();
    bench.json(&measured)?;
    if bench.write { table::into_page("tls", &sheet.markdown()) } else { Ok(()) }
}

/// Starts them, with TLS between them or without.
pub fn row(name: &str, tls: bool, sink: &Sink, bench: &Bench) -> Result<Row, String> {
    let server = |listener, next_hop, to: &[u16]| Peer::in_tls(name, Tls { listener, next_hop }).start(to, &bench.programs);
    let last = server(tls, false, sink.ports())?;
    let mut middle = server(tls, tls, &[last.port])?;
    let first = server(false, tls, &[middle.port])?;
    middle.port = first.port;
    Ok(Row { middle, _others: [first, last] })
}

fn sheet(measured: &Measured, options: &Options) -> Sheet {
    let cpu = |samples: &[Sample]| Spread::of(samples.iter().map(|sample| sample.cpu));
    let ratio = Spread::of(measured.tls.iter().zip(&measured.plain).map(|(tls, plain)| tls.cpu / plain.cpu));
    let cell = |spread: Option<Spread>, digits| spread.map(|spread| spread.text(digits)).unwrap_or_default();
    let caption = format!(
        "**TLS on both sides**, connections kept, {} sessions, messages of 10 KiB, no rules: processor time of one Transom between two others, microseconds a message, \
         medians of {} interleaved rounds with the least and the most. {}.",
        options.sessions,
        options.runs,
        table::machine(),
    );
    let rows = vec![
        vec!["plain".to_owned(), cell(cpu(&measured.plain), 0), String::new()],
        vec!["TLS 1.3".to_owned(), cell(cpu(&measured.tls), 0), cell(ratio, 2)],
    ];
    Sheet { caption, head: vec!["", "µs", "÷ plain"], rows }
}
