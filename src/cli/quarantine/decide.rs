//! `transom quarantine release` and `delete`: the decisions. Each mail is decided on its own; the first trouble gives the exit status.

use std::io::{BufRead, IsTerminal, Write};

use super::super::{Exit, complain, say};
use super::{refused, short};
use crate::base::machine;
use crate::config::Config;
use crate::relay::release::{Order, Outcome, ReleaseError, release as send};
use crate::relay::{Relay, Settings};
use crate::store::Store;
use crate::store::content::Form;
use crate::store::desk::Row;

/// Sends mail on to its recipients, as it would have been delivered, past the rules
#[derive(Debug, clap::Args)]
pub(super) struct Release {
    /// Ids as `list` shows them; the first letters of one are enough
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// As it was received, without what the rules changed
    #[arg(long)]
    received: bool,
    /// Also what is in doubt: it may arrive twice
    #[arg(long)]
    force: bool,
}

/// Deletes mail for good; its row stays listed as deleted until store.quarantine.keep is over
#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// Ids as `list` shows them; the first letters of one are enough
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Do not ask; without a terminal nothing is asked
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn release(args: &Release, store: &Store, config: &Config) -> Result<Exit, Exit> {
    let rows = find(store, &args.ids)?;
    let by = machine::user();
    let order = Order {
        by: &by,
        form: if args.received { Form::Received } else { Form::Held },
        force: args.force,
        hostname: &config.hostname,
        deadline: config.timeouts.deadline,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        complain(&format!("error: {error}"));
        Exit::TempFail
    })?;
    Ok(runtime.block_on(async {
        let relay = Relay::new(Settings::of(config, store.token()));
        let mut exit = Exit::Success;
        for row in &rows {
            exit = first(exit, told(row, send(store, &relay, row, order).await));
        }
        relay.close().await;
        exit
    }))
}

fn told(row: &Row, outcome: Result<Outcome, ReleaseError>) -> Exit {
    let id = &row.id;
    match outcome {
        Ok(Outcome::Sent(reply)) => say(&format!("{id} released: {reply}\n")),
        Ok(Outcome::Refused(reply)) => {
            complain(&format!("error: {id} stays held: {reply}"));
            Exit::Unavailable
        }
        Ok(Outcome::NotNow(reply)) => {
            complain(&format!("error: {id} stays held: {reply}"));
            Exit::TempFail
        }
        Ok(Outcome::InDoubt(reply)) => {
            complain(&format!(
                "error: {id} is in doubt: {reply}; look there whether it arrived, then delete it, or release it with --force"
            ));
            Exit::Unavailable
        }
        Err(ReleaseError::Desk(error)) => refused(&error),
        Err(error @ ReleaseError::Unwritten { .. }) => {
            complain(&format!("error: {id}: {error}"));
            Exit::Io
        }
    }
}

pub(super) fn delete(args: &Delete, store: &Store) -> Result<Exit, Exit> {
    let rows = find(store, &args.ids)?;
    if !args.yes && std::io::stdin().is_terminal() && !agreed(&rows) {
        return Ok(Exit::Success);
    }
    let by = machine::user();
    let mut exit = Exit::Success;
    for row in &rows {
        let deleted = match store.delete(row, &by) {
            Ok(()) => say(&format!("{} deleted\n", row.id)),
            Err(error) => refused(&error),
        };
        exit = first(exit, deleted);
    }
    Ok(exit)
}

/// All of them or none: a slip in one id must not decide about the others.
fn find(store: &Store, ids: &[String]) -> Result<Vec<Row>, Exit> {
    let mut rows: Vec<Row> = Vec::new();
    for id in ids {
        let row = store.find(id).map_err(|error| refused(&error))?;
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn agreed(rows: &[Row]) -> bool {
    let mut stream = anstream::stderr().lock();
    for row in rows {
        let _ = writeln!(stream, "{}  {}  {}", row.id, row.record.envelope.sender, short(&row.record.subject, 60));
    }
    let _ = write!(stream, "delete {} for good? [y/N] ", if rows.len() == 1 { "this mail" } else { "these mails" });
    let _ = stream.flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).is_ok();
    read && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn first(before: Exit, now: Exit) -> Exit {
    if before == Exit::Success { now } else { before }
}
