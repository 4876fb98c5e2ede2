//! Memory for what waits: sessions that say nothing, and large messages of which only the dot is missing.
#![allow(clippy::disallowed_methods, reason = "it waits for a server to settle")]

use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;

use crate::Bench;
use crate::load::Until;
use crate::mail::Shape;
use crate::measure::{self, Workload};
use crate::peers::Running;
use crate::process::{Memory, Server};
use crate::sink::Sink;
use crate::source;
use crate::table::{self, Sheet};

/// What was sent gets this long to be taken in.
const SETTLE: Duration = Duration::from_millis(1500);

/// How to run it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Sessions that have said EHLO and wait
    #[arg(long, default_value_t = 5000)]
    idle: usize,
    /// Large messages in flight at once
    #[arg(long, default_value_t = 10)]
    messages: usize,
    /// The size of each, in bytes
    #[arg(long, default_value_t = 25 << 20)]
    size: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    peer: String,
    /// Bytes of private memory for each idle session.
    idle_session: f64,
    attached: Large,
    text: Large,
}

/// MiB resident while large messages wait for their dots, and at most until all were delivered.
#[derive(Debug, Serialize)]
struct Large {
    held: f64,
    peak: f64,
}

/// Runs it.
pub fn run(options: &Options, bench: &Bench) -> Result<(), String> {
    let sink = Sink::start(1).map_err(|error| format!("the sink: {error}"))?;
    let peers = bench.peers(&["tcp", "floor", "transom-plain", "transom"])?;
    let progress = crate::progress(peers.len() * 2);
    let mut rows = Vec::new();
    for peer in &peers {
        progress.set_message(format!("{}, {} idle sessions", peer.name, options.idle));
        let idle_session = idle(&peer.start(sink.ports(), &bench.programs)?, &sink, options.idle)?;
        progress.inc(1);
        progress.set_message(format!("{}, {} large messages", peer.name, options.messages));
        let attached = large(&peer.start(sink.ports(), &bench.programs)?, &sink, options, Shape::Attachment)?;
        let text = large(&peer.start(sink.ports(), &bench.programs)?, &sink, options, Shape::Text)?;
        rows.push(Row { peer: peer.name.clone(), idle_session, attached, text });
        progress.inc(1);
    }
    progress.finish_and_clear();
    let sheet = sheet(&rows, options);
    sheet.print();
    bench.json(&rows)?;
    if bench.write { table::into_page("hold", &sheet.markdown()) } else { Ok(()) }
}

/// A few messages first, so that what is needed once is there.
fn warm<'r>(running: &'r Running, sink: &Sink) -> Result<&'r Server, String> {
    measure::measure(sink, running, &measure::load(running, &Workload::default(), 100), Until::Answered)?;
    sleep(SETTLE);
    running.server.as_ref().ok_or_else(|| format!("{} has no memory of its own", running.peer.name))
}

#[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn idle(running: &Running, sink: &Sink, sessions: usize) -> Result<f64, String> {
    let server = warm(running, sink)?;
    let before = server.memory();
    let mut during = Memory::default();
    let mut load = measure::load(running, &Workload { sessions, ..Workload::default() }, sessions as u64);
    load.messages = 0;
    let mut look = || {
        sleep(SETTLE);
        during = server.memory();
    };
    source::run(&load, Until::Greeted(&mut look)).map_err(|trouble| format!("{}: {trouble}\n{}", running.peer.name, running.log()))?;
    Ok(during.private.saturating_sub(before.private) as f64 / sessions as f64)
}

#[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn large(running: &Running, sink: &Sink, options: &Options, shape: Shape) -> Result<Large, String> {
    let server = warm(running, sink)?;
    let mut held = Memory::default();
    let workload = Workload { sessions: options.messages, size: options.size, shape, ..Workload::default() };
    let mut look = || {
        sleep(SETTLE);
        held = server.memory();
    };
    let load = measure::load(running, &workload, options.messages as u64);
    let sample = measure::measure(sink, running, &load, Until::BeforeTheDot(&mut look))?;
    Ok(Large { held: held.resident as f64 / f64::from(1 << 20), peak: sample.peak })
}

#[allow(clippy::cast_precision_loss, reason = "a number of sessions")]
fn sheet(rows: &[Row], options: &Options) -> Sheet {
    let cells = |row: &Row| {
        let mut cells = vec![row.peer.clone(), table::number(row.idle_session / 1024.0, 1)];
        let Row { attached, text, .. } = row;
        cells.extend([attached.held, attached.peak, text.held, text.peak].map(|value| table::number(value, 0)));
        cells
    };
    let caption = format!(
        "**{} idle sessions** that have said EHLO, private memory each; and **{} messages of {}**, resident memory of all processes while each waits \
         for its dot, and at most until all were delivered: most of each is an attachment, or all of it is text. {}.",
        table::number(options.idle as f64, 0),
        options.messages,
        table::bytes(options.size),
        table::machine(),
    );
    let head = vec!["", "KiB/idle session", "attachment: in flight MiB", "peak MiB", "text: in flight MiB", "peak MiB"];
    Sheet { caption, head, rows: rows.iter().map(cells).collect() }
}
