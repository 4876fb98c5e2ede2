//! `transom rules`: how often each rule was asked, and what became of it.

use std::path::PathBuf;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::quarantine::{failed, open, short};
use super::{Exit, Global, say};
use crate::base::clock;
use crate::store::tally::Told;
use crate::yaml::units;

const EXAMPLES: &str = "\
Examples:
  transom rules
  transom rules --since 30d
  transom rules --json | jq '.[] | select(.observed and .different > 0)'

Counted are messages, by day (UTC); a running server writes its counts every few seconds.
DIFFERENT: how many messages would have come out otherwise, were a rule in force that is
only observed (`mode: observe`). MESSAGES: the ids of the latest it fired for, as in the log.
A recipient that a rule refuses at RCPT counts as one, with the id of its session.";

/// Shows how often each rule fired, and what observed ones would have changed
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only the days since then: 7d, 12h, 4w
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = since)]
    since: Duration,
    /// The store's directory, instead of the one in the configuration
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
    /// A list of objects, on standard output
    #[arg(long)]
    json: bool,
}

fn since(text: &str) -> Result<Duration, String> {
    units::time(text).ok_or_else(|| "a time such as 7d, 12h or 4w is wanted".to_owned())
}

/// Runs it.
pub fn run(args: &Args, global: &Global) -> Exit {
    let told = open(args.store.as_deref(), global).and_then(|store| store.counts(clock::now(), args.since).map_err(|error| failed(&error)));
    match told {
        Ok(told) if args.json => say(&format!("{:#}\n", told.iter().map(object).collect::<Value>())),
        Ok(told) => say(&lines(&told)),
        Err(exit) => exit,
    }
}

fn object(Told { rule, observed, tally }: &Told) -> Value {
    json!({
        "rule": rule,
        "observed": observed,
        "seen": tally.seen,
        "fired": tally.fired,
        "errors": tally.errors,
        "different": observed.then_some(tally.different),
        "last": tally.last.map(|last| last.to_string()),
        "messages": tally.messages,
    })
}

fn lines(told: &[Told]) -> String {
    if told.is_empty() {
        return "no rule was asked about a message in this time\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["RULE", "MODE", "SEEN", "FIRED", "ERRORS", "DIFFERENT", "LAST", "MESSAGES"]);
    for Told { rule, observed, tally } in told {
        table.add_row([
            short(rule, 50),
            if *observed { "observe" } else { "enforce" }.to_owned(),
            tally.seen.to_string(),
            tally.fired.to_string(),
            tally.errors.to_string(),
            if *observed { tally.different.to_string() } else { String::new() },
            tally.last.map(|last| last.strftime("%Y-%m-%d %H:%MZ").to_string()).unwrap_or_default(),
            tally.messages.join(" "),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}
