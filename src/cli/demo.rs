//! `transom demo`: sends sample messages through the real server and the ready-made rules, over real SMTP, and shows what became of each.

mod changes;
mod envelopes;
mod receiver;
mod sender;
mod server;
mod table;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Exit, Global, complain, say};
use crate::base::{disk, random};
use crate::message::Message;
use crate::store::content::Form;
use crate::store::desk::State;
use envelopes::Envelopes;
use receiver::Receiver;
use server::Server;

/// Sends sample messages through the rules and shows what became of each
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  transom demo                              in a checkout of the source
  transom demo --rules my-rules --samples mails
  transom demo --json | jq -r '.[] | select(.outcome == \"quarantine\") | .sample'

It starts a receiving server, starts `transom serve` between itself and that, and
sends the samples one after the other. Nothing leaves the machine.")]
pub struct Args {
    /// The directory with the rule files (*.yaml)
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// The directory with the messages (*.eml) and, if it has one, envelopes.yaml
    #[arg(long, value_name = "DIR", default_value = "samples")]
    samples: PathBuf,
    /// Where configuration and store are made, and stay [default: a new directory among the temporary files]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What stopped the demo: the status and what to say.
#[derive(Debug)]
struct Failure(Exit, String);

/// What became of one sample.
#[derive(Debug, serde::Serialize)]
struct Outcome {
    sample: String,
    #[serde(rename = "outcome")]
    verdict: &'static str,
    /// Why it is held, if it is.
    reason: Option<String>,
    fired: Vec<String>,
    changed: Vec<String>,
    /// The next hop's reply; if it was not asked to take the message, none.
    next_hop: Option<String>,
    /// What the sender was told.
    told: String,
}

/// Runs it.
pub fn run(args: Args, _: &Global) -> Exit {
    match demo(args) {
        Ok(text) => say(&text),
        Err(Failure(exit, text)) => {
            complain(&format!("error: {text}"));
            exit
        }
    }
}

fn demo(args: Args) -> Result<String, Failure> {
    let samples = samples(&args.samples)?;
    let envelopes = Envelopes::read(&args.samples.join("envelopes.yaml"))?;
    let directory = args.directory.unwrap_or_else(|| std::env::temp_dir().join(format!("transom-demo-{}", random::ulid())));
    let receiver = Receiver::start().map_err(|error| Failure(Exit::Unavailable, format!("cannot start a receiving server: {error}")))?;
    let server = Server::start(&directory, &args.rules, receiver.address())?;
    let mut outcomes = Vec::new();
    for name in samples {
        outcomes.push(one(&server, &receiver, &envelopes, &args.samples, &name)?);
    }
    server.stop();
    Ok(if args.json { table::json(&outcomes) } else { table::text(&outcomes, &directory) })
}

/// The names of the messages, sorted.
fn samples(directory: &Path) -> Result<Vec<OsString>, Failure> {
    let mut names = disk::list(directory).map_err(|error| {
        Failure(Exit::NoInput, format!("cannot read {}: {error}; run it in a checkout, or name --samples and --rules", directory.display()))
    })?;
    names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "eml"));
    if names.is_empty() {
        return Err(Failure(Exit::NoInput, format!("no *.eml in {}", directory.display())));
    }
    Ok(names)
}

/// Sends one sample and looks where it went.
fn one(server: &Server, receiver: &Receiver, envelopes: &Envelopes, directory: &Path, name: &OsString) -> Result<Outcome, Failure> {
    let path = directory.join(name);
    let sample = name.to_string_lossy().into_owned();
    let sent = disk::read(&path).map_err(|error| Failure(Exit::NoInput, format!("cannot read {}: {error}", path.display())))?;
    let envelope = envelopes.of_sample(&sample);
    let told = sender::send(server.address(&envelope.listener), envelope, &sent)
        .map_err(|error| Failure(Exit::Unavailable, format!("{sample}: the server does not answer: {error}")))?;
    let fired = server.fired()?;
    let mut outcome = Outcome { sample, verdict: "deliver", reason: None, fired, changed: Vec::new(), next_hop: None, told };
    if let Some(taken) = receiver.take() {
        outcome.changed = changes::between(&sent, &taken.message);
        outcome.next_hop = Some(taken.reply);
    } else if outcome.told.starts_with('2') {
        look_into_quarantine(server, &sent, &mut outcome)?;
    } else {
        outcome.verdict = if outcome.told.starts_with('5') { "reject" } else { "defer" };
    }
    Ok(outcome)
}

/// Acknowledged and not passed on: held, or discarded by a rule.
fn look_into_quarantine(server: &Server, sent: &[u8], outcome: &mut Outcome) -> Result<(), Failure> {
    let unable = |error: &dyn std::error::Error| Failure(Exit::Io, format!("the store cannot be read: {error}"));
    let (rows, _) = server.store().list(&State::OPEN, None, 1).map_err(|error| unable(&error))?;
    let Some(row) = rows.into_iter().next().filter(|row| server.is_new(&row.id.0)) else {
        outcome.verdict = "discard";
        return Ok(());
    };
    outcome.verdict = "quarantine";
    outcome.reason = row.record.reasons.first().map(|reason| reason.reason.clone());
    let held = server.store().message(&row, Form::Held).map_err(|error| unable(&error))?;
    outcome.changed = changes::between(sent, &bytes_of(&held).map_err(|error| unable(&error))?);
    Ok(())
}

fn bytes_of(message: &Message) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    message.for_each(&mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes.into())
}
