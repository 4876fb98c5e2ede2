//! `make bench`: Transom beside a TCP forwarder, an SMTP floor, Postfix and a filter written by hand.
//!
//! ```text
//!   source (this process) ──► peer (a process of its own) ──► sink (a thread of this process)
//! ```
//!
//! The source sends messages over loopback, the sink compares each to the byte; what is lost, doubled or not changed as asked fails the run. Linux only.
#![forbid(unsafe_code)]

mod compare;
mod floor;
mod growth;
mod hold;
mod ledger;
mod load;
mod mail;
mod measure;
mod open;
mod peers;
mod plot;
mod process;
mod sink;
mod source;
mod table;
mod tls;
mod train;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use peers::{Peer, Programs, Running};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use sink::Sink;

/// Transom beside others, over SMTP on loopback
#[derive(Debug, Parser)]
#[command(name = "mail")]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    /// What `cargo bench` says
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Throughput and cost of all peers, in one interleaved run
    Compare(compare::Options),
    /// Latency at a given rate
    Open(open::Options),
    /// Memory for idle sessions and for large messages in flight
    Hold(hold::Options),
    /// Cost over the size of the input
    Growth(growth::Options),
    /// Cost of TLS on both sides, on connections that are kept
    Tls(tls::Options),
    /// Mail of all these kinds, for a Transom that learns from it
    Train(train::Options),
    /// Serves as the SMTP floor
    #[command(hide = true)]
    Floor { port: u16, next_hop: u16 },
}

#[derive(Debug, Args)]
struct Common {
    /// Only these, in this order: direct, tcp, floor, postfix, filter, transom-plain, transom,
    /// transom-plain-chunking, transom-chunking
    #[arg(long, global = true, value_delimiter = ',')]
    peers: Vec<String>,
    /// One more: a command that relays from 127.0.0.1:$LISTEN to 127.0.0.1:$SINK and changes nothing
    #[arg(long, global = true, value_name = "NAME=COMMAND")]
    pass: Vec<String>,
    /// One more: a command that makes the four changes
    #[arg(long, global = true, value_name = "NAME=COMMAND")]
    filter: Vec<String>,
    /// Another Transom than the one built with this program
    #[arg(long, global = true, default_value = env!("CARGO_BIN_EXE_transom"))]
    transom: PathBuf,
    /// A Python with aiosmtpd
    #[arg(long, global = true, default_value = "python3")]
    python: PathBuf,
    /// All samples as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put tables and plots into docs/
    #[arg(long, global = true)]
    write: bool,
}

/// What all parts share.
#[derive(Debug)]
struct Bench {
    chosen: Vec<String>,
    foreign: Vec<Peer>,
    programs: Programs,
    json: Option<PathBuf>,
    write: bool,
}

#[allow(clippy::print_stderr, reason = "the terminal is what it writes to")]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let Some(what) = cli.what else {
        eprintln!("`make bench` runs it, and `cargo bench --bench mail -- help` lists its parts.");
        return ExitCode::SUCCESS;
    };
    let done = Bench::new(cli.common).and_then(|bench| match &what {
        What::Compare(options) => compare::run(options, &bench),
        What::Open(options) => open::run(options, &bench),
        What::Hold(options) => hold::run(options, &bench),
        What::Growth(options) => growth::run(options, &bench),
        What::Tls(options) => tls::run(options, &bench),
        What::Train(options) => train::run(options, &bench),
        What::Floor { port, next_hop } => floor::serve(*port, *next_hop).map_err(|error| error.to_string()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Shows where a run of so many steps is.
fn progress(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {wide_msg}").expect("a valid template");
    ProgressBar::new(steps as u64).with_style(style)
}

/// A program that is not found by its name alone, for servers that start in other directories.
fn from_anywhere(program: PathBuf) -> PathBuf {
    if program.components().count() == 1 { program } else { std::path::absolute(&program).unwrap_or(program) }
}

impl Bench {
    fn new(common: Common) -> Result<Self, String> {
        // Thousands of connections, at both ends.
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).map_err(|error| format!("open files: {error}"))?;
        let pass = common.pass.iter().map(|text| Peer::foreign(text, false));
        let foreign = pass.chain(common.filter.iter().map(|text| Peer::foreign(text, true))).collect::<Result<_, _>>()?;
        let programs = Programs { transom: from_anywhere(common.transom), python: from_anywhere(common.python) };
        Ok(Self { chosen: common.peers, foreign, programs, json: common.json, write: common.write })
    }

    /// Those that were asked for, or those of these that can run here.
    #[allow(clippy::print_stderr, reason = "the terminal is what it writes to")]
    fn peers(&self, default: &[&str]) -> Result<Vec<Peer>, String> {
        let all = peers::all();
        let names: Vec<_> = if self.chosen.is_empty() { default.to_vec() } else { self.chosen.iter().map(String::as_str).collect() };
        let find = |name: &&str| all.iter().find(|peer| peer.name == *name).cloned().ok_or_else(|| format!("no peer is called {name}"));
        let mut peers = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        if self.chosen.is_empty() {
            peers.retain(|peer| {
                let missing = peer.missing();
                if let Some(reason) = &missing {
                    eprintln!("without {}: {reason}", peer.name);
                }
                missing.is_none()
            });
        }
        peers.extend_from_slice(&self.foreign);
        Ok(peers)
    }

    fn start(&self, peers: &[Peer], sink: &Sink) -> Result<Vec<Running>, String> {
        let chunking = [sink.chunking()];
        let next_hops = |peer: &Peer| if peer.chunking { &chunking } else { sink.ports() };
        peers.iter().map(|peer| peer.start(next_hops(peer), &self.programs)).collect()
    }

    #[allow(clippy::disallowed_methods, reason = "a result, not a mail")]
    fn json(&self, what: &impl Serialize) -> Result<(), String> {
        let Some(path) = &self.json else { return Ok(()) };
        let text = serde_json::to_string_pretty(what).map_err(|error| error.to_string())?;
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}
