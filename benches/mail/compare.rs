//! All peers in one interleaved run: A B C A B C …, so that what the machine does meanwhile hits all of them.

use std::time::Duration;

use serde::Serialize;

use crate::Bench;
use crate::load::Until;
use crate::mail::Shape;
use crate::measure::{self, Sample, Workload};
use crate::peers::{Peer, Running};
use crate::plot::{self, Bar};
use crate::sink::Sink;
use crate::table::{self, Sheet, Spread};

/// What others are measured by: who takes less than the forwarder, and who is near the floor.
const FORWARDER: &str = "tcp";
const FLOOR: &str = "floor";

/// Everybody, in the order of the table.
const ALL: [&str; 9] =
    ["direct", "tcp", "floor", "postfix", "filter", "transom-plain", "transom", "transom-plain-chunking", "transom-chunking"];

/// How to compare.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Sessions; each number is a table of its own
    #[arg(long, value_delimiter = ',', default_value = "10,50")]
    sessions: Vec<usize>,
    /// Size of the messages' bodies, in bytes
    #[arg(long, default_value_t = 10 << 10)]
    size: usize,
    /// Rounds
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Aimed length of one run
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Messages over one connection; without it all
    #[arg(long)]
    per_connection: Option<u64>,
    /// Recipients of each message
    #[arg(long, default_value_t = 1)]
    recipients: usize,
    /// MAIL, RCPT and DATA in one write
    #[arg(long)]
    pipelined: bool,
}

/// All runs of one peer.
#[derive(Debug, Serialize)]
struct Row {
    peer: String,
    #[serde(skip)]
    about: &'static str,
    samples: Vec<Sample>,
}

/// All rows of one number of sessions.
#[derive(Debug, Serialize)]
struct Block {
    sessions: usize,
    size: usize,
    rows: Vec<Row>,
}

impl Row {
    fn spread(&self, value: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().map(value))
    }

    /// To another peer's run of the same round.
    fn ratio(&self, to: Option<&Self>, value: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().zip(&to?.samples).map(|(ours, theirs)| value(ours) / value(theirs)))
    }
}

/// Runs it; the tables go to the terminal and, where wanted, into the page.
pub fn run(options: &Options, bench: &Bench) -> Result<(), String> {
    let sink = Sink::start(1).map_err(|error| format!("the sink: {error}"))?;
    let peers = bench.start(&bench.peers(&ALL)?, &sink)?;
    let progress = crate::progress(options.sessions.len() * peers.len() * (options.runs + 1));
    let mut blocks = Vec::new();
    for &sessions in &options.sessions {
        let workload = Workload {
            size: options.size,
            shape: Shape::Text,
            sessions,
            per_connection: options.per_connection,
            pipelined: options.pipelined,
            recipients: options.recipients,
        };
        blocks.push(rounds(&sink, &peers, &workload, options, &progress)?);
    }
    progress.finish_and_clear();
    for block in &blocks {
        block.sheet(options).print();
    }
    bench.json(&blocks)?;
    if bench.write {
        let sheets: Vec<_> = blocks.iter().map(|block| block.markdown(options)).collect();
        table::into_page("compare", &sheets.join("\n"))?;
        for block in &blocks {
            block.plots()?;
        }
    }
    Ok(())
}

fn rounds(
    sink: &Sink,
    peers: &[Running],
    workload: &Workload,
    options: &Options,
    progress: &indicatif::ProgressBar,
) -> Result<Block, String> {
    let mut counts = Vec::new();
    for running in peers {
        progress.set_message(format!("{}, {} sessions, warming up", running.peer.name, workload.sessions));
        counts.push(measure::calibrate(sink, running, workload, Duration::from_secs_f64(options.seconds))?);
        progress.inc(1);
    }
    let row = |Peer { name, about, .. }: &Peer| Row { peer: name.clone(), about, samples: Vec::new() };
    let mut rows: Vec<_> = peers.iter().map(|running| row(&running.peer)).collect();
    for round in 1..=options.runs {
        for ((running, row), count) in peers.iter().zip(&mut rows).zip(&counts) {
            progress.set_message(format!("{}, {} sessions, round {round} of {}", row.peer, workload.sessions, options.runs));
            let load = measure::load(running, workload, *count);
            row.samples.push(measure::measure(sink, running, &load, Until::Answered)?);
            progress.inc(1);
        }
    }
    Ok(Block { sessions: workload.sessions, size: workload.size, rows })
}

impl Block {
    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == name)
    }

    fn sheet(&self, options: &Options) -> Sheet {
        let (forwarder, floor, direct) = (self.row(FORWARDER), self.row(FLOOR), self.row("direct"));
        let text = |spread: Option<Spread>, digits| spread.map_or(String::new(), |spread| spread.text(digits));
        let median = |spread: Option<Spread>, digits| spread.map_or(String::new(), |spread| table::number(spread.median, digits));
        let cells = |row: &Row| {
            let stands_between = row.samples.iter().any(|sample| sample.processes > 0);
            let memory = format!("{} ({})", median(row.spread(|run| run.peak), 0), median(row.spread(|run| run.private), 0));
            let only = |text: String| if stands_between { text } else { String::new() };
            vec![
                row.peer.clone(),
                row.about.to_owned(),
                text(row.spread(|run| run.rate), 0),
                row.ratio(direct, |run| run.rate).map_or(String::new(), |share| format!("{:.0} %", share.median * 100.0)),
                text(row.ratio(forwarder, |run| run.rate), 2),
                text(row.ratio(floor, |run| run.rate), 2),
                only(text(row.spread(|run| run.cpu), 0)),
                only(text(row.ratio(floor, |run| run.cpu), 2)),
                median(row.spread(|run| run.p50), 2),
                median(row.spread(|run| run.p99), 2),
                only(memory),
            ]
        };
        let mut head = vec!["", "what it does", "messages/s", "of direct", "× tcp", "× floor", "CPU µs/message", "CPU × floor"];
        head.extend(["p50 ms", "p99 ms", "peak MiB (private)"]);
        let caption = format!(
            "**{} sessions**, {} a message{}{}{}; median (least–most) of {} rounds. {}.",
            self.sessions,
            table::bytes(self.size),
            options.per_connection.map_or(String::new(), |count| format!(", {count} messages a connection")),
            if options.recipients > 1 { format!(", {} recipients", options.recipients) } else { String::new() },
            if options.pipelined { ", pipelined" } else { "" },
            options.runs,
            table::machine(),
        );
        Sheet { caption, head, rows: self.rows.iter().map(cells).collect() }
    }

    fn markdown(&self, options: &Options) -> String {
        let sessions = self.sessions;
        format!("{}\n![](plots/rate-{sessions}.svg) ![](plots/cpu-{sessions}.svg)\n", self.sheet(options).markdown())
    }

    fn plots(&self) -> Result<(), String> {
        let bars = |value: fn(&Sample) -> f64| -> Vec<Bar> {
            let bar = |row: &Row| Some(Bar { name: row.peer.clone(), value: row.spread(value)? });
            self.rows.iter().filter_map(bar).collect()
        };
        let sessions = self.sessions;
        plot::bars(&format!("rate-{sessions}"), &format!("Messages per second, {sessions} sessions"), &bars(|run| run.rate))?;
        let mut cpu = bars(|run| run.cpu);
        cpu.retain(|bar| bar.value.median > 0.0);
        plot::bars(&format!("cpu-{sessions}"), &format!("Processor time per message in µs, {sessions} sessions"), &cpu)
    }
}
